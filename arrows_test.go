// Package evio holds the tests of the source tree as a whole; it has no code.
package evio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// arrow forbids that packages at or below from reach packages at or below any of to,
// directly or through others.
type arrow struct {
	from string
	to   []string
	why  string
}

// arrows are the import rules of the tree: plugin → driver → {overlay, datapath}.
var arrows = []arrow{
	{
		from: "evio/overlay",
		to: []string{
			"evio/datapath", "evio/driver", "evio/plugin", "evio/integration",
			"github.com/pion", "github.com/songgao/water", "github.com/vishvananda", "github.com/digitalocean/go-openvswitch", "github.com/docker",
			"github.com/miekg",
		},
		why: "the overlay knows no OVS, no TAP, no pion, no Docker",
	},
	{
		from: "evio/datapath",
		to:   []string{"evio/overlay", "evio/driver", "evio/plugin", "evio/integration", "gosrc.io/xmpp", "github.com/docker", "github.com/miekg"},
		why:  "the datapath knows no ring and no signalling",
	},
	{from: "evio/driver", to: []string{"evio/plugin", "evio/integration"}, why: "imports go down only"},
	{
		from: "evio/internal",
		to:   []string{"evio/overlay", "evio/datapath", "evio/driver", "evio/plugin", "evio/integration"},
		why:  "what all may use knows none of them",
	},
	{from: "evio/plugin", to: []string{"evio/integration"}, why: "the product does not know its tests"},
	{
		from: "evio/integration/testbed",
		to:   []string{"evio/plugin", "evio/driver", "evio/overlay", "evio/datapath"},
		why:  "the testbed is a small internet, and the product is what is put into it",
	},
}

// graph is who imports whom.
type graph map[string][]string

// violations returns, for each arrow and each package that breaks it, one way on
// which it does.
func violations(g graph, rules []arrow) []string {
	var out []string
	for _, r := range rules {
		for _, from := range slices.Sorted(maps.Keys(g)) {
			if !below(from, r.from) {
				continue
			}
			for _, to := range r.to {
				if way := find(g, from, to); way != nil {
					out = append(out, fmt.Sprintf("%s: %s", strings.Join(way, " → "), r.why))
				}
			}
		}
	}
	return out
}

