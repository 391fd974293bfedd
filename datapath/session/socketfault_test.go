package session

import (
	"errors"
	"testing"

	"evio/datapath/udp"
)

// waiting is a socket whose port is taken until the test says otherwise.
type waiting struct {
	idle
	changes chan error
	taken   chan struct{}
}

func (w waiting) Run(_ func([]udp.Datagram), changed func(error)) error {
	for {
		select {
		case err := <-w.changes:
			changed(err)
			w.taken <- struct{}{}
		case <-w.closed:
			return udp.ErrClosed
		}
	}
}

// tell hands over a change and returns when the transport knows of it.
func (w waiting) tell(err error) {
	w.changes <- err
	<-w.taken
}

// TestTransportTellsOfItsSocket: a port that is taken is a fault until it is free. Opened
// is closed once, and Reopened is called each time the socket is open again.
func TestTransportTellsOfItsSocket(t *testing.T) {
	w := waiting{idle{make(chan struct{})}, make(chan error), make(chan struct{})}
	taken, reopened := errors.New("taken"), 0
	transport, err := newTransport(Config{Key: newKey(t), Reopened: func() { reopened++ }}, w, nil, taken)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close() //nolint:errcheck // ends the test
	expect := func(step string, fault error, open bool, times int) {
		t.Helper()
		opened := false
		select {
		case <-transport.Opened():
			opened = true
		default:
		}
		if got := transport.Fault(); !errors.Is(got, fault) || fault == nil && got != nil || opened != open || reopened != times {
			t.Errorf("%s: fault %v, opened %t, told %d times; want %v, %t, %d", step, got, opened, reopened, fault, open, times)
		}
	}
	expect("at the start", taken, false, 0)
	w.tell(nil)
	expect("had", nil, true, 0)
	failed := errors.New("failed")
	w.tell(failed)
	expect("failed", failed, true, 0)
	w.tell(nil)
	expect("had again", nil, true, 1)
}
