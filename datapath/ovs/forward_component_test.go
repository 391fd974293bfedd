//go:build component

package ovs

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
)

func TestContainersReachEachOther(t *testing.T) {
	s := start(t)
	if info := s.Info(); !info.Own || info.Datapath != DatapathNetdev || !strings.HasPrefix(info.Version, "3.") {
		t.Errorf("info %+v", info)
	}
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	apply(t, s, network("br0", a.port(), b.port()))
	mustPing(t, a, b)
	mustPing(t, b, a)
	transfer(t, a, b, 100<<20)
}

// transfer moves bytes by TCP from one container to another and compares sums.
func transfer(t *testing.T, from, to box, size int64) {
	t.Helper()
	var l net.Listener
	to.enter(t, func() (err error) {
		l, err = (&net.ListenConfig{Control: to.control}).Listen(t.Context(), "tcp", netip.AddrPortFrom(to.addrs[0], 5001).String())
		return err
	})
	defer l.Close() //nolint:errcheck // nothing to lose
	var conn net.Conn
	from.enter(t, func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second, Control: from.control}).Dial("tcp", l.Addr().String())
		return err
	})
	defer conn.Close() //nolint:errcheck // nothing to lose
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // nothing to lose
	deadline := time.Now().Add(60 * time.Second)
	_ = conn.SetDeadline(deadline)
	_ = other.SetDeadline(deadline)

	sent, began := sha256.New(), time.Now()
	failed := make(chan error, 1)
	go func() {
		block := make([]byte, 1<<20)
		_, _ = rand.Read(block)
		for n := int64(0); n < size; n += int64(len(block)) {
			copy(block, strconv.FormatInt(n, 10))
			sent.Write(block)
			if _, err := conn.Write(block); err != nil {
				failed <- err
				return
			}
		}
		failed <- conn.(*net.TCPConn).CloseWrite()
	}()
	got := sha256.New()
	n, err := io.Copy(got, other)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	if n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatalf("received %d of %d bytes, or others than sent", n, size)
	}
	t.Logf("%.2f Gb/s with checksums over both ends", float64(size)*8e-9/time.Since(began).Seconds())
}

// scene is a bridge with two containers, a link and a fabric port.
type scene struct {
	s            *Switch
	bridge       Bridge
	a, b         box
	atA, atB     *packetSocket
	link, fabric tapObserver
	peer         MAC // behind the link
}

func newScene(t *testing.T, s *Switch, suffix string) *scene {
	t.Helper()
	sc := &scene{
		s: s, a: newBox(t, "a"+suffix, 1), b: newBox(t, "b"+suffix, 2), peer: hw(9),
		link: tapObserver{openTAP(t, "l"+suffix)}, fabric: tapObserver{openTAP(t, "f"+suffix)},
	}
	sc.bridge = network("br"+suffix, sc.a.port(), sc.b.port(),
		Port{Name: sc.link.Name(), Role: Link, MACs: []MAC{sc.peer}},
		Port{Name: sc.fabric.Name(), Role: Fabric})
	apply(t, s, sc.bridge)
	sc.atA, sc.atB = openPacket(t, &sc.a), openPacket(t, &sc.b)
	return sc
}

// attempt is a frame that somebody sends and those who must see it.
type attempt struct {
	frame []byte
	at    string // letters of observers
}

// TestContainerSends sends to everybody and everything, and looks at who receives what. What
// of it a guard refuses is tested where the rules are.
func TestContainerSends(t *testing.T) {
	s := start(t)
	sc := newScene(t, s, "0")
	me, neighbour := hw(1), hw(2)
	all := func(m string) draft { return newFrame(me, everybody, m) }
	const own4, their4 = "10.1.0.1", "10.1.0.2"

	attempts := []attempt{
		{newFrame(me, neighbour, "unicast").udp4(t, own4, their4, 2), "B"},
		{all("broadcast").udp4(t, own4, "10.1.0.255", 2), "BF"},
		{newFrame(me, MAC{1, 0, 0x5e, 0, 0, 7}, "multicast").udp4(t, own4, "224.0.0.7", 2), "BF"},
		{newFrame(me, hw(77), "unknown unicast").udp4(t, own4, "10.1.0.77", 2), "F"},
		{newFrame(me, sc.peer, "peer").udp4(t, own4, "10.1.0.9", 2), "L"},
		{newFrame(me, me, "to itself").udp4(t, own4, own4, 2), ""},
		{all("other type").other(t), "BF"},
		{newFrame(me, neighbour, "VLAN 5").tagged(5).udp4(t, own4, their4, 2), "B"},

		{newFrame(hw(66), neighbour, "foreign MAC").udp4(t, own4, their4, 2), ""},
		{newFrame(neighbour, everybody, "neighbour's MAC").udp4(t, own4, their4, 2), ""},
		{newFrame(hw(66), everybody, "foreign MAC, other type").other(t), ""},
		{newFrame(MAC{3, 0, 0, 0, 0, 1}, neighbour, "multicast source").other(t), ""},
		{newFrame(hw(66), neighbour, "VLAN 5, foreign MAC").tagged(5).udp4(t, own4, their4, 2), ""},
	}
	for _, a := range attempts {
		sc.atA.send(t, a.frame)
	}
	compare(t, attempts, sc.fromA, map[string]observer{"B": sc.atB, "F": sc.fabric, "L": sc.link})

	// Every refused frame was dropped by a flow that says why. Containers also
	// send some by themselves.
	refused := 0
	for _, a := range attempts {
		if a.at == "" && markOf(a.frame) != "to itself" {
			refused++
		}
	}
	eventually(t, "drops are counted", func() bool {
		drops, err := s.Drops(t.Context(), "br0")
		if err != nil {
			t.Fatal(err)
		}
		return drops["source-not-owned"] >= uint64(refused)
	})
}

