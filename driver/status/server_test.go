package status

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"evio/driver/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type source func(context.Context) Document

func (s source) Status(ctx context.Context) Document { return s(ctx) }

func serve(t *testing.T, s source) string { return serveBoth(t, s, &book{}) }

func serveBoth(t *testing.T, s source, peers Peers) string {
	t.Helper()
	logger, _ := test.NewNullLogger()
	server := NewServer(s, peers, logger.WithField("part", "status"))
	sock := filepath.Join(t.TempDir(), "run", "status.sock")
	l, err := socket.Listen(sock)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(sock); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket after the end: %v", err)
		}
	})
	return sock
}

func TestFetchReturnsWhatTheSourceCollects(t *testing.T) {
	began := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	want := Document{
		Version: "1.2.3", Started: began, Process: ThisProcess(),
		Switch: Switch{Own: true, Datapath: "netdev", Version: "3.1.0", Swept: 6},
		Transport: Transport{
			Port: 4711, Datagrams: map[string]uint64{"stun": 1}, Drops: map[string]uint64{"class": 2},
			Sessions: map[string]int{"established": 1}, Agents: 1,
			Sent: map[string]uint64{"record": 9}, SendCalls: 4, ReceiveCalls: 3, Uncut: 1,
			Offload: TransportOffload{UDPSend: Offload{On: true}, UDPReceive: Offload{Reason: "a sentence"}, Merge: Offload{On: true}, Routes: 1},
			Relays:  []Relay{{URI: "turn:turn.example:3478", State: "failed", Reason: "a sentence", Since: began, Allocations: 1, Dropped: 5}},
		},
		Signalling: []Signalling{{Server: "xmpp.example:5222", JID: "a@xmpp.example", Connected: true, Since: began}},
		Networks: []Network{{
			ID: "n", Overlay: "t1", Node: "00", MTU: 1400, Bridge: "evb0",
			Ports: []string{"evf0", "evl0"}, Encryption: "required", Secret: true,
			Endpoints: []Endpoint{{ID: "e", MAC: "0a:00:00:00:00:01", Addresses: []string{"10.9.0.2"}, Interface: "evh0"}},
			Members:   []Member{{JID: "b@xmpp.example", Node: "01", Online: true, Membership: "group:blue"}},
			Sessions: []Session{{
				Node: "01", JID: "b@xmpp.example", State: "established", RTTMillis: 1.5, Opened: began, Established: began,
				Moves: 3, RxFrames: 9, RxMerged: 8, AEAD: "AES-128-GCM", Generation: 2, OffPath: 4, Rekeyed: began, Rekeys: 2,
				Path: Path{Kind: "relay", Relay: "turn:turn.example:3478", RelayTransport: "tcp", Local: "192.0.2.1:4711", Remote: "192.0.2.2:4712", LocalType: "host", RemoteType: "srflx"}, Drops: map[string]uint64{},
			}},
			TAPs: []TAP{{
				Device: "evl0", Node: "01", Offload: TAPOffload{Checksums: true, TCP: true, Reason: "a sentence"},
				Reads: 6, Writes: 5, ReadFrames: 4, ReadSegments: 7, ReadBytes: 3, WrittenFrames: 2, WrittenSegments: 8, WrittenBytes: 1,
			}},
			Ring:      Ring{Successors: []string{"01"}, LongDistance: []string{}, Estimate: 2},
			Directory: []Entry{{Address: "10.9.0.3", MAC: "0a:00:00:00:00:02", Node: "01"}},
			Drops:     map[string]uint64{"spoofed": 3},
			Repairs:   map[string]uint64{"flows": 7},
		}},
		Calls:     []Call{{Method: "Join", Total: 2, Failed: 1, LongestMillis: 12.5}},
		Collected: Collected{Networks: 1, Endpoints: 2},
		Faults:    []string{"a sentence"},

		Time:       began.Add(time.Hour),
		Settings:   Settings{Values: []Setting{{Name: "udp_port", Value: "4711", From: "file"}}},
		Docker:     Docker{Socket: "/run/docker.sock"},
		LastErrors: []LogEvent{{Time: began, Level: "warning", Text: "a sentence", About: "peer=b", Count: 2}},
	}
	sock := serve(t, func(context.Context) Document { return want })
	want.complete()
	want.Health = Judge(want)
	got, err := Fetch(t.Context(), sock)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Scripts go through lists without asking whether they are there.
func TestListsAreNeverNull(t *testing.T) {
	doc := Document{Networks: []Network{{Endpoints: make([]Endpoint, 1), Sessions: make([]Session, 1)}}}
	sock := serve(t, func(context.Context) Document { return doc })
	client := clientOf(sock)
	for request, want := range map[string]int{
		"GET /status": http.StatusOK, "POST /status": http.StatusMethodNotAllowed, "GET /": http.StatusNotFound,
	} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://evio"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: %s", request, resp.Status)
		}
		if want == http.StatusOK {
			var tree any
			if err := json.NewDecoder(resp.Body).Decode(&tree); err != nil {
				t.Error(err)
			}
			noNulls(t, "", tree)
		}
		_ = resp.Body.Close()
	}
}

