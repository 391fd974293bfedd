package directory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ErrFull is the reason for which Claim refuses what is beyond MaxClaims.
var ErrFull = errors.New("this node claims as many addresses as it may: remove containers from this network")

// Claim takes an address with its MAC address for this node, or the MAC address
// alone if addr is not valid. What is ours already stays as it is. A *ConflictError
// names the node that holds one of the two; then nothing is claimed.
//
// What was claimed is kept up, and claimed again after it was lost and became
// free, until Withdraw.
func (d *Directory) Claim(addr netip.Addr, mac MAC, now time.Time) (Update, error) {
	addr = addr.Unmap()
	keys := []Key{{MAC: mac}}
	if addr.IsValid() {
		keys = append(keys, Key{Addr: addr})
	}
	if err := d.claimable(keys, addr, mac, now); err != nil {
		return Update{}, err
	}

	var u Update
	for _, k := range keys {
		w := d.wants[k]
		if w == nil {
			w = &want{}
			d.wants[k] = w
		}
		w.explicit = w.explicit || !addr.IsValid()
		own := d.places[k].of(d.self)
		if own != nil && !own.Withdrawn && w.mac == mac {
			continue
		}
		before := w.mac
		generation := d.place(k, now).nextGeneration()
		if own != nil && !own.Withdrawn {
			generation = own.Generation // still ours, at another MAC address
		}
		w.mac, w.lost, w.claimed = mac, false, now
		u.Announce = append(u.Announce, d.issue(k, mac, generation, false, now))
		d.settle(k, now, &u)
		if before != mac {
			d.release(before, now, &u)
		}
	}
	return u, nil
}

// claimable reports why keys cannot be claimed.
func (d *Directory) claimable(keys []Key, addr netip.Addr, mac MAC, now time.Time) error {
	switch {
	case !unicast(mac):
		return fmt.Errorf("%v is not the address of one station: use a unicast one", Key{MAC: mac})
	case addr.IsValid() && !assignable(addr):
		return fmt.Errorf("address %v cannot be assigned to a container: use a unicast one", addr)
	case !d.inside(addr):
		return fmt.Errorf("address %v is outside the network's subnets %v: use one of these", addr, d.subnets)
	}
	more := 0
	for _, k := range keys {
		if d.wants[k] == nil {
			more++
		}
		p := d.places[k]
		if p == nil {
			continue
		}
		own := p.of(d.self)
		if rival := d.rival(p, now); rival != nil && (own == nil || own.Withdrawn) {
			return &ConflictError{Key: k, Owner: rival.Owner}
		}
	}
	if len(d.wants)+more > MaxClaims {
		return ErrFull
	}
	return nil
}

// Withdraw gives up what Claim took with the same arguments. What is not claimed is
// fine.
func (d *Directory) Withdraw(addr netip.Addr, mac MAC, now time.Time) Update {
	var u Update
	k := Key{Addr: addr.Unmap()}
	if !addr.IsValid() {
		if w := d.wants[Key{MAC: mac}]; w != nil {
			w.explicit = false
			d.release(mac, now, &u)
		}
		return u
	}
	if w := d.wants[k]; w != nil {
		d.drop(k, now, &u)
		d.release(w.mac, now, &u)
	}
	return u
}

// release gives up a MAC address that was claimed only for addresses and has none
// any more.
func (d *Directory) release(mac MAC, now time.Time, u *Update) {
	k := Key{MAC: mac}
	if w := d.wants[k]; w == nil || w.explicit {
		return
	}
	for other, w := range d.wants {
		if other.Addr.IsValid() && w.mac == mac {
			return
		}
	}
	d.drop(k, now, u)
}

// drop ends a claim of ours.
func (d *Directory) drop(k Key, now time.Time, u *Update) {
	w := d.wants[k]
	delete(d.wants, k)
	if w.lost {
		return // withdrawn when it was lost
	}
	u.Announce = append(u.Announce, d.issue(k, w.mac, d.places[k].of(d.self).Generation, true, now))
	d.settle(k, now, u)
}

// Own returns the records to send when a session begins: what we claim, what we
// withdrew lately, and last the withdrawal of all from before this process began.
func (d *Directory) Own(now time.Time) [][]byte {
	if d.floor == 0 {
		d.nextSequence(now)
	}
	var keys []Key
	for k, p := range d.places {
		if p.of(d.self) != nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	records := make([][]byte, 0, len(keys)+1)
	for _, k := range keys {
		records = append(records, d.places[k].of(d.self).record)
	}
	return append(records, sign(d.priv, d.overlay, Claim{
		Owner: d.self, Sequence: d.floor, Expiry: now.Add(Lifetime), Withdrawn: true,
	}))
}

// issue signs a claim of ours, keeps it and returns its record.
func (d *Directory) issue(k Key, mac MAC, generation uint64, withdrawn bool, now time.Time) []byte {
	c := Claim{
		Addr: k.Addr, MAC: mac, Owner: d.self, Generation: generation,
		Sequence: d.nextSequence(now), Expiry: now.Add(Lifetime), Withdrawn: withdrawn,
	}
	record := sign(d.priv, d.overlay, c)
	if w := d.wants[k]; w != nil {
		// A signature's last bytes but one are as good as random for the jitter.
		w.signed = now.Round(0)
		w.refresh = refreshAge - refreshAge/10*time.Duration(record[len(record)-3])/256
	}
	p := d.place(k, now)
	if own := p.of(d.self); own != nil {
		*own = claimed{c, record}
	} else {
		p.claims = append(p.claims, claimed{c, record})
	}
	if withdrawn {
		d.forget(d.self)
	}
	return record
}

// nextSequence returns numbers that rise, also over a restart: at least the time
// in nanoseconds.
func (d *Directory) nextSequence(now time.Time) uint64 {
	d.sequence = max(d.sequence+1, uint64(max(0, now.UnixNano())))
	if d.floor == 0 {
		d.floor = d.sequence
		d.sequence++
	}
	return d.sequence
}
