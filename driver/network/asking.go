package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/driver/network/claims"
	"evio/driver/network/device"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/directory"
	"evio/overlay/moves"
	"evio/overlay/nodeid"
)

const (
	// tagType is the EtherType of the tag in front of frames of the asking port, and
	// tagLen its length.
	tagType = 0x88a8
	tagLen  = 4
	// maxTag is the highest VLAN that names a container there.
	maxTag = 4094
	// fewTags is how many numbers there are at least.
	fewTags = 4
)

// openAsking opens the port through which the bridge asks, for frames that are longer by
// a tag than those of containers.
func (n *network) openAsking() error {
	name := device.Name(device.AskingPrefix, n.engine, n.spec.ID)
	dev, err := device.OpenPort(device.PortConfig{
		Name: name, MTU: n.spec.MTU + tagLen, Mark: device.Mark(n.engine, n.spec.ID), Log: n.log, Shield: n.sw.Shield,
		Again: func(lost bool) { n.portAgain(name, lost) },
	})
	if err != nil {
		return fmt.Errorf("open asking port: %w", err)
	}
	n.asking = dev
	return nil
}

// read takes the frames that the bridge asks about until the device is closed.
func (c *claimer) read(context.Context) {
	var v frame.Vector
	for c.n.asking.ReadFrames(&v) == nil {
		for _, f := range v.Frames {
			c.asked(f.Data)
		}
		v.Release()
	}
}

// asked takes one frame that the bridge asks about.
func (c *claimer) asked(tagged []byte) {
	tag, frame, ok := untag(tagged)
	id := c.tagged(tag)
	if !ok || id == "" {
		c.n.count(&c.n.drops.claimDelayed) // its container has just left
		return
	}
	if c.n.loops.came(id, frame, time.Now()) {
		return
	}
	if !c.offer(func(ctx context.Context, now time.Time) { c.carry(ctx, c.core.Frame(id, frame, now)) }) {
		c.n.count(&c.n.drops.claimDelayed)
	}
}

// untag returns what a frame of the asking port names, and a copy of the frame in it.
func untag(b []byte) (tag uint16, frame []byte, ok bool) {
	if len(b) < packet.HeaderLen+tagLen || packet.EtherType(b) != tagType {
		return 0, nil, false
	}
	tag = binary.BigEndian.Uint16(b[packet.HeaderLen:]) & 0x0fff
	return tag, append(append(make([]byte, 0, len(b)-tagLen), b[:packet.HeaderLen-2]...), b[packet.HeaderLen-2+tagLen:]...), true
}

// putBack has a frame decided by the flows of its container as they are now.
func (c *claimer) putBack(id string, data []byte) {
	c.n.mu.Lock()
	e := c.n.endpoints[id]
	c.n.mu.Unlock()
	if e == nil {
		c.n.count(&c.n.drops.claimDelayed)
		return
	}
	b := append(make([]byte, 0, len(data)+tagLen), data[:packet.HeaderLen-2]...)
	b = binary.BigEndian.AppendUint16(b, tagType)
	b = binary.BigEndian.AppendUint16(b, e.tag)
	b = append(b, data[packet.HeaderLen-2:]...)
	f := frame.Frame{Data: b}
	if _, err := c.n.asking.WriteFrames([]frame.Frame{f}); err != nil {
		c.n.refused(err, &c.n.drops.fabricWrite, f)
	}
}

// freeTagLocked returns a number that names a container to the asking port.
func (n *network) freeTagLocked() uint16 {
	used := map[uint16]bool{}
	for _, e := range n.endpoints {
		used[e.tag] = true
	}
	// The numbers go round, so that a frame that waits is not taken for another's; among few,
	// since the switch has a limit for each that was ever used.
	among := uint16(min(max(fewTags, 2*len(used)), maxTag))
	for i := range among {
		if tag := (n.lastTag+i)%among + 1; !used[tag] {
			n.lastTag = tag
			return tag
		}
	}
	return 0
}

// tagged returns the container that a tag names, empty for none.
func (c *claimer) tagged(tag uint16) string {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	for id, e := range c.n.endpoints {
		if e.tag == tag && tag != 0 {
			return id
		}
	}
	return ""
}

