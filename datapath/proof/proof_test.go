package proof

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func secret(name string) (s Secret) {
	copy(s[:], name)
	return s
}

func begin(t testing.TB, lower bool, secrets ...Secret) *Prover {
	t.Helper()
	p, err := New(lower, secrets, []byte("exporter"), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run carries messages both ways until nothing is left to say, but drops those that lose
// says.
func run(t testing.TB, lower, higher *Prover, lose func() bool) {
	t.Helper()
	hear := func(p *Prover, m []byte) []byte {
		if m == nil || lose() {
			return nil
		}
		answer, err := p.Hear(m)
		if err != nil {
			t.Fatalf("message %x: %v", m[:1], err)
		}
		return answer
	}
	for range 200 {
		if higher.State() == Waiting {
			hear(lower, higher.Say())
		}
		if lower.State() == Shown {
			hear(lower, hear(higher, lower.Say()))
		}
		if lower.State() > Shown && higher.State() > Shown {
			return
		}
	}
	t.Fatalf("the proof comes to no end: %v, %v", lower.State(), higher.State())
}

// show returns what the lower end says to the elements of the higher.
func show(t testing.TB, lower *Prover, elements []byte) []byte {
	t.Helper()
	if answer, err := lower.Hear(elements); err != nil || answer != nil || lower.State() != Shown {
		t.Fatalf("%x, %v, %v", answer, err, lower.State())
	}
	return lower.Say()
}

// TestProof: whatever secrets the ends have and whatever is lost on the way, both come to
// the same end: proved exactly if they have one in common, and then with one salt.
func TestProof(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, MaxSecrets, rapid.ID[string])
		names := [2][]string{some.Draw(rt, "lower"), some.Draw(rt, "higher")}
		var secrets [2][]Secret
		for i := range names {
			for _, n := range names[i] {
				secrets[i] = append(secrets[i], secret(n))
			}
		}
		lost := rapid.IntRange(0, 70).Draw(rt, "lost")
		lower, higher := begin(t, true, secrets[0]...), begin(t, false, secrets[1]...)
		run(t, lower, higher, func() bool { return rapid.IntRange(0, 99).Draw(rt, "loss") < lost })
		common := slices.IndexFunc(names[0], func(n string) bool { return slices.Contains(names[1], n) })
		want := Refused
		if common >= 0 {
			want = Proved
		}
		if lower.State() != want || higher.State() != want {
			rt.Fatalf("%v: %v, %v, want %v", names, lower.State(), higher.State(), want)
		}
		if want == Refused {
			if lower.Salt() != nil || higher.Salt() != nil {
				rt.Fatal("a salt without a proof")
			}
			return
		}
		if !bytes.Equal(lower.Salt(), higher.Salt()) || len(lower.Salt()) == 0 {
			rt.Fatalf("salts %x, %x", lower.Salt(), higher.Salt())
		}
		if mixed := len(names[0]) == 2 && len(names[1]) == 2 && names[0][0] != names[1][0]; lower.Mixed() != mixed || higher.Mixed() != mixed {
			rt.Fatalf("%v: mixed %v, %v", names, lower.Mixed(), higher.Mixed())
		}
		if lower.Used() != common || names[1][higher.Used()] != names[0][common] {
			rt.Fatalf("%v: used %d, %d", names, lower.Used(), higher.Used())
		}
	})
}

// TestWhoProvesFirst: before the lower end has proved the secret the higher says nothing
// but elements, and what it says then to one that has not is one byte, the same for all
// secrets.
func TestWhoProvesFirst(t *testing.T) {
	for _, own := range []Secret{secret("a"), secret("b")} {
		lower, higher := begin(t, true, secret("guess")), begin(t, false, own)
		if len(higher.Say()) != 1+elementSize {
			t.Errorf("the higher end begins with %d bytes", len(higher.Say()))
		}
		answer, err := higher.Hear(show(t, lower, higher.Say()))
		if err != nil || !bytes.Equal(answer, []byte{opRefused}) {
			t.Errorf("to a wrong proof: %x, %v", answer, err)
		}
	}
}

