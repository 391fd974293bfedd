package member

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"evio/overlay/identity"
	"evio/overlay/nodeid"
)

// TestStolenKey has a member that is not known yet show the key and the node of another.
func TestStolenKey(t *testing.T) {
	f := newFixture(t)
	f.service.Roster(roster("b@example.net", "m@example.net"))
	key := newKey(t)
	appear(f.service, "b@example.net/1", key, "blue")
	forged := extension{Key: identity.Public(key), Proof: proofFor("m@example.net", newKey(t)), Nodes: []nodeid.ID{nodeid.FromKey(identity.Public(key), "blue")}}
	unsigned := forged
	unsigned.Proof = make([]byte, ed25519.SignatureSize)
	for name, ext := range map[string][]byte{
		"as the other account shows it": announcement(key, "b@example.net", "blue"),
		"signed by its own key":         forged.encode(),
		"without a signature":           unsigned.encode(),
		"for a longer name":             announcement(key, "m@example.net.evil", "blue"),
	} {
		t.Run(name, func(t *testing.T) {
			before := f.service.Drops()["refused"]
			f.service.Presence("m@example.net/1", true, ext)
			if got := f.service.Drops()["refused"] - before; got != 1 {
				t.Errorf("%d counted", got)
			}
			if got := f.book.Members("blue"); len(got) != 1 || got[0].JID != "b@example.net" || !got[0].Online {
				t.Errorf("members %+v", got)
			}
			if got := f.book.Peers(); len(got) != 1 || got[0].JID != "b@example.net" {
				t.Errorf("peers %+v", got)
			}
			if f.book.shown("m@example.net") != nil {
				t.Error("it is remembered, and an operator's forget would pin it")
			}
		})
	}
	own := newKey(t)
	appear(f.service, "m@example.net/1", own, "blue")
	f.service.Presence("m@example.net/1", true, forged.encode())
	if got := f.book.Peers(); len(got) != 2 || got[1].Identity != Fingerprint(identity.Public(own)) || got[1].Offered != "" {
		t.Errorf("an identity that it has not can be accepted: %+v", got)
	}
	if got := f.book.Members("blue"); len(got) != 2 || got[0].Online == got[1].Online {
		t.Errorf("members %+v", got)
	}
}

// TestOwnKeyNotProved has this engine's key shown by those who do not have it.
func TestOwnKeyNotProved(t *testing.T) {
	e := newEngine(t, newKey(t), "a1@example.net/x", time.Now())
	stolen := announcement(e.book.key, "somebody@example.net", "blue")
	for _, full := range []string{"a1@example.net/y", "b@example.net/2"} {
		before := e.service.Drops()["refused"]
		e.service.Presence(full, true, stolen)
		if got := e.service.Drops()["refused"] - before; got != 1 || len(e.questions()) != 0 || len(e.book.Faults()) != 0 {
			t.Errorf("%s: %d counted, %d questions, faults %q", full, got, len(e.questions()), e.book.Faults())
		}
	}
	e.service.Down(context.Canceled)
}

// TestTwoAccountsOfOneEngine looks at which account stands for an engine that has two.
func TestTwoAccountsOfOneEngine(t *testing.T) {
	const low, high = "b@example.net", "c@example.org"
	f := newFixture(t)
	f.service.Roster(roster(low, high))
	key := newKey(t)
	want := func(jid string, online bool) {
		t.Helper()
		for range 20 { // maps have no order
			if got := f.book.Members("blue"); len(got) != 1 || got[0].JID != jid || got[0].Online != online {
				t.Fatalf("members %+v, want %s", got, jid)
			}
		}
	}
	appear(f.service, high+"/1", key, "blue")
	want(high, true)
	appear(f.service, low+"/1", key, "blue")
	want(low, true)
	f.service.Presence(low+"/1", false, nil)
	want(high, true)
	f.service.Presence(high+"/1", false, nil)
	want(low, false)
}

func TestProofIsBoundToTheAccount(t *testing.T) {
	e, err := parseExtension(announcement(newKey(t), bare("B@Example.net/evio-1")))
	if err != nil || e.proves("b@example.net") != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	for _, jid := range []string{"", "b@example.ne", "b@example.net/evio-1", "c@example.net"} {
		if err := e.proves(jid); err == nil || !strings.Contains(err.Error(), Fingerprint(e.Key)) {
			t.Errorf("%q: %v", jid, err)
		}
	}
}

func FuzzExtension(f *testing.F) {
	f.Add(announcement(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "a@b", "blue", "green"))
	f.Add([]byte{1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseExtension(b)
		if err != nil {
			return
		}
		_ = e.proves("a@b")
		back, err := parseExtension(e.encode())
		if err != nil || !back.Key.Equal(e.Key) || !bytes.Equal(back.Proof, e.Proof) || len(back.Nodes) != len(e.Nodes) {
			t.Fatalf("%+v became %+v, %v", e, back, err)
		}
	})
}
