package driver

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

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

// claimKeeper stores what containers have claimed by themselves, one second apart.
type claimKeeper struct {
	table *table
	keep  func(*dockerEndpoint, endpointRecord) error
	log   *logrus.Entry
	news  chan struct{} // unkept is not empty; holds one

	mu     sync.Mutex
	unkept map[*dockerEndpoint]bool // whose claims are to be stored
}

// claimed takes from the plane what a container has claimed, and has it stored soon.
func (k *claimKeeper) claimed(networkID, endpointID string, claims []plane.Claim) {
	var records []claimRecord
	for _, c := range claims[:min(len(claims), maxClaims)] {
		records = append(records, claimRecord{Addr: c.Addr, MAC: c.MAC})
	}
	e := k.table.setClaims(networkID, endpointID, records)
	if e == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unkept == nil {
		k.unkept = map[*dockerEndpoint]bool{}
	}
	k.unkept[e] = true
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// run stores claims until the context ends.
func (k *claimKeeper) run(ctx context.Context) {
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimPause)
		defer cancel()
		k.keepAll(last)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.news:
		}
		k.keepAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(claimPause):
		}
	}
}

func (k *claimKeeper) keepAll(ctx context.Context) {
	k.mu.Lock()
	list := slices.Collect(maps.Keys(k.unkept))
	clear(k.unkept)
	k.mu.Unlock()
	for _, e := range list {
		err := k.keepOf(ctx, e)
		if ctx.Err() != nil {
			k.mu.Lock()
			k.unkept[e] = true
			k.mu.Unlock()
			continue
		}
		if err != nil {
			k.log.WithError(err).Warn("what a container has claimed is not stored: after a restart of the plugin it claims that anew")
		}
	}
}

func (k *claimKeeper) keepOf(ctx context.Context, e *dockerEndpoint) error {
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.lock.Release(1)
	s := k.table.endpointState(e)
	if s.gone || !s.rec.Joined || slices.Equal(s.rec.Claims, s.claims) {
		return nil
	}
	s.rec.Claims = s.claims
	return k.keep(e, s.rec)
}
