package session

import (
	"bytes"
	"errors"
	"testing"
)

// newLoopbackEnd listens on a real socket of this machine.
func newLoopbackEnd(t testing.TB, change ...func(*Config)) *end {
	t.Helper()
	key := newKey(t)
	config := Config{
		Key:              key,
		IncludeLoopback:  true,
		ExcludeInterface: func(name string) bool { return name != "lo" },
	}
	for _, c := range change {
		c(&config)
	}
	transport, err := Listen(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			t.Error(err)
		}
	})
	return &end{transport: transport, key: key}
}

func TestSessionOverRealSockets(t *testing.T) {
	a, b := newLoopbackEnd(t), newLoopbackEnd(t)
	a.open(t, b, nil)
	b.open(t, a, nil)
	connectEnds(t, a, b)
	await(t, a.established, "Established")
	await(t, b.established, "Established")

	frames := [][]byte{
		bytes.Repeat([]byte{1}, 60),
		bytes.Repeat([]byte{2}, 1414),
		bytes.Repeat([]byte{3}, 9234),
	}
	if err := a.session.Send(Data, frames); err != nil {
		t.Fatal(err)
	}
	got := b.frames(t, len(frames))
	for i := range frames {
		if !bytes.Equal(got[i], frames[i]) {
			t.Errorf("frame %d: got %d bytes, want %d", i, len(got[i]), len(frames[i]))
		}
	}
	info := b.session.Info()
	if info.State != Established || info.LocalType != "host" || info.RemoteType != "host" || info.RxFrames != 3 {
		t.Errorf("info = %+v", info)
	}

	a.session.Close()
	if err := await(t, a.closed, "Closed"); !errors.Is(err, ErrClosed) {
		t.Errorf("own end closed with %v, want %v", err, ErrClosed)
	}
	if err := await(t, b.closed, "Closed"); !errors.Is(err, ErrPeerClosed) {
		t.Errorf("peer closed with %v, want %v", err, ErrPeerClosed)
	}
	a.check(t)
	b.check(t)
}
