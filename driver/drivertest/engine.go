package drivertest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"evio/driver/collector"
)

// Engine has the networks and endpoints that it was given, all by the driver evio and
// without ranges unless it was given some, and those that every engine has. The zero
// value has no others.
type Engine struct {
	// Change, if set, is called with each list before it is returned and may make
	// it another one, wait, or fail. It is set before the first call.
	Change func(ctx context.Context, l *collector.List) error

	mu        sync.Mutex
	version   string
	names     map[string]string
	ranges    map[string][]netip.Prefix
	endpoints map[string]string // ID → network
	plugins   []string
	asked     int
	lists     int
}

// SetVersion makes the version of the engine known, which has none before.
func (e *Engine) SetVersion(version string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.version = version
}

// Version implements driver.Engine.
func (e *Engine) Version(context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.version, nil
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

// Name makes a network, and thereby its name, known.
func (e *Engine) Name(id, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names == nil {
		e.names = map[string]string{}
	}
	e.names[id] = name
}

// Endpoint makes an endpoint known.
func (e *Engine) Endpoint(network, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.endpoints == nil {
		e.endpoints = map[string]string{}
	}
	e.endpoints[id] = network
}

// Forget removes the network or the endpoint with this ID.
func (e *Engine) Forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.names, id)
	delete(e.endpoints, id)
}

// Install makes these the managed plugins, in place of others.
func (e *Engine) Install(plugins ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.plugins = plugins
}

// Plugins implements driver.Engine.
func (e *Engine) Plugins(context.Context) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.plugins), nil
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

// List implements driver.Engine.
func (e *Engine) List(ctx context.Context, ids []string) (collector.List, error) {
	l := e.list(ids)
	if e.Change != nil {
		if err := e.Change(ctx, &l); err != nil {
			return collector.List{}, err
		}
	}
	return l, ctx.Err()
}

func (e *Engine) list(ids []string) collector.List {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lists++
	l := collector.List{Endpoints: map[string]bool{}, Networks: []collector.Network{
		{ID: "id of host", Name: "host", Driver: "host", Local: true}, {ID: "id of none", Name: "none", Driver: "null", Local: true},
	}}
	for _, id := range slices.Sorted(maps.Keys(e.names)) {
		l.Networks = append(l.Networks, collector.Network{ID: id, Name: e.names[id], Driver: "evio", Local: true})
	}
	for id, network := range e.endpoints {
		if slices.Contains(ids, network) {
			l.Endpoints[id] = true
		}
	}
	return l
}

// Asked returns how often a name was asked for.
func (e *Engine) Asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

// Lists returns how often the lists were asked for.
func (e *Engine) Lists() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lists
}
