package evio

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// card is what evio is built from, each package with its module.
var card = map[string]string{
	"github.com/docker/go-plugins-helpers":   "github.com/docker/go-plugins-helpers",
	"github.com/docker/docker/client":        "github.com/docker/docker",
	"github.com/pion/webrtc/v4":              "github.com/pion/webrtc/v4",
	"github.com/songgao/water":               "github.com/songgao/water",
	"github.com/vishvananda/netlink":         "github.com/vishvananda/netlink",
	"github.com/digitalocean/go-openvswitch": "github.com/digitalocean/go-openvswitch",
	"gosrc.io/xmpp":                          "gosrc.io/xmpp",
	"github.com/sirupsen/logrus":             "github.com/sirupsen/logrus",
}

// required are the modules that a go.mod requires by itself.
func required(t *testing.T, file string) []string {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(b, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	return direct
}

// missing returns what of the card is no direct requirement, or imported by no package of
// the product: neither a test nor what serves tests counts.
func missing(g graph, direct []string) []string {
	var out []string
	for _, pkg := range slices.Sorted(maps.Keys(card)) {
		used := false
		for from, imports := range g {
			if !below(from, "evio") || below(from, "evio/integration") || strings.HasSuffix(from, " [test]") {
				continue
			}
			used = used || slices.ContainsFunc(imports, func(to string) bool { return below(to, pkg) })
		}
		if !used {
			out = append(out, pkg+" is not imported")
		}
		if !slices.Contains(direct, card[pkg]) {
			out = append(out, card[pkg]+" is not required")
		}
	}
	return out
}

// TestCard: evio is built from what it is said to be built from.
func TestCard(t *testing.T) {
	for _, m := range missing(load(t), required(t, "go.mod")) {
		t.Error(m)
	}
}

// TestMissing shows on a made-up tree that the check finds what it should.
func TestMissing(t *testing.T) {
	var direct []string
	g := graph{}
	for pkg, module := range card {
		direct = append(direct, module)
		g["evio/plugin"] = append(g["evio/plugin"], pkg)
	}
	if got := missing(g, direct); len(got) > 0 {
		t.Errorf("a whole card: %v", got)
	}
	const gone = "github.com/pion/webrtc/v4"
	others := func(p string) bool { return p == gone }
	direct = slices.DeleteFunc(direct, others)
	g["evio/plugin"] = slices.DeleteFunc(g["evio/plugin"], others)
	g["evio/plugin [test]"], g["evio/integration/probe"], g["strangers"] = []string{gone}, []string{gone}, []string{gone}
	want := []string{gone + " is not imported", gone + " is not required"}
	if diff := cmp.Diff(want, missing(g, direct)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
