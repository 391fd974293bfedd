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
	if err := d.Check(addr, mac, now); err != nil {
		return Update{}, err
	}
	return d.take(addr, mac, now), nil
}

// Keep is Claim for a container that has the address already: what another node holds
// is lost from the beginning.
func (d *Directory) Keep(addr netip.Addr, mac MAC, now time.Time) (Update, error) {
	if err := d.usable(addr.Unmap(), mac); err != nil {
		return Update{}, err
	}
	return d.take(addr, mac, now), nil
}

// Check returns the error that Claim would return now, and changes nothing.
func (d *Directory) Check(addr netip.Addr, mac MAC, now time.Time) error {
	addr = addr.Unmap()
	if err := d.usable(addr, mac); err != nil {
		return err
	}
	for _, k := range slices.Backward(keysOf(addr, mac)) { // of both, people know the address
		p := d.places[k]
		if p == nil {
			continue
		}
		own := p.of(d.self)
		if rival := d.rival(p, now); rival != nil && (own == nil || own.Withdrawn) {
			return &ConflictError{Key: k, Owner: rival.Owner}
		}
	}
	return nil
}

// keysOf returns what is claimed for an address: its MAC address first.
func keysOf(addr netip.Addr, mac MAC) []Key {
	if addr.IsValid() {
		return []Key{{MAC: mac}, {Addr: addr}}
	}
	return []Key{{MAC: mac}}
}

// take claims what is free of an address and its MAC address, and notes as lost what
// is not.
func (d *Directory) take(addr netip.Addr, mac MAC, now time.Time) Update {
	addr = addr.Unmap()
	var u Update
	keys := keysOf(addr, mac)
	before := map[Key]MAC{}
	for _, k := range keys { // all of them first: a MAC address stands for its addresses
		w := d.wants[k]
		if w == nil {
			w = &want{}
			d.wants[k] = w
		}
		w.explicit = w.explicit || !addr.IsValid()
		before[k], w.mac = w.mac, mac
	}
	for _, k := range keys {
		w, own := d.wants[k], d.places[k].of(d.self)
		live := own != nil && !own.Withdrawn
		if before[k] == mac && (live || w.lost) {
			continue
		}
		p := d.place(k, now)
		switch {
		case !live && (d.rival(p, now) != nil || d.useless(k, w)):
			d.lose(k, w, now, &u)
		case live: // still ours, at another MAC address
			w.claimed = now
			u.Announce = append(u.Announce, d.issue(k, mac, own.Generation, false, now))
		default:
			w.lost, w.claimed = false, now
			u.Announce = append(u.Announce, d.issue(k, mac, p.nextGeneration(), false, now))
		}
		d.settle(k, now, &u)
		if before[k] != mac {
			d.release(before[k], now, &u)
		}
	}
	return u
}

// usable reports why an address and a MAC address can be nobody's, or are too much
// for one node.
func (d *Directory) usable(addr netip.Addr, mac MAC) error {
	switch {
	case !unicast(mac):
		return fmt.Errorf("%v is not the address of one station: use a unicast one", Key{MAC: mac})
	case addr.IsValid() && !assignable(addr):
		return fmt.Errorf("address %v cannot be assigned to a container: use a unicast one", addr)
	case !d.inside(addr):
		return fmt.Errorf("address %v is outside the network's subnets %v: use one of these", addr, d.subnets)
	}
	more := 0
	for _, k := range keysOf(addr, mac) {
		if d.wants[k] == nil {
			more++
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
	if len(d.addressesOf(mac)) == 0 {
		d.drop(k, now, u)
	}
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
