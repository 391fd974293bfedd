package evio

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// counted are the names of all drop counters of networks, tunnels and the UDP socket, as
// the code has them.
func counted(t *testing.T) []string {
	t.Helper()
	names := map[string]bool{}
	add := func(prefix string, found []string) {
		if len(found) == 0 {
			t.Fatalf("no counters with prefix %q found: the test sees nothing", prefix)
		}
		for _, name := range found {
			names[prefix+name] = true
		}
	}
	add("", texts(t, "datapath/drops/drops.go", "names"))
	add("", texts(t, "overlay/drops.go", "byCause"))
	add("", texts(t, "driver/network/counters.go", "byCause"))
	add("", texts(t, "plugin/status.go", "transportDrops"))
	add("bridge-", texts(t, "datapath/ovs/drops.go", "causes"))
	add("flood-", slices.DeleteFunc(texts(t, "overlay/flood/stats.go", "String"), func(s string) bool { return s == "none" || s == "unknown" }))
	add("", assigned(t, "overlay", "driver/network"))
	return slices.Sorted(maps.Keys(names))
}

// texts returns the strings in the declaration of a function or variable.
func texts(t *testing.T, path, name string) []string {
	t.Helper()
	var out []string
	for _, decl := range source(t, path).Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name {
				out = append(out, strs(d.Body)...)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && v.Names[0].Name == name {
					out = append(out, strs(v)...)
				}
			}
		}
	}
	return out
}

func source(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func strs(n ast.Node) []string {
	var out []string
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}

// assigned returns the names X of all Drops["X"] in some folders.
func assigned(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			ast.Inspect(source(t, path), func(n ast.Node) bool {
				at, ok := n.(*ast.IndexExpr)
				if !ok {
					return true
				}
				of, ok := at.X.(*ast.SelectorExpr)
				lit, constant := at.Index.(*ast.BasicLit)
				if ok && constant && of.Sel.Name == "Drops" {
					out = append(out, strs(lit)...)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestCausesAreClassified: driver/status says of every counter whether it means a loss.
func TestCausesAreClassified(t *testing.T) {
	var rows []string
	for _, decl := range source(t, "driver/status/causes.go").Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || v.Names[0].Name != "causes" {
				continue
			}
			for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
				rows = append(rows, strs(e.(*ast.KeyValueExpr).Key)...)
			}
		}
	}
	slices.Sort(rows)
	if diff := cmp.Diff(counted(t), rows); diff != "" {
		t.Errorf("counters of the code (-) and rows of driver/status/causes.go (+):\n%s", diff)
	}
}

// TestCausesAreDocumented: PROTOCOL.md has every counter in its table.
func TestCausesAreDocumented(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/PROTOCOL.md"), "\n## What is refused and counted\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var named []string
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z_-]+)`").FindAllStringSubmatch(cells[1], -1) {
				named = append(named, m[1])
			}
		}
	}
	slices.Sort(named)
	if diff := cmp.Diff(counted(t), named); diff != "" {
		t.Errorf("counters of the code (-) and of the text (+):\n%s", diff)
	}
}
