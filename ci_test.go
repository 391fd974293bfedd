package evio

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// script runs a script of .ci in a folder, without the settings of the run that this
// test is part of.
func script(t *testing.T, folder, name string, args ...string) (out string, failed bool) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(".ci", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = folder
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "EVIO_CI_") })
	b, err := cmd.CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended { //nolint:errorlint // it is not wrapped
		t.Fatal(err)
	}
	return string(b), err != nil
}

// TestGotest: the script that runs the tests fails where one is missing, skipped or red.
func TestGotest(t *testing.T) {
	folder := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":       "module try\n\ngo 1.26\n",
		"none/none.go": "package none\n",
		"a/a_test.go":  "package a\n\nimport \"testing\"\n\nfunc TestOne(*testing.T) {}\n\nfunc TestOther(t *testing.T) { t.Run(\"part\", func(*testing.T) {}) }\n",
		"b/b_test.go":  "package b\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestLong(t *testing.T) {\n\tt.Run(\"part\", func(*testing.T) { <-time.After(1100 * time.Millisecond) })\n}\n",
		"c/c_test.go":  "package c\n\nimport \"testing\"\n\nfunc TestSkip(t *testing.T) { t.Skip" + "Now() }\n\nfunc TestRed(t *testing.T) { t.Error(\"why\") }\n",
	} {
		path := filepath.Join(folder, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   string
		failed bool
		want   string // in what is printed
	}{
		{"-run ^(TestOne|TestOther)$ ./...", false, "[no tests to run]"},
		{"-run ^Test(One|Other)$/part ./...", false, ""},
		{"-run=TestOne|TestLong ./...", false, "the slowest tests:"},
		{"-run ^TestLong$ ./...", false, "s  TestLong/part"},
		{"-run ^(TestOne|TestGone)$ ./...", true, "no test matches ^TestGone$ of -run"},
		{"-run ^Test(One|Oth)$ ./...", true, "no test matches ^TestOth$ of -run"},
		{"-run TestGone|TestOne ./...", true, "no test matches TestGone of -run"},
		{"-run ^TestGone$ ./...", true, "no test ran"},
		{"-run ^TestSkip$ ./...", true, "1 tests were skipped"},
		{"-run ^TestRed$ ./...", true, "why"},
		{"./none", true, "no test ran"},
		{"./a ./b", false, "the slowest tests:"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, failed := script(t, folder, "gotest", strings.Fields(c.args)...)
			if failed != c.failed || !strings.Contains(out, c.want) {
				t.Errorf("failed: %t, want %t, and %q in:\n%s", failed, c.failed, c.want, out)
			}
		})
	}
}

// TestPipes: make lint finds pipes that fail now and then.
func TestPipes(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		line string
		bad  bool
	}{
		{"curl X | grep -q yes", true},
		{"curl X | grep -F -q yes", true},
		{"curl X |\n  grep -qxF yes", true},
		{"x=$(curl X 2>&1 | head -n 1)", true},
		{"curl X | grep --max-count 1 yes", true},
		{"curl X |& egrep -m1 yes", true},
		{"curl X | sort | sed -n '1p;2q'", true},
		{"curl X | awk '/yes/ { exit 1 }'", true},
		{"grep -q yes <<<\"$text\"", false},
		{"curl X || grep -q yes file", false},
		{"curl X | grep yes | wc -l", false},
		{"# curl X | grep -q yes", false},
		{"curl X | sed 's/quick//'", false},
	} {
		for _, pipefail := range []bool{true, false} {
			file := filepath.Join(folder, "script")
			head := "#!/bin/sh\nset -eu\n"
			if pipefail {
				head = "#!/bin/bash\nset -euo pipefail\n"
			}
			if err := os.WriteFile(file, []byte(head+c.line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, failed := script(t, ".", "pipes", file); failed != (c.bad && pipefail) {
				t.Errorf("%q, pipefail %t: failed %t: %s", c.line, pipefail, failed, out)
			}
		}
	}
}

var (
	// lanePattern is a variable of the Makefile that says which end-to-end tests a lane runs.
	lanePattern = regexp.MustCompile(`(?m)^[A-Z]+ := (\^Test.*)\$\$$`)
	// otherLanes are the folders of integration/ that the e2e target leaves to other lanes.
	otherLanes = regexp.MustCompile(`grep -vE '/\(([a-z|]+)\)\$\$'\)`)
)

// TestLanes: each end-to-end test runs in a lane. What no lane names runs in e2e, except in
// folders that e2e leaves out.
func TestLanes(t *testing.T) {
	makefile := read(t, "Makefile")
	var named []*regexp.Regexp
	for _, m := range lanePattern.FindAllStringSubmatch(makefile, -1) {
		named = append(named, regexp.MustCompile(m[1]+"$"))
	}
	left := otherLanes.FindStringSubmatch(makefile)
	if len(named) == 0 || left == nil {
		t.Fatalf("%d patterns of lanes and folders %q: the test sees nothing", len(named), left)
	}
	for folder := range strings.SplitSeq(left[1], "|") {
		tests := 0
		err := filepath.WalkDir(filepath.Join("integration", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, m := range testFunction.FindAllStringSubmatch(read(t, path), -1) {
				tests++
				if !slices.ContainsFunc(named, func(p *regexp.Regexp) bool { return p.MatchString(m[1]) }) {
					t.Errorf("%s: no lane of the Makefile runs %s", path, m[1])
				}
			}
			return nil
		})
		if err != nil || tests == 0 {
			t.Errorf("integration/%s: %d tests, %v", folder, tests, err)
		}
	}
}

// TestDeadcode: make lint tells what nothing calls from what only tests call, and holds the
// list of exceptions to what is true. The tool is a stand-in.
func TestDeadcode(t *testing.T) {
	const waiting = "evio/overlay/symphony.NextHop lookup.go:20\nevio/overlay/symphony.between circle.go:22\nevio/overlay/symphony.distance.less circle.go:30\n"
	for _, c := range []struct {
		name, everywhere, product string
		want                      string // in what is printed; "": it passes
	}{
		{"only what waits", "", waiting, ""},
		{"in packages for tests", "", waiting + "evio/driver/drivertest.New x.go:1\nevio/integration/testbed.New x.go:1\n", ""},
		{"nothing calls it", "evio/wall.Never x.go:1\n", waiting, "nothing calls these:\nevio/wall.Never x.go:1"},
		{"only tests call it", "", waiting + "evio/wall.Seldom x.go:1\n", "only tests call these; move them into the tests:\nevio/wall.Seldom x.go:1"},
		{"the list is out of date", "", strings.Replace(waiting, "evio/overlay/symphony.NextHop lookup.go:20\n", "", 1), "they are reached or gone:\nevio/overlay/symphony.NextHop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "deadcode")
			text := "#!/bin/sh\ncase \" $* \" in\n*' -test '*) cat <<'EOF'\n" + c.everywhere + "EOF\n;;\n*) cat <<'EOF'\n" + c.product + "EOF\n;;\nesac\n"
			if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			out, failed := script(t, ".", "deadcode", program)
			if failed != (c.want != "") || !strings.Contains(out, c.want) {
				t.Errorf("failed: %t, want %q in:\n%s", failed, c.want, out)
			}
		})
	}
}
