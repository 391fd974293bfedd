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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"
)

const (
	suffix    = ".json"
	asideMark = ".corrupt-"
	// maxFile is far above any object; a larger file is not ours.
	maxFile = 1 << 20
)

// errDisk is that of a file which may be whole.
var errDisk = errors.New("it cannot be read")

// Store is a folder of objects.
type Store struct {
	dir      string
	log      *logrus.Entry
	readFile func(path string) ([]byte, error)

	retrying sync.Mutex   // held over I/O, so that no file goes that a Put has made anew
	writing  sync.RWMutex // held by tidy; read-held by a Put while its temporary file is there

	mu        sync.Mutex
	faults    []string
	unremoved map[string]bool // files whose removal failed, to be tried again
	left      map[string]bool // files that are not used and stay
}

// Open returns the store in dir, which is made (0700) if it is not there, with a
// folder for each kind.
func Open(dir string, log *logrus.Entry, kinds ...string) (*Store, error) {
	for _, kind := range kinds {
		if err := os.MkdirAll(filepath.Join(dir, kind), 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", advise(err))
		}
	}
	return &Store{dir: dir, log: log, readFile: os.ReadFile, unremoved: map[string]bool{}, left: map[string]bool{}}, nil
}

// Put writes an object or replaces it. It is on disk when Put returns nil.
func (s *Store) Put(kind, id string, body any) error {
	b, err := encode(kind, id, body)
	if err != nil {
		return fmt.Errorf("store %s: %w", kind, err)
	}
	if len(b) > maxFile {
		return fmt.Errorf("store %s: it needs %d bytes, and %d is the most: make it smaller", kind, len(b), maxFile)
	}
	folder := filepath.Join(s.dir, kind)
	path := filepath.Join(folder, fileName(id))
	s.noteRemoval(path, false)
	s.retryRemovals()
	if err := s.write(folder, path, b); err != nil {
		return fmt.Errorf("store %s: %w", kind, advise(err))
	}
	if err := syncDir(folder); err != nil {
		return fmt.Errorf("store %s: %w", kind, err)
	}
	return nil
}

func (s *Store) write(folder, path string, b []byte) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	// A temporary folder elsewhere could be on another file system.
	return renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(folder), renameio.WithStaticPermissions(0o600))
}

// Delete removes an object; one that is not there is no error. What cannot be removed
// now is removed by a later Put or Delete.
func (s *Store) Delete(kind, id string) error {
	s.retryRemovals()
	folder := filepath.Join(s.dir, kind)
	path := filepath.Join(folder, fileName(id))
	if err := remove(folder, path); err != nil {
		s.noteRemoval(path, true)
		return fmt.Errorf("delete stored %s: %w", kind, advise(err))
	}
	s.noteRemoval(path, false)
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
		return fmt.Errorf("%w: make room on the disk of the state directory, and try again", err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: make the state directory writable, and try again", err)
	}
	return err
}

// Load returns all objects of a kind, sorted by ID. What an interrupted Put left is
// removed and what is damaged set aside; files of a newer version, and those that the
// disk does not give, stay, see Left. Faults tells of all of them, and of those that
// were set aside before.
func (s *Store) Load(kind string) ([]Record, error) {
	folder := filepath.Join(s.dir, kind)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("load stored %ss: %w", kind, err)
	}
	s.tidy(folder, entries)
	var records []Record
	aside := 0
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(folder, name)
		switch {
		case strings.Contains(name, asideMark):
			aside++
			continue
		case strings.HasPrefix(name, "."), filepath.Ext(name) != suffix:
			continue
		}
		r, err := s.read(kind, folder, name)
		switch {
		case errors.Is(err, ErrNewer):
			s.leave(path, fmt.Sprintf("%s is not used: %v", path, err))
		case errors.Is(err, errDisk):
			s.leave(path, fmt.Sprintf("%s is not used (%v): mend that, and disable and enable the plugin", path, err))
		case err != nil:
			s.setAside(path, err)
		default:
			records = append(records, r)
		}
	}
	if aside > 0 {
		s.report(fmt.Sprintf("damaged files that were set aside earlier are in %s (%d of them): create their networks anew or restart their containers, then remove %s", folder, aside, filepath.Join(folder, "*"+asideMark+"*")))
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return records, nil
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
	r, err := s.read(kind, folder, fileName(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Join(folder, fileName(id)), err)
	}
	return r.Body, nil
}

// tidy removes what interrupted writes left in a folder. A file of a write that is under way
// has been renamed by the time that it is looked at.
func (s *Store) tidy(folder string, entries []fs.DirEntry) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, ".") || !strings.Contains(name, suffix) {
			continue
		}
		path := filepath.Join(folder, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.report(fmt.Sprintf("%s is left of an interrupted write and cannot be removed: %v", path, err))
		}
	}
}

// Left reports whether Load left the object's file in its place without using it.
func (s *Store) Left(kind, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[filepath.Join(s.dir, kind, fileName(id))]
}

// SetAside takes an object out of the store whose body its owner cannot read.
func (s *Store) SetAside(kind, id string, why error) {
	s.setAside(filepath.Join(s.dir, kind, fileName(id)), why)
}

// Faults returns one sentence for each file that was not loaded.
func (s *Store) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

func (s *Store) read(kind, folder, name string) (Record, error) {
	path := filepath.Join(folder, name)
	info, err := os.Lstat(path)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", errDisk, err)
	}
	if !info.Mode().IsRegular() {
		return Record{}, errors.New("not a regular file")
	}
	if info.Size() > maxFile {
		return Record{}, fmt.Errorf("%d bytes, more than %d", info.Size(), maxFile)
	}
	b, err := s.readFile(path)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", errDisk, err)
	}
	r, err := decode(kind, b)
	if err != nil {
		return Record{}, err
	}
	if fileName(r.ID) != name {
		return Record{}, errors.New("the object belongs under another name")
	}
	return r, nil
}

func (s *Store) setAside(path string, why error) {
	aside := path + asideMark + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		s.report(fmt.Sprintf("%s is damaged (%v) and cannot be set aside: %v", path, why, err))
		return
	}
	s.report(fmt.Sprintf("%s is damaged (%v) and was set aside as %s", path, why, filepath.Base(aside)))
}

// noteRemoval notes whether a file is still to be removed.
func (s *Store) noteRemoval(path string, unremoved bool) {
	s.retrying.Lock()
	defer s.retrying.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if unremoved {
		s.unremoved[path] = true
	} else {
		delete(s.unremoved, path)
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

// leave reports why a file is not used that stays where it is.
func (s *Store) leave(path, fault string) {
	s.report(fault)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[path] = true
}

func (s *Store) report(fault string) {
	s.log.Error(fault)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault)
}

// syncDir makes a rename or removal in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // below the state directory, the operator's setting
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
