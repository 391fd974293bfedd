package icemux

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

var (
	baseA   = netip.MustParseAddr("10.0.0.1")
	baseB   = netip.MustParseAddr("10.0.1.1")
	base6   = netip.MustParseAddr("2001:db8::1")
	public  = netip.MustParseAddrPort("203.0.113.5:61000")
	server1 = netip.MustParseAddrPort("198.51.100.1:3478")
	server2 = netip.MustParseAddrPort("198.51.100.2:3478")

	compareAddrs = cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	}
)

// answering lets a server answer what the mux asks; mapped returns the zero
// AddrPort where it stays silent.
func answering(t *testing.T, m *Mux, from func(outgoing) netip.AddrPort, mapped func(outgoing) netip.AddrPort) func(outgoing) {
	return func(o outgoing) {
		addr := mapped(o)
		if !addr.IsValid() {
			return
		}
		request := &stun.Message{Raw: o.data}
		if err := request.Decode(); err != nil {
			t.Error(err)
			return
		}
		answer := build(t, request, stun.BindingSuccess,
			&stun.XORMappedAddress{IP: net.IP(addr.Addr().AsSlice()), Port: int(addr.Port())})
		m.Receive(udp.Datagram{Local: o.from, Remote: from(o), Data: answer.Raw})
	}
}

func honest(o outgoing) netip.AddrPort { return o.to }

func TestReflexive(t *testing.T) {
	tests := map[string]struct {
		bases   []netip.Addr
		servers []netip.AddrPort
		from    func(outgoing) netip.AddrPort
		mapped  func(outgoing) netip.AddrPort
		want    []Mapping
		within  time.Duration
	}{
		"one server": {
			[]netip.Addr{baseA, base6}, []netip.AddrPort{server1}, honest,
			func(outgoing) netip.AddrPort { return public },
			[]Mapping{{baseA, public}}, 0,
		},
		"two servers that agree": {
			[]netip.Addr{baseA}, []netip.AddrPort{server1, server2}, honest,
			func(outgoing) netip.AddrPort { return public },
			[]Mapping{{baseA, public}}, 0,
		},
		"one of two is silent": {
			[]netip.Addr{baseA}, []netip.AddrPort{server1, server2}, honest,
			func(o outgoing) netip.AddrPort {
				if o.to == server1 {
					return netip.AddrPort{}
				}
				return public
			},
			[]Mapping{{baseA, public}}, settle,
		},
		"one base leads nowhere": {
			[]netip.Addr{baseA, baseB}, []netip.AddrPort{server1}, honest,
			func(o outgoing) netip.AddrPort {
				if o.from == baseB {
					return netip.AddrPort{}
				}
				return public
			},
			[]Mapping{{baseA, public}}, 1200 * time.Millisecond,
		},
		"no NAT": {
			[]netip.Addr{baseA}, []netip.AddrPort{server1}, honest,
			func(outgoing) netip.AddrPort { return netip.AddrPortFrom(baseA, 4000) },
			[]Mapping{{baseA, netip.AddrPortFrom(baseA, 4000)}}, 0,
		},
		"answers of someone else": {
			[]netip.Addr{baseA}, []netip.AddrPort{server1},
			func(outgoing) netip.AddrPort { return server2 },
			func(outgoing) netip.AddrPort { return public },
			nil, 1200 * time.Millisecond,
		},
		"nobody to ask": {[]netip.Addr{baseA}, nil, honest, nil, nil, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, socket, _ := newMux(t)
				socket.pass = answering(t, m, test.from, test.mapped)
				began := time.Now()
				got := m.Reflexive(t.Context(), test.bases, test.servers)
				if diff := cmp.Diff(test.want, got, compareAddrs); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if took := time.Since(began); took > test.within {
					t.Errorf("took %v, want at most %v", took, test.within)
				}
				if len(m.requests) != 0 {
					t.Errorf("%d queries are left in the mux, want none", len(m.requests))
				}
			})
		})
	}
}

func TestReflexiveRepeatsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, socket, _ := newMux(t)
		if got := m.Reflexive(t.Context(), []netip.Addr{baseA}, []netip.AddrPort{server1}); got != nil {
			t.Errorf("got %v from a silent server", got)
		}
		if got, want := len(socket.sent), len(retransmit)+1; got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		m.Reflexive(ctx, []netip.Addr{baseA}, []netip.AddrPort{server1})
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("took %v, want the context's 10 ms", took)
		}
	})
}

func TestReflexiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, socket, _ := newMux(t)
		bases := make([]netip.Addr, 3*maxQueries)
		for i := range bases {
			bases[i] = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		}
		m.Reflexive(t.Context(), bases, []netip.AddrPort{server1})
		if got, want := len(socket.sent), maxQueries*(len(retransmit)+1); got != want {
			t.Errorf("sent %d requests, want %d", got, want)
		}
	})
}
