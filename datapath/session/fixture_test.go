package session

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"
	"time"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/udp"
)

// eachDatagram calls a function with the datagrams of runs, as SendRuns does.
func eachDatagram(runs []udp.Run, send func([]byte) error) (sent int, err error) {
	for _, r := range runs {
		for d := range slices.Chunk(r.Bytes, r.Size) {
			if err := send(d); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, nil
}

// seal returns a record with a plaintext.
func seal(tb testing.TB, s *record.Sealer, plain []byte) []byte {
	tb.Helper()
	var b record.Batch
	b.Reset(record.MaxSize)
	b.Add(len(append(b.Plain(), plain...)))
	if err := s.Seal(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Runs()[0].Bytes
}

// patience bounds every wait on real sockets.
const patience = 20 * time.Second

// recorder is a handler that keeps what it gets.
type recorder struct {
	parameters  chan []byte
	established chan struct{}
	closed      chan error
	received    chan received

	mu      sync.Mutex
	entered bool // a method is running
	faults  []string
}

type received struct {
	kind   Kind
	frames [][]byte
}

func newRecorder() *recorder {
	return &recorder{
		parameters:  make(chan []byte, 2),
		established: make(chan struct{}, 2),
		closed:      make(chan error, 2),
		received:    make(chan received, 4096),
	}
}

// enter notes calls that overlap or come after Closed.
func (r *recorder) enter(what string) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entered {
		r.faults = append(r.faults, what+" called while another method runs")
	}
	if len(r.closed) > 0 {
		r.faults = append(r.faults, what+" called after Closed")
	}
	r.entered = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.entered = false
	}
}

func (r *recorder) Parameters(_ *Session, p []byte) {
	defer r.enter("Parameters")()
	r.parameters <- slices.Clone(p)
}

func (r *recorder) Established(*Session) {
	defer r.enter("Established")()
	r.established <- struct{}{}
}

func (r *recorder) Receive(_ *Session, kind Kind, frames [][]byte) {
	defer r.enter("Receive")()
	copied := make([][]byte, len(frames))
	for i, f := range frames {
		copied[i] = slices.Clone(f)
	}
	select {
	case r.received <- received{kind, copied}:
	default:
	}
}

func (r *recorder) Frames(s *Session, frames []frame.Frame) {
	whole := make([][]byte, len(frames))
	for i, f := range frames {
		whole[i] = f.Data
	}
	r.Receive(s, Data, whole)
}

func (r *recorder) Closed(_ *Session, err error) {
	defer r.enter("Closed")()
	r.closed <- err
}

func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		t.Error(f)
	}
}

// end is one end of a pair under test.
type end struct {
	*recorder
	transport *Transport
	session   *Session
	key       ed25519.PrivateKey
	own       []byte // parameters
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (e *end) public() ed25519.PublicKey {
	return e.key.Public().(ed25519.PublicKey)
}

func (e *end) id() (id [16]byte) {
	sum := sha256.Sum256(e.public())
	return [16]byte(sum[:])
}

// open opens a session to peer and waits for the own parameters.
func (e *end) open(t testing.TB, peer *end, change func(*Options)) {
	t.Helper()
	e.recorder = newRecorder()
	options := Options{
		Local:     e.id(),
		Remote:    peer.id(),
		RemoteKey: peer.public(),
		Overlay:   "blue",
		Handler:   e.recorder,
	}
	if change != nil {
		change(&options)
	}
	s, err := e.transport.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	e.session = s
	e.own = await(t, e.parameters, "parameters")
}

// bind hashes both parameter sets in the order of node IDs.
func bind(a, b *end) [32]byte {
	ida, idb := a.id(), b.id()
	if bytes.Compare(ida[:], idb[:]) > 0 {
		a, b = b, a
	}
	return sha256.Sum256(append(slices.Clone(a.own), b.own...))
}

func connectEnds(t testing.TB, a, b *end) {
	t.Helper()
	if err := a.session.Connect(b.own, bind(a, b)); err != nil {
		t.Fatal(err)
	}
	if err := b.session.Connect(a.own, bind(a, b)); err != nil {
		t.Fatal(err)
	}
}

func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// waitClosed waits for Closed, whatever the reason.
func (r *recorder) waitClosed(t testing.TB) {
	t.Helper()
	_ = await(t, r.closed, "Closed")
}

// frames collects n frames of one kind.
func (r *recorder) frames(t testing.TB, n int) [][]byte {
	t.Helper()
	var all [][]byte
	for len(all) < n {
		all = append(all, await(t, r.received, "frame").frames...)
	}
	return all
}
