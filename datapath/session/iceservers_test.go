package session

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"

	"evio/datapath/session/connect"
)

func TestICEServers(t *testing.T) {
	password := TURNAccess{Password: func() (string, error) { return "right", nil }}
	reflectors, relays, err := iceServers([]webrtc.ICEServer{
		{URLs: []string{"stun:stun.example.org:3478", "turn:turn.example.org?transport=tcp"}, Username: "evio", Credential: password},
		{URLs: []string{"stun:[2001:db8::1]:3479", "STUN:192.0.2.1"}},
		{URLs: []string{"turns:turn.example.org:5349"}, Credential: TURNAccess{Secret: password.Password}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"stun.example.org:3478", "[2001:db8::1]:3479", "192.0.2.1:3478"}
	if diff := cmp.Diff(want, connect.ServerNames(reflectors)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(relays) != 2 || relays[0].URI != "turn:turn.example.org?transport=tcp" || relays[0].Username != "evio" ||
		relays[0].Password == nil || relays[0].Secret != nil || relays[1].URI != "turns:turn.example.org:5349" || relays[1].Secret == nil {
		t.Errorf("%+v", relays)
	}
	for name, server := range map[string]webrtc.ICEServer{
		"no URL":               {URLs: []string{""}},
		"no scheme":            {URLs: []string{"stun.example.org:3478"}},
		"STUN over TLS":        {URLs: []string{"stuns:stun.example.org"}},
		"port 0":               {URLs: []string{"stun:stun.example.org:0"}},
		"a high port":          {URLs: []string{"stun:stun.example.org:65536"}},
		"relay without access": {URLs: []string{"turn:turn.example.org"}, Username: "evio"},
		"another credential":   {URLs: []string{"turn:turn.example.org"}, Username: "evio", Credential: "text"},
		"another type":         {URLs: []string{"turn:turn.example.org"}, Username: "evio", Credential: password, CredentialType: webrtc.ICECredentialTypeOauth},
	} {
		if _, _, err := iceServers([]webrtc.ICEServer{server}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
