package drivertest

import (
	"sync"

	"evio/internal/store"
)

// Store is a store on disk that can be made to fail. What it could not delete it
// deletes later, as the one beneath does.
type Store struct {
	*store.Store
	// Hook, if set, is called before each Put and Delete, which fails with its
	// error. It is set before the first call.
	Hook func(op, kind, id string) error
	// After is Hook after the work is done: what fails then has been done.
	After func(op, kind, id string) error

	mu   sync.Mutex
	owed map[object]bool
}

type object struct{ kind, id string }

// Put implements driver.Store.
func (s *Store) Put(kind, id string, body any) error {
	if err := s.call(s.Hook, "Put", kind, id); err != nil {
		return err
	}
	s.setOwed(object{kind, id}, false)
	if err := s.repay(); err != nil {
		return err
	}
	if err := s.Store.Put(kind, id, body); err != nil {
		return err
	}
	return s.call(s.After, "Put", kind, id)
}

// Delete implements driver.Store.
func (s *Store) Delete(kind, id string) error {
	if err := s.call(s.Hook, "Delete", kind, id); err != nil {
		s.setOwed(object{kind, id}, true)
		return err
	}
	s.setOwed(object{kind, id}, true)
	if err := s.repay(); err != nil {
		return err
	}
	return s.call(s.After, "Delete", kind, id)
}

func (s *Store) call(hook func(op, kind, id string) error, op, kind, id string) error {
	if hook == nil {
		return nil
	}
	return hook(op, kind, id)
}

func (s *Store) setOwed(o object, owed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed == nil {
		s.owed = map[object]bool{}
	}
	if owed {
		s.owed[o] = true
	} else {
		delete(s.owed, o)
	}
}

func (s *Store) repay() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := range s.owed {
		if err := s.Store.Delete(o.kind, o.id); err != nil {
			return err
		}
		delete(s.owed, o)
	}
	return nil
}
