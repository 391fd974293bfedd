package overlay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
	"evio/overlay/overlaytest"
)

const labOverlay = "blue"

// lab is an overlay of several engines in one process under virtual time.
type lab struct {
	t      *testing.T
	server *overlaytest.Server
	wire   *wire
	sites  []*site
	age    time.Duration // that lists of members may have at sites that are added; 0: any
}

// site is one engine. Its book and its key outlive its node.
type site struct {
	mtu     int                       // of its network
	subnets []netip.Prefix            // of its network
	guard   string                    // of its network
	gateway []netip.Addr              // of its network
	claims  map[string][]netip.Prefix // of its configuration, from the next start on
	known   []byte                    // what the next start has of the life before
	off     atomic.Int64              // how far its clock is off
	lab     *lab
	jid     string
	place   string // what the engine calls its site
	key     ed25519.PrivateKey
	id      nodeid.ID
	book    *member.Book
	account *overlaytest.Account
	service *member.Service
	fabric  *fabric
	log     *lines
	node    *Node
	cancel  context.CancelFunc
	done    chan struct{}
}

// newLab starts n engines that are in each other's rosters.
func newLab(t *testing.T, n int) *lab {
	t.Helper()
	l := &lab{t: t, server: overlaytest.New(), wire: newWire(uint64(n))}
	var jids []string
	for i := range n {
		jids = append(jids, jidOf(i))
	}
	l.server.Befriend(jids...)
	for i := range n {
		l.add(i)
	}
	t.Cleanup(func() {
		for _, s := range l.sites {
			s.stop()
			s.account.Close()
		}
		l.until("all sessions end", func() bool { return l.wire.open() == 0 })
	})
	return l
}

func jidOf(i int) string { return fmt.Sprintf("site%02d@example.net", i) }

// add starts one more engine. Keys are made of its number, so runs are alike.
func (l *lab) add(i int) *site {
	l.t.Helper()
	return l.addCopy(i, i, time.Time{})
}

// addCopy starts an engine with the key of another one, as if its process had begun
// at a time.
func (l *lab) addCopy(i, of int, started time.Time) *site {
	l.t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(of), 1
	s := &site{lab: l, jid: jidOf(i), place: fmt.Sprintf("place%02d", i), mtu: 1400, guard: "claim", key: ed25519.NewKeyFromSeed(seed), log: &lines{}}
	s.has("10.0.0.0/8", "fd00::/8")
	s.id = nodeid.FromKey(identity.Public(s.key), labOverlay)
	var err error
	s.book, err = member.Open(member.Config{Dir: l.t.TempDir(), Key: s.key, Started: started, MaxAge: l.age, Log: s.log.entry()})
	if err != nil {
		l.t.Fatal(err)
	}
	if s.service, err = s.book.Service(s.jid, map[string]string{member.AnyOverlay: "roster"}); err != nil {
		l.t.Fatal(err)
	}
	s.account = l.server.Connect(s.jid, s.service)
	l.sites = append(l.sites, s)
	s.start()
	return s
}

// has gives the engine's network its subnets, from the next start on.
func (s *site) has(subnets ...string) {
	s.subnets = nil
	for _, p := range subnets {
		s.subnets = append(s.subnets, netip.MustParsePrefix(p))
	}
}

