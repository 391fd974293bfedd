package overlay

import (
	"context"
	"crypto/ed25519"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/directory"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
	"evio/overlay/sites"
	"evio/overlay/symphony"
	"evio/wall"
)

// Config is what a Node is made of.
type Config struct {
	Overlay  string
	Key      ed25519.PrivateKey        // the engine's identity
	Subnets  []netip.Prefix            // addresses outside of them are nobody's; none: any address
	Gateways []netip.Addr              // of the subnets: no container can have them
	Guard    string                    // what containers may say; empty: it does not matter
	MTU      int                       // of the network, bytes; 0: it does not matter
	Claims   map[string][]netip.Prefix // by account, whose the addresses within are, whoever else claims them
	Known    []byte                    // what Node.Known returned last in an earlier life; nil: nothing
	Site     string                    // what people call the place of this engine; empty: it has no name
	Book     *member.Book
	Sessions Sessions
	Fabric   Fabric
	Moves    Moves // nil: containers claim nothing by themselves
	Log      *logrus.Entry
	Wall     wall.Clock // for the times in messages to others; nil: this machine's
}

// Node is this engine's presence in one overlay. Run owns its state; every other
// method may be called from any goroutine.
type Node struct {
	cfg  Config
	id   nodeid.ID
	log  *logrus.Entry
	mail *mailbox
	done chan struct{} // closed when Run returns

	table      *Table
	warnings   atomic.Pointer[[]string]
	drops      drops
	arrivals   arrivals
	floods     *floods
	complaints complaintLog

	// Owned by Run.
	rand       *rand.Rand
	ticked     time.Time                   // when tick ran last
	members    map[nodeid.ID]member.Member // all of the overlay, online or not
	peers      map[nodeid.ID]*peer
	left       map[nodeid.ID]bool // members without a place here, said once
	ring       *symphony.Ring
	directory  *directory.Directory
	site       sites.Site
	sites      map[nodeid.ID]sites.Site // what members have told
	mismatched map[nodeid.ID][]string   // in what the sites of those with a session and this one do not go together, a sentence each
	clocks     map[nodeid.ID]standing   // how those of others stand to this engine's
	steps      wall.Steps
	mentioned  map[nodeid.ID][]string // of these, what the log has been told
	keyLog     keyLog
	pending    map[key]Entry // changes that the fabric does not know yet, with what the table gave when it was last notified
	published  time.Time     // when it was last notified
	suspected  time.Time     // when the signalling services were last put in doubt
	rewired    bool          // members or sessions are others than the workers of floods know
	vacant     bool          // there may be a free place among the peers for a node that was left out
	outgoing   chan outgoingEnvelope
	reserved   []reservation
	stirred    bool      // the directory knows what Known has not returned yet
	knownAt    time.Time // when it was last asked for
	forgot     error     // why Config.Known cannot be used; not changed
}

// New returns a node that waits for Run.
func New(c Config) *Node {
	c.Wall = c.Wall.Or()
	public := identity.Public(c.Key)
	id := nodeid.FromKey(public, c.Overlay)
	seed := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // jitter and link choice, no secret
	n := &Node{
		cfg: c, id: id, log: c.Log, mail: newMailbox(), table: NewTable(nil), done: make(chan struct{}), rand: seed,
		members: map[nodeid.ID]member.Member{}, peers: map[nodeid.ID]*peer{}, left: map[nodeid.ID]bool{},
		outgoing: make(chan outgoingEnvelope, maxOutgoing), floods: newFloods(id, seed.Uint64(), c.Wall),
		site: sites.Site{
			Name: c.Site, MTU: c.MTU, Guard: sites.Guard(c.Guard),
			Subnets: c.Subnets[:min(len(c.Subnets), sites.MaxSubnets)], Gateways: c.Gateways[:min(len(c.Gateways), sites.MaxGateways)],
		},
		sites: map[nodeid.ID]sites.Site{}, mismatched: map[nodeid.ID][]string{}, mentioned: map[nodeid.ID][]string{},
		clocks: map[nodeid.ID]standing{}, steps: wall.Steps{Clock: c.Wall},
		keyLog: keyLog{}, reserved: reservations(c.Claims), stirred: true,
	}
	n.followAccounts()
	n.ring = symphony.New(id, symphony.Config{}, seed)
	n.directory, n.forgot = directory.New(id, c.Key, c.Overlay, directory.Config{
		Subnets: c.Subnets, Reserved: n.reservedFor, Known: c.Known, Wall: c.Wall,
	}, time.Now())
	n.directory.SetGateways(id, n.site.Gateways, time.Now()) // nothing is claimed that could change
	return n
}

// ID returns the node's place on the ring.
func (n *Node) ID() nodeid.ID { return n.id }

// Overlay returns the overlay's name.
func (n *Node) Overlay() string { return n.cfg.Overlay }

// Table returns the directory, which goes on changing.
func (n *Node) Table() *Table { return n.table }

// After runs f on the node's goroutine when the messages that wait there have had their
// turn. It reports false, without running f, when too much waits or the node has ended.
func (n *Node) After(f func()) bool { return n.mail.after(source{kind: ofEngine}, f, maxWaiting) }

// AfterPeer runs f on the node's goroutine behind all that waits there of a peer's
// messages; Table shows what came of them. It reports false, without running f, when too
// much of that peer waits or the node has ended.
func (n *Node) AfterPeer(peer nodeid.ID, f func()) bool {
	return n.mail.after(from(peer), f, maxFramesWaiting)
}

const (
	// maxWaiting bounds what this process has waiting behind messages.
	maxWaiting = 4096
	// maxFramesWaiting bounds the frames of one peer that wait behind its messages.
	maxFramesWaiting = 512
	// maxEnvelopesWaiting bounds what the signalling services have brought from one account.
	maxEnvelopesWaiting = 64
	// maxTurns is how much is taken before the node sees to what is due.
	maxTurns = 64
)

// Run joins the overlay and stays in it until the context ends; then it ends all
// sessions, which tells the peers.
func (n *Node) Run(ctx context.Context) {
	defer close(n.done)
	changed := make(chan struct{}, 1)
	leave := n.cfg.Book.Join(n.cfg.Overlay, changed, n.message)
	var workers sync.WaitGroup
	workers.Go(func() { n.sendEnvelopes(ctx) })
	for range floodWorkers() {
		workers.Go(n.workFloods)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-changed:
			n.followMembers(time.Now())
		case <-n.mail.wake:
			n.mail.run(ctx, maxTurns)
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
		n.publish(time.Now())
		n.showFloods()
		timer.Reset(time.Until(n.nextTick()))
	}
	leave()
	n.mail.close()
	n.floods.queues.close()
	for _, p := range n.peers {
		for _, a := range p.sessions {
			a.session.Close()
		}
	}
	workers.Wait()
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
	if by := n.steps.Look(now); by != 0 {
		n.clockSet(by, now)
	}
	for _, p := range n.peers {
		n.do(p, p.contact.Tick(now), now)
		for _, a := range p.sessions {
			a.tick(now)
		}
		n.tellClaims(p, now)
		n.askClock(p, now)
		n.resync(p, now)
		n.sayAgain(p, now)
	}
	n.ageClocks(now)
	n.logLate(now)
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
		for _, a := range p.sessions {
			sooner(a.control.NextTick())
		}
	}
	if len(n.pending) > 0 {
		sooner(n.published.Add(publishPause))
	}
	if earliest := n.ticked.Add(tickLeast); next.Before(earliest) {
		return earliest
	}
	return next
}
