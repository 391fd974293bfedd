package session

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"evio/datapath/session/connect"
	"evio/datapath/session/path"
)

var (
	stunAt = netip.MustParseAddrPort("198.51.100.1:3478")
	mapped = netip.MustParseAddrPort("203.0.113.5:61000")
)

// names lets a transport ask STUN servers by name: "good" has an address,
// "slow" none until the context ends, all others none.
func (e *end) names(servers ...string) *logtest.Hook {
	log, hook := logtest.NewNullLogger()
	e.transport.gatherer.Log = logrus.NewEntry(log)
	e.transport.gatherer.STUN = nil
	for _, server := range servers {
		uri, err := stun.ParseURI("stun:" + server)
		if err != nil {
			panic(err)
		}
		e.transport.gatherer.STUN = append(e.transport.gatherer.STUN, uri)
	}
	e.transport.gatherer.Lookup = func(ctx context.Context, _, host string) ([]netip.Addr, error) {
		switch host {
		case "good":
			return []netip.Addr{stunAt.Addr()}, nil
		case "slow":
			<-ctx.Done()
			return nil, ctx.Err()
		default:
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	}
	return hook
}

// serveSTUN lets the network answer for stunAt and counts what it is asked.
func (n *network) serveSTUN(t *testing.T) (asked *int) {
	asked = new(int)
	n.impair(func(from, to netip.AddrPort, datagram []byte) [][]byte {
		if to == stunAt {
			*asked++
			request := &stun.Message{Raw: datagram}
			if err := request.Decode(); err != nil {
				t.Error(err)
				return nil
			}
			answer, err := stun.Build(request, stun.BindingSuccess,
				&stun.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: int(mapped.Port())})
			if err != nil {
				t.Error(err)
				return nil
			}
			n.injectLocked(stunAt, from, answer.Raw)
		}
		return [][]byte{datagram}
	})
	return asked
}

// logged counts the lines that contain a text.
func logged(hook *logtest.Hook, text string) (n int) {
	for _, entry := range hook.AllEntries() {
		if strings.Contains(entry.Message, text) {
			n++
		}
	}
	return n
}

func TestSlowNamesDoNotTakeTheOthersAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		hook := a.names("slow:3478", "none:3478", "good:3478", "slow:3479")
		asked := n.serveSTUN(t)
		for range 2 { // the second is served by the first one's answer
			a.open(t, b, nil)
			own, err := connect.ParseParameters(a.own)
			if err != nil {
				t.Fatal(err)
			}
			if want := (path.Candidate{Type: webrtc.ICECandidateTypeSrflx, Addr: mapped}); !slices.Contains(own.Candidates, want) {
				t.Errorf("candidates = %v, want %v among them", own.Candidates, want)
			}
			a.session.Close()
			a.waitClosed(t)
		}
		if *asked != 1 {
			t.Errorf("the server was asked %d times, want once", *asked)
		}
		for _, name := range []string{"slow:3478", "none:3478", "slow:3479"} {
			if got := logged(hook, "STUN server "+name+" cannot be resolved"); got != 1 {
				t.Errorf("%d lines about %s, want one", got, name)
			}
		}
		if got := logged(hook, "no STUN server answers"); got != 0 {
			t.Errorf("%d lines say that no server answers", got)
		}
	})
}

func TestOnlySlowNamesAreReportedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		hook := a.names("slow:3478", "slow:3479", "slow:3480")
		for range 2 {
			a.open(t, b, nil)
			a.session.Close()
			a.waitClosed(t)
		}
		if got := logged(hook, "no STUN server answers"); got != 1 {
			t.Errorf("%d lines say that no server answers, want one", got)
		}
		if got := logged(hook, "cannot be resolved"); got != 3 {
			t.Errorf("%d lines name servers, want one for each: the second session asks nobody", got)
		}
	})
}
