package directory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Reasons for which Claim, Check, Keep and Take refuse.
var (
	ErrFull    = errors.New("this node claims as many addresses as it may: remove containers from this network")
	ErrMACFull = errors.New("this MAC address has as many addresses as it may: use another one")
	// ErrQuarantined and ErrTakenFull refuse Take alone.
	ErrQuarantined = errors.New("given back to Docker less than 10 minutes ago: use another address, or wait")
	ErrTakenFull   = errors.New("the containers of this node have taken as many addresses as they may: give some of them up")
)

// Claim takes an address that Docker has handed out, with its MAC address, for this node,
// or the MAC address alone if addr is not valid. What is ours already stays as it is; what
// a container had taken is Docker's from now on. A *ConflictError names the node that holds
// one of the two; then nothing is claimed.
//
// What was claimed is kept up, and claimed again after it was lost and became
// free, until Withdraw.
func (d *Directory) Claim(addr netip.Addr, mac MAC, now time.Time) (Update, error) {
	if err := d.Check(addr, mac, now); err != nil {
		return Update{}, err
	}
	return d.take(addr.Unmap(), mac, false, now), nil
}

// Keep is Claim for a container that has the address already: what another node holds
// is lost from the beginning, and what Known tells that we held was ours all the time.
func (d *Directory) Keep(addr netip.Addr, mac MAC, now time.Time) (Update, error) {
	if err := d.usable(addr.Unmap(), mac, false); err != nil {
		return Update{}, err
	}
	d.restore(keysOf(addr.Unmap(), mac), mac, false)
	return d.take(addr.Unmap(), mac, false, now), nil
}

// Take is Claim for what a container took by itself: an address, or a MAC address alone.
// It comes after what Docker hands out. What Known tells that we held was ours all the time,
// as for Keep.
func (d *Directory) Take(addr netip.Addr, mac MAC, now time.Time) (Update, error) {
	addr = addr.Unmap()
	if err := d.check(addr, mac, true, now); err != nil {
		return Update{}, err
	}
	for _, k := range keysOf(addr, mac) {
		if p := d.keys[k]; p != nil && d.wants[k] == nil && slices.ContainsFunc(p.claims, func(c claimed) bool { return now.Before(c.quarantined) }) {
			return Update{}, fmt.Errorf("%v: %w", k, ErrQuarantined)
		}
	}
	d.restore(keysOf(addr, mac), mac, true)
	return d.take(addr, mac, true, now), nil
}

// Check returns the error that Claim would return now, and changes nothing.
func (d *Directory) Check(addr netip.Addr, mac MAC, now time.Time) error {
	return d.check(addr.Unmap(), mac, false, now)
}

