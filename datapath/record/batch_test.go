package record

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// add appends a plaintext to a batch.
func add(b *Batch, plain []byte) { b.Add(len(append(b.Plain(), plain...))) }

// records returns the records of a batch, one by one.
func records(b *Batch) (all [][]byte) {
	for _, run := range b.Runs() {
		for at := 0; at < len(run.Bytes); at += run.Size {
			all = append(all, run.Bytes[at:min(at+run.Size, len(run.Bytes))])
		}
	}
	return all
}

// TestBatchSealsWhatSingleRecordsAre compares the records of random batches with batches of
// one under the same keys, and opens them.
func TestBatchSealsWhatSingleRecordsAre(t *testing.T) {
	for _, aead := range []AEAD{AES128GCM, ChaCha20Poly1305} {
		t.Run(aead.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				secrets := testSecrets(aead)
				sender, receiver := derivePair(t, secrets)
				alone, _ := derivePair(t, secrets)
				slot := rapid.IntRange(0, Slots-1).Draw(t, "slot")
				start := rapid.Uint64Range(0, 1<<numberBits-1000).Draw(t, "first number")
				sender.Send[slot].next.Store(start)
				alone.Send[slot].next.Store(start)

				b := new(Batch)
				b.Reset(MaxSize)
				var plains [][]byte
				size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, MaxPlain), rapid.Just(MaxPlain))
				for range rapid.IntRange(0, 100).Draw(t, "records") {
					plain := bytes.Repeat([]byte{byte(len(plains))}, size.Draw(t, "size"))
					if len(plain) > b.Room() {
						break
					}
					add(b, plain)
					plains = append(plains, plain)
				}
				if b.Len() != len(plains) {
					t.Fatalf("batch has %d records, want %d", b.Len(), len(plains))
				}
				if err := sender.Send[slot].Seal(b); err != nil {
					t.Fatal(err)
				}
				checkRuns(t, b)
				got := records(b)
				if len(got) != len(plains) {
					t.Fatalf("runs have %d records, want %d", len(got), len(plains))
				}
				for i, plain := range plains {
					if want := seal(t, &alone.Send[slot], plain); !bytes.Equal(got[i], want) {
						t.Fatalf("record %d of %d differs from one sealed alone", i, len(plains))
					}
					if opened, err := receiver.Open(got[i]); err != nil || !bytes.Equal(opened, plain) {
						t.Fatalf("record %d: opened as %x, %v", i, opened, err)
					}
				}
			})
		})
	}
}

// checkRuns checks what the kernel asks of a run.
func checkRuns(t *rapid.T, b *Batch) {
	for i, run := range b.Runs() {
		count := (len(run.Bytes) + run.Size - 1) / run.Size
		if run.Size < Overhead || len(run.Bytes) < run.Size || len(run.Bytes) > BatchSize || count > MaxRun {
			t.Fatalf("run %d: %d bytes in records of %d", i, len(run.Bytes), run.Size)
		}
	}
}

func TestRunsOfABatch(t *testing.T) {
	repeat := func(n, size int) (sizes []int) {
		for range n {
			sizes = append(sizes, size)
		}
		return sizes
	}
	type run struct{ records, size, last int }
	tests := map[string]struct {
		plains []int
		want   []run
	}{
		"none":                   {nil, nil},
		"one":                    {[]int{100}, []run{{1, 100, 100}}},
		"equal":                  {repeat(5, 100), []run{{5, 100, 100}}},
		"last is shorter":        {[]int{100, 100, 7}, []run{{3, 100, 7}}},
		"shorter ends the run":   {[]int{100, 7, 7, 7, 100}, []run{{2, 100, 7}, {2, 7, 7}, {1, 100, 100}}},
		"longer begins another":  {[]int{7, 100, 100}, []run{{1, 7, 7}, {2, 100, 100}}},
		"as many as a run takes": {repeat(MaxRun+2, 64), []run{{MaxRun, 64, 64}, {2, 64, 64}}},
		"one more, shorter":      {append(repeat(MaxRun, 64), 7), []run{{MaxRun, 64, 64}, {1, 7, 7}}},
		"super-frame at 1,400":   {append(repeat(44, 1416), 600), []run{{45, 1416, 600}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sender, _ := derivePair(t, testSecrets(AES128GCM))
			b := new(Batch)
			b.Reset(MaxSize)
			for _, n := range test.plains {
				add(b, make([]byte, n))
			}
			if err := sender.Send[0].Seal(b); err != nil {
				t.Fatal(err)
			}
			if len(b.Runs()) != len(test.want) {
				t.Fatalf("%d runs, want %d", len(b.Runs()), len(test.want))
			}
			for i, want := range test.want {
				got := b.Runs()[i]
				length := (want.records-1)*(want.size+Overhead) + want.last + Overhead
				if got.Size != want.size+Overhead || len(got.Bytes) != length {
					t.Errorf("run %d: %d bytes in records of %d, want %d of %d", i, len(got.Bytes), got.Size, length, want.size+Overhead)
				}
			}
		})
	}
}