// TestOneGuess: on one connection a peer that was refused gets no second try, as neither
// end.
func TestOneGuess(t *testing.T) {
	higher := begin(t, false, secret("ours"))
	for i, guess := range []string{"wrong", "ours"} {
		proof := show(t, begin(t, true, secret(guess)), appendElements([]byte{opElements}, higher.shares))
		if answer, err := higher.Hear(proof); (err == nil) != (i == 0) || len(answer) > 1 || higher.State() != Refused {
			t.Errorf("guess %d: %x, %v, %v", i, answer, err, higher.State())
		}
	}
	lower := begin(t, true, secret("ours"))
	first := show(t, lower, begin(t, false, secret("wrong")).Say())
	if m, err := lower.Hear(begin(t, false, secret("ours")).Say()); err == nil || m != nil || !bytes.Equal(lower.Say(), first) {
		t.Errorf("to other elements: %x, %v", m, err)
	}
	wrong := append([]byte{opChosen, 0, 0}, make([]byte, tagSize)...)
	if _, err := lower.Hear(wrong); err != nil || lower.State() != Refused || lower.Say() != nil {
		t.Errorf("a wrong tag: %v, %v", err, lower.State())
	}
}

// TestNothingToTryAtHome: elements of one secret are no other than those of another by
// anything but chance: what an end says first is not the same twice, and a proof that was
// recorded proves nothing on another connection.
func TestNothingToTryAtHome(t *testing.T) {
	if bytes.Equal(begin(t, false, secret("a")).Say(), begin(t, false, secret("a")).Say()) {
		t.Error("the elements of two proofs are the same")
	}
	higher := begin(t, false, secret("a"))
	proof := show(t, begin(t, true, secret("a")), higher.Say())
	for name, other := range map[string]struct {
		exporter string
		binding  [32]byte
	}{"another connection": {"other", [32]byte{1}}, "another binding": {"exporter", [32]byte{2}}} {
		p, err := New(false, []Secret{secret("a")}, []byte(other.exporter), other.binding)
		if err != nil {
			t.Fatal(err)
		}
		p.shares = higher.shares // even if its elements were the same
		if _, err := p.Hear(proof); err != nil || p.State() != Refused {
			t.Errorf("%s: %v, %v", name, p.State(), err)
		}
	}
}

func TestNumberOfSecrets(t *testing.T) {
	for _, n := range []int{0, MaxSecrets + 1} {
		if _, err := New(true, make([]Secret, n), nil, [32]byte{}); err == nil {
			t.Errorf("%d secrets are taken", n)
		}
	}
}

func TestStretch(t *testing.T) {
	s := Stretch("blue", []byte("0123456789abcdef"))
	if s == Stretch("green", []byte("0123456789abcdef")) || s == Stretch("blue", []byte("0123456789abcdeg")) {
		t.Error("another overlay or secret gives the same")
	}
	if s != Stretch("blue", []byte("0123456789abcdef")) {
		t.Error("it is not the same twice")
	}
}

// cpu returns what this process has used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestGuessCosts: a guess costs 50 ms of a CPU, whatever the length of the secret.
func TestGuessCosts(t *testing.T) {
	for _, length := range []int{1, 16, 1024} {
		before := cpu(t)
		Stretch("blue", make([]byte, length))
		if took := cpu(t) - before; took < 50*time.Millisecond {
			t.Errorf("%d bytes are stretched in %v", length, took)
		}
	}
}

func BenchmarkGuess(b *testing.B) {
	before := cpu(b)
	for b.Loop() {
		Stretch("blue", []byte("0123456789abcdef"))
	}
	b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkProof is what one proof costs both ends together.
func BenchmarkProof(b *testing.B) {
	for b.Loop() {
		run(b, begin(b, true, secret("a"), secret("b")), begin(b, false, secret("b"), secret("a")), func() bool { return false })
	}
}

// FuzzHear: nothing that a peer says makes an end panic, prove what is not so, or say more
// than one answer.
func FuzzHear(f *testing.F) {
	higher := begin(f, false, secret("a"))
	proof := show(f, begin(f, true, secret("b")), higher.Say())
	for _, m := range [][]byte{higher.Say(), proof, {opRefused}, append([]byte{opChosen, 0, 0}, make([]byte, tagSize)...), {}} {
		f.Add(m, m)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		for _, lower := range []bool{true, false} {
			p := begin(t, lower, secret("a"), secret("c"))
			for _, m := range [][]byte{one, two} {
				answer, _ := p.Hear(m)
				if len(answer) > MaxMessage {
					t.Fatalf("%d bytes are answered", len(answer))
				}
			}
			if p.State() == Proved || p.Salt() != nil {
				t.Fatal("proved without the secret")
			}
		}
	})
}
