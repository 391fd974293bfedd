package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"
)

// lines is a format of files that have the ID and then the text, one line each.
var lines = Format{
	Name: func(id string) string { return id + ".json" },
	Decode: func(b []byte) (Record, error) {
		id, text, ok := strings.Cut(string(b), "\n")
		if !ok {
			return Record{}, errors.New("one line")
		}
		body, err := json.Marshal(object{Text: text})
		return Record{ID: id, Body: body}, err
	},
}

func openOld(t *testing.T, dir string) *Store {
	t.Helper()
	logger, _ := test.NewNullLogger()
	s, err := Open(Config{Dir: dir, Kinds: []string{"network"}, Log: logger.WithField("part", "store"), Old: &lines})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOldFormat: objects in files of an old format are there, and a Put replaces the file.
func TestOldFormat(t *testing.T) {
	dir := t.TempDir()
	s := openOld(t, dir)
	for id, content := range map[string]string{"one": "one\n1", "two": "two\n2", "hurt": "hurt", "three": "two\n3"} {
		if err := os.WriteFile(filepath.Join(dir, "network", id+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]object{"one": {Text: "1"}, "two": {Text: "2"}}, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
	if got := s.Damage("network"); len(got) != 2 || filepath.Base(got[0].Path) != "hurt.json" || got[0].Why == nil || got[0].Aside == "" {
		t.Errorf("damage %+v", got)
	}
	put(t, s, "one", object{Text: "new"})
	if body, err := s.Get("network", "two"); string(body) != `{"name":"","text":"2"}` || err != nil {
		t.Errorf("%s, %v", body, err)
	}
	if err := s.Delete("network", "two"); err != nil {
		t.Error(err)
	}
	s = openOld(t, dir)
	if diff := cmp.Diff(map[string]object{"one": {Text: "new"}}, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
	if got := s.Damage("network"); len(got) != 2 || filepath.Base(got[0].Path) != "hurt.json" || got[0].Why != nil || got[0].Aside == "" {
		t.Errorf("damage in another life %+v", got)
	}
	if len(s.Faults()) != 0 {
		t.Errorf("reported without a remedy: %q", s.Faults())
	}
	if err := s.Discard("network", "hurt"); err != nil {
		t.Error(err)
	}
	load(t, s, "network")
	if got := s.Damage("network"); len(got) != 1 || filepath.Base(got[0].Path) != "three.json" {
		t.Errorf("damage after Discard %+v", got)
	}
}

// TestNewFileCountsBesideAnOldOne: an old file that could not be removed does not come back.
func TestNewFileCountsBesideAnOldOne(t *testing.T) {
	dir := t.TempDir()
	s := openOld(t, dir)
	put(t, s, "a", object{Text: "new"})
	if err := os.WriteFile(filepath.Join(dir, "network", "a.json"), []byte("a\nold"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]object{"a": {Text: "new"}}, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
}

// TestOldFileThatStays: an old file that cannot be removed hinders no Put, keeps a Delete from
// removing the new file, and goes when it can.
func TestOldFileThatStays(t *testing.T) {
	dir := t.TempDir()
	s := openOld(t, dir)
	blocked := filepath.Join(dir, "network", "a.json")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", object{Text: "new"})
	if err := s.Delete("network", "a"); err == nil {
		t.Error("deleted, though the old file is there")
	}
	if body, err := s.Get("network", "a"); body == nil || err != nil {
		t.Errorf("after the Delete: %s, %v", body, err)
	}
	if err := os.Remove(filepath.Join(blocked, "x")); err != nil {
		t.Fatal(err)
	}
	put(t, s, "b", object{})
	if _, err := os.Lstat(blocked); !os.IsNotExist(err) {
		t.Errorf("the old file is still there: %v", err)
	}
}

// TestDamagedFileBesideAnOldOne: where the newer file is not used, the old object does not come
// back, now or after another start. Where it is used, the old file goes.
func TestDamagedFileBesideAnOldOne(t *testing.T) {
	for what, content := range map[string]string{"damaged": "{", "good": ""} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s := openOld(t, dir)
			put(t, s, "a", object{Text: "new"})
			old := filepath.Join(dir, "network", "a.json")
			if err := os.WriteFile(old, []byte("a\nold"), 0o600); err != nil {
				t.Fatal(err)
			}
			want := map[string]object{"a": {Text: "new"}}
			if content != "" {
				want = map[string]object{}
				if err := os.WriteFile(s.Path("network", "a"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if diff := cmp.Diff(want, load(t, openOld(t, dir), "network")); diff != "" {
					t.Error(diff)
				}
				if _, err := os.Lstat(old); !os.IsNotExist(err) {
					t.Errorf("the old file is in its place: %v", err)
				}
			}
		})
	}
}

// TestDamageOfAnOldFile: the reason is that of the old format.
func TestDamageOfAnOldFile(t *testing.T) {
	dir := t.TempDir()
	s := openOld(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "network", "hurt.json"), []byte("hurt"), 0o600); err != nil {
		t.Fatal(err)
	}
	load(t, s, "network")
	if got := s.Faults(); len(got) != 1 || !strings.Contains(got[0], "one line") {
		t.Errorf("faults %q", got)
	}
}
