package testbed

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// XMPPDomain is the domain of all accounts, and the server's name in every machine's hosts file.
const XMPPDomain = "xmpp.example"

// Group is the name of the shared roster group that SetGroup fills.
const Group = "evio"

// RoomsDomain is the domain of all rooms.
const RoomsDomain = "rooms." + XMPPDomain

// XMPPKind says which program the XMPP server is; they differ in nothing that tests see.
type XMPPKind uint8

// The kinds.
const (
	Prosody XMPPKind = iota
	Ejabberd
)

func (k XMPPKind) String() string {
	if k == Ejabberd {
		return "ejabberd"
	}
	return "prosody"
}

// XMPP is the XMPP server: port 5222 with STARTTLS required, port 5223 with TLS at once, a
// certificate of the lab's CA, SCRAM-SHA-256, rooms for multi-user chat that only an administrator
// makes.
type XMPP struct {
	machine *Machine
	ca      *authority
	kind    XMPPKind
	program xmppProgram

	mu       sync.Mutex // one administrative act at a time; guards what follows
	process  *Process
	accounts map[string]string // passwords by user
	members  []string          // of the group
}

// xmppProgram is what the kinds do in different ways. The acts are for a server that runs.
type xmppProgram interface {
	// install writes the configuration; the server has never run.
	install(ctx context.Context, certificate, key []byte) error
	command() []string
	// ready is a script that succeeds once acts can be done.
	ready() string
	register(ctx context.Context, user, password string) error
	unregister(ctx context.Context, user string) error
	// group makes the JIDs the shared roster group's members.
	group(ctx context.Context, jids []string) error
	// room makes the JIDs the room's members, and the room if there is none.
	room(ctx context.Context, name string, jids []string) error
}

// Account is a user of the XMPP server.
type Account struct {
	JID      string // bare
	Password string
}

func newXMPP(ctx context.Context, m *Machine, ca *authority, kind XMPPKind) (*XMPP, error) {
	x := &XMPP{machine: m, ca: ca, kind: kind, program: &prosody{machine: m}, accounts: map[string]string{}}
	if kind == Ejabberd {
		x.program = &ejabberd{machine: m}
	}
	certificate, key, err := ca.issue(XMPPDomain, xmppAddr, xmppAddr6)
	if err != nil {
		return nil, err
	}
	if err := x.program.install(ctx, certificate, key); err != nil {
		return nil, err
	}
	return x, x.Start(ctx)
}

// Kind is what the server is.
func (x *XMPP) Kind() XMPPKind { return x.kind }

// StartTLSAddress is the host:port with STARTTLS, DirectTLSAddress the one with TLS at once. The
// host is the domain, which the hosts file of every machine knows.
func (*XMPP) StartTLSAddress() string { return XMPPDomain + ":5222" }

// DirectTLSAddress is described at StartTLSAddress.
func (*XMPP) DirectTLSAddress() string { return XMPPDomain + ":5223" }

// CA is the certificate, as PEM, of the authority that signed the server's.
func (x *XMPP) CA() []byte { return slices.Clone(x.ca.pem) }

// Roots is CA as a pool.
func (x *XMPP) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(x.ca.certificate)
	return pool
}

// Start starts the server and waits until both ports answer. Accounts and group are as they were.
func (x *XMPP) Start(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, err := x.machine.Start(ctx, "xmpp", x.program.command()...)
	if err != nil {
		return err
	}
	x.process = p
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ready := []string{x.program.ready()}
	for _, addr := range []string{xmppAddr, "[" + xmppAddr6 + "]"} {
		ready = append(ready, "probe tcp-check "+addr+":5222", "probe tcp-check "+addr+":5223")
	}
	if err := p.await(ctx, func() error {
		_, err := x.machine.Script(ctx, strings.Join(ready, "\n"))
		return err
	}); err != nil {
		return err
	}
	if x.kind == Ejabberd {
		return x.remind(ctx)
	}
	return nil
}

// remind sends the server its accounts and groups again: ejabberd writes its tables seconds later,
// and has forgotten them when it is killed before.
func (x *XMPP) remind(ctx context.Context) error {
	for user, password := range x.accounts {
		if err := x.program.register(ctx, user, password); err != nil {
			return fmt.Errorf("account %s: %w", user, err)
		}
	}
	if x.members == nil {
		return nil
	}
	if err := x.program.group(ctx, x.members); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	return nil
}

// Stop kills the server: clients see their connections reset, and new ones refused.
func (x *XMPP) Stop(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.process.Stop(ctx, "KILL")
}

// Freeze stops the server's process with its connections open: it answers nothing, and nobody is
// notified. Thaw lets it go on.
func (x *XMPP) Freeze(ctx context.Context) error { return x.process.Signal(ctx, "STOP") }

// Thaw ends Freeze.
func (x *XMPP) Thaw(ctx context.Context) error { return x.process.Signal(ctx, "CONT") }

const (
	dropXMPP  = "INPUT -d " + xmppAddr + " -p tcp -j DROP"
	dropXMPP6 = "INPUT -d " + xmppAddr6 + " -p tcp -j DROP"
)

// Blackhole makes all packets to the server vanish, Restore lets them pass again.
func (x *XMPP) Blackhole(ctx context.Context) error {
	_, err := x.machine.Script(ctx, "iptables -I "+dropXMPP+"\nip6tables -I "+dropXMPP6)
	return err
}

// Restore ends Blackhole.
func (x *XMPP) Restore(ctx context.Context) error {
	_, err := x.machine.Script(ctx, "iptables -D "+dropXMPP+"\nip6tables -D "+dropXMPP6)
	return err
}

// AddAccount makes an account, or gives an existing one a new password. It sees nobody, and nobody
// sees it, until SetGroup names it.
func (x *XMPP) AddAccount(ctx context.Context, user, password string) (Account, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.program.register(ctx, user, password); err != nil {
		return Account{}, fmt.Errorf("account %s: %w", user, err)
	}
	x.accounts[user] = password
	return Account{JID: user + "@" + XMPPDomain, Password: password}, nil
}

// DeleteAccount removes an account; its connections are closed.
func (x *XMPP) DeleteAccount(ctx context.Context, a Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	user, _, _ := strings.Cut(a.JID, "@")
	if err := x.program.unregister(ctx, user); err != nil {
		return fmt.Errorf("delete account %s: %w", a.JID, err)
	}
	delete(x.accounts, user)
	return nil
}

// SetGroup makes exactly these accounts see each other in their rosters (subscription both, group
// Group), also those that are connected: they get roster pushes and presence, except for ejabberd, which
// does not tell them that a removed account is unavailable.
func (x *XMPP) SetGroup(ctx context.Context, members ...Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.members = jids(members)
	if err := x.program.group(ctx, x.members); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	return nil
}

// CreateRoom makes a room, or keeps the one there is, that is for members only, shows real JIDs and
// outlives its occupants, with exactly these members. It returns the room's JID.
func (x *XMPP) CreateRoom(ctx context.Context, name string, members ...Account) (string, error) {
	return name + "@" + RoomsDomain, x.SetRoomMembers(ctx, name, members...)
}

// SetRoomMembers makes exactly these accounts members of the room; others that are in it are put
// out.
func (x *XMPP) SetRoomMembers(ctx context.Context, name string, members ...Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.program.room(ctx, name, jids(members)); err != nil {
		return fmt.Errorf("room %s: %w", name, err)
	}
	return nil
}

func jids(accounts []Account) []string {
	out := make([]string, len(accounts))
	for i, a := range accounts {
		out[i] = a.JID
	}
	return out
}
