package drivertest

import (
	"context"
	"fmt"
	"sync"

	"evio/driver"
)

var _ driver.Engine = (*Engine)(nil)

// Engine knows the names it was told. The zero value knows none.
type Engine struct {
	mu    sync.Mutex
	names map[string]string
	asked int
}

// Name makes a network's name known.
func (e *Engine) Name(id, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names == nil {
		e.names = map[string]string{}
	}
	e.names[id] = name
}

// NetworkName implements driver.Engine.
func (e *Engine) NetworkName(_ context.Context, id string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	name, ok := e.names[id]
	if !ok {
		return "", fmt.Errorf("network %s not found", id)
	}
	return name, nil
}

// Asked returns how often a name was asked for.
func (e *Engine) Asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}
