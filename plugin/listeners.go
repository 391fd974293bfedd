package main

import (
	"errors"
	"net"
	"path/filepath"

	"evio/driver/socket"
)

// listenV1 opens a v1 plugin socket for each name in the engine's plugin folder dir,
// except for the one that is managed, which a process outside of a managed plugin
// already has there. The sockets that could be opened are returned beside the errors
// of the others: a driver that answers to one name less is better than none.
func listenV1(dir string, names []string, managed string) ([]net.Listener, error) {
	var (
		opened []net.Listener
		errs   []error
	)
	for _, name := range names {
		path := filepath.Join(dir, name+".sock")
		if path == filepath.Clean(managed) {
			continue
		}
		l, err := socket.Listen(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		opened = append(opened, l)
	}
	return opened, errors.Join(errs...)
}

// closeAll closes every listener; one that is closed already is fine.
func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
