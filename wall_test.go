package evio

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// timeless are the folders whose packages get the time from their callers: the time that they
// sign, and compare with what other machines say, comes from a wall.Clock.
var timeless = []string{"overlay/clocks", "overlay/contact", "overlay/control", "overlay/directory", "overlay/flood", "overlay/moves", "overlay/sites", "overlay/symphony", "overlay/symphonytest"}

// numbers are the places outside of package wall that make a number of a time, which no
// other machine gets to see.
var numbers = map[string]string{
	"overlay/symphonytest/network.go":      "virtual time",
	"plugin/resolver/watch.go":             "tells two states of a file apart",
	"datapath/ovs/apply.go":                "a mark in the switch that is compared with itself",
	"datapath/turn/credentials.go":         "the expiry that it is given is wall time",
	"datapath/session/connect/identity.go": "the beginning of all time, in a certificate whose dates nobody looks at",
}

// misread returns what a file of the product does with the machine's clock that package
// wall is for.
func misread(set *token.FileSet, path string, f *ast.File) []string {
	var out []string
	say := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%s:%d: %s", path, set.Position(n.Pos()).Line, what))
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	untold := slices.Contains(timeless, dir)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			switch of, _ := n.X.(*ast.Ident); {
			case untold && of != nil && of.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, n.Sel.Name):
				say(n, "time."+n.Sel.Name+": the caller says what time it is")
			case slices.Contains([]string{"Unix", "UnixMilli", "UnixMicro", "UnixNano"}, n.Sel.Name) && numbers[path] == "":
				say(n, n.Sel.Name+": use wall.Milliseconds, of a wall time")
			}
		case *ast.CallExpr:
			if of, ok := n.Fun.(*ast.SelectorExpr); ok && of.Sel.Name == "Round" && len(n.Args) == 1 {
				if by, ok := n.Args[0].(*ast.BasicLit); ok && by.Value == "0" {
					say(n, "Round(0): use wall.At")
				}
			}
		case *ast.CompositeLit:
			if of, ok := n.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Config" {
				if pkg, ok := of.X.(*ast.Ident); ok && pkg.Name == "tls" && !byWall(n) {
					say(n, "tls.Config without Time: wall.Now")
				}
			}
		}
		return true
	})
	return out
}

// byWall reports whether a tls.Config judges certificates by wall time.
func byWall(config *ast.CompositeLit) bool {
	return slices.ContainsFunc(config.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		key, _ := pair.Key.(*ast.Ident)
		value, _ := pair.Value.(*ast.SelectorExpr)
		if key == nil || value == nil || key.Name != "Time" {
			return false
		}
		of, _ := value.X.(*ast.Ident)
		return of != nil && of.Name == "wall" && value.Sel.Name == "Now"
	})
}

// TestWallTime: what is signed, or compared with another machine's time, comes from
// package wall, and certificates are judged by it.
func TestWallTime(t *testing.T) {
	seen, used := 0, map[string]bool{}
	for _, root := range []string{"datapath", "driver", "overlay", "plugin"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			path = filepath.ToSlash(path)
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			seen++
			used[path] = true
			for _, m := range misread(set, path, f) {
				t.Error(m)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("%d files: the check sees nothing", seen)
	}
	for path := range numbers {
		if !used[path] {
			t.Errorf("%s is excepted and does not exist", path)
		}
	}
}

// TestMisread shows that the check finds what it should, and nothing else.
func TestMisread(t *testing.T) {
	const good = `package x
func f(now time.Time) { _ = wall.Milliseconds(wall.At(now)); _ = &tls.Config{Time: wall.Now}; _ = time.After(1) }`
	for _, c := range []struct {
		name, path, source string
		want               []string
	}{
		{"all is well", "overlay/contact/x.go", good, nil},
		{"a timer is the machine's own", "overlay/node.go", "package x\nvar _ = time.Now()", nil},
		{"a core reads the clock", "overlay/contact/x.go", "package x\nvar _ = time.Now()", []string{"overlay/contact/x.go:2: time.Now: the caller says what time it is"}},
		{"a number of any time", "overlay/node.go", "package x\nvar _ = now.UnixMilli()", []string{"overlay/node.go:2: UnixMilli: use wall.Milliseconds, of a wall time"}},
		{"a time of any number", "overlay/node.go", "package x\nvar _ = time.UnixMilli(1)", []string{"overlay/node.go:2: UnixMilli: use wall.Milliseconds, of a wall time"}},
		{"wall time by hand", "overlay/node.go", "package x\nvar _ = now.Round(0)", []string{"overlay/node.go:2: Round(0): use wall.At"}},
		{"certificates by another clock", "plugin/x.go", "package x\nvar _ = &tls.Config{Time: time.Now}\nvar _ = tls.Config{}", []string{
			"plugin/x.go:2: tls.Config without Time: wall.Now", "plugin/x.go:3: tls.Config without Time: wall.Now",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, c.path, c.source, 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, misread(set, c.path, f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
