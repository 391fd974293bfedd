// Package overlaytest has an XMPP server in memory, to which the books of several
// engines in one process are connected: it knows rosters, routes presence and
// messages, and can fail.
package overlaytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"evio/overlay/member"
	"evio/overlay/signal"
)

// ErrOffline is what Send says while there is no connection.
var ErrOffline = errors.New("not connected to the XMPP server")

// Server routes between accounts. Its methods may be called from any goroutine.
type Server struct {
	mu       sync.Mutex
	accounts map[string]*Account
	rosters  map[string][]string // bare JID → bare JIDs whose presence it sees
	down     bool
	pass     func(from, to string, payload []byte) bool
}

// New returns a server without accounts.
func New() *Server {
	return &Server{accounts: map[string]*Account{}, rosters: map[string][]string{}}
}

// Account is one engine's connection; it implements member.Announcer.
type Account struct {
	server  *Server
	jid     string
	service *member.Service
	inbox   *inbox

	// Guarded by server.mu.
	ext     []byte
	stalled bool
	checked bool // and Check is finding out
	logins  int  // connections, each with a resource of its own
}

var _ member.Announcer = (*Account)(nil)

// Connect logs an account in, in place of its connection from before. Stanzas come
// in order from one goroutine, until Close.
func (s *Server) Connect(jid string, service *member.Service) *Account {
	a := &Account{server: s, jid: jid, service: service, inbox: newInbox()}
	s.mu.Lock()
	if old := s.accounts[jid]; old != nil {
		s.leaveLocked(old)
	}
	s.accounts[jid] = a
	if !s.down {
		s.welcomeLocked(a)
	}
	s.mu.Unlock()
	service.Attach(a)
	return a
}

// Full returns the JID that the account's stanzas bear.
func (a *Account) Full() string {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	return a.fullLocked()
}

func (a *Account) fullLocked() string { return fmt.Sprintf("%s/evio-%d", a.jid, a.logins) }

// Close logs the account out and waits for its last stanza.
func (a *Account) Close() {
	a.server.mu.Lock()
	if a.server.accounts[a.jid] == a {
		a.server.leaveLocked(a)
		delete(a.server.accounts, a.jid)
	}
	a.server.mu.Unlock()
	a.inbox.close()
}

// SetExtension implements member.Announcer.
func (a *Account) SetExtension(ext []byte) {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.ext = slices.Clone(ext)
	if !a.server.down && a.server.accounts[a.jid] == a {
		a.server.presenceLocked(a)
	}
}

// Send implements member.Announcer.
func (a *Account) Send(_ context.Context, to string, payload []byte) error {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	if a.server.down || a.server.accounts[a.jid] != a {
		return ErrOffline
	}
	if !a.stalled {
		a.server.messageLocked(a.fullLocked(), to, payload) //nolint:contextcheck // it arrives on another goroutine, after the call
	}
	return nil
}

// Times of a connection that is found to be dead.
const (
	checkTimeout = 3 * time.Second
	loginTime    = 500 * time.Millisecond
)

// Stall breaks the account's connection so that neither end knows, as when the address
// of its site changes: what is sent over it in either direction is lost, and the others
// see it online, until Check has found out and it has logged in again.
func (a *Account) Stall() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.stalled = true
}

// Check implements member.Announcer.
func (a *Account) Check() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	if !a.stalled || a.checked {
		return
	}
	a.checked = true
	time.AfterFunc(checkTimeout, func() {
		a.inbox.put(func() { a.service.Down(ErrOffline) })
		time.AfterFunc(loginTime, a.relogin)
	})
}

// relogin makes a new connection in the place of the dead one.
func (a *Account) relogin() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.stalled, a.checked = false, false
	a.logins++
	if a.server.accounts[a.jid] == a && !a.server.down {
		a.server.welcomeLocked(a)
	}
}

// Intercept has a function see each message and say whether it arrives; nil: all do.
// The function must not call the server.
func (s *Server) Intercept(pass func(from, to string, payload []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass = pass
}

// Inject brings a message to an account as if from had sent it.
func (s *Server) Inject(from, to string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messageLocked(from, to, payload)
}

func (s *Server) messageLocked(from, to string, payload []byte) {
	payload = slices.Clone(payload)
	if s.pass != nil && !s.pass(from, to, payload) {
		return
	}
	for _, a := range s.accounts {
		if a.fullLocked() == to && !a.stalled {
			a.inbox.put(func() { a.service.Message(from, payload) })
		}
	}
}

// Befriend puts every account on the rosters of all others.
func (s *Server) Befriend(jids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, jid := range jids {
		for _, other := range jids {
			if other != jid && !slices.Contains(s.rosters[jid], other) {
				s.rosters[jid] = append(s.rosters[jid], other)
			}
		}
	}
	s.pushLocked(jids)
}

// Remove takes an account off all rosters.
func (s *Server) Remove(jid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var touched []string
	for owner, roster := range s.rosters {
		if slices.Contains(roster, jid) {
			s.rosters[owner] = slices.DeleteFunc(roster, func(j string) bool { return j == jid })
			touched = append(touched, owner)
		}
	}
	s.pushLocked(touched)
}

// Down ends all connections until Up.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for _, a := range s.accounts {
		a.inbox.put(func() { a.service.Down(ErrOffline) })
	}
}

// Up lets all accounts log in again.
func (s *Server) Up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
	for _, a := range s.accounts {
		s.welcomeLocked(a)
	}
}

// welcomeLocked is what follows a login: roster, presences, own presence.
func (s *Server) welcomeLocked(a *Account) {
	full := a.fullLocked()
	a.inbox.put(func() { a.service.Up(full) })
	s.rosterLocked(a)
	s.presenceLocked(a)
}

// pushLocked tells accounts that their rosters have changed.
func (s *Server) pushLocked(jids []string) {
	if s.down {
		return
	}
	for _, jid := range jids {
		if a := s.accounts[jid]; a != nil {
			s.rosterLocked(a)
		}
	}
}

// rosterLocked gives an account its roster and the presence of those in it.
func (s *Server) rosterLocked(a *Account) {
	var items []signal.Item
	for _, jid := range s.rosters[a.jid] {
		items = append(items, signal.Item{JID: jid, Subscription: "both"})
	}
	a.inbox.put(func() { a.service.Roster(items) })
	for _, jid := range s.rosters[a.jid] {
		if other := s.accounts[jid]; other != nil && other.ext != nil {
			from, ext := other.fullLocked(), other.ext
			a.inbox.put(func() { a.service.Presence(from, true, ext) })
		}
	}
}

// presenceLocked tells those who have the account on their roster.
func (s *Server) presenceLocked(a *Account) {
	from, ext := a.fullLocked(), a.ext
	if ext != nil {
		s.broadcastLocked(a, func(w *member.Service) { w.Presence(from, true, ext) })
	}
}

func (s *Server) leaveLocked(a *Account) {
	from := a.fullLocked()
	s.broadcastLocked(a, func(w *member.Service) { w.Presence(from, false, nil) })
}

func (s *Server) broadcastLocked(a *Account, tell func(*member.Service)) {
	for _, w := range s.accounts {
		if w != a && !w.stalled && slices.Contains(s.rosters[w.jid], a.jid) {
			w.inbox.put(func() { tell(w.service) })
		}
	}
}