// clientOf makes requests of its own.
func clientOf(sock string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", sock)
		},
	}}
}

// TestGarbageCollection: it comes before the document where it is asked for, and only there.
func TestGarbageCollection(t *testing.T) {
	var before runtime.MemStats
	collections := make(chan uint32, 1)
	sock := serve(t, func(context.Context) Document {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		collections <- now.NumForcedGC - before.NumForcedGC
		return Document{}
	})
	for _, c := range []struct {
		query  string
		forced uint32
		status int
	}{
		{"", 0, http.StatusOK},
		{"?gc=1", 1, http.StatusOK},
		{"?gc=", 0, http.StatusOK},
		{"?gc=yes", 0, http.StatusBadRequest},
	} {
		t.Run("status"+c.query, func(t *testing.T) {
			runtime.ReadMemStats(&before)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://evio/status"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := clientOf(sock).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("answer %s, want %d", resp.Status, c.status)
			}
			if c.status != http.StatusOK {
				if len(collections) > 0 {
					t.Error("a document was collected")
				}
				return
			}
			if forced := <-collections; forced != c.forced {
				t.Errorf("%d garbage collections, want %d", forced, c.forced)
			}
		})
	}
}

func noNulls(t *testing.T, path string, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		t.Errorf("%s is null", path)
	case map[string]any:
		for k, child := range v {
			noNulls(t, path+"."+k, child)
		}
	case []any:
		for _, child := range v {
			noNulls(t, path+"[]", child)
		}
	}
}

// Every field has a name in JSON of its own, in snake case.
func TestFieldNames(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() { //nolint:exhaustive // others hold no fields
		case reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] || typ == reflect.TypeFor[time.Time]() {
				return
			}
			seen[typ] = true
			for f := range typ.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" || strings.ToLower(name) != name {
					t.Errorf("%s.%s is %q in JSON", typ, f.Name, name)
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Document]())
}

func TestCollectionEndsWithTheRequest(t *testing.T) {
	ended := make(chan struct{})
	sock := serve(t, func(ctx context.Context) Document {
		<-ctx.Done()
		close(ended)
		return Document{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Fetch(ctx, sock); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	<-ended
}

func TestFetchWithoutPlugin(t *testing.T) {
	if _, err := Fetch(t.Context(), filepath.Join(t.TempDir(), "none.sock")); err == nil {
		t.Error("no error")
	}
}

// TestFetchText: what another version tells beside is kept, what it does not tell is empty.
func TestFetchText(t *testing.T) {
	sock := serve(t, func(context.Context) Document { return Document{Version: "1.2.3"} })
	doc, text, err := FetchText(t.Context(), sock)
	if err != nil || doc.Version != "1.2.3" {
		t.Fatalf("%+v, %v", doc, err)
	}
	again, err := Decode(text)
	if diff := cmp.Diff(doc, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	other, err := Decode([]byte(`{"version": "2", "future": {"a": 1}, "networks": [{"endpoints": [{}]}]}`))
	if err != nil || other.LastErrors == nil || other.Networks[0].Endpoints[0].Addresses == nil {
		t.Errorf("%+v, %v", other, err)
	}
}

// FuzzDecode: whatever is read for a document has a health.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `[]`, `{"networks": [{"id": "x", "running": true, "members": [{"online": true}]}]}`, `{"faults": ["a", ""]}`, `{"transport": {"relays": [{"state": "failed"}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Decode(text)
		if h := Judge(d); err == nil && h.Healthy != (len(h.Degraded) == 0) {
			t.Errorf("%+v", h)
		}
	})
}

func TestThisProcess(t *testing.T) {
	p := ThisProcess()
	if p.Goroutines < 1 || p.Descriptors < 3 || p.ResidentBytes < 1<<20 {
		t.Errorf("%+v", p)
	}
}

func FuzzResidentBytes(f *testing.F) {
	f.Add([]byte("21391 1524 1183 6 0 388 0\n"))
	f.Add([]byte("1"))
	f.Add([]byte("1 10000000000000000000"))
	f.Add([]byte("1 9223372036854775807"))
	f.Add([]byte("1 -1"))
	f.Fuzz(func(t *testing.T, statm []byte) {
		resident, err := residentBytes(statm, 4096)
		if resident < 0 || resident%4096 != 0 || err != nil && resident != 0 {
			t.Errorf("%d bytes with error %v", resident, err)
		}
	})
}