func TestRoomOfABatch(t *testing.T) {
	b := new(Batch)
	b.Reset(1000)
	if got, want := b.Room(), 1000-Overhead; got != want || cap(b.Plain()) != want {
		t.Errorf("room of an empty batch is %d, of its plaintext %d, want %d", got, cap(b.Plain()), want)
	}
	for b.Room() == 1000-Overhead {
		b.Add(1000 - Overhead)
	}
	if got, want := b.Room(), BatchSize-65*1000-Overhead; b.Len() != 65 || got != want || cap(b.Plain()) != want {
		t.Errorf("after %d records there is room for %d, want %d after 65", b.Len(), got, want)
	}
	b.Add(b.Room())
	if b.Room() != 0 || cap(b.Plain()) != 0 {
		t.Errorf("a full batch has room for %d", b.Room())
	}
	b.Reset(BatchSize)
	if got, want := b.Room(), BatchSize-Overhead; b.Len() != 0 || len(b.Runs()) != 0 || got != want {
		t.Errorf("after Reset: %d records, %d runs, room for %d, want %d", b.Len(), len(b.Runs()), got, want)
	}
	b.Reset(MaxSize)
	for n := 1; b.Room() > 0; n++ { // each begins a run
		b.Add(n)
	}
	if b.Len() != maxRuns {
		t.Errorf("%d records of growing size fit, want one in each of %d runs", b.Len(), maxRuns)
	}
}

// TestAddRefusesWhatHasNoRoom: not even a plaintext of no bytes is taken then, since its record
// has a header and a tag.
func TestAddRefusesWhatHasNoRoom(t *testing.T) {
	sender, _ := derivePair(t, testSecrets(AES128GCM))
	for name, test := range map[string]struct {
		prepare func(*Batch)
		plain   int
	}{
		"before Reset": {func(*Batch) {}, 0},
		"too large":    {func(b *Batch) { b.Reset(100) }, 101 - Overhead},
		"no bytes left": {func(b *Batch) {
			b.Reset(BatchSize)
			b.Add(BatchSize - Overhead)
		}, 0},
		"no run left": {func(b *Batch) {
			b.Reset(MaxSize)
			for n := range maxRuns {
				b.Add(n)
			}
		}, 0},
		"sealed": {func(b *Batch) {
			b.Reset(MaxSize)
			b.Add(5)
			if err := sender.Send[0].Seal(b); err != nil {
				t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := new(Batch)
			test.prepare(b)
			before := b.Len()
			defer func() {
				if why, ok := recover().(string); !ok || b.Len() != before {
					t.Errorf("a plaintext without room: %v, %d records more", why, b.Len()-before)
				}
			}()
			b.Add(test.plain)
		})
	}
}

// TestBatchIsSealedAsAWholeOrNotAtAll: numbers run out within a batch.
func TestBatchIsSealedAsAWholeOrNotAtAll(t *testing.T) {
	sender, receiver := derivePair(t, testSecrets(AES128GCM))
	s := &sender.Send[0]
	batch := func(n int) *Batch {
		b := new(Batch)
		b.Reset(MaxSize)
		for range n {
			add(b, []byte("frame"))
		}
		return b
	}
	s.next.Store(1<<numberBits - 3)
	b := batch(4)
	before := bytes.Clone(b.data[:b.used])
	if err := s.Seal(b); !errors.Is(err, ErrExhausted) {
		t.Errorf("batch of 4 with 3 numbers left: %v, want %v", err, ErrExhausted)
	}
	if !bytes.Equal(before, b.data[:b.used]) {
		t.Error("part of the batch was sealed")
	}
	if err := s.Seal(batch(1)); !errors.Is(err, ErrExhausted) {
		t.Errorf("after the last number: %v, want %v", err, ErrExhausted)
	}
	s.next.Store(1<<numberBits - 3)
	b = batch(3)
	if err := s.Seal(b); err != nil {
		t.Fatalf("batch of 3 with 3 numbers left: %v", err)
	}
	for _, r := range records(b) {
		if _, err := receiver.Open(r); err != nil {
			t.Error(err)
		}
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	sender, receiver := derivePair(t, testSecrets(AES128GCM))
	b := new(Batch)
	frame := make([]byte, 1414)
	allocs := testing.AllocsPerRun(20, func() {
		b.Reset(MaxSize)
		for b.Room() >= len(frame)+wholeHeader {
			b.Add(len(AppendPartial(b.Plain(), 1, frame)))
		}
		b.Add(len(AppendWhole(b.Plain(), 1, frame[:64])))
		if err := sender.Send[0].Seal(b); err != nil {
			t.Fatal(err)
		}
		for _, run := range b.Runs() {
			for at := 0; at < len(run.Bytes); at += run.Size {
				opened, err := receiver.Open(run.Bytes[at:min(at+run.Size, len(run.Bytes))])
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Parse(opened); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for each batch, want none", allocs)
	}
}
