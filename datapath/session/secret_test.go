package session

import (
	"errors"
	"strings"
	"testing"

	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
)

// derivedKeys returns the keys of both ends of a session that does not exist.
func derivedKeys(t *testing.T) (own, peer *record.Keys) {
	t.Helper()
	secrets := record.Secrets{Exporter: []byte{0}, AEAD: record.AES128GCM, Remote: 7}
	own, err := record.Derive(secrets)
	if err != nil {
		t.Fatal(err)
	}
	secrets.Lower = true
	peer, err = record.Derive(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return own, peer
}

func TestSecretOfOneEndIsRefusedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, func(o *Options) { o.Secrets = secretsOf("of this overlay only") })
		b.open(t, a, nil)
		for e, peer := range map[*end]*end{a: b, b: a} {
			err := e.session.Connect(peer.own, bind(a, b))
			if !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), "give both the same") {
				t.Errorf("Connect: %v, want one sentence that says what to do", err)
			}
		}
	})
}

func TestCommonSecretEstablishesAndRekeys(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		secret := func(o *Options) { o.Secrets = secretsOf("of both ends") }
		a.transport.config.RekeyEvery, b.transport.config.RekeyEvery = rekey.MinInterval, rekey.MinInterval
		a.open(t, b, secret)
		b.open(t, a, secret)
		connectEnds(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		s := &streams{ends: [2]*end{a, b}}
		s.run(t, rekey.MinInterval+path.ProbeInterval, path.BurstInterval)
		s.check(t, n)
		if got := a.session.Info().Rekeys; got != 1 {
			t.Errorf("%d rekeys, want 1", got)
		}
	})
}

// TestForgedRecordsDoNotMakeATimeoutOfAnotherKind: nothing that a stranger sends
// before there are keys makes the secret look wrong.
func TestForgedRecordsDoNotMakeATimeoutOfAnotherKind(t *testing.T) {
	s := &Session{}
	if err := s.unproved(ErrTimeout); !errors.Is(err, ErrTimeout) {
		t.Errorf("without keys: %v, want %v", err, ErrTimeout)
	}
	own, _ := derivedKeys(t)
	s.keys.Begin(own, record.Secrets{})
	if err := s.unproved(ErrTimeout); !errors.Is(err, ErrTimeout) {
		t.Errorf("with keys and silence: %v, want %v", err, ErrTimeout)
	}
}

func TestAgree(t *testing.T) {
	own := connect.Parameters{MinVersion: 1, MaxVersion: 2, AEADs: []record.AEAD{record.AES128GCM, record.ChaCha20Poly1305}}
	peer := own
	peer.AEADs = []record.AEAD{record.ChaCha20Poly1305}
	if got, err := agree(own, peer); err != nil || got != record.ChaCha20Poly1305 {
		t.Errorf("agree = %v, %v, want %v", got, err, record.ChaCha20Poly1305)
	}
	peer.AEADs = []record.AEAD{77}
	if _, err := agree(own, peer); !errors.Is(err, record.ErrNoCommonAEAD) {
		t.Errorf("agree = %v, want %v", err, record.ErrNoCommonAEAD)
	}
}