// fromA sends a marked frame from container a to everybody and to the peer.
func (sc *scene) fromA(t *testing.T, mark string) {
	t.Helper()
	sc.atA.send(t, newFrame(sc.a.mac, everybody, mark).other(t))
	sc.atA.send(t, newFrame(sc.a.mac, sc.peer, mark).other(t))
}

// compare checks what each observer saw. The switch reorders frames that it reads
// at once, so a frame that all observers get is sent twice with finish: when the
// second is seen, whatever was sent before the first has been dealt with.
func compare(t *testing.T, attempts []attempt, finish func(*testing.T, string), observers map[string]observer) {
	t.Helper()
	got := map[string][]string{}
	for _, mark := range []string{"middle", "end"} {
		finish(t, mark)
		for name, o := range observers {
			got[name] = append(got[name], o.until(t, mark)...)
		}
	}
	for name := range observers {
		want := []string{"middle", "end"}
		for _, a := range attempts {
			if strings.Contains(a.at, name) {
				want = append(want, markOf(a.frame))
			}
		}
		slices.Sort(want)
		slices.Sort(got[name])
		if d := cmp.Diff(want, got[name]); d != "" {
			t.Errorf("at %s (-want +got):\n%s", name, d)
		}
	}
}

func TestLinkPassesOnlyItsNode(t *testing.T) {
	sc := newScene(t, start(t), "0")
	a := hw(1)
	attempts := []attempt{
		{newFrame(sc.peer, a, "unicast").udp4(t, "10.1.0.9", "10.1.0.1", 2), "A"},
		{newFrame(sc.peer, a, "any address").udp4(t, "10.9.9.9", "10.1.0.1", 2), "A"},
		{newFrame(hw(66), a, "foreign MAC").udp4(t, "10.1.0.9", "10.1.0.1", 2), ""},
		{newFrame(hw(2), a, "a local container's MAC").udp4(t, "10.1.0.2", "10.1.0.1", 2), ""},
		{newFrame(sc.peer, everybody, "broadcast").udp4(t, "10.1.0.9", "10.1.0.255", 2), ""},
		{newFrame(sc.peer, MAC{1, 0, 0x5e, 0, 0, 7}, "multicast").other(t), ""},
		{newFrame(sc.peer, hw(77), "unknown unicast").other(t), ""},
		{newFrame(sc.peer, sc.peer, "back").other(t), ""},
	}
	for _, x := range attempts {
		sc.link.send(t, x.frame)
	}
	finish := func(t *testing.T, mark string) { sc.link.send(t, newFrame(sc.peer, a, mark).other(t)) }
	compare(t, attempts, finish, map[string]observer{"A": sc.atA})
	// The others saw nothing of it.
	compare(t, nil, sc.fromA, map[string]observer{"B": sc.atB, "F": sc.fabric, "L": sc.link})
}

