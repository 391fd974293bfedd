package evio

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quotedConstant is a row of the table at the end of PROTOCOL.md.
var quotedConstant = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)\\.(\\w+)` \\| (.+) \\|$")

// TestProtocolQuotesTheCode compares every constant that PROTOCOL.md quotes with its
// declaration.
func TestProtocolQuotesTheCode(t *testing.T) {
	rows := quotedConstant.FindAllStringSubmatch(read(t, "docs/PROTOCOL.md"), -1)
	if len(rows) < 100 {
		t.Fatalf("%d constants found in the text: the test sees nothing", len(rows))
	}
	code := &sources{std: importer.Default(), checked: map[string]*types.Package{}}
	for _, row := range rows {
		pkg, err := code.Import("evio/" + row[1])
		if err != nil {
			t.Errorf("%s: %v", row[1], err)
			continue
		}
		c, ok := pkg.Scope().Lookup(row[2]).(*types.Const)
		if !ok || c.Val().Kind() == constant.Unknown {
			t.Errorf("%s has no constant %s", row[1], row[2])
			continue
		}
		if got := spell(c); !equal(row[3], got) {
			t.Errorf("%s.%s is %s in the text and %s in the code", row[1], row[2], row[3], got)
		}
	}
}

// spell writes a constant as the text does.
func spell(c *types.Const) string {
	if c.Type().String() == "time.Duration" {
		if n, ok := constant.Int64Val(c.Val()); ok {
			return time.Duration(n).String()
		}
	}
	return c.Val().ExactString()
}

// equal compares numbers and strings by their spelling and durations by their value.
func equal(text, code string) bool {
	if text == code {
		return true
	}
	a, errA := time.ParseDuration(text)
	b, errB := time.ParseDuration(code)
	return errA == nil && errB == nil && a == b
}

// sources type-checks packages of the tree without their tests. Whatever else they
// import is empty, except for the standard library: constants do not depend on it.
type sources struct {
	std     types.Importer
	checked map[string]*types.Package
}

func (s *sources) Import(path string) (*types.Package, error) {
	if p := s.checked[path]; p != nil {
		return p, nil
	}
	dir, ours := strings.CutPrefix(path, "evio/")
	if !ours {
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
			return nil, errors.New("not of this tree")
		}
		return s.std.Import(path)
	}
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
	if err != nil || len(names) == 0 {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: s, IgnoreFuncBodies: true, Error: func(error) {}} // the compiler's matter
	p, _ := conf.Check(path, fset, files, nil)
	s.checked[path] = p
	return p, nil
}

// quotedPath is a file or folder of the tree in backquotes, as far as one can tell.
var quotedPath = regexp.MustCompile("`((?:driver|overlay|datapath|internal|plugin|integration|docs|rootfs|\\.ci)/[\\w./-]+)`")

// TestDocsNameWhatThereIs looks for the files and folders that the documents name.
func TestDocsNameWhatThereIs(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range quotedPath.FindAllStringSubmatch(read(t, doc), -1) {
			path := m[1]
			if quotedConstant.MatchString("| `" + path + "` | x |") {
				continue // package.Constant
			}
			if _, err := os.Stat(filepath.FromSlash(path)); err != nil {
				t.Errorf("%s names %s: %v", doc, path, err)
			}
		}
	}
}

// namedTest is a test that a document names, and testFunction one that there is.
var (
	namedTest    = regexp.MustCompile("`((?:Test|Benchmark|Fuzz)\\w+)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
)

// TestSecurityIsShown looks for the tests that SECURITY.md names. Each claim of what an
// adversary cannot do has one.
func TestSecurityIsShown(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range testFunction.FindAllStringSubmatch(read(t, path), -1) {
			there[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	claims, shown := false, 0
	for line := range strings.Lines(read(t, "docs/SECURITY.md")) {
		named := namedTest.FindAllStringSubmatch(line, -1)
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("SECURITY.md names %s, which is no test", m[1])
			}
		}
		switch {
		case strings.HasSuffix(strings.TrimSpace(line), "| because | shown by |"):
			claims = true
		case !strings.HasPrefix(line, "|"):
			claims = false
		case claims && !strings.HasPrefix(line, "|--"):
			if shown++; len(named) == 0 {
				t.Errorf("SECURITY.md has no test for %s", line)
			}
		}
	}
	if shown < 20 {
		t.Errorf("SECURITY.md has %d claims, so its tables are not found", shown)
	}
}

// packageRow is a row of the table of packages in ARCHITECTURE.md.
var packageRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| ")

