package drivertest

import (
	"evio/driver"
	"evio/driver/store"
)

var _ driver.Store = (*Store)(nil)

// Store is a store on disk that can be made to fail.
type Store struct {
	*store.Store
	// Hook, if set, is called before each Put and Delete, which fails with its
	// error. It is set before the first call.
	Hook func(op, kind, id string) error
}

// Put implements driver.Store.
func (s *Store) Put(kind, id string, body any) error {
	if s.Hook != nil {
		if err := s.Hook("Put", kind, id); err != nil {
			return err
		}
	}
	return s.Store.Put(kind, id, body)
}

// Delete implements driver.Store.
func (s *Store) Delete(kind, id string) error {
	if s.Hook != nil {
		if err := s.Hook("Delete", kind, id); err != nil {
			return err
		}
	}
	return s.Store.Delete(kind, id)
}
