package network

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/directory"
	"evio/overlay/identity"
	"evio/overlay/member"
)

// TestAdviceForAnAddressThatDockerChose: who is refused an address hears that Docker
// chooses it again, what to do about it for good, and which address works now.
func TestAdviceForAnAddressThatDockerChose(t *testing.T) {
	key, err := identity.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	book, err := member.Open(member.Config{Dir: t.TempDir(), Key: key, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	n := bare(t)
	n.spec.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/29")}
	n.spec.Gateways = []netip.Addr{addr("10.9.0.4")}
	n.endpoints["e"] = &endpoint{spec: plane.EndpointSpec{Addrs: []netip.Addr{addr("10.9.0.3")}}}
	node := overlay.New(overlay.Config{Overlay: "blue", Key: key, Subnets: n.spec.Subnets, Book: book, Sessions: sessions{n}, Fabric: fabric{n}, Log: quiet()})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		node.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	spec := plane.EndpointSpec{MAC: [6]byte{2, 1}, Addrs: []netip.Addr{addr("10.9.0.2")}}
	held := &directory.ConflictError{Key: directory.Key{Addr: spec.Addrs[0]}, Name: "b@example.org at site b"}
	text := n.advise(t.Context(), node, spec, held).Error()
	for _, part := range []string{"10.9.0.2 belongs to b@example.org at site b", "at each try", "--subnet", "--ip-range", "--ip 10.9.0.5, which is free now"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	spec.Addrs[0] = addr("10.9.0.7") // the last one
	if text := n.advise(t.Context(), node, spec, held).Error(); strings.Contains(text, "--ip 10") || !strings.Contains(text, "--ip-range") {
		t.Errorf("advice without a free address: %q", text)
	}
	for _, other := range []error{nil, errors.New("another"), &directory.ConflictError{Key: directory.Key{MAC: spec.MAC}}} {
		if got := n.advise(t.Context(), node, spec, other); !errors.Is(got, other) || got != nil && strings.Contains(got.Error(), "--ip-range") {
			t.Errorf("%v became %v", other, got)
		}
	}
}
