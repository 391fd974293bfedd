//go:build component

package netdev

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"evio/datapath/netdevtest"
)

// pair makes a device that is shielded, whose other end is up.
func pair(t *testing.T) Device {
	t.Helper()
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	command(t, "ip", "link", "set", "cont0", "up")
	index, err := Index("host0")
	if err != nil {
		t.Fatal(err)
	}
	return Device{Name: "host0", Index: index}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func lacking(t *testing.T, s *Shields, d Device) bool {
	t.Helper()
	names, err := s.Lacking([]Device{d})
	if err != nil {
		t.Fatal(err)
	}
	return len(names) > 0
}

// hears reports whether the host's stack, and whether a packet socket, gets a frame that
// comes in by host0.
func hears(t *testing.T) (stack, socket bool) {
	t.Helper()
	command(t, "ip", "addr", "replace", "10.9.9.1/24", "dev", "host0")
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	tap, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all&0xffff)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tap) //nolint:errcheck // only read from
	index, err := Index("host0")
	if err == nil {
		err = unix.Bind(tap, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: index})
	}
	if err != nil {
		t.Fatal(err)
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(udp, &unix.SockaddrInet4{Port: 7777})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(udp) //nolint:errcheck // only read from
	from, err := Index("cont0")
	if err != nil {
		t.Fatal(err)
	}
	frame := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 2, 3, 4, 5, 8, 0},
		[]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 9, 2, 10, 9, 9, 1}, []byte{0, 9, 0x1e, 0x61, 0, 9, 0, 0, 'x'})
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(frame[i])<<8 | uint32(frame[i+1])
	}
	sum = ^(sum&0xffff + sum>>16)
	frame[24], frame[25] = byte(sum>>8), byte(sum)
	if err := unix.Sendto(tap, frame, 0, &unix.SockaddrLinklayer{Ifindex: from, Protocol: 8}); err != nil {
		t.Fatal(err)
	}
	got := func(fd int) bool {
		tv := unix.NsecToTimeval(int64(300 * time.Millisecond))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2000)
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			if n, _, err := unix.Recvfrom(fd, buf, 0); err == nil && buf[n-1] == 'x' {
				return true
			}
		}
		return false
	}
	return got(udp), got(tap)
}

