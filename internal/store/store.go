package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"
)

const (
	suffix = ".json"
	// maxFile is far above any object; a larger file is not ours.
	maxFile = 1 << 20
)

// Config says where a Store is and what it holds.
type Config struct {
	Dir   string   // made (0700) if it is not there, with a folder for each kind
	Kinds []string // of objects
	Log   *logrus.Entry
	// Remedy is what an operator does about objects whose files an earlier process set
	// aside. If it is empty, Load reports no such files; Damage returns them.
	Remedy string
	// Old is the format of files that were written before they were in a Store. It may be nil.
	Old *Format
	// NoRetry leaves an object alone whose Delete failed. Otherwise a later Put or Delete removes it.
	NoRetry bool
}

// Format is another format of files, which is read and not written.
type Format struct {
	Name   func(id string) string // of an object's file
	Decode func(content []byte) (Record, error)
}

// Store is a folder of objects.
type Store struct {
	dir      string
	log      *logrus.Entry
	remedy   string
	old      *Format
	noRetry  bool
	readFile func(path string) ([]byte, error)

	retrying sync.Mutex   // held over I/O, so that no file goes that a Put has made anew
	writing  sync.RWMutex // held by tidy; read-held by a Put while its temporary file is there

	mu        sync.Mutex
	faults    []string
	unremoved map[string]bool // files whose removal failed, to be tried again
	left      map[string]bool // files that are not used and stay
	damage    map[string][]Damage
}

// Open returns the store.
func Open(c Config) (*Store, error) {
	for _, kind := range c.Kinds {
		if err := os.MkdirAll(filepath.Join(c.Dir, kind), 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", advise(err))
		}
	}
	return &Store{
		dir: c.Dir, log: c.Log, remedy: c.Remedy, old: c.Old, noRetry: c.NoRetry, readFile: os.ReadFile,
		unremoved: map[string]bool{}, left: map[string]bool{}, damage: map[string][]Damage{},
	}, nil
}

// names returns the names that an object's file may have, the current one first.
func (s *Store) names(id string) []string {
	if s.old == nil {
		return []string{FileName(id)}
	}
	return []string{FileName(id), s.old.Name(id)}
}

// Path returns where Put writes an object.
func (s *Store) Path(kind, id string) string { return filepath.Join(s.dir, kind, FileName(id)) }

// Put writes an object or replaces it. It is on disk when Put returns nil. A file of the old
// format that cannot be removed now is removed later; it does not count beside the new one.
func (s *Store) Put(kind, id string, body any) error {
	b, err := encode(kind, id, body)
	if err != nil {
		return fmt.Errorf("store %s: %w", kind, err)
	}
	if len(b) > maxFile {
		return fmt.Errorf("store %s: it needs %d bytes, and %d is the most: make it smaller", kind, len(b), maxFile)
	}
	folder := filepath.Join(s.dir, kind)
	path := s.Path(kind, id)
	s.noteRemoval(path, true)
	s.retryRemovals()
	if err := s.write(folder, path, b); err != nil {
		return fmt.Errorf("store %s: %w", kind, advise(err))
	}
	if err := syncDir(folder); err != nil {
		return fmt.Errorf("store %s: %w", kind, err)
	}
	for _, name := range s.names(id)[1:] {
		s.removeOld(folder, name)
	}
	return nil
}

// removeOld removes a file that a newer one has replaced, now or later.
func (s *Store) removeOld(folder, name string) {
	path := filepath.Join(folder, name)
	s.noteRemoval(path, remove(folder, path) == nil)
}

func (s *Store) write(folder, path string, b []byte) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	// A temporary folder elsewhere could be on another file system.
	return renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(folder), renameio.WithStaticPermissions(0o600))
}

// Delete removes an object; one that is not there is no error. What cannot be removed
// now is removed by a later Put or Delete, unless the store has NoRetry. The file of the
// old format goes first: alone it would bring the older object back.
func (s *Store) Delete(kind, id string) error {
	s.retryRemovals()
	folder := filepath.Join(s.dir, kind)
	for _, name := range slices.Backward(s.names(id)) {
		path := filepath.Join(folder, name)
		err := remove(folder, path)
		if err == nil || !s.noRetry {
			s.noteRemoval(path, err == nil)
		}
		if err != nil {
			return fmt.Errorf("delete stored %s: %w", kind, advise(err))
		}
	}
	return nil
}

func remove(folder, path string) error {
	// A read-only file system does not say that a file is not there when asked to remove it.
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(folder)
}

// advise says what to do about a disk that takes nothing.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: make room on the disk of the state directory", err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: make the state directory writable", err)
	}
	return err
}

// Get returns the body of one object, nil if there is none. What cannot be used is left
// where it is, for a Put to replace it.
func (s *Store) Get(kind, id string) (json.RawMessage, error) {
	folder := filepath.Join(s.dir, kind)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read stored %s: %w", kind, err)
	}
	s.tidy(folder, entries)
	for _, name := range s.names(id) {
		r, err := s.read(kind, folder, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(folder, name), err)
		}
		return r.Body, nil
	}
	return nil, nil
}

// noteRemoval notes whether a file is still to be removed.
func (s *Store) noteRemoval(path string, done bool) {
	s.retrying.Lock()
	defer s.retrying.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if done {
		delete(s.unremoved, path)
	} else {
		s.unremoved[path] = true
	}
}

// retryRemovals removes the files whose removal failed earlier.
func (s *Store) retryRemovals() {
	s.retrying.Lock()
	defer s.retrying.Unlock()
	s.mu.Lock()
	paths := slices.Collect(maps.Keys(s.unremoved))
	s.mu.Unlock()
	for _, path := range paths {
		if remove(filepath.Dir(path), path) == nil {
			s.mu.Lock()
			delete(s.unremoved, path)
			s.mu.Unlock()
		}
	}
}

// syncDir makes a rename or removal in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // below the state directory, the operator's setting
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
