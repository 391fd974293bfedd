//go:build component

package netdev

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var testMAC = MAC{2, 1, 2, 3, 4, 5}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestVeth(t *testing.T) {
	for range 2 { // the second time it exists
		if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
			t.Fatal(err)
		}
	}
	host, container := link(t, "host0").Attrs(), link(t, "cont0").Attrs()
	if host.MTU != 1400 || container.MTU != 1400 || container.HardwareAddr.String() != "02:01:02:03:04:05" {
		t.Errorf("host %+v\ncontainer %+v", host, container)
	}
	if host.RawFlags&unix.IFF_UP == 0 || container.RawFlags&unix.IFF_UP != 0 || host.RawFlags&unix.IFF_NOARP == 0 {
		t.Errorf("flags: host %#x, container %#x", host.RawFlags, container.RawFlags)
	}
	index, err := Index("host0")
	if err != nil || index != host.Index {
		t.Errorf("index %d, %v", index, err)
	}
	if all, err := Devices(); err != nil || all["host0"].Index != host.Index || all["cont0"].Index != container.Index {
		t.Errorf("%v, %v", all, err)
	}
	for range 2 { // the second time it is gone
		if err := Delete("host0"); err != nil {
			t.Fatal(err)
		}
	}
	if index, err := Index("cont0"); err != nil || index != 0 {
		t.Errorf("the other end is left: %d, %v", index, err)
	}
}

// TestHostIsSilent looks for addresses that the kernel makes by itself.
func TestHostIsSilent(t *testing.T) {
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	if err := netlink.LinkSetUp(link(t, "cont0")); err != nil {
		t.Fatal(err)
	}
	if err := WaitCarrier(t.Context(), "host0"); err != nil {
		t.Fatal(err)
	}
	addresses := func(name string) int {
		list, err := netlink.AddrList(link(t, name), netlink.FAMILY_V6)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	deadline := time.Now().Add(5 * time.Second)
	for addresses("cont0") == 0 { // the container's end has one, as always
		if time.Now().After(deadline) {
			t.Fatal("the container's end got no link-local address")
		}
	}
	if n := addresses("host0"); n != 0 {
		t.Errorf("the host's end has %d IPv6 addresses", n)
	}
}

func TestWaitCarrier(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := WaitCarrier(ctx, "host0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a device that does not exist: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- WaitCarrier(t.Context(), "host0") }()
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	select {
	case err := <-done:
		t.Fatalf("carrier with the other end down: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := netlink.LinkSetUp(link(t, "cont0")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the carrier is not noticed")
	}
}

// TestDevicesWhileLinksChange makes dumps that the kernel interrupts.
func TestDevicesWhileLinksChange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	for i := range 2 {
		churn.Go(func() {
			name := fmt.Sprintf("churn%d", i)
			for ctx.Err() == nil {
				if err := errors.Join(CreateVeth(name, name+"c", 1400, testMAC), Delete(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		all, err := Devices()
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			t.Fatal(err)
		}
		if _, ok := all["lo"]; err == nil && !ok {
			t.Fatalf("a partial list: %v", all)
		}
	}
	cancel()
	churn.Wait()
}

func TestErrorsNameTheDevice(t *testing.T) {
	for _, err := range []error{SetUp("nosuch", 1400), putFilter(Device{Name: "nosuch", Index: 1 << 30})} {
		if err == nil || !strings.Contains(err.Error(), "nosuch") {
			t.Error(err)
		}
	}
}
