package session

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/drops"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// refusing is an outlet that sends nothing.
type refusing struct{ err error }

func (r refusing) Addr() netip.AddrPort                            { return netip.AddrPort{} }
func (r refusing) SendRuns(netip.AddrPort, []udp.Run) (int, error) { return 1, r.err }

// TestRefusedDatagrams: what is lost on the path is told apart from what a route on trial
// refuses, which is no loss.
func TestRefusedDatagrams(t *testing.T) {
	serving := path.Route{Remote: netip.MustParseAddrPort("192.0.2.1:1")}
	relayed := path.Route{Remote: netip.MustParseAddrPort("192.0.2.1:1"), TURN: true}
	trial := path.Route{Remote: netip.MustParseAddrPort("[2001:db8::1]:1")}
	failed := errors.New("refused")
	for _, c := range []struct {
		name        string
		current, by path.Route
		err         error
		want        drops.Cause
	}{
		{"the kernel refuses", serving, serving, failed, drops.SendSocket},
		{"the relay is too slow", relayed, relayed, failed, drops.SendRelay},
		{"a route on trial leads nowhere", serving, trial, failed, drops.SendPath},
		{"a relayed route on trial is not permitted", serving, relayed, failed, drops.SendPath},
		{"the relayed address is given up", relayed, relayed, net.ErrClosed, drops.SendPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Session{}
			s.path.Store(&boundPath{Route: c.current})
			s.sendRuns(&boundPath{Route: c.by, out: refusing{c.err}}, []udp.Run{{Bytes: []byte{0, 1, 2}, Size: 1}}, 3)
			if diff := cmp.Diff(map[string]uint64{c.want.String(): 2}, s.drops.Map()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
