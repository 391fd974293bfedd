// Package filter has rules about frames: what a frame shows of itself, which rule it meets
// first, and what becomes of it. Rules are data. They are evaluated here, and package ovs
// writes the same rules as flows; so a frame is seen here as Open vSwitch sees it, headers
// that it skips included. What the rules say is for others to decide.
package filter

import (
	"net/netip"
	"slices"

	"evio/datapath/packet"
)

// Verdict says what becomes of a frame that a rule matches.
type Verdict uint8

// Verdicts.
const (
	Next   Verdict = iota // the next stage looks at it
	Pass                  // nothing else is asked
	Refuse                // it is dropped, and counted
	Ask                   // nobody knows yet: it is refused unless somebody decides otherwise
)

// Cause says why a frame was refused.
type Cause uint8

// Causes.
const (
	None        Cause = iota
	Malformed         // it is nothing that a station may send, or hides what it is
	Station           // its source MAC address is not its sender's
	Address           // an address or a binding that it speaks of is not its sender's
	Role              // it is of a router or a DHCP server
	Destination       // it is for an address that its receiver does not have

	Causes // how many there are
)

// Holder is who has an address, as seen from one station.
type Holder uint8

// Holders.
const (
	Nobody Holder = iota
	Self
	Other
)

// Facts are the holders of what a frame shows. For a sender, To is not asked for; for a
// receiver, nothing else is.
type Facts struct{ Source, Link, From, To, Target Holder }

// Unseen is the value of a field that is zero or that the frame does not show.
const Unseen = -1

// Match is what a rule is about; fields that are zero match everything.
type Match struct {
	Kind     Kind
	Protocol int // of IP; of ARP the operation
	Fragment Fragment
	Hops     uint8
	FromPort int // of UDP; of ICMP the type
	ToPort   int // of UDP; of ICMP the code
	// Source is the Ethernet source, Link the hardware address that ARP or a neighbour
	// message tells of.
	Source, Link, Destination Stations
	// From and To are the ends of an IP packet, or sender and target of ARP; Target is that
	// of a neighbour message.
	From, To, Target Addresses
}

// Stations are MAC addresses: those that Of holds, and are in one of In if there are any.
type Stations struct {
	Of Holder
	In []Range
}

// Range are the MAC addresses that agree with one in the bits of a mask.
type Range struct{ MAC, Mask packet.MAC }

// Addresses are IP addresses: those that Of holds, and are in one of In if there are any.
// Other is only asked for behind a rule that takes Self.
type Addresses struct {
	Of Holder
	In []netip.Prefix
}

// Rule is a match and what becomes of it.
type Rule struct {
	Match
	Then  Verdict
	Cause Cause
}

// Stage is a list of rules; the first one that matches decides. What none matches
// goes on to the next stage.
type Stage []Rule

// MaxStages is how many stages there may be for senders.
const MaxStages = 8

// Guard is the rules of a network. It is immutable; any goroutine may use it.
type Guard struct {
	send    []Stage
	receive Stage
	// most has, by kind and class of protocol, those of send that can match.
	most  [kinds][][]Stage
	class [256]uint8 // of each protocol: those that no rule names have the first
}

// New returns the guard of at most MaxStages stages for what is sent, and one for what is
// delivered to a station. Receivers do not ask.
func New(send []Stage, receive Stage) *Guard {
	g := &Guard{send: send, receive: receive}
	named := []int{0}
	for _, r := range slices.Concat(send...) {
		if p := r.Protocol; p != 0 && g.class[max(p, 0)] == 0 {
			g.class[max(p, 0)] = uint8(len(named))
			named = append(named, p)
		}
	}
	for k := range g.most {
		for _, p := range named {
			var can []Stage
			for _, s := range send {
				can = append(can, slices.DeleteFunc(slices.Clone(s), func(r Rule) bool {
					return r.Kind != Any && r.Kind != Kind(k) || r.Protocol != 0 && r.Protocol != p
				}))
			}
			g.most[k] = append(g.most[k], can)
		}
	}
	return g
}

// Stages returns the stages for what is sent, and that for what is delivered.
func (g *Guard) Stages() (send []Stage, receive Stage) { return g.send, g.receive }

// Send decides about what a station sends.
func (g *Guard) Send(v *View, f Facts) (Verdict, Cause) {
	for _, s := range g.most[v.Kind][g.class[v.Protocol]] {
		if then, cause := s.decide(v, &f); then != Next {
			return then, cause
		}
	}
	return Pass, None
}

// Deliver decides about what is on its way to a station.
func (g *Guard) Deliver(v *View, f Facts) (Verdict, Cause) {
	if then, cause := g.receive.decide(v, &f); then != Next {
		return then, cause
	}
	return Pass, None
}

func (s Stage) decide(v *View, f *Facts) (Verdict, Cause) {
	for i := range s {
		if s[i].matches(v, f) {
			return s[i].Then, s[i].Cause
		}
	}
	return Next, None
}

func (m *Match) matches(v *View, f *Facts) bool {
	return (m.Kind == Any || m.Kind == v.Kind) &&
		is(m.Protocol, int(v.Protocol)) && (m.Fragment == 0 || m.Fragment == v.Fragment) && (m.Hops == 0 || m.Hops == v.Hops) &&
		is(m.FromPort, int(v.FromPort)) && is(m.ToPort, int(v.ToPort)) &&
		m.Source.have(v.Source, f.Source) && m.Link.have(v.Link, f.Link) && m.Destination.have(v.Destination, Nobody) &&
		m.From.have(v.From, f.From) && m.To.have(v.To, f.To) && m.Target.have(v.Target, f.Target)
}

// is reports whether a number is the wanted one.
func is(want, have int) bool { return want == 0 || want == have || want == Unseen && have == 0 }

func (s *Stations) have(m packet.MAC, of Holder) bool {
	return (s.Of == Nobody || s.Of == of) && (len(s.In) == 0 || s.in(m))
}

func (s *Stations) in(m packet.MAC) bool {
	for _, r := range s.In {
		if r.has(m) {
			return true
		}
	}
	return false
}

func (r Range) has(m packet.MAC) bool {
	for i := range m {
		if (m[i]^r.MAC[i])&r.Mask[i] != 0 {
			return false
		}
	}
	return true
}

func (s *Addresses) have(a netip.Addr, of Holder) bool {
	return (s.Of == Nobody || s.Of == of) && (len(s.In) == 0 || s.in(a))
}

func (s *Addresses) in(a netip.Addr) bool {
	for _, p := range s.In {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
