package session

import (
	"errors"
	"strings"
	"testing"

	"evio/datapath/record"
	"evio/datapath/session/path"
)

func ringKeys(t *testing.T, generation uint8) (own, peer *record.Keys) {
	t.Helper()
	secrets := record.Secrets{Exporter: []byte{generation}, AEAD: record.AES128GCM, Remote: 7, Generation: generation}
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

func TestKeyringSendsUnderCurrentAndOpensUnderAll(t *testing.T) {
	var ring keyring
	if _, keys, err := ring.open(make([]byte, record.Overhead)); keys != nil || err != nil || ring.sending() != nil {
		t.Error("an empty ring has keys")
	}
	ring.wipe()
	ring.expect(nil)
	opens := func(peer *record.Keys) bool {
		t.Helper()
		var b record.Buffer
		sealed, err := peer.Send[1].Seal(&b, len(record.AppendWhole(b.Plain(), uint8(Data), []byte{1})))
		if err != nil {
			t.Fatal(err)
		}
		_, keys, err := ring.open(sealed)
		if err != nil && !errors.Is(err, record.ErrSlot) {
			t.Fatal(err)
		}
		if err == nil && keys.Generation != peer.Generation {
			t.Errorf("opened with keys of generation %d, want %d", keys.Generation, peer.Generation)
		}
		return err == nil
	}
	check := func(when string, sending *record.Keys, want map[*record.Keys]bool) {
		t.Helper()
		if got := ring.sending(); got != sending {
			t.Errorf("%s: sends under generation %d, want %d", when, got.Generation, sending.Generation)
		}
		for peer, want := range want {
			if got := opens(peer); got != want {
				t.Errorf("%s: record of generation %d opens: %v, want %v", when, peer.Generation, got, want)
			}
		}
	}
	first, peer0 := ringKeys(t, 0)
	second, peer1 := ringKeys(t, 1)
	third, peer3 := ringKeys(t, 3)
	ring.begin(first, record.Secrets{Exporter: []byte{1}})
	if ring.load().terms.Exporter != nil {
		t.Error("the ring keeps the secret of the handshake")
	}
	check("at first", first, map[*record.Keys]bool{peer0: true, peer1: false})
	ring.expect(second)
	check("pending", first, map[*record.Keys]bool{peer0: true, peer1: true, peer3: false})
	if switched, valid := ring.confirm(first); switched || !valid {
		t.Errorf("confirm of current keys: %v, %v", switched, valid)
	}
	if switched, valid := ring.confirm(second); !switched || !valid {
		t.Errorf("confirm of pending keys: %v, %v", switched, valid)
	}
	if switched, valid := ring.confirm(second); switched || !valid {
		t.Errorf("confirm of keys that have become current: %v, %v", switched, valid)
	}
	check("switched", second, map[*record.Keys]bool{peer0: true, peer1: true})
	ring.wipe()
	check("wiped", second, map[*record.Keys]bool{peer0: false, peer1: true})
	if switched, valid := ring.confirm(first); switched || valid {
		t.Errorf("confirm of wiped keys: %v, %v", switched, valid)
	}
	ring.expect(third)
	ring.expect(nil)
	check("given up", second, map[*record.Keys]bool{peer1: true, peer3: false})
	if set := ring.load(); set.switches != 1 || set.switched.IsZero() {
		t.Errorf("%d switches, the last at %v, want one", set.switches, set.switched)
	}
	ring.clear()
	if _, valid := ring.confirm(second); valid || ring.sending() != nil {
		t.Error("a cleared ring has keys")
	}
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
		a.transport.config.RekeyEvery, b.transport.config.RekeyEvery = rekeyRest, rekeyRest
		a.open(t, b, secret)
		b.open(t, a, secret)
		connect(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		s := &streams{ends: [2]*end{a, b}}
		s.run(t, rekeyRest+path.ProbeInterval, path.BurstInterval)
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
	own, _ := ringKeys(t, 0)
	s.keys.begin(own, record.Secrets{})
	if err := s.unproved(ErrTimeout); !errors.Is(err, ErrTimeout) {
		t.Errorf("with keys and silence: %v, want %v", err, ErrTimeout)
	}
}
