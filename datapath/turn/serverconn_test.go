package turn

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

// TestSendNeverWaits has a server that takes nothing from its stream.
func TestSendNeverWaits(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	l, err := newServerConn(ours, udp.Offload{}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var full error
	sent := 0
	for ; full == nil && sent < 10*queueLength; sent++ {
		_, full = l.send(message(1500))
	}
	if !errors.Is(full, errQueueFull) || sent < queueLength {
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
	l, err := newServerConn(ours, udp.Offload{}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = theirs.Write([]byte{0xff, 0xff, 0xff, 0xff}) }()
	l.read(func(messages []udp.Datagram, _ uint64) { t.Errorf("%x are messages", messages) })
	l.tasks.Wait()
	if !errors.Is(l.cause, errMessage) {
		t.Errorf("ended by %v, want %v", l.cause, errMessage)
	}
}

// TestRequestOnALinkThatHasEnded fails at once with what ended the connection.
func TestRequestOnALinkThatHasEnded(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	l, err := newServerConn(ours, udp.Offload{}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l.close(ErrReleased)
	l.tasks.Wait()
	began := time.Now()
	for range 10 { // of several that are ready select takes any
		if _, err := l.request(stun.MethodRefresh, lifetime(0)); !errors.Is(err, ErrReleased) {
			t.Errorf("got %v, want %v", err, ErrReleased)
		}
	}
	if took := time.Since(began); took >= l.answer {
		t.Errorf("failed after %v", took)
	}
	if _, err := l.WriteTo(make([]byte, 100), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write: %v, want %v", err, net.ErrClosed)
	}
}

// TestRequestsBehindAFullQueue has a server that reads nothing until more
// requests wait than may run, and more data than is kept.
func TestRequestsBehindAFullQueue(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	l, err := newServerConn(ours, udp.Offload{}, patience)
	if err != nil {
		t.Fatal(err)
	}
	l.tasks.Go(func() {
		l.read(func(messages []udp.Datagram, _ uint64) {
			for _, m := range messages {
				_, _ = l.client.HandleInbound(m.Data, ours.RemoteAddr())
			}
		})
	})
	for err == nil {
		_, err = l.send(message(1500)) // which the server below does not answer
	}
	const requests = 3 * maxRequests
	answers := make(chan error, requests)
	for range requests {
		go func() {
			_, err := l.request(stun.MethodRefresh, lifetime(permissionLifetime))
			answers <- err
		}()
	}
	until(t, "as many requests wait as may", func() bool { return len(l.slots) == maxRequests })
	go confirm(theirs)
	for range requests {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	l.close(ErrReleased)
	l.tasks.Wait()
}

// message is one of a size.
func message(size int) *outgoing { return &outgoing{bytes: make([]byte, size), count: 1} }

// confirm answers every request of a stream with success.
func confirm(conn net.Conn) {
	var input stream
	for {
		messages, err := input.receive(conn)
		if err != nil {
			return
		}
		for _, m := range messages {
			request := stun.Message{Raw: m.Data}
			if request.Decode() != nil {
				continue
			}
			answer, err := stun.Build(stun.NewTransactionIDSetter(request.TransactionID),
				stun.NewType(request.Type.Method, stun.ClassSuccessResponse))
			if err != nil {
				return
			}
			if _, err := conn.Write(answer.Raw); err != nil {
				return
			}
		}
	}
}

// TestNoPlaceForARequest ends neither the connection nor the allocation.
func TestNoPlaceForARequest(t *testing.T) {
	s := serve(t, TCP, nil)
	c := newClientWith(t, timing{answer: 100 * time.Millisecond, refresh: time.Hour, retry: time.Millisecond}, s.client())
	a := c.acquire(t)
	defer a.Release()
	for range maxRequests {
		a.conn.slots <- struct{}{}
	}
	if err := a.refresh(); err != nil {
		t.Errorf("a refresh without a place: %v", err)
	}
	peer := netip.MustParseAddr("127.0.0.1")
	if err := a.Permit(t.Context(), peer); !errors.Is(err, errQueueFull) {
		t.Errorf("a permission without a place: %v", err)
	}
	for range maxRequests {
		<-a.conn.slots
	}
	until(t, "the peer is permitted", func() bool { return a.Permit(t.Context(), peer) == nil })
	if err := a.refresh(); err != nil || a.Err() != nil {
		t.Errorf("%v, lost by %v", err, a.Err())
	}
}