func (d *Directory) check(addr netip.Addr, mac MAC, taken bool, now time.Time) error {
	if err := d.usable(addr, mac, taken); err != nil {
		return err
	}
	for _, k := range slices.Backward(keysOf(addr, mac)) { // of both, people know the address
		if w := d.wants[k]; w != nil && taken && !w.taken && w.mac != mac {
			return &ConflictError{Key: k, Owner: d.self, Given: true}
		}
		if owner, ok := d.reservedTo(k); ok && owner != d.self {
			return &ConflictError{Key: k, Owner: owner, Reserved: true}
		}
		p := d.keys[k]
		if p == nil {
			continue
		}
		own := p.of(d.self)
		if rival := d.rival(k, p, !taken, now); rival != nil && (own == nil || !own.live()) {
			return d.conflict(k, rival.Owner)
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

// usable reports why an address and a MAC address can be nobody's, or are too much
// for one node. For what Docker hands out, what containers have taken makes room.
func (d *Directory) usable(addr netip.Addr, mac MAC, taken bool) error {
	k := Key{Addr: addr}
	switch {
	case !unicast(mac):
		return fmt.Errorf("%v is not the address of one station: use a unicast one", Key{MAC: mac})
	case addr.IsValid() && !assignable(addr):
		return fmt.Errorf("address %v cannot be assigned to a container: use a unicast one", addr)
	case !d.inside(k):
		return fmt.Errorf("address %v is outside the network's subnets %v: use one of these", addr, d.subnets)
	case addr.IsValid() && (d.special(addr) || d.gatewayOfAnother(addr, d.self)):
		return fmt.Errorf("%v: %w", k, ErrNobodys)
	}
	more := 0
	for _, k := range keysOf(addr, mac) {
		if d.wants[k] == nil {
			more++
		}
	}
	with := 0 // other addresses with the MAC address
	for _, o := range d.byMAC[mac] {
		if o != k && (taken || !d.wants[o].taken) {
			with++
		}
	}
	switch {
	case more == 0:
	case taken && d.taken+more > MaxTaken:
		return ErrTakenFull
	case taken && len(d.wants)+more > MaxClaims, len(d.wants)-d.taken+more > MaxClaims:
		return ErrFull
	}
	if addr.IsValid() && with >= maxPerMAC {
		return fmt.Errorf("%v: %w", Key{MAC: mac}, ErrMACFull)
	}
	return nil
}

// take claims what is free of an address and its MAC address, and notes as lost what
// is not.
func (d *Directory) take(addr netip.Addr, mac MAC, taken bool, now time.Time) Update {
	var u Update
	keys := keysOf(addr, mac)
	if !taken {
		d.makeRoom(keys, mac, now, &u)
	}
	before := map[Key]want{}
	for _, k := range keys { // all of them first: a MAC address stands for its addresses
		w := d.wants[k]
		if w == nil {
			w = &want{taken: taken}
			d.add(k, w)
		}
		before[k] = *w
		if w.taken && !taken && w.mac != mac && k.isAddr() {
			u.Lost = append(u.Lost, Lost{Key: k, MAC: w.mac, Owner: d.self, Taken: true})
		}
		if w.taken && !taken {
			w.taken = false
			d.taken--
		}
		w.explicit = w.explicit || !addr.IsValid()
		d.move(k, w, mac)
	}
	for _, k := range keys {
		d.begin(k, before[k], now, &u)
		if old := before[k].mac; old != mac {
			d.release(old, now, &u)
		}
	}
	return u
}

// begin claims a key that is wanted now, or wanted otherwise than before.
func (d *Directory) begin(k Key, before want, now time.Time, u *Update) {
	w, own := d.wants[k], d.keys[k].of(d.self)
	live := own != nil && own.live()
	if before.mac == w.mac && before.taken == w.taken && (live || w.lost) {
		return
	}
	p := d.state(k, now)
	switch {
	case live: // still ours, at another MAC address or from Docker
		d.issue(k, w, own.Generation, 0, now, u)
	case w.lost:
	case !d.free(k, w, p, now):
		d.lose(k, w, now, u)
	default:
		generation := p.nextGeneration()
		if old, ok := d.kept[k]; ok && w.kept {
			generation = max(old.generation, 1)
		} else {
			w.held = now
			d.anew(k)
		}
		d.issue(k, w, generation, 0, now, u)
	}
	delete(d.kept, k)
	d.resolve(k, now, u)
}

// makeRoom gives up what containers have taken longest ago, as far as it keeps Docker from
// handing out an address.
func (d *Directory) makeRoom(keys []Key, mac MAC, now time.Time, u *Update) {
	oldest := func(among func(Key, *want) bool) (Key, bool) {
		var oldest Key
		found := false
		for k, w := range d.wants {
			if w.taken && !slices.Contains(keys, k) && among(k, w) && (!found || w.turn < d.wants[oldest].turn) {
				oldest, found = k, true
			}
		}
		return oldest, found
	}
	more := 0
	for _, k := range keys {
		if d.wants[k] == nil {
			more++
		}
	}
	for len(d.wants)+more > MaxClaims {
		k, ok := oldest(func(Key, *want) bool { return true })
		if !ok {
			return
		}
		d.evict(k, now, u)
	}
	for len(d.byMAC[mac]) >= maxPerMAC && !slices.Contains(d.byMAC[mac], keys[len(keys)-1]) {
		k, ok := oldest(func(k Key, w *want) bool { return k.isAddr() && w.mac == mac })
		if !ok {
			return
		}
		d.evict(k, now, u)
	}
}

// evict ends what a container took, with the addresses that go with a MAC address.
func (d *Directory) evict(k Key, now time.Time, u *Update) {
	keys := []Key{k}
	if k.isMAC() {
		keys = append(slices.Clone(d.byMAC[k.MAC]), k)
	}
	for _, k := range keys {
		w := d.wants[k]
		if w == nil {
			continue
		}
		u.Lost = append(u.Lost, Lost{Key: k, MAC: w.mac, Owner: d.self, Taken: true})
		d.drop(k, false, now, u)
		d.release(w.mac, now, u)
	}
}

// SetRanges says from which ranges Docker hands out addresses here; they are claimed. A
// range that is a whole subnet is none.
func (d *Directory) SetRanges(ranges []netip.Prefix, now time.Time) Update {
	var u Update
	keep := map[Key]bool{}
	for _, r := range ranges {
		k := rangeKey(r.Masked())
		if r.IsValid() && r.Bits() > 0 && d.inside(k) && len(keep) < MaxRanges {
			keep[k] = true
		}
	}
	var gone []Key
	for k := range d.wants {
		if k.Bits > 0 && !keep[k] {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, Key.compare)
	for _, k := range gone {
		d.drop(k, true, now, &u)
	}
	for _, r := range ranges {
		k := rangeKey(r.Masked())
		if !keep[k] || d.wants[k] != nil {
			continue
		}
		if d.restore([]Key{k}, MAC{}, false); d.wants[k] == nil {
			d.add(k, &want{})
		}
		d.begin(k, want{mac: MAC{1}}, now, &u)
	}
	return u
}

// Withdraw gives up what Claim, Keep or Take took with the same arguments. What is not
// claimed is fine.
func (d *Directory) Withdraw(addr netip.Addr, mac MAC, now time.Time) Update {
	var u Update
	if !addr.IsValid() {
		if w := d.wants[Key{MAC: mac}]; w != nil {
			w.explicit = false
			d.release(mac, now, &u)
		}
		return u
	}
	k := Key{Addr: addr.Unmap()}
	if w := d.wants[k]; w != nil && w.mac == mac {
		d.drop(k, !w.taken, now, &u)
		d.release(mac, now, &u)
	}
	return u
}

// GiveUp is Withdraw for what Take took: what Docker has handed out since stays.
func (d *Directory) GiveUp(addr netip.Addr, mac MAC, now time.Time) Update {
	k := Key{Addr: addr.Unmap()}
	if !addr.IsValid() {
		k = Key{MAC: mac}
	}
	if w := d.wants[k]; w == nil || !w.taken {
		return Update{}
	}
	return d.Withdraw(addr, mac, now)
}

// release gives up a MAC address that was claimed only for addresses and has none
// any more.
func (d *Directory) release(mac MAC, now time.Time, u *Update) {
	k := Key{MAC: mac}
	if w := d.wants[k]; w != nil && !w.explicit && len(d.byMAC[mac]) == 0 {
		d.drop(k, !w.taken, now, u)
	}
}

// drop ends a claim of ours.
func (d *Directory) drop(k Key, released bool, now time.Time, u *Update) {
	w := d.wants[k]
	d.unwant(k)
	if w.lost {
		return // withdrawn when it was lost
	}
	flags := flagWithdrawn
	if released {
		flags |= flagReleased
	}
	d.issue(k, w, d.keys[k].of(d.self).Generation, flags, now, u)
	d.resolve(k, now, u)
}

// add, move and unwant keep the wants and their index by MAC address.
func (d *Directory) add(k Key, w *want) {
	d.turn++
	w.turn = d.turn
	d.wants[k] = w
	if k.Bits > 0 {
		d.ranges[k] = struct{}{}
	}
	if w.taken {
		d.taken++
	}
}

func (d *Directory) move(k Key, w *want, mac MAC) {
	if w.mac == mac {
		return
	}
	if k.isAddr() {
		d.unlink(k, w.mac)
		d.byMAC[mac] = append(d.byMAC[mac], k)
		slices.SortFunc(d.byMAC[mac], Key.compare)
	}
	w.mac = mac
}

func (d *Directory) unwant(k Key) {
	w := d.wants[k]
	delete(d.wants, k)
	if d.keys[k] == nil {
		delete(d.ranges, k)
	}
	if w.taken {
		d.taken--
	}
	if k.isAddr() {
		d.unlink(k, w.mac)
	}
}

func (d *Directory) unlink(k Key, mac MAC) {
	if rest := slices.DeleteFunc(d.byMAC[mac], func(o Key) bool { return o == k }); len(rest) > 0 {
		d.byMAC[mac] = rest
	} else {
		delete(d.byMAC, mac)
	}
}
