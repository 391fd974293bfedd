// Package testbed builds a small internet on one machine: sites with a real Docker engine each, or
// with evio alone, behind real NATs, and an internet with an XMPP server (Prosody or ejabberd) and
// two STUN and TURN servers (coturn). It serves the end-to-end tests and the demo, so nothing in it
// needs package testing but the fixture in fixture.go.
//
// It is not a simulator: every part is the program that a user would run, in network, mount, PID,
// IPC, UTS and cgroup namespaces whose root is an unpacked Debian tree of integration/tree.sh.
// The host gets no interface, no named namespace, no mount and no daemon. A machine dies with the
// thread that started it, and a reaper, one waiting shell per lab, removes cgroups and files when
// the process that owned the lab has ended, also by kill -9. What even that leaves, after a loss
// of power, the next New removes.
//
//	lab, err := testbed.New(ctx, testbed.Options{})
//	defer lab.Close()
//	a, err := lab.AddSite(ctx, testbed.SiteConfig{Name: "a", NAT: testbed.PortRestricted})
//	err = a.StartEngine(ctx, testbed.EngineOptions{})
//	out, err := a.Docker(ctx, "run", "--rm", testbed.Image, "ip", "address")
//
// A site's engine is that of its Debian tree: the lab's is a current one, and OldTree, given as
// SiteConfig.Tree, has Docker 20.10 with docker-compose 1.29.
//
// Without an engine, StartEvio runs evio as a process of the host, and Attach does what Docker does
// with a container's interface, with a network namespace in the container's place.
//
// Addresses: servers 198.51.100.0/24, WAN ends of routers 203.0.113.0/24, sites without NAT
// 192.0.2.0/24, LANs 192.168.N.0/24, between carriers and homes 100.64.N.0/24, IPv6 2001:db8::/32.
// Only a root user can run it.
//
// All methods may be called at once from several goroutines, except two calls that start or stop
// the same thing. Every method that waits takes a context and honours it.
package testbed
