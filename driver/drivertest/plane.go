// Package drivertest holds small working stand-ins for what the driver uses: a
// plane and an engine in memory, and a store that can be made to fail.
package drivertest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"evio/driver/plane"
)

var _ plane.Plane = (*Plane)(nil)

// Call is one call of the plane as a Hook sees it.
type Call struct {
	Op       string // the method's name
	Network  string
	Endpoint string
	Done     bool // false: before it does anything, true: it has done its work
}

// Plane keeps networks and endpoints in memory and checks the promises that
// plane.Plane makes to an implementation. The zero value is ready.
type Plane struct {
	// Hook, if set, is called twice in each method and makes it fail, wait or
	// panic. It is set before the first call. A method whose Hook fails after its
	// work is done has done it nevertheless.
	Hook func(ctx context.Context, c Call) error

	mu         sync.Mutex
	networks   map[string]plane.NetworkSpec
	endpoints  map[string]plane.EndpointSpec
	busy       map[string]string
	violations []string
	log        []string
	owners     func() map[string][]string
	kept       func(networkID, endpointID string, claims []plane.Claim)
}

func endpointKey(network, id string) string { return network + "/" + id }

// call runs work between the two calls of Hook and checks that nothing forbidden
// runs beside it.
func (p *Plane) call(ctx context.Context, c Call, work func() error) error {
	key := c.Network
	if c.Endpoint != "" {
		key = endpointKey(c.Network, c.Endpoint)
	}
	p.mu.Lock()
	for other, op := range p.busy {
		same := other == key
		inside := c.Endpoint == "" && len(other) > len(c.Network) && other[:len(c.Network)+1] == c.Network+"/"
		if same || inside || other == c.Network {
			p.violations = append(p.violations, fmt.Sprintf("%s of %s beside %s of %s", c.Op, key, op, other))
		}
	}
	if p.busy == nil {
		p.busy = map[string]string{}
		p.networks = map[string]plane.NetworkSpec{}
		p.endpoints = map[string]plane.EndpointSpec{}
	}
	p.busy[key] = c.Op
	p.log = append(p.log, c.Op)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.busy, key)
		p.mu.Unlock()
	}()

	if err := p.hook(ctx, c); err != nil {
		return err
	}
	p.mu.Lock()
	err := work()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	c.Done = true
	return p.hook(ctx, c)
}

func (p *Plane) hook(ctx context.Context, c Call) error {
	if p.Hook == nil {
		return nil
	}
	return p.Hook(ctx, c)
}

// AddNetwork implements plane.Plane.
func (p *Plane) AddNetwork(ctx context.Context, spec plane.NetworkSpec) error {
	return p.call(ctx, Call{Op: "AddNetwork", Network: spec.ID}, func() error {
		if spec.MTU == 0 || spec.Gateway == "" {
			p.violations = append(p.violations, fmt.Sprintf("AddNetwork with %+v", spec))
		}
		for _, e := range spec.Endpoints {
			if !spec.Adopt || !e.Adopt || e.NetworkID != spec.ID {
				p.violations = append(p.violations, fmt.Sprintf("AddNetwork with endpoint %+v", e))
			}
			p.endpoints[endpointKey(spec.ID, e.ID)] = e
		}
		spec.Endpoints = nil // they are on their own now
		p.networks[spec.ID] = spec
		return nil
	})
}