// start begins a new life of the engine's node.
func (s *site) start() {
	s.fabric = &fabric{up: map[nodeid.ID]Session{}}
	s.node = New(Config{
		Overlay: labOverlay, Key: s.key, Site: s.place, Book: s.book, Sessions: port{s.lab.wire, s.id},
		MTU: s.mtu, Subnets: s.subnets, Claims: s.claims, Known: s.known, Guard: s.guard, Gateways: s.gateway,
		Fabric: s.fabric, Log: s.log.entry(),
		Wall: func(now time.Time) time.Time { return now.Add(time.Duration(s.off.Load())) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	node, done := s.node, make(chan struct{})
	s.cancel, s.done = cancel, done
	go func() {
		defer close(done)
		node.Run(ctx)
	}()
}

func (s *site) stop() {
	s.cancel()
	<-s.done
}

// until advances time until ok holds.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	if !l.within(2*time.Minute, ok) {
		l.t.Fatalf("%s: not within two minutes", what)
	}
}

// within advances time until ok holds or the time is over.
func (l *lab) within(d time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(d); ; {
		synctest.Wait()
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		pass(20 * time.Millisecond)
	}
}

// share reports whether the links of two sites to each other are the ends of one session.
// The other ends may also be those of a copy, or closed and not noticed yet.
func (l *lab) share(a, b *site) bool {
	x, _ := a.fabric.link(b.id).(*link)
	y, _ := b.fabric.link(a.id).(*link)
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	return x != nil && y != nil && x.remote == y.number && y.remote == x.number && !x.closed && !y.closed
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// connected reports whether all sites have a link to all others.
func (l *lab) connected() bool {
	for _, s := range l.sites {
		if s.fabric.links() != len(l.sites)-1 {
			return false
		}
	}
	return true
}

// settled also asks for a ring whose floods go by links alone.
func (l *lab) settled() bool {
	if !l.connected() {
		return false
	}
	for _, s := range l.sites {
		status := s.status()
		if len(status.Successors) < min(2, len(l.sites)-1) {
			return false
		}
	}
	return true
}

func (s *site) status() Status {
	s.lab.t.Helper()
	status, err := s.node.Status(context.Background())
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return status
}

// drop returns one of the node's drop counters.
func (s *site) drop(cause string) uint64 { return s.status().Drops[cause] }

func (s *site) claim(addr string, n byte) error {
	return s.node.Claim(context.Background(), []netip.Addr{netip.MustParseAddr(addr)}, hw(n))
}

func (s *site) mustClaim(addr string, n byte) {
	s.lab.t.Helper()
	if err := s.claim(addr, n); err != nil {
		s.lab.t.Fatal(err)
	}
}

// sees reports whether the site's table says that owner has the address.
func (s *site) sees(addr string, owner *site) bool {
	e, ok := s.node.Table().Lookup(netip.MustParseAddr(addr))
	return ok && e.Node == owner.id
}

func (s *site) knows(addr string) bool {
	_, ok := s.node.Table().Lookup(netip.MustParseAddr(addr))
	return ok
}

func hw(n byte) MAC { return MAC{0x02, 0xee, 0, 0, 0, n} }

// frameOf returns a broadcast with a number in it.
func frameOf(source MAC, number uint32) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, source[:]...)
	return binary.BigEndian.AppendUint32(append(b, 0x88, 0xb5), number)
}

// fabric keeps what the node tells the network beneath it.
type fabric struct {
	mu        sync.Mutex
	up        map[nodeid.ID]Session
	ups       int
	changed   int
	delivered [][]byte
	held      chan struct{}   // what Deliver waits for, nil: nothing
	refused   map[string]bool // frames that Deliver does not take
}

var _ Fabric = (*fabric)(nil)

func (f *fabric) LinkUp(peer nodeid.ID, s Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up[peer] = s
	f.ups++
}

func (f *fabric) LinkDown(peer nodeid.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.up, peer)
}

func (f *fabric) DirectoryChanged([]Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed++
}

func (f *fabric) Deliver(origin nodeid.ID, frame []byte) bool {
	f.mu.Lock()
	held, refused := f.held, f.refused[string(frame)]
	f.mu.Unlock()
	if held != nil {
		<-held
	}
	if !refused {
		f.DeliverOrHold(origin, frame)
	}
	return !refused
}

func (f *fabric) DeliverOrHold(_ nodeid.ID, frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delivered = append(f.delivered, bytes.Clone(frame))
}

// hold has Deliver wait until release is called.
func (f *fabric) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return func() { close(held) }
}

// refuse has Deliver not take a frame.
func (f *fabric) refuse(frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		f.refused = map[string]bool{}
	}
	f.refused[string(frame)] = true
}

// frames returns what was delivered.
func (f *fabric) frames() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.delivered)
}

// shown returns how often the directory was shown.
func (f *fabric) shown() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fabric) links() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.up)
}

func (f *fabric) link(peer nodeid.ID) Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up[peer]
}

// count returns how often a frame was delivered.
func (f *fabric) count(frame []byte) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, d := range f.delivered {
		if bytes.Equal(d, frame) {
			n++
		}
	}
	return n
}

// snapshot returns what must not change when a peer sends nonsense.
func (s *site) snapshot() string {
	s.fabric.mu.Lock()
	links, ups, delivered := maps.Clone(s.fabric.up), s.fabric.ups, len(s.fabric.delivered)
	s.fabric.mu.Unlock()
	status := s.status()
	for i := range status.Members {
		status.Members[i].Clock = nil // it is measured anew by and by
	}
	entries := map[Entry]bool{}
	for _, e := range s.node.Table().Entries() {
		entries[e] = true
	}
	return fmt.Sprint(len(links), ups, delivered, status.Successors, status.LongDistance, status.Members, entries)
}

// lines is a log that a test can search.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (w *lines) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(b))
	return len(b), nil
}

func (w *lines) entry() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(w)
	return logrus.NewEntry(l)
}

// with returns the lines that contain a text.
func (w *lines) with(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, l := range w.all {
		if strings.Contains(l, text) {
			found = append(found, l)
		}
	}
	return found
}

func (s *site) addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range texts {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func address(i int) string { return fmt.Sprintf("10.0.1.%d", i+1) }
