package store

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	logger, _ := test.NewNullLogger()
	s, err := Open(Config{
		Dir: dir, Kinds: []string{"network", "endpoint"}, Log: logger.WithField("part", "store"), Remedy: "create them again",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type object struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func load(t *testing.T, s *Store, kind string) map[string]object {
	t.Helper()
	records, err := s.Load(kind)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]object{}
	for _, r := range records {
		var o object
		if err := json.Unmarshal(r.Body, &o); err != nil {
			t.Fatal(err)
		}
		got[r.ID] = o
	}
	return got
}

func put(t *testing.T, s *Store, id string, o object) {
	t.Helper()
	if err := s.Put("network", id, o); err != nil {
		t.Fatal(err)
	}
}

func TestPutLoadDelete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	strange := "../../etc/\x00passwd\n" + strings.Repeat("x", 300)
	put(t, s, "one", object{Text: "1"})
	put(t, s, strange, object{Text: "<&>\u2028"})
	put(t, s, "one", object{Text: "2"})
	if err := s.Put("endpoint", "one", object{Text: "other kind"}); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	want := map[string]object{"one": {Text: "2"}, strange: {Text: "<&>\u2028"}}
	if diff := cmp.Diff(want, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
	if err := s.Delete("network", "one"); err != nil {
		t.Error(err)
	}
	if err := s.Delete("network", "one"); err != nil {
		t.Errorf("delete what is gone: %v", err)
	}
	delete(want, "one")
	if diff := cmp.Diff(want, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
	if got := load(t, s, "endpoint"); len(got) != 1 {
		t.Errorf("the other kind has %v", got)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	put(t, s, "one", object{})
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A file cut at any byte, or with any bit changed, is either set aside or, if only
// white space changed, the same object; the others are loaded.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "whole", object{Name: "w"})
	put(t, s, "hurt", object{Name: "h", Text: "a text"})
	path := filepath.Join(dir, "network", FileName("hurt"))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(t *testing.T, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		got := load(t, s, "network")
		if _, ok := got["whole"]; !ok {
			t.Error("the whole object was not loaded")
		}
		hurt, ok := got["hurt"]
		_, err := os.Stat(path)
		if ok && hurt != (object{Name: "h", Text: "a text"}) {
			t.Errorf("loaded %+v from %q", hurt, b)
		}
		if ok != (err == nil) || ok == (len(s.Faults()) == 1) {
			t.Errorf("loaded %v, file %v, faults %q", ok, err, s.Faults())
		}
		if ok {
			return
		}
		s = open(t, dir)
		load(t, s, "network")
		if len(s.Faults()) != 1 {
			t.Errorf("after another start: faults %q", s.Faults())
		}
		aside, err := filepath.Glob(path + asideMark + "-*")
		if err != nil || len(aside) != 1 || os.Remove(aside[0]) != nil {
			t.Fatalf("set aside: %v, %v", aside, err)
		}
	}
	for i := range content {
		damage(t, content[:i])
		flipped := append([]byte{}, content...)
		flipped[i] ^= 1 << (i % 8)
		damage(t, flipped)
	}
	damage(t, append(append([]byte{}, content...), 'x'))
	damage(t, append([]byte(" \n"), content...))
}

// A file that the disk does not give may be whole: it stays, and is loaded when it can be.
func TestFileThatIsNotRead(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir), "one", object{Text: "1"})
	s := open(t, dir)
	s.readFile = func(string) ([]byte, error) { return nil, syscall.EIO }
	if got := load(t, s, "network"); len(got) != 0 || !s.Left("network", "one") || s.Left("network", "two") {
		t.Errorf("loaded %v, left %v", got, s.left)
	}
	if faults := s.Faults(); len(faults) != 1 || !strings.Contains(faults[0], "disable and enable the plugin") {
		t.Errorf("faults %q", faults)
	}
	s = open(t, dir)
	if got := load(t, s, "network"); len(got) != 1 || len(s.Faults()) != 0 {
		t.Errorf("loaded %v, faults %q", got, s.Faults())
	}
}

func TestStrangersInTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "one", object{Text: "1"})
	folder := filepath.Join(dir, "network")
	b, err := os.ReadFile(filepath.Join(folder, FileName("one")))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("."+FileName("one")+"4711", b[:7])     // an interrupted Put
	write("README", []byte("not ours"))          // nobody's
	write(FileName("two"), b)                    // a copy under another's name
	write("big.json", make([]byte, maxFile+1))   // no object
	write("old.json.corrupt-20260101T000000", b) // set aside earlier
	if err := os.Mkdir(filepath.Join(folder, "dir.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	future := envelope{Version: Version + 1, Kind: "network", ID: "newer", Body: json.RawMessage("{}")}
	future.SHA256 = future.sum(future.Body)
	newer, err := json.Marshal(future)
	if err != nil {
		t.Fatal(err)
	}
	write(FileName("newer"), newer)

	got := load(t, s, "network")
	if diff := cmp.Diff(map[string]object{"one": {Text: "1"}}, got); diff != "" {
		t.Error(diff)
	}
	if faults := s.Faults(); len(faults) != 5 {
		t.Errorf("faults %q", faults)
	}
	for name, want := range map[string]bool{
		"." + FileName("one") + "4711": false, "README": true, FileName("two"): false, "big.json": false, "dir.json": false, FileName("newer"): true,
	} {
		if _, err := os.Lstat(filepath.Join(folder, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, s, "two", object{})
	s.SetAside("network", "two", os.ErrInvalid)
	if got := load(t, s, "network"); len(got) != 1 {
		t.Errorf("after SetAside %v", got)
	}
}

func TestPutWithoutFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "network")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("network", "one", object{}); err == nil {
		t.Error("Put succeeded")
	}
	if _, err := s.Load("network"); err == nil {
		t.Error("Load succeeded")
	}
	if err := s.Put("network", "one", func() {}); err == nil {
		t.Error("Put of what JSON cannot say succeeded")
	}
}

// What cannot be removed now goes later, unless it was made anew meanwhile.
func TestDeleteThatFailsIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	folder := filepath.Join(dir, "network")
	// Folders that are not empty cannot be removed.
	block := func(id string) string {
		path := filepath.Join(folder, FileName(id), "x")
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := block("one"), block("two")
	for _, id := range []string{"one", "two"} {
		if err := s.Delete("network", id); err == nil {
			t.Errorf("%s was removed", id)
		}
	}
	for _, path := range []string{one, two} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Dir(two)); err != nil {
		t.Fatal(err)
	}
	put(t, s, "two", object{Text: "2"})
	if err := s.Delete("endpoint", "none"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]object{"two": {Text: "2"}}, load(t, s, "network")); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Dir(one)); !os.IsNotExist(err) {
		t.Errorf("what could not be removed is still there: %v", err)
	}
	if faults := s.Faults(); len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}

