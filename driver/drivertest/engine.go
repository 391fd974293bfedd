package drivertest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"evio/driver"
)

var _ driver.Engine = (*Engine)(nil)

// Engine knows the names it was told, and of a network with a name its ranges: none,
// unless it was told others. The zero value knows none.
type Engine struct {
	mu     sync.Mutex
	names  map[string]string
	ranges map[string][]netip.Prefix
	asked  int
}

// Range makes the ranges of a network known.
func (e *Engine) Range(id string, ranges ...netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ranges == nil {
		e.ranges = map[string][]netip.Prefix{}
	}
	e.ranges[id] = ranges
}

// NetworkRanges implements driver.Engine.
func (e *Engine) NetworkRanges(_ context.Context, id string) ([]netip.Prefix, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.names[id]; !ok {
		return nil, fmt.Errorf("network %s not found", id)
	}
	return e.ranges[id], nil
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
