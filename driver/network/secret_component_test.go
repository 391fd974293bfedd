//go:build component

package network

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"evio/datapath/proof"
	"evio/driver/plane"
	"evio/driver/status"
	"evio/overlay/overlaytest"
)

// TestOverlaySecret: an engine that cannot read the overlay's secret opens no session,
// says so, and goes on as soon as it can.
func TestOverlaySecret(t *testing.T) {
	server := overlaytest.New()
	var readable atomic.Bool
	secret := func() ([]proof.Secret, error) {
		if !readable.Load() {
			return nil, errors.New("open blue.secret: gone")
		}
		return named("0123456789abcdef"), nil
	}
	always := func() ([]proof.Secret, error) { return named("0123456789abcdef"), nil }
	a := newRigWith(t, server, "a", 1, map[string]func() ([]proof.Secret, error){"blue": always})
	b := newRigWith(t, server, "b", 2, map[string]func() ([]proof.Secret, error){"blue": secret}, a)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("blue")
	b.addNetwork("blue")
	eventually(t, "b says what is missing", func() bool {
		f := b.plane.Faults()
		return len(f) == 1 && strings.Contains(f[0], "overlay blue gets no new sessions") && strings.Contains(f[0], "open blue.secret: gone")
	})
	if n := b.plane.transport.Stats().Sessions; len(n) != 0 || len(a.plane.Faults()) != 0 {
		t.Errorf("b has sessions %v, a has faults %v", n, a.plane.Faults())
	}
	readable.Store(true)
	linked(t, a, b)
	if f := b.plane.Faults(); len(f) != 0 {
		t.Errorf("faults %v", f)
	}
	var n status.Network
	eventually(t, "the status has the session", func() bool {
		n = b.plane.Networks(t.Context())[0]
		return len(n.Sessions) == 1 && n.Sessions[0].State == "established"
	})
	s := n.Sessions[0]
	if !n.Secret || len(n.Members) != 1 || n.Members[0].Membership != "roster" || n.Encryption != "" {
		t.Errorf("%+v", n) // the rig's networks have no options
	}
	if s.Path.Kind != "direct" || s.Path.LocalType == "" || s.Path.RemoteType == "" || s.AEAD == "" || s.Opened.IsZero() || s.Established.Before(s.Opened) {
		t.Errorf("%+v", s)
	}
	network := b.network()
	want := []string{network.fabric.Name(), network.asking.Name()}
	network.links.mu.Lock()
	for _, l := range network.links.by {
		want = append(want, l.dev.Name())
	}
	network.links.mu.Unlock()
	slices.Sort(want)
	eventually(t, "the switch has the ports", func() bool { return slices.Equal(want, b.plane.Networks(t.Context())[0].Ports) })
	if p := status.ThisProcess(); p.TAPs != 6 {
		t.Errorf("%d TAPs, want a fabric port, an asking port and a link for each of two", p.TAPs)
	}
}

// TestOverlaySecretOfOneAlone: both ends say why there is no session.
func TestOverlaySecretOfOneAlone(t *testing.T) {
	server := overlaytest.New()
	secrets := map[string]func() ([]proof.Secret, error){"blue": func() ([]proof.Secret, error) { return named("0123456789abcdef"), nil }}
	a := newRigWith(t, server, "a", 1, secrets)
	b := newRig(t, server, "b", 2, a)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("blue")
	b.addNetwork("blue")
	for r, want := range map[*rig]string{a: "this node has a secret for the overlay", b: "the peer has a secret for the overlay"} {
		eventually(t, "the status says why", func() bool {
			m := r.plane.Networks(t.Context())[0].Members
			return len(m) == 1 && strings.Contains(m[0].LastError, "overlay secrets differ: "+want)
		})
	}
}

// TestStatusTellsOptions: the status shows the options that a network was made with.
func TestStatusTellsOptions(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	if err := r.plane.AddNetwork(t.Context(), plane.NetworkSpec{ID: netID, MTU: testMTU, Encryption: plane.EncryptionRequired}); err != nil {
		t.Fatal(err)
	}
	if n := r.plane.Networks(t.Context())[0]; n.Encryption != "required" || n.Secret || !n.Local {
		t.Errorf("%+v", n)
	}
}