// What Load would refuse is not written.
func TestPutTooLarge(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put("network", "one", object{Text: strings.Repeat("x", maxFile)}); err == nil || !strings.Contains(err.Error(), "make it smaller") {
		t.Errorf("error %v", err)
	}
	if got := load(t, s, "network"); len(got) != 0 || len(s.Faults()) != 0 {
		t.Errorf("stored %v, faults %q", got, s.Faults())
	}
}

func FuzzDecode(f *testing.F) {
	good, err := encode("network", "one", object{Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"kind":"network","id":"x","sha256":"","body":null}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode("network", b)
		if err != nil {
			return
		}
		again, err := encode("network", r.ID, r.Body)
		if err != nil {
			t.Fatal(err)
		}
		same, err := decode("network", again)
		if err != nil || same.ID != r.ID {
			t.Fatalf("decode(encode(%q)): %q, %v", r.ID, same.ID, err)
		}
	})
}

// TestGetLeavesPutsAlone: reading one object, which removes what interrupted writes left,
// takes nothing away from writes of others that are under way.
func TestGetLeavesPutsAlone(t *testing.T) {
	s := open(t, t.TempDir())
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := s.Get("network", "other"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		if err := s.Put("network", "one", object{Text: "1"}); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	reader.Wait()
}

// TestGet: one object, whose file is replaced where it cannot be used.
func TestGet(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if body, err := s.Get("network", "one"); body != nil || err != nil {
		t.Fatalf("what is not there: %s, %v", body, err)
	}
	put(t, s, "one", object{Text: "1"})
	if body, err := s.Get("network", "one"); string(body) != `{"name":"","text":"1"}` || err != nil {
		t.Errorf("%s, %v", body, err)
	}
	path := filepath.Join(dir, "network", FileName("one"))
	for what, content := range map[string][]byte{
		"damaged": []byte(`{"version":1}`), "empty": {}, "too large": make([]byte, maxFile+1),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if body, err := s.Get("network", "one"); body != nil || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %s, %v", what, body, err)
		}
	}
	left := filepath.Join(dir, "network", "."+FileName("one")+"123")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, s, "one", object{Text: "2"})
	if body, err := s.Get("network", "one"); string(body) != `{"name":"","text":"2"}` || err != nil {
		t.Errorf("%s, %v", body, err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Error("what an interrupted write left is still there")
	}
	if len(s.Faults()) != 0 {
		t.Error(s.Faults())
	}
}

// TestAdvice: the store says what to do about the disk, and leaves it to its caller to say who
// tries again.
func TestAdvice(t *testing.T) {
	for cause, want := range map[error]string{
		syscall.ENOSPC: ": make room on the disk of the state directory",
		syscall.EROFS:  ": make the state directory writable",
		syscall.EIO:    "",
	} {
		if got := advise(cause).Error(); got != cause.Error()+want {
			t.Error(got)
		}
	}
}