// TestShield: what comes in by a shielded device reaches packet sockets, which a switch in
// user space reads, and not the host's stack; and no queueing discipline changes that.
func TestShield(t *testing.T) {
	d := pair(t)
	s := NewShields("own")
	t.Cleanup(func() { _ = s.Remove() })
	if stack, socket := hears(t); !stack || !socket {
		t.Fatalf("without a shield: the stack hears it: %v, a packet socket: %v", stack, socket)
	}
	if !lacking(t, s, d) {
		t.Error("a shield that nobody made")
	}
	for range 2 { // the second time it is there
		if failed := s.Put(d); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
	command(t, "tc", "qdisc", "add", "dev", "host0", "clsact")
	command(t, "tc", "qdisc", "del", "dev", "host0", "clsact")
	if stack, socket := hears(t); stack || !socket || lacking(t, s, d) {
		t.Errorf("with a shield: the stack hears it: %v, a packet socket: %v", stack, socket)
	}
	if there, err := filtered(d); there || err != nil {
		t.Errorf("a filter beside the chain: %v", err)
	}
}

// TestShieldDrift: whatever somebody does to a shield is seen, and Put mends it.
func TestShieldDrift(t *testing.T) {
	d := pair(t)
	s := NewShields("own")
	t.Cleanup(func() { _ = s.Remove() })
	chain := chainOf(d)
	for _, damage := range []string{
		"flush ruleset",
		"delete table netdev evio_own",
		"delete chain netdev evio_own " + chain,
		"add rule netdev evio_own " + chain + " accept",
		"chain netdev evio_own " + chain + " { policy accept; }",
		"add table netdev evio_own { flags dormant; }",
	} {
		if failed := s.Put(d); len(failed) > 0 {
			t.Fatal(failed)
		}
		if lacking(t, s, d) {
			t.Fatalf("%s: it is lacking before", damage)
		}
		command(t, "nft", damage)
		if !lacking(t, s, d) {
			t.Errorf("%s: it is not seen", damage)
		}
		if failed := s.Put(d); len(failed) > 0 || lacking(t, s, d) {
			t.Errorf("%s: it is not mended: %v\n%s", damage, failed, command(t, "nft", "list", "ruleset"))
		}
		if stack, _ := hears(t); stack {
			t.Errorf("%s: the stack hears what comes after it was mended", damage)
		}
	}
}

// TestShieldsOfTwo: two engines on one host have shields of their own, and what is swept
// are those of devices that are gone.
func TestShieldsOfTwo(t *testing.T) {
	own, other := NewShields("own"), NewShields("other")
	t.Cleanup(func() { _ = own.Remove(); _ = other.Remove() })
	first := pair(t)
	put := func(s *Shields, d Device) {
		t.Helper()
		if failed := s.Put(d); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
	put(own, first)
	second := pair(t) // in the place of the first
	if !lacking(t, own, second) {
		t.Error("the shield of a device that is gone is taken for that of the next")
	}
	put(own, second)
	put(other, second)
	if err := own.Sweep(); err != nil {
		t.Fatal(err)
	}
	if rules := command(t, "nft", "list", "ruleset"); strings.Contains(rules, chainOf(first)) || lacking(t, own, second) {
		t.Errorf("after a sweep: %s", rules)
	}
	if err := own.Remove(); err != nil {
		t.Fatal(err)
	}
	if rules := command(t, "nft", "list", "ruleset"); strings.Contains(rules, "evio_own") || lacking(t, other, second) {
		t.Errorf("after one has removed its own: %s", rules)
	}
	if err := Delete("host0"); err != nil {
		t.Fatal(err)
	}
	if err := other.Sweep(); err != nil {
		t.Fatal(err)
	}
	if rules := command(t, "nft", "list", "ruleset"); strings.Contains(rules, "evio") {
		t.Errorf("a table without devices is left: %s", rules)
	}
}

// TestShieldsOfMany: as many as a host may have.
func TestShieldsOfMany(t *testing.T) {
	s := NewShields("own")
	t.Cleanup(func() { _ = s.Remove() })
	var script strings.Builder
	names := map[string]bool{}
	for i := range 150 {
		name, other := fmt.Sprintf("many%da", i), fmt.Sprintf("many%db", i)
		names[name], names[other] = true, true
		script.WriteString("link add " + name + " type veth peer name " + other + "\n")
	}
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader(script.String())
	if out, err := batch.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		for name := range names {
			_ = Delete(name)
		}
	})
	all, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(all, func(name string, _ Device) bool { return !names[name] })
	devices := slices.Collect(maps.Values(all))
	began := time.Now()
	if failed := s.Put(devices...); len(failed) > 0 {
		t.Fatal(failed)
	}
	put := time.Since(began)
	began = time.Now()
	if names, err := s.Lacking(devices); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
	t.Logf("%d shields: made in %v, looked at in %v", len(devices), put, time.Since(began))
	if there, err := filtered(devices[0]); there || err != nil {
		t.Errorf("a filter in place of a chain: %v", err)
	}
}

// TestShieldWithoutTable: where the kernel refuses the chain a filter serves, and is as
// much of a shield.
func TestShieldWithoutTable(t *testing.T) {
	d := pair(t)
	s := NewShields("own")
	release := netdevtest.Seize(t, "evio_own")
	if failed := s.Put(d); len(failed) > 0 {
		t.Fatal(failed)
	}
	if there, err := filtered(d); !there || err != nil {
		t.Errorf("no filter: %v", err)
	}
	if stack, socket := hears(t); stack || !socket || lacking(t, s, d) {
		t.Errorf("with a filter: the stack hears it: %v, a packet socket: %v", stack, socket)
	}
	command(t, "tc", "qdisc", "del", "dev", "host0", "clsact")
	if !lacking(t, s, d) {
		t.Error("it is not seen that the filter was removed")
	}
	release()
	if failed := s.Put(d); len(failed) > 0 {
		t.Fatal(failed)
	}
	if there, err := filtered(d); there || err != nil || lacking(t, s, d) {
		t.Errorf("no chain though the kernel takes one again: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
}
