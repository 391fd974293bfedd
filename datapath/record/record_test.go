package record

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"testing"
)

func testSecrets(aead AEAD) Secrets {
	return Secrets{Exporter: bytes.Repeat([]byte{1}, 32), Binding: [32]byte{2}, AEAD: aead, Lower: true, Remote: 0xcafe}
}

// fataler is a test, of this module's or of rapid's.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// derivePair makes the keys of both ends from those of the sender.
func derivePair(t fataler, secrets Secrets) (sender, receiver *Keys) {
	t.Helper()
	sender, err := Derive(secrets)
	if err != nil {
		t.Fatal(err)
	}
	secrets.Lower = !secrets.Lower
	receiver, err = Derive(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

func extracted(t testing.TB, s Secrets) []byte {
	t.Helper()
	prk, err := hkdf.Extract(sha256.New, s.Exporter, s.Salt)
	if err != nil {
		t.Fatal(err)
	}
	return prk
}

func seal(t fataler, s *Sealer, plain []byte) []byte {
	t.Helper()
	var b Batch
	b.Reset(MaxSize)
	add(&b, plain)
	if err := s.Seal(&b); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Runs()[0].Bytes)
}

func TestOpenRefusesWhatWasNotSealedForIt(t *testing.T) {
	for _, aead := range []AEAD{AES128GCM, ChaCha20Poly1305} {
		t.Run(aead.String(), func(t *testing.T) {
			sender, receiver := derivePair(t, testSecrets(aead))
			good := seal(t, &sender.Send[0], []byte("frame"))
			for i := range good {
				changed := bytes.Clone(good)
				changed[i] ^= 0x10
				if _, err := receiver.Open(changed); err == nil {
					t.Errorf("record with byte %d changed was opened", i)
				}
			}
			if _, err := receiver.Open(good[:Overhead-1]); !errors.Is(err, ErrShort) {
				t.Errorf("short record: %v, want %v", err, ErrShort)
			}
			if _, err := sender.Open(bytes.Clone(good)); !errors.Is(err, ErrForged) {
				t.Errorf("own record sent back: %v, want %v", err, ErrForged)
			}
			if _, err := receiver.Open(bytes.Clone(good)); err != nil {
				t.Errorf("after all forgeries: %v, want the record opened", err)
			}
			if _, err := receiver.Open(bytes.Clone(good)); !errors.Is(err, ErrReplay) {
				t.Errorf("again: %v, want %v", err, ErrReplay)
			}
		})
	}
}

func TestOpenRefusesSlotsAndGenerationsThatDoNotExist(t *testing.T) {
	secrets := testSecrets(AES128GCM)
	secrets.Generation = 3
	_, receiver := derivePair(t, secrets)
	for _, counter := range []uint64{Slots<<slotShift | 3<<numberBits, 255<<slotShift | 3<<numberBits, 0, 2 << numberBits, 131 << numberBits} {
		b := make([]byte, Overhead)
		putHeader(b, 1, counter)
		if _, err := receiver.Open(b); !errors.Is(err, ErrSlot) {
			t.Errorf("counter %x: %v, want %v", counter, err, ErrSlot)
		}
	}
}

func TestSlotsHaveNumbersAndWindowsOfTheirOwn(t *testing.T) {
	sender, receiver := derivePair(t, testSecrets(AES128GCM))
	for slot := range Slots {
		for range 3 {
			sealed := seal(t, &sender.Send[slot], []byte{byte(slot)})
			plain, err := receiver.Open(sealed)
			if err != nil || !bytes.Equal(plain, []byte{byte(slot)}) {
				t.Errorf("slot %d: got %v, %v", slot, plain, err)
			}
		}
	}
}

func TestKeysDependOnEverything(t *testing.T) {
	base := testSecrets(AES128GCM)
	changes := map[string]func(*Secrets){
		"exporter": func(s *Secrets) { s.Exporter = bytes.Repeat([]byte{9}, 32) },
		"salt":     func(s *Secrets) { s.Salt = []byte("secret") },
		"binding":  func(s *Secrets) { s.Binding[31] = 1 },
		"cipher":   func(s *Secrets) { s.AEAD = ChaCha20Poly1305 },
		"end":      func(s *Secrets) { s.Lower = !s.Lower },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			other := base
			change(&other)
			sender, _ := derivePair(t, other)
			_, receiver := derivePair(t, base)
			if _, err := receiver.Open(seal(t, &sender.Send[0], []byte{1})); !errors.Is(err, ErrForged) {
				t.Errorf("record under other keys: %v, want %v", err, ErrForged)
			}
		})
	}
}

