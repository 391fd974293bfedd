package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"evio/driver/plane"
)

// maxClaims bounds the claims of one endpoint.
const maxClaims = 32

// claimRecord is a claim as it is stored.
type claimRecord struct {
	Addr netip.Addr `json:"address,omitzero"`
	MAC  hwAddr     `json:"mac"`
}

func (r claimRecord) validate() error {
	if r.MAC[0]&1 != 0 || r.MAC == (hwAddr{}) || r.Addr.Zone() != "" || r.Addr.IsValid() && (r.Addr.IsMulticast() || r.Addr.IsUnspecified()) {
		return fmt.Errorf("claim of %s at %s", r.Addr, r.MAC)
	}
	return nil
}

func (r *endpointRecord) claims() []plane.Claim {
	var out []plane.Claim
	for _, c := range r.Claims {
		out = append(out, plane.Claim{Addr: c.Addr, MAC: c.MAC})
	}
	return out
}

// claimPause is how long after the claims of endpoints were stored they are stored again.
const claimPause = time.Second

// claimed takes from the plane what a container has claimed, and has it stored soon.
func (d *Driver) claimed(networkID, endpointID string, claims []plane.Claim) {
	var records []claimRecord
	for _, c := range claims[:min(len(claims), maxClaims)] {
		records = append(records, claimRecord{Addr: c.Addr, MAC: c.MAC})
	}
	e := d.table.setClaims(networkID, endpointID, records)
	if e == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unkept == nil {
		d.unkept = map[*dockerEndpoint]bool{}
	}
	d.unkept[e] = true
	select {
	case d.claimNews <- struct{}{}:
	default:
	}
}

// keepClaims stores what containers have claimed until the context ends.
func (d *Driver) keepClaims(ctx context.Context) {
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimPause)
		defer cancel()
		d.keepAllClaims(last)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.claimNews:
		}
		d.keepAllClaims(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(claimPause):
		}
	}
}

func (d *Driver) keepAllClaims(ctx context.Context) {
	d.mu.Lock()
	list := slices.Collect(maps.Keys(d.unkept))
	clear(d.unkept)
	d.mu.Unlock()
	for _, e := range list {
		err := d.keepClaimsOf(ctx, e)
		if ctx.Err() != nil {
			d.mu.Lock()
			d.unkept[e] = true
			d.mu.Unlock()
			continue
		}
		if err != nil {
			d.log.WithError(err).Warn("what a container has claimed is not stored: after a restart of the plugin it claims that anew")
		}
	}
}

func (d *Driver) keepClaimsOf(ctx context.Context, e *dockerEndpoint) error {
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.lock.Release(1)
	s := d.table.endpointState(e)
	if s.gone || !s.rec.Joined || slices.Equal(s.rec.Claims, s.claims) {
		return nil
	}
	s.rec.Claims = s.claims
	return d.keepEndpoint(e, s.rec)
}

// beginClaimsLocked starts the one goroutine that stores claims. Close ends it.
func (d *Driver) beginClaimsLocked(ctx context.Context) {
	if d.table.isClosed() {
		return
	}
	ctx, d.endClaims = context.WithCancel(ctx)
	kept := make(chan struct{})
	d.claimsKept = kept
	go func() {
		defer close(kept)
		d.keepClaims(ctx)
	}()
	d.plane.KeepClaims(d.claimed)
}

func (d *Driver) awaitClaims(ctx context.Context) error {
	d.mu.Lock()
	stop, kept := d.endClaims, d.claimsKept
	d.mu.Unlock()
	stop()
	select {
	case <-kept:
		return nil
	case <-ctx.Done():
		return errors.New("stop: what containers have claimed is still being stored")
	}
}
