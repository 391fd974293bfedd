package evio

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryFuzzTargetRuns: the script behind make fuzz finds what the compiler would.
func TestEveryFuzzTargetRuns(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), ".ci/fuzz", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	want := fuzzTargets(t, ".")
	if len(want) == 0 {
		t.Fatal("the tree has no fuzz target: this test sees nothing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// decoders are what takes bytes from elsewhere, each with the targets that feed it. Every
// fuzz target stands here.
var decoders = map[string][]string{
	"datagrams":                     {"datapath/session FuzzDatagram", "datapath/icemux FuzzParseMessage", "datapath/udp FuzzReadControl", "datapath/udp FuzzSplit"},
	"datagrams with DTLS":           {"datapath/session/connect FuzzHandshake"},
	"session parameters":            {"datapath/session/connect FuzzParseParameters", "datapath/session/path FuzzParseCandidate", "datapath/session/path FuzzCandidates"},
	"proofs of a secret":            {"datapath/proof FuzzHear"},
	"records":                       {"datapath/record FuzzOpen", "datapath/record FuzzParse", "datapath/record FuzzRejoin", "datapath/session FuzzPlaintext"},
	"rekey messages":                {"datapath/session/rekey FuzzRekey"},
	"answers of TURN servers":       {"datapath/turn FuzzRead", "datapath/turn FuzzStream"},
	"frames":                        {"datapath/packet FuzzFrame", "datapath/packet FuzzLoopProbe", "datapath/frame FuzzParse", "datapath/frame FuzzCutter", "datapath/frame FuzzMerger", "datapath/frame FuzzViews", "datapath/tap FuzzHeader", "datapath/filter FuzzParse", "driver/network/admission FuzzPeer"},
	"control messages":              {"overlay/control FuzzReceive", "overlay/symphony FuzzParseMessage", "overlay/directory FuzzParse", "overlay/moves FuzzParse", "overlay/clocks FuzzTake", "overlay/sites FuzzParse", "overlay FuzzSplitRecords"},
	"flood headers":                 {"overlay/flood FuzzParseHeader"},
	"signalling payloads":           {"overlay/signal FuzzPayload", "overlay/member FuzzExtension", "overlay/member FuzzDuplicateMessage", "overlay/contact FuzzOpen"},
	"what XMPP servers say":         {"overlay/signal FuzzLogin", "overlay/signal FuzzReader", "overlay/signal FuzzRoom", "overlay/signal FuzzOutline"},
	"JIDs":                          {"overlay/signal FuzzJID"},
	"node IDs as text":              {"overlay/nodeid FuzzParse"},
	"stored networks":               {"driver FuzzNetworkRecord", "internal/store FuzzDecode"},
	"stored endpoints":              {"driver FuzzEndpointRecord"},
	"stored pins":                   {"overlay/member FuzzPin"},
	"stored identity":               {"overlay/identity FuzzLoad"},
	"stored claims":                 {"overlay/directory FuzzKnown"},
	"configuration file":            {"plugin/config FuzzDecode"},
	"URIs of TURN servers":          {"datapath/turn FuzzParseURI"},
	"environment":                   {"plugin/config FuzzEnvironment"},
	"hosts file":                    {"plugin/resolver FuzzHosts"},
	"resolv.conf":                   {"plugin/resolver FuzzConfiguration"},
	"answers of DNS servers":        {"plugin/resolver FuzzAnswer", "plugin/resolver FuzzOrder"},
	"network options":               {"driver FuzzNetworkOptions"},
	"endpoint options":              {"driver FuzzEndpointOptions"},
	"calls of the engine":           {"driver FuzzRequest"},
	"requests about peers":          {"driver/status FuzzPeerRequest"},
	"status documents":              {"driver/status FuzzDecode", "plugin/view FuzzPrint"},
	"what Open vSwitch prints":      {"datapath/ovs FuzzFlowDump", "datapath/ovs FuzzRows"},
	"OpenFlow messages of a switch": {"datapath/ovs FuzzReadAnswers"},
	"aliases of devices":            {"driver/network/device FuzzReadMark"},
	"files of /proc":                {"plugin/confine FuzzMounts", "driver/status FuzzResidentBytes", "datapath/udp FuzzReadHolder"},
}

// TestEveryDecoderHasAFuzzTarget: none of them is renamed or removed unseen, and none is new
// without a line that says what it feeds.
func TestEveryDecoderHasAFuzzTarget(t *testing.T) {
	listed := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(decoders))...)))
	if diff := cmp.Diff(fuzzTargets(t, "."), listed); diff != "" {
		t.Errorf("fuzz targets of the tree (-) and of the decoders (+):\n%s", diff)
	}
}

// fuzzTargets returns "folder name" of every fuzz target below root, sorted.
func fuzzTargets(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "dist"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				found = append(found, filepath.Dir(path)+" "+f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