func TestSealerStopsForGood(t *testing.T) {
	sender, receiver := derivePair(t, testSecrets(AES128GCM))
	s := &sender.Send[0]
	s.next.Store(1<<numberBits - 1)
	if _, err := receiver.Open(seal(t, s, []byte{1})); err != nil {
		t.Errorf("last record: %v", err)
	}
	for range 3 {
		var b Batch
		b.Reset(MaxSize)
		b.Add(0)
		if err := s.Seal(&b); !errors.Is(err, ErrExhausted) {
			t.Errorf("record after the last: %v, want %v", err, ErrExhausted)
		}
	}
}

func TestGenerationsDoNotOpenEachOther(t *testing.T) {
	secrets := testSecrets(AES128GCM)
	_, first := derivePair(t, secrets)
	secrets.Generation, secrets.Exporter = 1, []byte("of another handshake")
	sender, second := derivePair(t, secrets)
	sealed := seal(t, &sender.Send[2], []byte("frame"))
	if got := Generation(sealed); got != 1 {
		t.Errorf("generation of the record = %d, want 1", got)
	}
	if _, err := first.Open(bytes.Clone(sealed)); !errors.Is(err, ErrSlot) {
		t.Errorf("under the first keys: %v, want %v", err, ErrSlot)
	}
	again := bytes.Clone(sealed)
	if _, err := second.Open(sealed); err != nil {
		t.Error(err)
	}
	if _, err := second.Open(again); !errors.Is(err, ErrReplay) {
		t.Errorf("again: %v, want %v", err, ErrReplay)
	}
}

// TestOwnerIsToldByABatch that has the number within it.
func TestOwnerIsToldByABatch(t *testing.T) {
	for name, test := range map[string]struct {
		first uint64
		want  int
	}{
		"ends before it":  {rekeyRecords - 3, 0},
		"ends with it":    {rekeyRecords - 2, 1},
		"begins with it":  {rekeyRecords, 1},
		"begins after it": {rekeyRecords + 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			keys, _ := derivePair(t, testSecrets(AES128GCM))
			keys.Send[1].next.Store(test.first)
			b := new(Batch)
			b.Reset(MaxSize)
			for range 3 {
				b.Add(0)
			}
			if err := keys.Send[1].Seal(b); err != nil {
				t.Fatal(err)
			}
			if got := len(keys.soon); got != test.want {
				t.Errorf("told %d times, want %d", got, test.want)
			}
		})
	}
}

// TestOwnerIsToldOnce: of each slot that has protected many records, before it must
// stop.
func TestOwnerIsToldOnce(t *testing.T) {
	keys, _ := derivePair(t, testSecrets(AES128GCM))
	told := func() bool {
		select {
		case <-keys.Soon():
			return true
		default:
			return false
		}
	}
	for slot := range Slots {
		s := &keys.Send[slot]
		s.next.Store(rekeyRecords - 1)
		seal(t, s, nil)
		if told() {
			t.Errorf("slot %d: told before %d records", slot, uint64(rekeyRecords))
		}
		seal(t, s, nil)
		if !told() {
			t.Errorf("slot %d: not told after %d records", slot, uint64(rekeyRecords))
		}
		seal(t, s, nil)
		if told() {
			t.Errorf("slot %d: told twice", slot)
		}
	}
}