// begin takes from other containers here what Docker has given to this one, and gives it
// what it claimed in an earlier run of the plugin.
func (c *claimer) begin(spec plane.EndpointSpec) {
	var kept []claims.Claim
	for _, c := range spec.Claims {
		kept = append(kept, claims.Claim(c))
	}
	c.do(func(ctx context.Context, now time.Time) {
		c.carry(ctx, c.core.Add(spec.ID, spec.MAC, spec.Addrs, kept, now))
	})
}

// end ends what a container has claimed. It does not wait.
func (c *claimer) end(id string) {
	c.put(func(ctx context.Context, now time.Time) { c.carry(ctx, c.core.Remove(id, now)) })
}

// answerCame takes a frame that answers a question of the claimer, and reports whether it
// is one.
func (c *claimer) answerCame(frame []byte) bool {
	if len(frame) < packet.HeaderLen || packet.Destination(frame) != claims.Asker {
		return false
	}
	if answered, ok := packet.Claims(frame); ok {
		c.answer(claims.Claim{Addr: answered.Addr, MAC: answered.MAC})
	} else {
		c.n.count(&c.n.drops.malformed)
	}
	return true
}

// askFor returns the question to the container that has claimed an address.
func askFor(c claims.Claim) []byte { return packet.Ask(nil, c.Addr, c.MAC, claims.Asker) }

// announce announces a claim to everyone in place of the container.
func (c *claimer) announce(id string, addr netip.Addr, mac overlay.MAC) {
	c.putBack(id, packet.Announce(nil, addr, mac))
}

// claimant returns the container here that has claimed an address, empty for none.
func (c *claimer) claimant(addr netip.Addr) string {
	for id, list := range *c.granted.Load() {
		if slices.ContainsFunc(list, func(c claims.Claim) bool { return c.Addr == addr }) {
			return id
		}
	}
	return ""
}

// moving takes what other nodes say about claims.
type moving struct{ n *network }

var _ overlay.Moves = moving{}

func (m moving) GiveWay(from nodeid.ID, k directory.Key, asker moves.Party) {
	c := m.n.claimer
	c.put(func(ctx context.Context, now time.Time) {
		c.carry(ctx, c.core.Asked(from, claims.Key{Addr: k.Addr, MAC: k.MAC}, claims.Party(asker), now))
	})
}

func (m moving) Kept(from nodeid.ID, k directory.Key, holder moves.Party) {
	c := m.n.claimer
	c.put(func(ctx context.Context, _ time.Time) {
		c.carry(ctx, c.core.Stays(from, claims.Key{Addr: k.Addr, MAC: k.MAC}, claims.Party(holder)))
	})
}

func directoryKey(k claims.Key) directory.Key { return directory.Key{Addr: k.Addr, MAC: k.MAC} }

func party(p claims.Party) moves.Party { return moves.Party(p) }

// logRefused logs that a container does not get what it announces.
func (c *claimer) logRefused(e claims.Refused) {
	log := c.n.log.WithField("endpoint", short(e.Container))
	what := e.Claim.Key().String()
	switch e.Cause {
	case claims.Held:
		log.Warnf("a container announces %s, which %s", what, hasIt(e.Holder))
	case claims.Limit:
		log.Warnf("a container announces %s and does not get it, since the containers of this engine have claimed as many addresses as they may: take some off their interfaces", what)
	case claims.Outside:
		log.Warnf("a container announces %s, which no container here may claim: use an address that is no gateway, does not name a whole subnet, and is kept for no other account by the setting claims", what)
	case claims.Delayed: // it is still tried
	}
}

// hasIt says who has what a container wants, and when the container can have it.
func hasIt(h claims.Holder) string {
	who := "a container"
	switch {
	case h.Addr.IsValid():
		who += " (" + h.Addr.String() + ")"
	case h.MACKnown():
		who += " (" + net.HardwareAddr(h.MAC[:]).String() + ")"
	}
	switch {
	case h.Container != "":
		who += " of this engine (endpoint " + short(h.Container) + ")"
	case h.Node.IsZero() && h.Given:
		return "Docker took back less than 10 minutes ago: use another one, or wait"
	case h.Node.IsZero(): // link-local: the first user's
		return "another container used first: use another one"
	case h.Name != "":
		who += " of " + h.Name
	default:
		who += " of node " + h.Node.String()
	}
	if h.Given {
		return who + " has from Docker: use one that Docker does not hand out"
	}
	return who + " has: it gets it when that one no longer answers for it"
}
