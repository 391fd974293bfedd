package directory

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

// MaxKnown bounds what Known returns, in bytes: in base64 it fits into a file of 1 MiB.
const MaxKnown = 3<<18 - 1<<10

const knownMagic = "evio known claims 1\n"

// errKnown is the reason for which Config.Known is not used.
var errKnown = errors.New("the file of known claims is damaged")

// kept is what an earlier life of ours held.
type kept struct {
	mac        MAC
	generation uint64
	held       time.Time
	until      time.Time // when it is too late to keep it
}

// Layout, numbers big-endian, times in Unix milliseconds with zero for never:
//
//	magic
//	 8  when it was written
//	16  node ID
//	 2  number of other nodes; each: ID, life (8), floor (8), last in reach (8), last
//	    in a session that counts (8)
//	 4  number of own claims; each: key, MAC, generation (8), since when (8)
//	 4  number of others' claims and quarantines; each: node (2), flags (1), key, MAC,
//	    generation (8), sequence (8), expiry (8), since when followed or until when in
//	    quarantine (8)
//	32  SHA-256 of all above
//
// A key is the length of its prefix (1), the length of its address (1) and the address.
// Flags are those of a record, and knownHolder.
const knownHolder = 1 << 7

// Known returns what a later life of this node should know, for Config.Known: who held what
// since when, and until when each node was in reach. What is beyond MaxKnown is left out.
func (d *Directory) Known(now time.Time) []byte {
	ids := slices.SortedFunc(maps.Keys(d.nodes), nodeid.Compare)
	ids = ids[:min(len(ids), 1<<10)]
	b := append([]byte(nil), knownMagic...)
	b = binary.BigEndian.AppendUint64(b, wall.Milliseconds(d.wall(now)))
	b = append(b, d.self[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ids)))
	for _, id := range ids {
		n := d.nodes[id]
		last, met := n.last, n.met
		if n.reachable {
			last = now
			if now.Sub(n.session) >= grace {
				met = now
			}
		}
		b = append(b, id[:]...)
		b = binary.BigEndian.AppendUint64(b, n.life)
		b = binary.BigEndian.AppendUint64(b, n.floor)
		b = binary.BigEndian.AppendUint64(b, d.stamp(last, now))
		b = binary.BigEndian.AppendUint64(b, d.stamp(met, now))
	}
	b = d.appendOwn(b, now)
	b = d.appendOthers(b, ids, now)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func (d *Directory) appendOwn(b []byte, now time.Time) []byte {
	at, count := len(b), uint32(0)
	b = append(b, 0, 0, 0, 0)
	for _, k := range slices.SortedFunc(maps.Keys(d.wants), Key.compare) {
		own := d.keys[k].of(d.self)
		if w := d.wants[k]; !w.lost && own != nil {
			b = appendKey(b, k)
			b = append(b, w.mac[:]...)
			b = binary.BigEndian.AppendUint64(b, own.Generation)
			b = binary.BigEndian.AppendUint64(b, d.stamp(w.held, now))
			count++
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(d.kept), Key.compare) { // not kept yet
		if old := d.kept[k]; d.wants[k] == nil {
			b = appendKey(b, k)
			b = append(b, old.mac[:]...)
			b = binary.BigEndian.AppendUint64(b, old.generation)
			b = binary.BigEndian.AppendUint64(b, d.stamp(old.held, now))
			count++
		}
	}
	binary.BigEndian.PutUint32(b[at:], count)
	return b
}

func (d *Directory) appendOthers(b []byte, ids []nodeid.ID, now time.Time) []byte {
	const most = 2 + 1 + 18 + 6 + 4*8
	at, count := len(b), uint32(0)
	b = append(b, 0, 0, 0, 0)
	for i, id := range ids {
		n := d.nodes[id]
		for _, k := range slices.SortedFunc(maps.Keys(n.keys), Key.compare) {
			p := d.keys[k]
			c := p.of(id)
			quarantined := now.Before(c.quarantined)
			if !c.live() && !quarantined || c.Life != n.life || len(b)+most+sha256.Size > MaxKnown {
				continue
			}
			var flags byte
			when := c.held
			if c.Taken {
				flags |= flagTaken
			}
			if p.holder == id {
				flags |= knownHolder
			}
			if quarantined {
				flags |= flagWithdrawn | flagReleased
				when = c.quarantined
			}
			b = binary.BigEndian.AppendUint16(b, uint16(i))
			b = append(b, flags)
			b = appendKey(b, k)
			b = append(b, c.MAC[:]...)
			for _, v := range []uint64{c.Generation, c.Sequence, d.stamp(c.until, now), d.stamp(when, now)} {
				b = binary.BigEndian.AppendUint64(b, v)
			}
			count++
		}
	}
	binary.BigEndian.PutUint32(b[at:], count)
	return b
}

func appendKey(b []byte, k Key) []byte {
	addr := k.Addr.AsSlice()
	b = append(b, k.Bits, byte(len(addr)))
	return append(b, addr...)
}

// stamp returns a moment as the file has it. What the clock showed then does not matter:
// the file is read by what it shows now.
func (d *Directory) stamp(t, now time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return wall.Milliseconds(d.wall(now).Add(t.Sub(now)))
}

// reader takes fields from the front of bytes; after the first that is not there all are
// zero.
type reader struct {
	b      []byte
	failed bool

	now     time.Time     // of this life
	written uint64        // when the bytes were
	elapsed time.Duration // since then
}

func (r *reader) take(n int) []byte {
	if r.failed || len(r.b) < n {
		r.failed = true
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) time() time.Time {
	v := r.u64()
	if v == 0 {
		return time.Time{}
	}
	return r.now.Add(time.Duration(int64(v-r.written))*time.Millisecond - r.elapsed)
}

// key takes a key and the MAC address behind it.
func (r *reader) key() (Key, MAC) {
	k := Key{Bits: r.take(1)[0]}
	if n := int(r.take(1)[0]); n != 0 {
		addr, ok := netip.AddrFromSlice(r.take(n))
		r.failed = r.failed || !ok
		k.Addr = addr
	}
	mac := MAC(r.take(6))
	if k.isMAC() {
		k.MAC = mac
	}
	return k, mac
}

// remembered is what Known wrote.
type remembered struct {
	self   nodeid.ID
	nodes  []node
	kept   map[Key]kept
	claims []claimed
	holder []bool // of each of the claims
}

// parseKnown reads what was written before now, at wall time. A clock that was set back
// since then has written it just now.
func parseKnown(b []byte, now, at time.Time) (remembered, error) {
	var m remembered
	body := len(b) - sha256.Size
	if len(b) > MaxKnown+sha256.Size || body < len(knownMagic) || !bytes.HasPrefix(b, []byte(knownMagic)) {
		return m, fmt.Errorf("%w (%d bytes)", errKnown, len(b))
	}
	if sum := sha256.Sum256(b[:body]); !bytes.Equal(sum[:], b[body:]) {
		return m, fmt.Errorf("%w (its checksum)", errKnown)
	}
	r := &reader{b: b[len(knownMagic):body], now: now}
	r.written = r.u64()
	r.elapsed = max(0, at.Sub(wall.FromMilliseconds(r.written)))
	m.self = nodeid.ID(r.take(nodeid.Size))
	for range binary.BigEndian.Uint16(r.take(2)) {
		n := node{id: nodeid.ID(r.take(nodeid.Size)), life: r.u64(), floor: r.u64(), last: r.time(), met: r.time()}
		if m.nodes = append(m.nodes, n); r.failed {
			break
		}
	}
	m.kept = map[Key]kept{}
	for range binary.BigEndian.Uint32(r.take(4)) {
		k, mac := r.key()
		old := kept{mac: mac, generation: r.u64(), held: r.time()}
		if r.failed || old.generation == 0 || old.generation > maxGeneration {
			r.failed = true
			break
		}
		m.kept[k] = old
	}
	for range binary.BigEndian.Uint32(r.take(4)) {
		if !m.claim(r) {
			r.failed = true
			break
		}
	}
	if r.failed || len(r.b) != 0 {
		return remembered{}, fmt.Errorf("%w (its form)", errKnown)
	}
	return m, nil
}

// claim takes one claim of another node.
func (m *remembered) claim(r *reader) bool {
	i := int(binary.BigEndian.Uint16(r.take(2)))
	flags := r.take(1)[0]
	k, mac := r.key()
	generation, sequence, until := r.u64(), r.u64(), r.time()
	c := claimed{Claim: Claim{
		Addr: k.Addr, Bits: k.Bits, MAC: mac, Generation: generation, Sequence: sequence,
		Withdrawn: flags&flagWithdrawn != 0, Taken: flags&flagTaken != 0, Released: flags&flagReleased != 0,
	}, until: until}
	if c.Withdrawn {
		c.quarantined = r.time()
	} else {
		c.held = r.time()
	}
	if r.failed || i >= len(m.nodes) || k == (Key{}) {
		return false
	}
	c.Owner, c.Life = m.nodes[i].id, m.nodes[i].life
	m.claims, m.holder = append(m.claims, c), append(m.holder, flags&knownHolder != 0)
	return c.check() == nil
}

// remember takes what an earlier life knew. The other nodes are out of reach from now on.
func (d *Directory) remember(b []byte, now time.Time) error {
	m, err := parseKnown(b, now, d.wall(now))
	if err != nil {
		return err
	}
	if m.self != d.self {
		return fmt.Errorf("%w (it is of another node)", errKnown)
	}
	for i := range m.nodes {
		old := &m.nodes[i]
		if old.id == d.self {
			continue
		}
		n := d.node(old.id, now)
		n.life, n.floor, n.last, n.met = old.life, old.floor, old.last, old.met
	}
	for k, old := range m.kept {
		old.until = now.Add(memory)
		d.kept[k] = old
	}
	for i, c := range m.claims {
		k, n := c.Key(), d.nodes[c.Owner]
		if n == nil || !d.inside(k) || k.isAddr() && d.special(k.Addr) || n.room(c.Claim, d.keys[k].of(c.Owner)) != nil {
			continue
		}
		c.epoch = math.MaxUint64 // not said in any session of this life
		c.Expiry = d.wall(c.until)
		d.put(c, now)
		if p := d.keys[k]; m.holder[i] && c.live() && p.holder.IsZero() {
			p.holder = c.Owner
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(d.nodes), nodeid.Compare) {
		d.settleOf(d.nodes[id], now, &d.recalled)
	}
	d.recalledAt = now
	return nil
}

// restore takes over since when an earlier life of ours held some keys.
func (d *Directory) restore(keys []Key, mac MAC, taken bool) {
	for _, k := range keys {
		if old, ok := d.kept[k]; ok && old.mac == mac && d.wants[k] == nil {
			w := &want{held: old.held, kept: true, mac: MAC{}, taken: taken}
			d.add(k, w)
		}
	}
}