// Sweep implements plane.Plane.
func (p *Plane) Sweep(owners func() map[string][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owners != nil {
		p.violations = append(p.violations, "Sweep called twice")
	}
	p.owners = owners
}

// Owners returns what a sweep would spare, nil while nothing is swept.
func (p *Plane) Owners() map[string][]string {
	p.mu.Lock()
	owners := p.owners
	p.mu.Unlock()
	if owners == nil {
		return nil
	}
	return owners()
}

// SetOverlay implements plane.Plane.
func (p *Plane) SetOverlay(ctx context.Context, id, overlay string) error {
	return p.change(ctx, "SetOverlay", id, func(spec *plane.NetworkSpec) { spec.Overlay = overlay })
}

// SetRanges implements plane.Plane.
func (p *Plane) SetRanges(ctx context.Context, id string, ranges []netip.Prefix) error {
	return p.change(ctx, "SetRanges", id, func(spec *plane.NetworkSpec) { spec.Ranges = ranges })
}

// change changes what is known of a network.
func (p *Plane) change(ctx context.Context, op, id string, how func(*plane.NetworkSpec)) error {
	return p.call(ctx, Call{Op: op, Network: id}, func() error {
		spec, ok := p.networks[id]
		if !ok {
			p.violations = append(p.violations, op+" of unknown "+id)
			return fmt.Errorf("network %s is unknown", id)
		}
		how(&spec)
		p.networks[id] = spec
		return nil
	})
}

// RemoveNetwork implements plane.Plane.
func (p *Plane) RemoveNetwork(ctx context.Context, id string) error {
	return p.call(ctx, Call{Op: "RemoveNetwork", Network: id}, func() error {
		delete(p.networks, id)
		maps.DeleteFunc(p.endpoints, func(_ string, e plane.EndpointSpec) bool { return e.NetworkID == id })
		return nil
	})
}

// CheckEndpoint implements plane.Plane: no other engine has anything, unless Hook says
// so.
func (p *Plane) CheckEndpoint(ctx context.Context, spec plane.EndpointSpec) error {
	return p.call(ctx, Call{Op: "CheckEndpoint", Network: spec.NetworkID, Endpoint: spec.ID}, func() error { return nil })
}

// KeepClaims implements plane.Plane.
func (p *Plane) KeepClaims(kept func(networkID, endpointID string, claims []plane.Claim)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept != nil || len(p.networks) > 0 {
		p.violations = append(p.violations, "KeepClaims called twice or late")
	}
	p.kept = kept
}

// Claimed is what the plane says when a container has claimed something.
func (p *Plane) Claimed(networkID, endpointID string, claims ...plane.Claim) {
	p.mu.Lock()
	kept := p.kept
	p.mu.Unlock()
	kept(networkID, endpointID, claims)
}

// AddEndpoint implements plane.Plane.
func (p *Plane) AddEndpoint(ctx context.Context, spec plane.EndpointSpec) error {
	return p.call(ctx, Call{Op: "AddEndpoint", Network: spec.NetworkID, Endpoint: spec.ID}, func() error {
		if _, ok := p.networks[spec.NetworkID]; !ok {
			p.violations = append(p.violations, "AddEndpoint in unknown "+spec.NetworkID)
			return fmt.Errorf("network %s is unknown", spec.NetworkID)
		}
		if len(spec.HostIf) == 0 || len(spec.HostIf) > 15 || len(spec.ContainerIf) == 0 || len(spec.ContainerIf) > 15 {
			p.violations = append(p.violations, fmt.Sprintf("AddEndpoint with %+v", spec))
		}
		p.endpoints[endpointKey(spec.NetworkID, spec.ID)] = spec
		return nil
	})
}

// RemoveEndpoint implements plane.Plane.
func (p *Plane) RemoveEndpoint(ctx context.Context, networkID, id string) error {
	return p.call(ctx, Call{Op: "RemoveEndpoint", Network: networkID, Endpoint: id}, func() error {
		delete(p.endpoints, endpointKey(networkID, id))
		return nil
	})
}

// Network returns what was last asked of a network that is there.
func (p *Plane) Network(id string) (plane.NetworkSpec, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spec, ok := p.networks[id]
	return spec, ok
}

// Endpoint returns what was last asked of an endpoint that is there.
func (p *Plane) Endpoint(networkID, id string) (plane.EndpointSpec, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spec, ok := p.endpoints[endpointKey(networkID, id)]
	return spec, ok
}

// HasLink reports whether an endpoint with this host interface is there.
func (p *Plane) HasLink(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		if e.HostIf == name {
			return true
		}
	}
	return false
}

// Size returns how many networks and endpoints there are.
func (p *Plane) Size() (networks, endpoints int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.networks), len(p.endpoints)
}

// Ops returns the methods called so far, in order.
func (p *Plane) Ops() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// Violations returns what the driver did against the contract of plane.Plane.
func (p *Plane) Violations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.violations)
}
