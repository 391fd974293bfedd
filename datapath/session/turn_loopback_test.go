package session

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"

	"evio/datapath/session/connect"
)

// serveTURN starts a TURN server on loopback for the user evio.
func serveTURN(t *testing.T) webrtc.ICEServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := pion.NewServer(pion.ServerConfig{
		Realm:         "example",
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
		AuthHandler: func(r *pion.RequestAttributes) (string, []byte, bool) {
			return r.Username, pion.GenerateAuthKey(r.Username, r.Realm, "right"), r.Username == "evio"
		},
		PacketConnConfigs: []pion.PacketConnConfig{{
			PacketConn:            conn,
			RelayAddressGenerator: &pion.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return webrtc.ICEServer{
		URLs:       []string{"turn:" + conn.LocalAddr().String() + "?transport=udp"},
		Username:   "evio",
		Credential: TURNAccess{Password: func() (string, error) { return "right", nil }},
	}
}

// TestSessionOverARealRelay gives both ends wrong ports of each other, so that only
// the allocation of one is a path.
func TestSessionOverARealRelay(t *testing.T) {
	server := serveTURN(t)
	a := newLoopbackEnd(t, func(c *Config) { c.ICEServers = []webrtc.ICEServer{server} })
	b := newLoopbackEnd(t)
	a.open(t, b, nil)
	b.open(t, a, nil)
	nowhere := netip.MustParseAddrPort("127.0.0.1:9")
	join := func() {
		for _, e := range [][2]*end{{a, b}, {b, a}} {
			peer, err := connect.ParseParameters(e[1].own)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range peer.Candidates {
				if c.Type != webrtc.ICECandidateTypeRelay {
					peer.Candidates[i].Addr = nowhere
				}
			}
			if err := e[0].session.Connect(peer.Append(nil), bind(a, b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	join()
	a.own = await(t, a.parameters, "parameters with a relay")
	join()
	await(t, a.established, "Established")
	await(t, b.established, "Established")
	frame := bytes.Repeat([]byte{7}, 9000)
	for _, e := range [][2]*end{{a, b}, {b, a}} {
		if err := e[0].session.Send(Data, [][]byte{frame}); err != nil {
			t.Fatal(err)
		}
		if got := e[1].frames(t, 1); !bytes.Equal(got[0], frame) {
			t.Error("frame was changed")
		}
	}
	info := a.session.Info()
	if info.Path != "relay" || info.LocalType != "relay" || info.RelayTransport != "udp" || info.Relay == "" {
		t.Errorf("info = %+v, want a relay", info)
	}
	if status := a.transport.Stats().Relays; len(status) != 1 || status[0].State != "usable" {
		t.Errorf("relays = %+v, want one in use", status)
	}
}
