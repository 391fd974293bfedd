package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestInboxKeepsOrderAndBound(t *testing.T) {
	i := NewInbox(2)
	defer i.Close()
	from := netip.MustParseAddrPort("192.0.2.1:1")
	data := []byte{1}
	for n, want := range []bool{true, true, false} {
		data[0] = byte(n)
		if got := i.Put(from, data); got != want {
			t.Errorf("Put %d = %v, want %v", n, got, want)
		}
	}
	for n := range 2 {
		p, err := i.Get()
		if err != nil || p.Remote != from || p.Data[0] != byte(n) {
			t.Errorf("Get %d = %v, %v", n, p, err)
		}
	}
}

func TestInboxWakes(t *testing.T) {
	tests := map[string]struct {
		wake func(*Inbox)
		want error
	}{
		"by Close":              {func(i *Inbox) { i.Close(); i.Close() }, net.ErrClosed},
		"by a deadline to come": {func(i *Inbox) { i.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		"by a deadline gone by": {func(i *Inbox) { i.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := NewInbox(1)
				woken := make(chan error)
				go func() {
					_, err := i.Get()
					woken <- err
				}()
				synctest.Wait()
				test.wake(i)
				if err := <-woken; !errors.Is(err, test.want) {
					t.Errorf("Get = %v, want %v", err, test.want)
				}
				i.Close()
			})
		})
	}
}

func TestInboxWithoutDeadlineAgain(t *testing.T) {
	i := NewInbox(1)
	defer i.Close()
	i.SetDeadline(time.Now())
	if _, err := i.Get(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Get = %v, want %v", err, os.ErrDeadlineExceeded)
	}
	i.SetDeadline(time.Time{})
	i.Put(netip.AddrPort{}, []byte{7})
	if p, err := i.Get(); err != nil || p.Data[0] != 7 {
		t.Errorf("Get = %v, %v, want the datagram", p, err)
	}
}
