// Package member knows who belongs to an overlay.
//
// The members of an overlay are the identities seen bound to the JIDs that a
// signalling service lists: in its roster, in one group of it, or as members of a
// room. The binding of a JID to its identity is kept on disk (a pin), even while the
// JID is in no list: once seen, another identity under the same JID is refused until
// an operator accepts it. So is any identity where the pin is damaged.
// Presence says who is online and is only a hint; roster, group or room alone decide
// who is a member. The loss of the server takes nobody's membership, unless a limit is
// set for the age of a list, and that is reached.
//
// An engine whose identity a second live engine has as well, which was started
// before, leaves all overlays (duplicate.go).
//
// The package does no signalling of its own: a [Service] is the handler of one
// XMPP session (package signal) and feeds the [Book], which all overlays of the
// process share. The overlays pull: a Book tells them that something changed, and
// they read an immutable list.
package member

import (
	"crypto/ed25519"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/identity"
	"evio/overlay/nodeid"
	"evio/wall"
)

// AnyOverlay is the name under which a service offers itself for every overlay
// that no other service names.
const AnyOverlay = "*"

// Member is an identity that is allowed in an overlay.
type Member struct {
	JID    string            // bare JID, the account
	Key    ed25519.PublicKey // the identity pinned for the JID
	Node   nodeid.ID         // its node in the overlay
	Online bool              // its presence names the overlay, and a message can be sent
	// Membership is what it is a member by: "roster", "group:NAME" or "room:ROOM@SERVICE".
	Membership string

	full string // full JID of the newest presence
	via  *Service
}

// Book is what the process knows about members. All methods may be called from
// any goroutine.
type Book struct {
	key     ed25519.PrivateKey
	self    ed25519.PublicKey
	started time.Time // in whole milliseconds, as duplicates tell each other
	pins    *pins
	limits  limits
	ledger  Ledger // or nil
	slept   func() time.Duration
	log     *logrus.Entry

	announcing sync.Mutex // orders what announce computes with what it sets

	mu       sync.Mutex
	services []*Service
	overlays map[string]*subscription
	stopped  string // why this engine has left its overlays, or ""
}

// subscription is one overlay of this engine that follows its members.
type subscription struct {
	node    nodeid.ID
	changed chan<- struct{}
	deliver func(Member, []byte)
}

// Config says where a Book keeps its pins and who it is kept for.
type Config struct {
	Dir     string             // state directory; the pins are in its Folder, which is made if it is missing
	Key     ed25519.PrivateKey // the engine's own identity, never a member of its own overlays
	Started time.Time          // when the process began; zero: now
	// MaxAge is how old a list may be that has not been complete since; then its members are
	// none until it is. 0: any age.
	MaxAge time.Duration
	Ledger Ledger // keeps the age of lists over restarts; nil: nobody does
	// Slept returns for how long the machine has slept since it was booted; nil: wall.Slept.
	Slept func() time.Duration
	Log   *logrus.Entry
}

// Open reads the pins kept in the directory. A damaged pin is set aside and logged, and
// its account is refused; it is not an error.
func Open(c Config) (*Book, error) {
	p, err := openPins(c.Dir, c.Log)
	if err != nil {
		return nil, err
	}
	if c.Started.IsZero() {
		c.Started = wall.Now()
	}
	if c.Slept == nil {
		c.Slept = wall.Slept
	}
	return &Book{
		key: c.Key, self: identity.Public(c.Key), started: c.Started.Truncate(time.Millisecond),
		pins: p, limits: limitsOf(c.MaxAge), ledger: c.Ledger, slept: c.Slept, log: c.Log, overlays: map[string]*subscription{},
	}, nil
}

