package rekey

import (
	"errors"
	"testing"
	"time"

	"evio/datapath/record"
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
	var ring Keyring
	if _, keys, err := ring.Open(make([]byte, record.Overhead)); keys != nil || err != nil || ring.Sending() != nil {
		t.Error("an empty ring has keys")
	}
	ring.Wipe()
	ring.Expect(nil)
	opens := func(peer *record.Keys) bool {
		t.Helper()
		var b record.Batch
		b.Reset(record.MaxSize)
		b.Add(len(record.AppendWhole(b.Plain(), 1, []byte{1})))
		if err := peer.Send[1].Seal(&b); err != nil {
			t.Fatal(err)
		}
		_, keys, err := ring.Open(b.Runs()[0].Bytes)
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
		if got := ring.Sending(); got != sending {
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
	ring.Begin(first, record.Secrets{Exporter: []byte{1}})
	if ring.Load().Terms.Exporter != nil {
		t.Error("the ring keeps the secret of the handshake")
	}
	check("at first", first, map[*record.Keys]bool{peer0: true, peer1: false})
	ring.Expect(second)
	check("pending", first, map[*record.Keys]bool{peer0: true, peer1: true, peer3: false})
	if switched, valid := ring.Confirm(first, time.Now); switched || !valid {
		t.Errorf("confirm of current keys: %v, %v", switched, valid)
	}
	if switched, valid := ring.Confirm(second, time.Now); !switched || !valid {
		t.Errorf("confirm of pending keys: %v, %v", switched, valid)
	}
	if switched, valid := ring.Confirm(second, time.Now); switched || !valid {
		t.Errorf("confirm of keys that have become current: %v, %v", switched, valid)
	}
	check("switched", second, map[*record.Keys]bool{peer0: true, peer1: true})
	ring.Wipe()
	check("wiped", second, map[*record.Keys]bool{peer0: false, peer1: true})
	if switched, valid := ring.Confirm(first, time.Now); switched || valid {
		t.Errorf("confirm of wiped keys: %v, %v", switched, valid)
	}
	ring.Expect(third)
	ring.Expect(nil)
	check("given up", second, map[*record.Keys]bool{peer1: true, peer3: false})
	if set := ring.Load(); set.Switches != 1 || set.Switched.IsZero() {
		t.Errorf("%d switches, the last at %v, want one", set.Switches, set.Switched)
	}
	ring.Clear()
	if _, valid := ring.Confirm(second, time.Now); valid || ring.Sending() != nil {
		t.Error("a cleared ring has keys")
	}
}
