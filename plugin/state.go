package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"evio/driver"
	"evio/internal/store"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/plugin/config"
)

// stateRetry is how long a state folder that cannot be used is left alone.
const stateRetry = 2 * time.Second

const stateAdvice = "make what it lies in writable, or make room there; it is tried again every 2 s"

// errMended is that the state folder can be used, which could not be before.
var errMended = errors.New("the state folder can be used again")

// openState opens what is kept on disk.
func (p *parts) openState(s config.Settings, log *logrus.Entry) (err error) {
	state := s.HostPath(s.StateDir)
	if p.key, err = identity.Load(state); err != nil {
		return err
	}
	if p.memory.store, err = store.Open(store.Config{Dir: state, Kinds: []string{kindKnown, kindLists, kindLogins}, Log: log}); err != nil {
		return err
	}
	p.store, err = store.Open(driver.StoreConfig(filepath.Join(state, "docker"), log))
	return err
}

// awaitState calls try until that works, and returns errMended then; nil when ctx has ended.
func awaitState(ctx context.Context, try func() error, log *logrus.Entry) error {
	tick := time.NewTicker(stateRetry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if try() == nil {
			log.Info("the state folder can be used: restarting")
			return errMended
		}
	}
}

// tryState opens and closes what is kept on disk.
func tryState(s config.Settings, log *logrus.Entry) error {
	var p parts
	if err := p.openState(s, log); err != nil {
		return err
	}
	pins := filepath.Join(s.HostPath(s.StateDir), member.Folder)
	if err := os.MkdirAll(pins, 0o700); err != nil {
		return fmt.Errorf("keep pins: %w", err)
	}
	_, err := os.ReadDir(pins)
	return err
}
