package session

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"evio/datapath/proof"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// secretsOf gives the same secrets at each time. What they are stretched to is of no
// matter here.
func secretsOf(names ...string) func() []proof.Secret {
	var secrets []proof.Secret
	for _, name := range names {
		var s proof.Secret
		copy(s[:], name)
		secrets = append(secrets, s)
	}
	return func() []proof.Secret { return secrets }
}

// file is what an end has for secrets, which somebody may write anew.
type file struct {
	secrets atomic.Pointer[[]proof.Secret]
	end     *end
}

func (f *file) write(names ...string) {
	s := secretsOf(names...)()
	f.secrets.Store(&s)
	if f.end.session != nil {
		f.end.session.SecretsChanged()
	}
}

// openWithFiles opens both ends with files that have one secret.
func openWithFiles(t *testing.T, a, b *end, name string) (*file, *file) {
	t.Helper()
	files := [2]*file{{end: a}, {end: b}}
	for i, e := range []*end{a, b} {
		files[i].write(name)
		peer := []*end{b, a}[i]
		e.open(t, peer, func(o *Options) { o.Secrets = func() []proof.Secret { return *files[i].secrets.Load() } })
	}
	connectEnds(t, a, b)
	await(t, a.established, "Established")
	await(t, b.established, "Established")
	return files[0], files[1]
}

// TestAnyCommonSecretEstablishes: one that both have is enough, wherever it stands.
func TestAnyCommonSecretEstablishes(t *testing.T) {
	for _, files := range [][2][]string{{{"new", "old"}, {"old"}}, {{"old"}, {"new", "old"}}, {{"new", "old"}, {"old", "new"}}, {{"new"}, {"new", "old"}}} {
		inBubble(t, func(t *testing.T, _ *network, a, b *end) {
			a.open(t, b, func(o *Options) { o.Secrets = secretsOf(files[0]...) })
			b.open(t, a, func(o *Options) { o.Secrets = secretsOf(files[1]...) })
			connectEnds(t, a, b)
			await(t, a.established, "Established")
			await(t, b.established, "Established")
		})
	}
}

// TestProofOverALossyPath: what is lost of it is said again.
func TestProofOverALossyPath(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, func(t *testing.T, n *network, a, b *end) {
			random := rand.New(rand.NewPCG(seed, 0))
			n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
				if udp.Classify(d) == udp.Handshake && random.IntN(4) == 0 {
					return nil
				}
				return [][]byte{d}
			})
			a.open(t, b, func(o *Options) { o.Secrets = secretsOf("new", "old") })
			b.open(t, a, func(o *Options) { o.Secrets = secretsOf("old") })
			connectEnds(t, a, b)
			await(t, a.established, "Established")
			await(t, b.established, "Established")
		})
	}
}

// TestSilenceAfterTheProof: a peer that takes the proof of the lower end and gives none is
// told apart from a path that does not work.
func TestSilenceAfterTheProof(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		a.open(t, b, func(o *Options) { o.Secrets = secretsOf("ours") })
		b.open(t, a, func(o *Options) { o.Secrets = secretsOf("ours") })
		lower, higher := a, b
		if b.session.lower {
			lower, higher = b, a
		}
		n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
			if from == higher.addr() && lower.session.shown.Load() > 0 {
				return nil
			}
			return [][]byte{d}
		})
		connectEnds(t, a, b)
		if err := await(t, lower.closed, "Closed"); !errors.Is(err, ErrUnproved) {
			t.Errorf("closed with %v, want %v", err, ErrUnproved)
		}
		if err := await(t, higher.closed, "Closed"); !errors.Is(err, ErrTimeout) {
			t.Errorf("closed with %v, want %v", err, ErrTimeout)
		}
	})
}

// TestRotation: while both ends get a new secret, one after the other, and then lose the
// old one, no frame is lost and the session stays; its keys come from the new one.
func TestRotation(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		fa, fb := openWithFiles(t, a, b, "old")
		s := &streams{ends: [2]*end{a, b}}
		for _, step := range []func(){
			func() { fa.write("new", "old") }, func() { fb.write("new", "old") },
			func() { fa.write("new") }, func() { fb.write("new") },
		} {
			step()
			s.run(t, proofLapse+rekey.MinInterval, path.BurstInterval)
		}
		s.check(t, n)
		for _, e := range []*end{a, b} {
			if got := *e.session.proved.Load(); got != secretsOf("new")()[0] || e.session.State() != Established {
				t.Errorf("%v, made with %q", e.session.State(), got[:3])
			}
		}
		if got := a.session.Info().Rekeys; got != 1 {
			t.Errorf("%d rekeys, want 1: when the old secret went", got)
		}
	})
}

// TestSecretThatIsGone: a peer that has only the old secret loses the session, even if it
// keeps silent when it is asked for a new proof.
func TestSecretThatIsGone(t *testing.T) {
	for name, silent := range map[string]bool{"a peer that answers": false, "a peer that takes no handshake": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *network, a, b *end) {
				fa, _ := openWithFiles(t, a, b, "old")
				advance(time.Second) // both have begun to look after their keys
				if silent {
					stopRekeyer(b.session)
				}
				began := time.Now()
				fa.write("new")
				for len(a.closed) == 0 && time.Since(began) < 2*proofLapse {
					advance(time.Second)
				}
				if err := await(t, a.closed, "Closed"); !errors.Is(err, ErrSecret) {
					t.Errorf("closed with %v, want %v", err, ErrSecret)
				}
				if took := time.Since(began); took > proofLapse+time.Second {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}
