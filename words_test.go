package evio

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bannedNames are old names, in lower case, each with the one that replaced it. No type,
// function, method, field, constant or variable of a package may have one of them, whatever
// its case. docs/GLOSSARY.md has the words to use.
var bannedNames = map[string]string{
	"pilot":     "driver of what it drives, as pathDriver",
	"tenant":    "TURN client",
	"guests":    "TURN admission",
	"lease":     "allocation",
	"hired":     "TURN client",
	"rented":    "allocation",
	"finder":    "search",
	"hearing":   "receiver, or reply",
	"telling":   "sender",
	"letter":    "envelope, or message",
	"letters":   "envelopes, or messages",
	"blame":     "complain",
	"twin":      "duplicate",
	"sift":      "removeIf",
	"bury":      "remove what failed to be removed",
	"meant":     "suggestion, as didYouMean",
	"outline":   "what is scanned",
	"applicant": "what is asked for",
	"thing":     "what it is",
}

// TestWords checks the names and the comments of all Go files.
func TestWords(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, filepath.ToSlash(path), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		seen++
		for _, fault := range misworded(set, f) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("%d files: the check sees nothing", seen)
	}
}

// misworded returns the banned names that a file declares and the banned phrases in its comments.
func misworded(set *token.FileSet, f *ast.File) []string {
	var out []string
	say := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%s: %s", set.Position(n.Pos()), what))
	}
	for _, name := range declared(f) {
		if instead := bannedNames[strings.ToLower(name.Name)]; instead != "" {
			say(name, fmt.Sprintf("the name %s: use %s", name.Name, instead))
		}
	}
	for _, comment := range f.Comments {
		for paragraph := range strings.SplitSeq(comment.Text(), "\n\n") {
			for _, phrase := range foreignIn(strings.Join(strings.Fields(paragraph), " ")) {
				say(comment, phrase)
			}
		}
	}
	return out
}

// declared returns the names that a file declares outside of function bodies: types, functions,
// methods, fields, constants and variables.
func declared(f *ast.File) []*ast.Ident {
	var all []*ast.Ident
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			all = append(all, n.Name)
			return false
		case *ast.TypeSpec:
			all = append(all, n.Name)
		case *ast.ValueSpec:
			all = append(all, n.Names...)
		case *ast.Field:
			all = append(all, n.Names...)
		}
		return true
	})
	return all
}

// TestMisworded shows that the check finds what it should, and nothing else.
func TestMisworded(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         []string
	}{
		{"all is well", "package x\n\n// f is called by whoever has it, and rows are told apart by it.\nfunc f(n int) {}", nil},
		{"a local name", "package x\n\nfunc f() { letter := 'a'; _ = letter }", nil},
		{"a function", "package x\n\nfunc blame() {}", []string{"x.go:3:6: the name blame: use complain"}},
		{"a type", "package x\n\ntype Lease int", []string{"x.go:3:6: the name Lease: use allocation"}},
		{"a field", "package x\n\ntype s struct{ finder int }", []string{"x.go:3:16: the name finder: use search"}},
		{"a variable", "package x\n\nvar a, telling int", []string{"x.go:3:8: the name telling: use sender"}},
		{"a comment of two lines", "package x\n\n// f is of no\n// use.\nfunc f() {}", []string{`x.go:3:1: "of no use": write does not work, is not usable`}},
		{"a comment in a function", "package x\n\nfunc f() {\n\t_ = 1 // likewise\n}", []string{`x.go:4:8: "likewise": write in the same way, or say it again`}},
		{"a phrase beside one that is allowed", "package x\n\n// A peer is told anew.\nvar a int", []string{`x.go:3:1: "is told an": write is reported, is notified, is sent`}},
		{"a second paragraph", "package x\n\n// f does it.\n//\n// Who has it knows.\nfunc f() {}", []string{`x.go:3:1: "Who has it knows.": write whoever, or a member that`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, "x.go", c.source, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, misworded(set, f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