// Join follows the members of an overlay. A value is put into changed, without
// waiting for room in it, whenever Members has something new; deliver is called
// with each message of a member that is addressed to this engine's node, from the
// goroutine of the session that brought it, and must not block. The function
// returned ends both.
func (b *Book) Join(overlay string, changed chan<- struct{}, deliver func(Member, []byte)) (leave func()) {
	s := &subscription{node: nodeid.FromKey(b.self, overlay), changed: changed, deliver: deliver}
	b.mu.Lock()
	b.overlays[overlay] = s
	b.mu.Unlock()
	b.announce()
	notify(changed)
	return func() {
		b.mu.Lock()
		if b.overlays[overlay] == s {
			delete(b.overlays, overlay)
		}
		b.mu.Unlock()
		b.announce()
	}
}

// Members returns the members of an overlay but this engine itself, in the order
// of their node IDs. An identity appears once: by an account that is online, if any,
// then by the one with the lower JID, through the first service that has it so.
func (b *Book) Members(overlay string) []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped != "" {
		return nil
	}
	byNode := map[nodeid.ID]Member{}
	for _, s := range b.servingLocked(overlay) {
		for _, m := range s.membersLocked(overlay) {
			if old, seen := byNode[m.Node]; !seen || m.before(old) {
				byNode[m.Node] = m
			}
		}
	}
	list := make([]Member, 0, len(byNode))
	for _, m := range byNode {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return nodeid.Compare(a.Node, b.Node) })
	return list
}

// Suspect has every signalling session find out whether it still works; a node calls
// it when the way to a peer has failed.
func (b *Book) Suspect() {
	b.mu.Lock()
	var all []Announcer
	for _, s := range b.services {
		if s.announcer != nil {
			all = append(all, s.announcer)
		}
	}
	b.mu.Unlock()
	for _, a := range all {
		a.Check()
	}
}

// servingLocked returns the services that name the overlay, or else those that
// offer themselves for any.
func (b *Book) servingLocked(overlay string) []*Service {
	var named, wild []*Service
	for _, s := range b.services {
		if _, ok := s.overlays[overlay]; ok {
			named = append(named, s)
		} else if _, ok := s.overlays[AnyOverlay]; ok {
			wild = append(wild, s)
		}
	}
	if len(named) > 0 {
		return named
	}
	return wild
}

// Served reports whether some service is configured for the overlay.
func (b *Book) Served(overlay string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.servingLocked(overlay)) > 0
}

// announce gives every service the presence extension for the overlays it serves.
func (b *Book) announce() {
	type update struct {
		to  Announcer
		ext []byte
	}
	b.announcing.Lock()
	defer b.announcing.Unlock()
	b.mu.Lock()
	var names []string
	if b.stopped == "" {
		names = slices.Sorted(maps.Keys(b.overlays))
	}
	var updates []update
	for _, s := range b.services {
		var nodes []nodeid.ID
		for _, name := range names {
			if slices.Contains(b.servingLocked(name), s) {
				nodes = append(nodes, b.overlays[name].node)
			}
		}
		if len(nodes) > maxNodes {
			s.log.Warnf("this account announces %d of %d overlays, members do not find the rest: serve some of them with another account", maxNodes, len(nodes))
		}
		if s.announcer != nil {
			updates = append(updates, update{s.announcer, extension{Key: b.self, Proof: s.proof, Nodes: nodes}.encode()})
		}
	}
	b.mu.Unlock()
	for _, u := range updates {
		u.to.SetExtension(u.ext)
	}
}

// notifyAll tells every overlay that its members may have changed.
func (b *Book) notifyAll() {
	b.mu.Lock()
	var all []chan<- struct{}
	for _, s := range b.overlays {
		all = append(all, s.changed)
	}
	b.mu.Unlock()
	for _, c := range all {
		notify(c)
	}
}

// subscriptionOf returns the overlay whose node of this engine is id.
func (b *Book) subscriptionOf(id nodeid.ID) (string, *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, s := range b.overlays {
		if s.node == id {
			return name, s
		}
	}
	return "", nil
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // the reader has not yet taken the last one and will read all
	}
}

// bare cuts the resource off a JID (RFC 7622, section 3.1).
func bare(jid string) string {
	account, _, _ := strings.Cut(jid, "/")
	return strings.ToLower(account)
}