func TestFabricDelivers(t *testing.T) {
	sc := newScene(t, start(t), "0")
	attempts := []attempt{
		{newFrame(hw(50), hw(1), "unicast").udp4(t, "10.1.0.50", "10.1.0.1", 2), "A"},
		{newFrame(hw(50), everybody, "broadcast").arp(t, hw(50), "10.1.0.50", "10.1.0.1"), "AB"},
		{newFrame(hw(50), MAC{0x33, 0x33, 0, 0, 0, 1}, "multicast").udp6(t, "fd00::50", "ff02::1"), "AB"},
		{newFrame(hw(50), hw(77), "unknown unicast").other(t), ""},
		{newFrame(hw(50), sc.peer, "peer").other(t), ""},
		{newFrame(hw(50), MAC{1, 0x80, 0xc2, 0, 0, 0}, "control").other(t), ""},
		{newFrame(MAC{3, 0, 0, 0, 0, 1}, hw(1), "multicast source").other(t), ""},
	}
	for _, x := range attempts {
		sc.fabric.send(t, x.frame)
	}
	finish := func(t *testing.T, mark string) { sc.fabric.send(t, newFrame(hw(50), everybody, mark).other(t)) }
	compare(t, attempts, finish, map[string]observer{"A": sc.atA, "B": sc.atB})
	compare(t, nil, sc.fromA, map[string]observer{"L": sc.link, "F": sc.fabric})
}

// TestBridgesAreSeparate runs two networks with equal subnets, MAC addresses and
// IP addresses, and looks at every port of both.
func TestBridgesAreSeparate(t *testing.T) {
	s := start(t)
	scenes := []*scene{newScene(t, s, "0"), newScene(t, s, "1")}
	for i, sc := range scenes {
		m := strconv.Itoa(i) + ": "
		sc.atA.send(t, newFrame(hw(1), everybody, m+"broadcast").arp(t, hw(1), "10.1.0.1", "10.1.0.2"))
		sc.atA.send(t, newFrame(hw(1), hw(2), m+"unicast").udp4(t, "10.1.0.1", "10.1.0.2", 2))
		sc.atB.send(t, newFrame(hw(2), hw(1), m+"unicast back").udp4(t, "10.1.0.2", "10.1.0.1", 2))
		sc.atA.send(t, newFrame(hw(1), hw(77), m+"unknown").other(t))
		sc.atA.send(t, newFrame(hw(1), sc.peer, m+"to peer").other(t))
		sc.link.send(t, newFrame(sc.peer, hw(1), m+"from peer").other(t))
		sc.fabric.send(t, newFrame(hw(50), everybody, m+"from fabric").other(t))
	}
	seen := make([]map[string][]string, len(scenes))
	for _, mark := range []string{"middle", "end"} {
		for i, sc := range scenes {
			m := strconv.Itoa(i) + ": " + mark
			sc.atB.send(t, newFrame(hw(2), everybody, m).other(t))
			sc.fromA(t, m)
		}
		for i, sc := range scenes {
			if seen[i] == nil {
				seen[i] = map[string][]string{}
			}
			for name, o := range map[string]observer{"a": sc.atA, "b": sc.atB, "link": sc.link, "fabric": sc.fabric} {
				seen[i][name] = append(seen[i][name], o.until(t, strconv.Itoa(i)+": "+mark)...)
			}
		}
	}
	for i := range scenes {
		for name, got := range seen[i] {
			if len(got) < 3 {
				t.Errorf("%s of bridge %d saw only %v", name, i, got)
			}
			foreign := func(g string) bool { return !strings.HasPrefix(g, strconv.Itoa(i)+": ") }
			if j := slices.IndexFunc(got, foreign); j >= 0 {
				t.Errorf("%s of bridge %d saw %q of the other", name, i, got[j])
			}
		}
	}
	mustPing(t, scenes[0].a, scenes[0].b)
	mustPing(t, scenes[1].a, scenes[1].b)
}

// TestHostIsShielded sends broadcasts for an address and a port of the host.
func TestHostIsShielded(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	run(t, "ip", "addr", "add", "10.77.0.1/32", "dev", "lo")
	t.Cleanup(func() { run(t, "ip", "addr", "del", "10.77.0.1/32", "dev", "lo") })
	host, err := net.ListenPacket("udp4", "10.77.0.1:7777")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close() //nolint:errcheck // nothing to lose
	send := openPacket(t, &a)
	hello := newFrame(a.mac, everybody, "x").udp4(t, "10.1.0.1", "10.77.0.1", 7777)
	hears := func() bool {
		send.send(t, hello)
		_ = host.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _, err := host.ReadFrom(make([]byte, 100))
		return err == nil
	}
	if !hears() {
		t.Fatal("the host must hear the device before it is a port, or this test proves nothing")
	}
	apply(t, s, network("br0", a.port(), b.port()))
	for hears() { // what was on its way
	}
	mustPing(t, a, b)
	if hears() {
		t.Error("the host's stack receives a container's frames")
	}
	tail := openTAP(t, "f0")
	apply(t, s, network("br0", a.port(), b.port(), Port{Name: "f0", Role: Fabric}))
	if n, err := tail.WriteFrames([]frame.Frame{{Data: hello}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	_ = host.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, _, err := host.ReadFrom(make([]byte, 100)); err == nil {
		t.Error("the host's stack receives the fabric port's frames")
	}
}