// TestArchitectureKnowsThePackages compares the table of packages with the tree, except
// for the fakes of tests, whose names end in test.
func TestArchitectureKnowsThePackages(t *testing.T) {
	text := read(t, "docs/ARCHITECTURE.md")
	_, text, _ = strings.Cut(text, "\n## Packages\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var named []string
	for _, m := range packageRow.FindAllStringSubmatch(text, -1) {
		named = append(named, m[1])
	}
	slices.Sort(named)
	there := map[string]bool{}
	for _, root := range []string{"plugin", "driver", "overlay", "datapath", "internal", "wall"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			dir := filepath.ToSlash(filepath.Dir(path))
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(dir, "test") {
				there[dir] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(there)), named); diff != "" {
		t.Errorf("packages of the tree (-) and of the table (+):\n%s", diff)
	}
}

// TestArchitectureIsShort: whoever is new reads all of it.
func TestArchitectureIsShort(t *testing.T) {
	if lines := strings.Count(read(t, "docs/ARCHITECTURE.md"), "\n"); lines > 250 {
		t.Errorf("docs/ARCHITECTURE.md has %d lines: move what a newcomer does not need to docs/decisions", lines)
	}
}

// placeInCode is a file that the table of what to add names, with what to look for in it.
var placeInCode = regexp.MustCompile("`([\\w./-]+\\.go)` \\(([^)]*)\\)")

// TestArchitectureSaysWhereToAdd looks for the declarations that the table of what to add names.
func TestArchitectureSaysWhereToAdd(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/ARCHITECTURE.md"), "\n## How to add\n")
	named := 0
	for _, m := range placeInCode.FindAllStringSubmatch(text, -1) {
		code := read(t, m[1])
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[2], -1) {
			named++
			declaration := `(?m)^(func (\([^)]*\) )?|type |var |\t)` + name[1] + `\b`
			if !regexp.MustCompile(declaration).MatchString(code) {
				t.Errorf("%s declares no %s", m[1], name[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("%d names found in the table: the test sees nothing", named)
	}
}

// documents returns the paths of all pages, from the root of the tree.
func documents(t *testing.T) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no page is %s (%v): the test sees nothing", pattern, err)
		}
		for _, page := range found {
			pages = append(pages, filepath.ToSlash(page))
		}
	}
	return pages
}

// link is a link of a page: its path, which is empty within the page, and its anchor.
var link = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([a-z0-9-]+))?\)`)

// TestLinksLead looks for the files and headings that links name.
func TestLinksLead(t *testing.T) {
	for _, page := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := page
			if m[1] != "" {
				target = path.Join(path.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[0])
			} else if m[2] != "" && !anchors(read(t, target))[m[2]] {
				t.Errorf("%s: no heading for %s", page, m[0])
			}
		}
	}
}

// notInAnchor is what GitHub leaves out of a heading to make its anchor.
var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchors returns the anchors of a page's headings.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			found[strings.ReplaceAll(notInAnchor.ReplaceAllString(heading, ""), " ", "-")] = true
		}
	}
	return found
}

// TestOperationsKnowTheFailures counts the rows of the table of failures, and asks of each what
// happens and which file does it.
func TestOperationsKnowTheFailures(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/OPERATIONS.md"), "\n## Failures\n")
	text, _, _ = strings.Cut(text, "\n## ")
	rows := 0
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || cells[4] == " where " || strings.HasPrefix(cells[1], "--") {
			continue
		}
		rows++
		if strings.TrimSpace(cells[2]) == "" || !quotedPath.MatchString(cells[4]) {
			t.Errorf("no effect or no place in the code: %s", line)
		}
	}
	if rows < 93 {
		t.Errorf("%d failures, and once there were 93: which one is lost?", rows)
	}
}

// TestDecisionsAreListed compares the index of the decisions with the folder.
func TestDecisionsAreListed(t *testing.T) {
	listed := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^- \[(\d{3})\]\((\d{3}-[^)]+\.md)\): (.+)$`).FindAllStringSubmatch(read(t, "docs/decisions/README.md"), -1) {
		if !strings.HasPrefix(m[2], m[1]) {
			t.Errorf("%s is listed as %s", m[2], m[1])
		}
		listed["docs/decisions/"+m[2]] = m[3]
	}
	for _, page := range documents(t) {
		if path.Dir(page) != "docs/decisions" || path.Base(page) == "README.md" {
			continue
		}
		heading, _, _ := strings.Cut(read(t, page), "\n")
		if want := strings.TrimPrefix(heading, "# "); listed[page] != want {
			t.Errorf("%s is listed as %q, and its heading is %q", page, listed[page], want)
		}
		delete(listed, page)
	}
	for page := range listed {
		t.Errorf("%s is listed and is not there", page)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
