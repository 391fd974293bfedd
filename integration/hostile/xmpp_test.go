//go:build e2e

package hostile

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/overlay/contact"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// A member of the roster that claims a node ID which does not follow from its own key gets nothing.
func (f *federation) nodeIDOfAnother(t *testing.T) {
	h := newHand(t, f.host, "liar", "xmpp-account", "-server", f.Lab.Internet().XMPP.StartTLSAddress(),
		"-jid", f.liar.JID, "-password", f.liar.Password, "-ca", "/root/ca.pem")
	defer h.stop(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	node := map[*scenario.Site]nodeid.ID{}
	for _, s := range []*scenario.Site{f.a, f.b} {
		if node[s], err = nodeid.Parse(scenario.OverlayAt(t, s, open.Name).Node); err != nil {
			t.Fatal(err)
		}
	}
	full := map[string]said{}
	scenario.Until(t, 10*time.Second, func() error {
		var seen accountSeen
		h.ask(t, "GET /seen", nil, &seen)
		for _, p := range seen.Presences {
			account, _, _ := strings.Cut(p.JID, "/")
			full[account] = p
		}
		if full[f.a.Account.JID].Payload == "" || full[f.b.Account.JID].Payload == "" {
			return errors.New("the liar does not see both sites")
		}
		return nil
	})
	extension := func(key ed25519.PublicKey, ids ...nodeid.ID) []byte { // proves only a key of the liar's
		b := append([]byte{1, member.MinVersion, member.MaxVersion}, key...)
		b = append(b, ed25519.Sign(private, []byte("evio presence 1"+f.liar.JID))...)
		b = append(b, byte(len(ids)))
		for _, id := range ids {
			b = append(b, id[:]...)
		}
		return b
	}
	victim, err := hex.DecodeString(full[f.b.Account.JID].Payload)
	if err != nil || len(victim) < extensionIDs {
		t.Fatalf("presence of b: %x, %v", victim, err)
	}
	keyOfB := victim[extensionKey : extensionKey+ed25519.PublicKeySize]
	before := scenario.AwaitSession(t, time.Second, f.a, open.Name, f.b.Account.JID)
	strange := scenario.SessionWith(t, f.a, open.Name, f.liar.JID)
	if strange != nil {
		t.Fatalf("the liar has a session already: %+v", strange)
	}

	h.ask(t, "POST /presence", hex.EncodeToString(extension(public, node[f.b])), nil)
	scenario.Until(t, 5*time.Second, func() error {
		for _, m := range scenario.OverlayAt(t, f.a, open.Name).Members {
			if m.JID == f.liar.JID && m.Node == nodeid.FromKey(public, open.Name).String() {
				if m.Online {
					t.Errorf("the liar is online in the overlay: %+v", m)
				}
				return nil
			}
		}
		return errors.New("a does not know the liar's key")
	})
	honest, err := contact.Sign(private, open.Name, contact.Envelope{
		To: node[f.a], Attempt: uint64(time.Now().UnixMilli()), Expiry: time.Now().Add(contact.Lifetime), Parameters: []byte{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	from, key, signature := bytes.Clone(honest), bytes.Clone(honest), bytes.Clone(honest)
	id := node[f.b]
	copy(from[envelopeFrom:], id[:])
	copy(key[envelopeFrom:], id[:])
	copy(key[envelopeKey:], keyOfB)
	signature[len(signature)-1] ^= 1
	for _, c := range []struct {
		name, counter string
		envelope      []byte
	}{{"its node ID", "envelope-identity", from}, {"its node ID and key", "envelope-identity", key}, {"a signature of nobody", "envelope-signature", signature}} {
		t.Run(c.name, func(t *testing.T) {
			scenario.Moves(t, f.a, scenario.OfOverlay(open.Name, c.counter), 1, func() {
				h.ask(t, "POST /message", map[string]string{"jid": full[f.a.Account.JID].JID, "payload": hex.EncodeToString(c.envelope)}, nil)
			})
		})
	}
	t.Run("its key in the presence", func(t *testing.T) {
		f.keyOfAnother(t, h, extension(keyOfB, node[f.b]), victim)
	})
	var seen accountSeen
	h.ask(t, "GET /seen", nil, &seen)
	for _, m := range seen.Messages {
		if strings.HasPrefix(m.Payload, "01") { // the version of envelopes
			t.Errorf("the liar was answered: %+v", m)
		}
	}
	scenario.Unchanged(t, f.a, open.Name, f.b.Account.JID, before)
}

// keyOfAnother has the liar show b's key and node, signed by itself and as b has signed it, while it
// has a pin of its own and while it has none.
func (f *federation) keyOfAnother(t *testing.T, h *hand, forged, copied []byte) {
	identityOf := func(account testbed.Account) string { // with what is offered in its place
		if columns := strings.Fields(peersLine(t, f.a, account)); len(columns) == 5 {
			return columns[1] + " " + columns[3]
		}
		return ""
	}
	own, ofB := identityOf(f.liar), identityOf(f.b.Account)
	fingerprint, _, _ := strings.Cut(ofB, " ")
	if own == "" || ofB == "" || own == ofB {
		t.Fatalf("pinned are %q and %q", own, ofB)
	}
	refused := func() {
		t.Helper()
		for _, ext := range [][]byte{forged, copied} {
			scenario.Moves(t, f.a, scenario.OfSignalling("refused"), 1, func() { h.ask(t, "POST /presence", hex.EncodeToString(ext), nil) })
		}
		for _, m := range scenario.OverlayAt(t, f.a, open.Name).Members {
			if m.JID == f.liar.JID && (own == "" || m.Online) || m.JID == f.b.Account.JID && !m.Online {
				t.Errorf("member %+v", m)
			}
		}
		if list := peers(t, f.a, "list"); strings.Count(list, fingerprint) != 1 || identityOf(f.b.Account) != ofB || identityOf(f.liar) != own {
			t.Errorf("b's identity is not b's alone:\n%s", list)
		}
	}
	refused()
	peers(t, f.a, "forget", f.liar.JID)
	own = ""
	refused()
}

// b, a contact of a's roster and a member of every other overlay, is not in the group of this one.
func (f *federation) outsideOfTheGroup(t *testing.T) {
	if err := f.a.Join(scenario.Within(t, 20*time.Second), closed); err != nil {
		t.Fatal(err)
	}
	scenario.Moves(t, f.a, scenario.OfStrangers(), 1, func() {
		if err := f.b.Join(scenario.Within(t, 20*time.Second), closed); err != nil {
			t.Fatal(err)
		}
	})
	for _, s := range []*scenario.Site{f.a, f.b} {
		if n := scenario.OverlayAt(t, s, closed.Name); len(n.Sessions) > 0 || n.Node == "" {
			t.Errorf("%s: %+v", s.Name(), n)
		}
	}
	if n := scenario.OverlayAt(t, f.a, closed.Name); len(n.Members) > 0 {
		t.Errorf("members: %+v", n.Members)
	}
	for _, s := range []*scenario.Site{f.a, f.b} {
		if err := s.Quit(scenario.Within(t, 20*time.Second), closed); err != nil {
			t.Fatal(err)
		}
	}
}

// A server whose certificate does not verify is sent nothing, least of all the password.
func (f *federation) certificate(t *testing.T) {
	m := f.Sites[2]
	scenario.Until(t, 20*time.Second, func() error {
		if seen := f.proxySees(t, f.fake); seen.Connections < 2 || seen.Error == "" {
			return fmt.Errorf("evio has not tried twice: %+v", seen)
		}
		if d := scenario.Document(t, m).Signalling[0]; d.Failures < 2 {
			return fmt.Errorf("evio has not counted two failures: %+v", d)
		}
		return nil
	})
	seen := f.proxySees(t, f.fake)
	if seen.Secured > 0 || seen.Bytes > 0 || seen.Login {
		t.Errorf("it was told something: %+v", seen)
	}
	d := scenario.Document(t, m).Signalling[0]
	t.Logf("%d connections: %s; %d failures", seen.Connections, seen.Error, d.Failures)
	if d.Connected || !strings.Contains(d.LastError, "certificate") {
		t.Errorf("status: %+v", d)
	}
	// The same server, with its certificate trusted, gets a login: it would have heard one.
	trusted, err := os.ReadFile(f.Lab.Internet().Path("/root/fake.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := scenario.Within(t, 30*time.Second)
	if err := errors.Join(m.StopEvio(ctx), m.WriteFile(ctx, "/etc/evio/ca.pem", trusted, 0o600), m.StartEvio(ctx, testbed.EvioOptions{})); err != nil {
		t.Fatal(err)
	}
	scenario.Until(t, 10*time.Second, func() error {
		if seen := f.proxySees(t, f.fake); !seen.Login {
			return fmt.Errorf("no login: %+v", seen)
		}
		return nil
	})
	if err := m.StopEvio(ctx); err != nil {
		t.Fatal(err)
	}
}

// A stanza of 10 MB, which a server may pass on from any of its users, is skipped and costs nothing.
func (f *federation) largeStanza(t *testing.T) {
	before := scenario.AwaitSession(t, time.Second, f.a, open.Name, f.b.Account.JID)
	start := scenario.Document(t, f.a)
	scenario.Moves(t, f.a, scenario.OfSignalling("oversize"), 1, func() {
		var injected struct{ Error string }
		f.proxy.ask(t, "POST /inject", 10<<20, &injected)
		if injected.Error != "" {
			t.Errorf("it was not written whole: %s", injected.Error)
		}
	})
	d := scenario.Document(t, f.a)
	t.Logf("resident before %d, after it %d bytes", start.Process.ResidentBytes, d.Process.ResidentBytes)
	if d.Process.ResidentBytes > start.Process.ResidentBytes+10<<20 {
		t.Error("all of it was kept")
	}
	if s := d.Signalling[0]; !s.Connected || !s.Since.Equal(start.Signalling[0].Since) {
		t.Errorf("it cost the connection: %+v", s)
	}
	scenario.Unchanged(t, f.a, open.Name, f.b.Account.JID, before)
	pings(t, f.a, f.b)
}

// What the server alters of an envelope, wherever, makes it worthless; the next one, which it
// leaves alone, leads to a session.
func (f *federation) payloadAltered(t *testing.T) {
	f.member.stop(t)
	scenario.Until(t, 10*time.Second, func() error {
		if scenario.SessionWith(t, f.a, open.Name, f.mallory.JID) != nil {
			return errors.New("a still has the session of one who has left")
		}
		return nil
	})
	scenario.Moves(t, f.a, scenario.Sum(scenario.OfOverlay(open.Name, "envelope-identity"), scenario.OfOverlay(open.Name, "envelope-signature")), 3, func() {
		// Sender, attempt, a parameter: receiver and version do not even lead to the overlay.
		f.proxy.ask(t, "POST /alter", []int{20, 40, 100}, nil)
		f.startMember(t, hostileDir)
		scenario.Until(t, 20*time.Second, func() error {
			if seen := f.proxySees(t, f.proxy); seen.Altered < 3 {
				return fmt.Errorf("%d messages were altered", seen.Altered)
			}
			return nil
		})
	})
	scenario.AwaitSession(t, 30*time.Second, f.a, open.Name, f.mallory.JID)
}

// An account whose engine has another identity than before is refused, and logged once, until the
// operator accepts it.
func (f *federation) changedIdentity(t *testing.T) {
	var seen struct{ Node string }
	scenario.Moves(t, f.b, scenario.OfOverlay(open.Name, "envelope-identity"), 1, func() {
		scenario.Moves(t, f.b, scenario.OfSignalling("refused"), 1, func() {
			f.member.stop(t)
			f.startMember(t, hostileDir+"-again")
			f.member.ask(t, "GET /seen", nil, &seen)
		})
	})
	if times := f.awaitLog(t, f.b, "evio peers accept "+f.mallory.JID); times != 1 {
		t.Errorf("it was logged %d times", times)
	}
	if s := scenario.SessionWith(t, f.b, open.Name, f.mallory.JID); s != nil && s.Node == seen.Node {
		t.Errorf("it has a session: %+v", s)
	}
	line := peersLine(t, f.b, f.mallory)
	t.Log(line)
	columns := strings.Fields(line)
	if len(columns) < 5 || columns[3] == "-" {
		t.Fatal("peers list does not show the other identity")
	}
	peers(t, f.b, "accept", f.mallory.JID, columns[3])
	if s := scenario.AwaitSession(t, 30*time.Second, f.b, open.Name, f.mallory.JID); s.Node != seen.Node {
		t.Errorf("the session is with %s, want %s", s.Node, seen.Node)
	}
}

// An envelope that the server sends again when it has expired does nothing.
func (f *federation) payloadReplayed(t *testing.T, since time.Time) {
	seen := f.proxySees(t, f.proxy)
	if seen.Oldest.IsZero() || seen.Oldest.After(since) {
		t.Fatalf("the server has kept nothing: %+v", seen)
	}
	scenario.Until(t, 70*time.Second, func() error {
		if left := contact.Lifetime + time.Second - time.Since(seen.Oldest); left > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	})
	f.member.stop(t) // nobody else sends envelopes now
	before := scenario.AwaitSession(t, time.Second, f.a, open.Name, f.b.Account.JID)
	scenario.Moves(t, f.a, scenario.OfOverlay(open.Name, "envelope-replayed"), 1, func() { f.proxy.ask(t, "POST /replay", nil, nil) })
	scenario.Unchanged(t, f.a, open.Name, f.b.Account.JID, before)
}
