//go:build component

package session

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"evio/datapath/session/connect"
	"evio/datapath/udp"
)

func TestPortRestrictedSitesConnectDirectly(t *testing.T) {
	l := newLab(t)
	l.translate("ralice")
	l.translate("rbob")
	l.serveSTUN()
	stopA, stopB := l.capture("wana"), l.capture("wanb")
	alice, bob := l.site("alice"), l.site("bob")

	// Three overlays at once, one port at each engine.
	const overlays = 3
	var as, bs [overlays]end
	began := time.Now()
	for i := range overlays {
		as[i], bs[i] = *alice, *bob
		name := func(o *Options) { o.Overlay = fmt.Sprintf("overlay %d", i) }
		as[i].open(t, bob, name)
		bs[i].open(t, alice, name)
	}
	for i := range overlays {
		connectEnds(t, &as[i], &bs[i])
	}
	for i := range overlays {
		await(t, as[i].established, "Established")
		await(t, bs[i].established, "Established")
	}
	t.Logf("three overlays established after %v", time.Since(began))

	for i := range overlays {
		frames := [][]byte{
			bytes.Repeat([]byte{byte(i)}, 1414),
			bytes.Repeat([]byte{byte(10 + i)}, 9234),
			bytes.Repeat([]byte{byte(20 + i)}, 60),
		}
		if err := as[i].session.Send(Data, frames); err != nil {
			t.Fatal(err)
		}
		got := bs[i].frames(t, len(frames))
		for j := range frames {
			if !bytes.Equal(got[j], frames[j]) {
				t.Errorf("overlay %d, frame %d: %d bytes starting with %d, want %d starting with %d",
					i, j, len(got[j]), got[j][0], len(frames[j]), frames[j][0])
			}
		}
		for _, e := range []*end{&as[i], &bs[i]} {
			until(t, "the peer reports the address it sees", func() bool { return e.session.Info().Observed.IsValid() })
			info := e.session.Info()
			t.Logf("overlay %d: %s %s → %s %s, round trip %v", i, info.LocalType, info.Local, info.RemoteType, info.Remote, info.RTT)
			if !reflexiveType(info.LocalType) || !reflexiveType(info.RemoteType) {
				t.Errorf("path is %s–%s, want reflexive ends", info.LocalType, info.RemoteType)
			}
			if info.Drops["record_forged"] != 0 || info.Drops["handshake_tag"] != 0 {
				t.Errorf("drops = %v, want nothing of another overlay", info.Drops)
			}
		}
	}

	l.cut("ralice")
	cut := time.Now()
	for i := range overlays {
		for _, e := range []*end{&as[i], &bs[i]} {
			if err := await(t, e.closed, "Closed"); !errors.Is(err, ErrPeerDead) {
				t.Errorf("closed with %v, want %v", err, ErrPeerDead)
			}
			if took := time.Since(cut); took > 12*time.Second { // TestCutPathIsNoticed has the exact time
				t.Errorf("closed %v after the cut, want at most 12 s", took)
			}
			e.check(t)
		}
	}
	t.Logf("all closed %v after the cut", time.Since(cut))

	for _, stop := range []func() map[udp.Class]int{stopA, stopB} {
		classes := stop()
		t.Logf("on the wire: %v", classes)
		if classes[udp.Unknown] != 0 {
			t.Errorf("%d datagrams are neither STUN nor ours", classes[udp.Unknown])
		}
		if classes[udp.STUN] == 0 || classes[udp.Handshake] == 0 || classes[udp.Record] == 0 {
			t.Errorf("classes = %v, want some of each", classes)
		}
	}
}

func reflexiveType(t string) bool { return t == "srflx" || t == "prflx" }

func TestSitesWithIPv6ConnectByHostCandidates(t *testing.T) {
	l := newLab(t)
	l.number()
	l.serveSTUN()
	alice, bob := l.site("alice"), l.site("bob")
	l.cutIPv4()
	alice.open(t, bob, nil)
	bob.open(t, alice, nil)
	connectEnds(t, alice, bob)
	await(t, alice.established, "Established")
	await(t, bob.established, "Established")
	until(t, "the peer reports the address it sees", func() bool { return alice.session.Info().Observed.IsValid() })
	info := alice.session.Info()
	if !info.Local.Addr().Is6() || !info.Remote.Addr().Is6() || info.LocalType != "host" || info.RemoteType != "host" {
		t.Errorf("path is %s %s → %s %s, want host candidates of IPv6", info.LocalType, info.Local, info.RemoteType, info.Remote)
	}
}

// cutIPv4 leaves only IPv6.
func (l *lab) cutIPv4() { l.in("internet", "iptables", "-A", "FORWARD", "-j", "DROP") }

func TestWhoIsNotWhoSignedNeverEstablishes(t *testing.T) {
	l := newLab(t)
	l.translate("ralice")
	l.translate("rbob")
	l.serveSTUN()
	alice, bob := l.site("alice"), l.site("bob")

	t.Run("another key", func(t *testing.T) {
		a, b := *alice, *bob
		other := newKey(t).Public().(ed25519.PublicKey)
		a.open(t, bob, func(o *Options) { o.RemoteKey = other })
		b.open(t, alice, nil)
		connectEnds(t, &a, &b)
		if err := await(t, a.closed, "Closed"); !errors.Is(err, connect.ErrIdentity) {
			t.Errorf("closed with %v, want %v", err, connect.ErrIdentity)
		}
		b.waitClosed(t)
		if len(a.established)+len(b.established) != 0 {
			t.Error("was established")
		}
	})
	t.Run("tampered parameters", func(t *testing.T) {
		a, b := *alice, *bob
		a.open(t, bob, nil)
		b.open(t, alice, nil)
		if err := a.session.Connect(b.own, bind(&a, &b)); err != nil {
			t.Fatal(err)
		}
		tampered := bind(&a, &b)
		tampered[0] ^= 1
		if err := b.session.Connect(a.own, tampered); err != nil {
			t.Fatal(err)
		}
		for _, e := range []*end{&a, &b} {
			if err := await(t, e.closed, "Closed"); !errors.Is(err, ErrTimeout) {
				t.Errorf("closed with %v, want %v", err, ErrTimeout)
			}
			if len(e.established) != 0 {
				t.Error("was established")
			}
		}
	})
}