func TestChoose(t *testing.T) {
	const unknown AEAD = 77
	tests := map[string]struct {
		a, b []AEAD
		want AEAD
	}{
		"both fast with AES":     {[]AEAD{AES128GCM, ChaCha20Poly1305}, []AEAD{AES128GCM, ChaCha20Poly1305}, AES128GCM},
		"both slow with AES":     {[]AEAD{ChaCha20Poly1305, AES128GCM}, []AEAD{ChaCha20Poly1305, AES128GCM}, ChaCha20Poly1305},
		"one of each":            {[]AEAD{AES128GCM, ChaCha20Poly1305}, []AEAD{ChaCha20Poly1305, AES128GCM}, AES128GCM},
		"only one in common":     {[]AEAD{AES128GCM, ChaCha20Poly1305}, []AEAD{ChaCha20Poly1305}, ChaCha20Poly1305},
		"unknown ones are equal": {[]AEAD{unknown, ChaCha20Poly1305}, []AEAD{unknown, ChaCha20Poly1305}, ChaCha20Poly1305},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, pair := range [][2][]AEAD{{test.a, test.b}, {test.b, test.a}} {
				got, err := Choose(pair[0], pair[1])
				if err != nil || got != test.want {
					t.Errorf("Choose(%v, %v) = %v, %v, want %v", pair[0], pair[1], got, err, test.want)
				}
			}
		})
	}
	if _, err := Choose([]AEAD{AES128GCM}, []AEAD{unknown}); !errors.Is(err, ErrNoCommonAEAD) {
		t.Errorf("nothing in common: %v, want %v", err, ErrNoCommonAEAD)
	}
	if got := len(Supported()); got != 2 {
		t.Errorf("%d ciphers are supported, want 2", got)
	}
}

func TestBudget(t *testing.T) {
	if got := HeaderSize + wholeHeader + 1414 + TagSize; got > MaxSize {
		t.Errorf("a full Ethernet frame makes a record of %d bytes, at most %d fit", got, MaxSize)
	}
}

// FuzzOpen feeds the receiver anything: it must open nothing that the sender
// has not sealed, and nothing twice.
func FuzzOpen(f *testing.F) {
	sender, receiver := derivePair(f, testSecrets(AES128GCM))
	good := seal(f, &sender.Send[1], []byte("frame"))
	f.Add(good)
	f.Add(good[:Overhead])
	f.Add([]byte{First})
	f.Add(bytes.Repeat([]byte{First}, 64))
	opened := false
	f.Fuzz(func(t *testing.T, b []byte) {
		genuine := bytes.Equal(b, good)
		_, _ = Index(b)
		plain, err := receiver.Open(bytes.Clone(b))
		if err != nil {
			return
		}
		if !genuine || opened {
			t.Fatalf("opened %x as %x", b, plain)
		}
		opened = true
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, aead := range []AEAD{AES128GCM, ChaCha20Poly1305} {
		b.Run(aead.String(), func(b *testing.B) {
			sender, _ := derivePair(b, testSecrets(aead))
			batch := new(Batch)
			frame := make([]byte, 1414)
			b.ReportAllocs()
			b.SetBytes(45 * int64(len(frame)))
			for b.Loop() {
				batch.Reset(MaxSize)
				for range 45 {
					batch.Add(len(AppendPartial(batch.Plain(), 1, frame)))
				}
				if err := sender.Send[0].Seal(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, aead := range []AEAD{AES128GCM, ChaCha20Poly1305} {
		b.Run(aead.String(), func(b *testing.B) {
			sender, receiver := derivePair(b, testSecrets(aead))
			sealed := seal(b, &sender.Send[0], make([]byte, 1416))
			copied := make([]byte, len(sealed))
			b.ReportAllocs()
			b.SetBytes(int64(len(sealed)))
			for b.Loop() {
				copy(copied, sealed)
				receiver.open[0].window = window{}
				if _, err := receiver.Open(copied); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