// find returns the shortest way from a package to one at or below target.
func find(g graph, from, target string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && below(at, target) {
			var way []string
			for p := at; p != ""; p = came[p] {
				way = append(way, p)
			}
			slices.Reverse(way)
			return way
		}
		for _, next := range g[at] {
			if _, seen := came[next]; !seen {
				came[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// below reports whether a package is root or under it. The tests of a package are a
// node of their own, "evio/x [test]".
func below(pkg, root string) bool {
	rest, ok := strings.CutPrefix(pkg, root)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == ' ')
}

// upward returns, for each package that imports one of its own ancestors in the tree,
// what it imports. The tests of a package may import the package itself.
func upward(g graph) []string {
	var out []string
	for _, from := range slices.Sorted(maps.Keys(g)) {
		pkg, _, _ := strings.Cut(from, " ")
		for _, to := range g[from] {
			if ours := below(to, "evio"); ours && to != pkg && below(pkg, to) {
				out = append(out, from+" → "+to)
			}
		}
	}
	return out
}

// load asks the go command for every package of the tree, its tests under every
// build tag, and all they depend on.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-test", "-tags", "component,e2e",
		"-json=ImportPath,Imports,TestImports,XTestImports,ForTest", "evio/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(b)); ; {
		var p struct {
			ImportPath, ForTest                string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") {
			continue // a variant that go test builds; its source is counted where it lies
		}
		g[p.ImportPath] = p.Imports
		if tests := slices.Concat(p.TestImports, p.XTestImports); len(tests) > 0 {
			g[p.ImportPath+" [test]"] = tests
		}
	}
}

// TestArrows holds the tree to its import rules.
func TestArrows(t *testing.T) {
	g := load(t)
	for _, root := range []string{"evio/plugin", "evio/overlay/nodeid", "evio/plugin [test]", "fmt"} {
		if _, ok := g[root]; !ok {
			t.Fatalf("%s is not in the graph of %d packages: the check sees nothing", root, len(g))
		}
	}
	for _, v := range violations(g, arrows) {
		t.Error(v)
	}
}

// TestViolations shows on a made-up tree that the check finds what it should, and
// nothing else.
func TestViolations(t *testing.T) {
	clean := graph{
		"evio/plugin":          {"evio/driver", "evio/plugin/config"},
		"evio/plugin/config":   {"fmt"},
		"evio/driver":          {"evio/overlay", "evio/datapath/tap", "github.com/docker/docker/client"},
		"evio/overlay":         {"evio/overlay/nodeid", "gosrc.io/xmpp/stanza"},
		"evio/overlay/nodeid":  {"fmt"},
		"evio/overlays":        {"evio/datapath/tap"}, // another word that begins alike
		"evio/datapath/tap":    {"github.com/songgao/water"},
		"evio/datapath [test]": {"evio/datapath/tap"},

		"evio/integration/docker [test]": {"evio/integration/testbed", "evio/plugin/config"},
		"evio/integration/testbed":       {"fmt"},
	}
	if got := violations(clean, arrows); len(got) != 0 {
		t.Errorf("a clean tree: %v", got)
	}
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"overlay to datapath", "evio/overlay/nodeid", "evio/datapath/tap", []string{
			"evio/overlay → evio/overlay/nodeid → evio/datapath/tap: the overlay knows no OVS, no TAP, no pion, no Docker",
			"evio/overlay → evio/overlay/nodeid → evio/datapath/tap → github.com/songgao/water: the overlay knows no OVS, no TAP, no pion, no Docker",
			"evio/overlay/nodeid → evio/datapath/tap: the overlay knows no OVS, no TAP, no pion, no Docker",
			"evio/overlay/nodeid → evio/datapath/tap → github.com/songgao/water: the overlay knows no OVS, no TAP, no pion, no Docker",
		}},
		{"pion through a stranger", "gosrc.io/xmpp/stanza", "github.com/pion/ice/v4", []string{
			"evio/overlay → gosrc.io/xmpp/stanza → github.com/pion/ice/v4: the overlay knows no OVS, no TAP, no pion, no Docker",
		}},
		{"datapath to overlay in a test", "evio/datapath [test]", "evio/overlay", []string{
			"evio/datapath [test] → evio/overlay: the datapath knows no ring and no signalling",
			"evio/datapath [test] → evio/overlay → gosrc.io/xmpp/stanza: the datapath knows no ring and no signalling",
		}},
		{"driver to plugin", "evio/driver", "evio/plugin/config", []string{
			"evio/driver → evio/plugin/config: imports go down only",
		}},
		{"product to its tests", "evio/plugin/config", "evio/integration/testbed", []string{
			"evio/plugin → evio/plugin/config → evio/integration/testbed: the product does not know its tests",
			"evio/plugin/config → evio/integration/testbed: the product does not know its tests",
		}},
		{"testbed to the product", "evio/integration/testbed", "evio/plugin/config", []string{
			"evio/integration/testbed → evio/plugin/config: the testbed is a small internet, and the product is what is put into it",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := maps.Clone(clean)
			g[c.from] = append(slices.Clone(g[c.from]), c.to)
			if diff := cmp.Diff(c.want, violations(g, arrows)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoPackageImportsItsParent holds the tree to its order: whoever reads a package
// finds what it needs beside it or beneath it.
func TestNoPackageImportsItsParent(t *testing.T) {
	for _, v := range upward(load(t)) {
		t.Errorf("%s: a package imports no folder that it lies in, so move what both need beside or below", v)
	}
}

// TestUpward shows on a made-up tree what counts as the import of a parent.
func TestUpward(t *testing.T) {
	got := upward(graph{
		"evio/driver":                {"evio/driver/network", "evio/driver/plane"},
		"evio/driver [test]":         {"evio/driver", "evio/driver/drivertest"},
		"evio/driver/network":        {"evio/driver/plane", "evio/overlay"},
		"evio/driver/network [test]": {"evio/driver", "evio/driver/network"},
		"evio/driver/network/loop":   {"evio/driver", "evio/driver/net"},
		"github.com/a/b/c":           {"github.com/a/b"},
	})
	want := []string{"evio/driver/network [test] → evio/driver", "evio/driver/network/loop → evio/driver"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
