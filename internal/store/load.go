package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// errDisk is that of a file which may be whole.
var errDisk = errors.New("it cannot be read")

// errSuperseded is that of a file of the old format which is not the object's latest.
var errSuperseded = errors.New("a newer file of the same object is not used, and this one is out of date")

// Load returns all objects of a kind, sorted by ID. What an interrupted Put left is
// removed and what is damaged is set aside; files of a newer version, and those that
// cannot be read from the disk, stay, see Left. Faults reports all of them, and those
// that were set aside before.
func (s *Store) Load(kind string) ([]Record, error) {
	folder := filepath.Join(s.dir, kind)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("load stored %s: %w", kind, err)
	}
	s.tidy(folder, entries)
	s.forgetDamage(kind)
	var records []Record
	aside := 0
	for _, entry := range entries {
		name := entry.Name()
		if place, _, damaged := strings.Cut(name, asideMark); damaged {
			s.add(kind, Damage{Path: filepath.Join(folder, place), Aside: name})
			aside++
			continue
		}
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != suffix {
			continue
		}
		path := filepath.Join(folder, name)
		r, err := s.read(kind, folder, name)
		switch {
		case errors.Is(err, ErrNewer):
			s.leave(kind, path, err, fmt.Sprintf("%s is not used: %v", path, err))
		case errors.Is(err, errDisk):
			s.leave(kind, path, err, fmt.Sprintf("%s is not used (%v): mend that, and disable and enable the plugin", path, err))
		case err != nil:
			s.setAside(kind, path, err)
		default:
			records = append(records, r)
		}
	}
	if aside > 0 && s.remedy != "" {
		s.report(fmt.Sprintf("damaged files that were set aside earlier are in %s (%d of them): %s, then remove %s", folder, aside, s.remedy, filepath.Join(folder, "*"+asideMark+"*")))
	}
	records = s.current(kind, folder, records)
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return records, nil
}

// current returns the records without those of the old format that a newer file has
// replaced. It removes their files, or sets them aside where the newer file is not used.
func (s *Store) current(kind, folder string, records []Record) []Record {
	unused, used := map[string]bool{}, map[string]bool{}
	for _, d := range s.Damage(kind) {
		unused[filepath.Base(d.Path)] = true
	}
	for _, r := range records {
		used[r.ID] = used[r.ID] || !r.old
	}
	return slices.DeleteFunc(records, func(r Record) bool {
		switch {
		case !r.old:
			return false
		case used[r.ID]:
			s.removeOld(folder, s.old.Name(r.ID))
			return true
		case unused[FileName(r.ID)]:
			s.setAside(kind, filepath.Join(folder, s.old.Name(r.ID)), errSuperseded)
			return true
		}
		return false
	})
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
	if s.old != nil {
		r, err := s.old.Decode(b)
		switch {
		case err == nil && s.old.Name(r.ID) == name:
			r.old = true
			return r, nil
		case err != nil && len(name) != len(FileName("")):
			return Record{}, fmt.Errorf("in the old format: %w", err)
		}
	}
	r, err := decode(kind, b)
	if err != nil {
		return Record{}, err
	}
	if FileName(r.ID) != name {
		return Record{}, errors.New("the object belongs under another name")
	}
	return r, nil
}
