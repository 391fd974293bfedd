package overlay

import (
	"context"
	"crypto/ed25519"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/directory"
	"evio/overlay/flood"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
	"evio/overlay/sites"
	"evio/overlay/symphony"
)

// Config is what a Node is made of.
type Config struct {
	Overlay  string
	Key      ed25519.PrivateKey // the engine's identity
	Subnets  []netip.Prefix     // addresses outside of them are nobody's; none: any address
	Site     string             // what people call the place of this engine; empty: it has no name
	Book     *member.Book
	Sessions Sessions
	Fabric   Fabric
	Log      *logrus.Entry
}

// Node is this engine's presence in one overlay. Run owns its state; every other
// method may be called from any goroutine.
type Node struct {
	cfg  Config
	id   nodeid.ID
	log  *logrus.Entry
	mail *mailbox
	done chan struct{} // closed when Run returns

	table    atomic.Pointer[Table]
	warnings atomic.Pointer[[]string]
	drops    drops

	// Owned by Run.
	rand      *rand.Rand
	ticked    time.Time                   // when tick ran last
	members   map[nodeid.ID]member.Member // all of the overlay, online or not
	peers     map[nodeid.ID]*peer
	left      map[nodeid.ID]bool  // members without a place here, said once
	blamed    map[blame]time.Time // when the log last told of a member's wrong input
	ring      *symphony.Ring
	flood     *flood.Flood
	directory *directory.Directory
	site      sites.Site
	sites     map[nodeid.ID]sites.Site // what members have told
	overlaps  map[nodeid.ID]string     // the warning about those that hand out the same addresses
	changed   bool                     // the directory gives what the table does not show yet
	suspected time.Time                // when the signalling services were last put in doubt
	vacant    bool                     // a place among the peers may be free for one who was left out
	letters   chan letter
}

// New returns a node that waits for Run.
func New(c Config) *Node {
	public := identity.Public(c.Key)
	id := nodeid.FromKey(public, c.Overlay)
	seed := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // jitter and link choice, no secret
	n := &Node{
		cfg: c, id: id, log: c.Log, mail: newMailbox(), done: make(chan struct{}), rand: seed,
		members: map[nodeid.ID]member.Member{}, peers: map[nodeid.ID]*peer{}, left: map[nodeid.ID]bool{},
		blamed: map[blame]time.Time{}, letters: make(chan letter, maxLetters),
		site: sites.Site{Name: c.Site}, sites: map[nodeid.ID]sites.Site{}, overlaps: map[nodeid.ID]string{},
	}
	n.ring = symphony.New(id, symphony.Config{}, seed)
	n.flood = flood.New(id, uint64(time.Now().UnixNano()))
	n.directory = directory.New(id, c.Key, c.Overlay, directory.Config{Subnets: c.Subnets})
	n.table.Store(NewTable(nil))
	return n
}

// ID returns the node's place on the ring.
func (n *Node) ID() nodeid.ID { return n.id }

// Overlay returns the overlay's name.
func (n *Node) Overlay() string { return n.cfg.Overlay }

// Table returns the directory as it is now.
func (n *Node) Table() *Table { return n.table.Load() }

// After runs f on the node's goroutine behind all that waits there now; Table shows
// what came of that. It reports false, without running f, when too much waits or the
// node has ended.
func (n *Node) After(f func()) bool {
	return n.offer(func() {
		n.publish()
		f()
	})
}

// offer runs f on the node's goroutine unless too much waits there.
func (n *Node) offer(f func()) bool { return n.mail.offer(f, maxWaiting) }

// maxWaiting bounds the input of peers and containers that waits for the node.
const maxWaiting = 4096

// Run joins the overlay and stays in it until the context ends; then it ends all
// sessions, which tells the peers.
func (n *Node) Run(ctx context.Context) {
	defer close(n.done)
	changed := make(chan struct{}, 1)
	leave := n.cfg.Book.Join(n.cfg.Overlay, changed, n.message)
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		n.deliverLetters(ctx)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-changed:
			n.followMembers(time.Now())
		case <-n.mail.wake:
			for _, f := range n.mail.take() {
				f()
			}
		case <-timer.C:
		}
		// Also when input never ends, what is due is done.
		if now := time.Now(); !now.Before(n.nextTick()) {
			n.tick(now)
		}
		if n.vacant {
			n.vacant = false
			n.followMembers(time.Now())
		}
		n.publish()
		timer.Reset(time.Until(n.nextTick()))
	}
	leave()
	n.mail.close()
	for _, p := range n.peers {
		for _, a := range p.attempts {
			a.session.Close()
		}
	}
	<-delivered
}

// Bounds of the time between two ticks. The ring, which does not say when it needs
// one, wants a few in half a second.
const (
	tickLeast = time.Millisecond
	tickMost  = 250 * time.Millisecond
)

// tick does what is due.
func (n *Node) tick(now time.Time) {
	n.ticked = now
	for _, p := range n.peers {
		n.do(p, p.contact.Tick(now), now)
		for _, a := range p.attempts {
			a.tick(now)
		}
	}
	n.ringEffects(n.ring.Tick(now), now)
	n.directoryChanged(n.directory.Tick(now), now)
}

// nextTick returns when the next tick is due.
func (n *Node) nextTick() time.Time {
	next := n.ticked.Add(tickMost)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, p := range n.peers {
		sooner(p.contact.NextTick())
		for _, a := range p.attempts {
			sooner(a.control.NextTick())
		}
	}
	if earliest := n.ticked.Add(tickLeast); next.Before(earliest) {
		return earliest
	}
	return next
}
