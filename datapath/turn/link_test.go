package turn

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestSendNeverWaits has a server that takes nothing from its stream.
func TestSendNeverWaits(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	l, err := newLink(ours, true, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var full error
	sent := 0
	for ; full == nil && sent < 10*queueLength; sent++ {
		full = l.send(make([]byte, 1500))
	}
	if !errors.Is(full, errQueueFull) || sent < queueLength-requestRoom {
		t.Errorf("%v after %d datagrams", full, sent)
	}
	if _, err := l.WriteTo(make([]byte, 100), nil); err != nil {
		t.Errorf("no room for a request: %v", err)
	}
	l.close(ErrReleased)
	l.tasks.Wait()
	if err := l.cause; !errors.Is(err, ErrReleased) {
		t.Errorf("ended by %v", err)
	}
}

// TestStreamThatIsNotTURN ends at once instead of looking for a message.
func TestStreamThatIsNotTURN(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	l, err := newLink(ours, true, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = theirs.Write([]byte{0xff, 0xff, 0xff, 0xff}) }()
	l.read(func(b []byte) { t.Errorf("%x is a message", b) })
	l.tasks.Wait()
	if !errors.Is(l.cause, errMessage) {
		t.Errorf("ended by %v, want %v", l.cause, errMessage)
	}
}
