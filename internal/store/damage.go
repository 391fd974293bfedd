package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// asideMark stands behind the name of a file that was set aside.
const asideMark = ".corrupt"

// Damage is a file that Load did not use.
type Damage struct {
	Path string // where it belongs
	// Aside is the name under which it was set aside, "" if it is in its place.
	Aside string
	// Why it is not used, nil if an earlier process has set it aside.
	Why error
}

// Damage returns what Load found of a kind, in the order of names.
func (s *Store) Damage(kind string) []Damage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.damage[kind])
}

// Faults returns one sentence for each file that was not loaded.
func (s *Store) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Left reports whether Load left the object's file in its place without using it.
func (s *Store) Left(kind, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[s.Path(kind, id)]
}

// SetAside takes an object out of the store whose body its owner cannot read.
func (s *Store) SetAside(kind, id string, why error) { s.setAside(kind, s.Path(kind, id), why) }

func (s *Store) setAside(kind, path string, why error) {
	aside := path + asideMark + "-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		s.report(fmt.Sprintf("%s is damaged (%v) and cannot be set aside: %v", path, why, err))
		s.add(kind, Damage{Path: path, Why: why})
		return
	}
	s.report(fmt.Sprintf("%s is damaged (%v) and was set aside as %s", path, why, filepath.Base(aside)))
	s.add(kind, Damage{Path: path, Aside: filepath.Base(aside), Why: why})
}

// leave reports why a file is not used that stays where it is.
func (s *Store) leave(kind, path string, why error, fault string) {
	s.report(fault)
	s.add(kind, Damage{Path: path, Why: why})
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

func (s *Store) forgetDamage(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.damage, kind)
}

func (s *Store) add(kind string, d Damage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damage[kind] = append(s.damage[kind], d)
}

// Discard removes the files of an object that were set aside. What is not there is no
// error.
func (s *Store) Discard(kind, id string) error {
	folder := filepath.Join(s.dir, kind)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("discard damaged %s: %w", kind, err)
	}
	for _, entry := range entries {
		place, _, damaged := strings.Cut(entry.Name(), asideMark)
		if !damaged || !slices.Contains(s.names(id), place) {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("discard damaged %s: %w", kind, advise(err))
		}
	}
	return nil
}
