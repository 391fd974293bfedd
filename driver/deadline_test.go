package driver_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evio/driver/drivertest"
)

// pipeListener hands out in-memory connections, which wait in the time of a bubble.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Every call ends by itself, however long Docker would wait and the plane hangs.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		method, op string
		body       m
		want       time.Duration
	}{
		{"CreateNetwork", "AddNetwork", createNetwork(net2, "evio.overlay=t2"), 20 * time.Second},
		{"Join", "AddEndpoint", join(net1, ep1), 20 * time.Second},
		{"Leave", "RemoveEndpoint", ids(net1, ep2), 10 * time.Second},
		{"DeleteEndpoint", "RemoveEndpoint", ids(net1, ep2), 10 * time.Second},
		{"DeleteNetwork", "RemoveNetwork", m{"NetworkID": net1}, 10 * time.Second},
	} {
		t.Run(c.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := false
				r := newRig(t)
				r.plane.Hook = func(ctx context.Context, call drivertest.Call) error {
					if call.Op == c.op && !call.Done && hang {
						hang = false
						<-ctx.Done()
						return errSwitch
					}
					return nil
				}
				d := r.prepare()
				l := newPipeListener()
				r.client = &http.Client{Transport: &http.Transport{DialContext: l.dial}}
				served := make(chan error, 1)
				go func() { served <- d.Serve(l) }()
				d.Start(t.Context())
				r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
				r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
				r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", ""))
				r.ok("Join", join(net1, ep2))

				hang = true
				began := time.Now()
				if text := r.refused(c.method, c.body); !strings.Contains(text, errSwitch.Error()) {
					t.Errorf("error %q", text)
				}
				if took := time.Since(began); took != c.want {
					t.Errorf("answered after %v, want %v", took, c.want)
				}
				if err := d.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
				r.client.CloseIdleConnections()
			})
		})
	}
}

// One network's hanging call keeps nothing of another network waiting.
func TestNetworksAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plane.Hook = func(ctx context.Context, call drivertest.Call) error {
			if call.Network == net1 {
				<-ctx.Done()
				return errSwitch
			}
			return nil
		}
		d := r.prepare()
		d.Start(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan struct{})
		go func() {
			defer close(failed)
			if err := d.CreateNetwork(ctx, networkRequest(net1)); err == nil {
				t.Error("no error")
			}
		}()
		synctest.Wait()
		began := time.Now()
		create(t, d, net2)
		if took := time.Since(began); took != 0 {
			t.Errorf("another network waited %v", took)
		}
		cancel()
		<-failed
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
