package main

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"evio/datapath/frame"
	"evio/datapath/session"
	"evio/datapath/session/connect"
	"evio/overlay"
	"evio/overlay/flood"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// hostileMember joins an overlay as any engine does, with an account and an identity of its own,
// and sends there whatever its orders say.
func hostileMember(ctx context.Context, _ *printer, args []string) (err error) {
	flags := flag.NewFlagSet("hostile-member", flag.ContinueOnError)
	var a account
	a.flags(flags)
	state := flags.String("state", "", "`folder` that keeps the identity")
	name := flags.String("overlay", "", "`name` of the overlay")
	port := flags.Int("port", 14790, "UDP port")
	socket := flags.String("control", "", "unix `socket` to be controlled by")
	var subnets []netip.Prefix
	flags.Func("subnet", "`prefix` that the network has, as the others must; may be given again", func(s string) error {
		p, err := netip.ParsePrefix(s)
		subnets = append(subnets, p)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := logTo(os.Stderr)
	key, err := identity.Load(*state)
	if err != nil {
		return err
	}
	book, err := member.Open(member.Config{Dir: *state, Key: key, Log: log})
	if err != nil {
		return err
	}
	service, err := book.Service(a.jid, map[string]string{member.AnyOverlay: "roster"})
	if err != nil {
		return err
	}
	client, err := a.client(service, log)
	if err != nil {
		return err
	}
	service.Attach(client)
	transport, err := session.Listen(session.Config{Port: *port, Key: key, Log: log}) //nolint:contextcheck // opens a socket, which takes no time
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, transport.Close()) }()
	h := &hostile{
		transport: transport, key: key, sessions: map[nodeid.ID]*session.Session{}, last: map[nodeid.ID]flooded{}, voices: map[*voice]bool{},
	}
	h.node = overlay.New(overlay.Config{Overlay: *name, Key: key, Book: book, Sessions: h, Fabric: h, Log: log, Subnets: subnets})

	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { h.node.Run(ctx) })
	running.Go(func() { h.tickVoices(ctx) })
	running.Go(func() { keepRunning(ctx, client) })
	return serveControl(ctx, *socket, map[string]func(*http.Request) (any, error){
		"GET /seen":       func(r *http.Request) (any, error) { return h.seen(r.Context()) },
		"POST /claim":     h.claim,
		"POST /frames":    h.frames,
		"POST /floods":    h.floods,
		"POST /lie":       h.lie,
		"POST /silence":   h.silence,
		"POST /reconnect": h.reconnect,
	})
}

// hostile is the engine of a hostile-member: sessions, and no bridge beneath.
type hostile struct {
	transport *session.Transport
	key       ed25519.PrivateKey
	node      *overlay.Node

	mu       sync.Mutex // guards what follows
	sessions map[nodeid.ID]*session.Session
	last     map[nodeid.ID]flooded // of each origin
	heard    int                   // frames of others
	number   uint64
	voices   map[*voice]bool
	silent   bool
	said     uint64 // the last sequence number of a lie
}

// flooded is a flood as it came.
type flooded struct {
	header flood.Header
	frame  []byte
}

var (
	_ overlay.Sessions = (*hostile)(nil)
	_ overlay.Fabric   = (*hostile)(nil)
)

// hostileSeen is what the member tells of itself.
type hostileSeen struct {
	Node     string   `json:"node"`
	Members  []string `json:"members"`  // JIDs
	Sessions []string `json:"sessions"` // node IDs with which it has one
	Heard    int      `json:"heard"`    // frames that came
}

func (h *hostile) seen(ctx context.Context) (hostileSeen, error) {
	status, err := h.node.Status(ctx)
	if err != nil {
		return hostileSeen{}, err
	}
	s := hostileSeen{Node: h.node.ID().String(), Members: []string{}, Sessions: []string{}}
	for _, m := range status.Members {
		s.Members = append(s.Members, m.JID)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Heard = h.heard
	for id := range h.sessions {
		s.Sessions = append(s.Sessions, id.String())
	}
	return s, nil
}

// claim makes addresses this member's, rightly.
func (h *hostile) claim(r *http.Request) (any, error) {
	wanted, err := request[struct {
		MAC       hexBytes     `json:"mac"`
		Addresses []netip.Addr `json:"addresses"`
	}](r)
	if err != nil {
		return nil, err
	}
	if len(wanted.MAC) != 6 {
		return nil, errors.New("give a MAC of six bytes, in hex")
	}
	return struct{}{}, h.node.Claim(r.Context(), wanted.Addresses, overlay.MAC(wanted.MAC))
}

// burst is what is sent, and how often.
type burst struct {
	To     string     `json:"to"`     // node ID
	Frames []hexBytes `json:"frames"` // Ethernet frames
	Times  int        `json:"times"`  // default 1
	Every  int        `json:"every"`  // microseconds between two times
	Origin string     `json:"origin"` // of floods: node ID in whose name; default: the own
	Stolen bool       `json:"stolen"` // of floods: under the header, signature and all, of the last one of that origin
	Again  bool       `json:"again"`  // of floods: its frame, too

	Unfinished bool `json:"unfinished"` // of data: checksums of TCP and UDP are left to the receiver
}

// frames sends frames to one node, as data.
func (h *hostile) frames(r *http.Request) (any, error) {
	return h.send(r, func(s *session.Session, b burst) error {
		frames := make([]frame.Frame, len(b.Frames))
		for i, f := range b.Frames {
			frames[i].Data = f
			if b.Unfinished {
				frames[i] = unfinished(f)
			}
		}
		return s.SendFrames(frames)
	})
}

// unfinished takes back all of a frame's checksum but the sum of the pseudo header.
func unfinished(data []byte) frame.Frame {
	f, ok := frame.Unfinished(data)
	if !ok {
		return frame.Frame{Data: data}
	}
	l, _ := frame.Parse(data)
	addresses, protocol := data[l.L3+12:l.L3+20], data[l.L3+9]
	if l.V6 {
		addresses, protocol = data[l.L3+8:l.L3+40], data[l.L3+6]
	}
	pseudo := binary.BigEndian.AppendUint32(slices.Clone(addresses), uint32(len(data)-l.L4))
	pseudo = append(pseudo, 0, 0, 0, protocol)
	binary.BigEndian.PutUint16(data[f.Start+f.Offset:], ^checksum(pseudo))
	return f
}

// floods sends frames to one node, for it and, in its own name, for all others.
func (h *hostile) floods(r *http.Request) (any, error) {
	return h.send(r, func(s *session.Session, b burst) error {
		to, err := nodeid.Parse(b.To)
		if err != nil {
			return err
		}
		header, again, err := h.header(b, to)
		if err != nil {
			return err
		}
		if b.Again {
			b.Frames = []hexBytes{again}
		}
		var frames [][]byte
		for _, f := range b.Frames {
			if !b.Stolen {
				header.Seq++
				header.Time = uint64(time.Now().UnixMilli())
				header.Signature = flood.Sign(h.key, h.node.Overlay(), header, f)
			}
			frames = append(frames, append(flood.AppendHeader(nil, header), f...))
		}
		return s.Send(session.Flood, frames)
	})
}

// header is what floods to a node begin with. In the name of another it is that of its
// last flood, with the arc of the receiver alone.
func (h *hostile) header(b burst, to nodeid.ID) (flood.Header, []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.Origin == "" {
		number := h.number
		h.number += uint64(len(b.Frames))
		return flood.Header{Origin: h.node.ID(), ArcEnd: h.node.ID(), Start: 1, Seq: number}, nil, nil
	}
	origin, err := nodeid.Parse(b.Origin)
	if err != nil {
		return flood.Header{}, nil, err
	}
	last, heard := h.last[origin]
	if !heard {
		return flood.Header{}, nil, fmt.Errorf("no flood of %s came yet", origin)
	}
	last.header.ArcEnd = to
	for i := nodeid.Size - 1; i >= 0; i-- { // one place on
		if last.header.ArcEnd[i]++; last.header.ArcEnd[i] != 0 {
			break
		}
	}
	return last.header, last.frame, nil
}

func (h *hostile) send(r *http.Request, f func(*session.Session, burst) error) (any, error) {
	b, err := request[burst](r)
	if err != nil {
		return nil, err
	}
	peer, err := nodeid.Parse(b.To)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	s := h.sessions[peer]
	h.mu.Unlock()
	if s == nil {
		return nil, fmt.Errorf("no session with %s", b.To)
	}
	tick := time.NewTicker(time.Duration(max(1, b.Every)) * time.Microsecond)
	defer tick.Stop()
	for range max(1, b.Times) {
		if err := f(s, b); err != nil {
			return nil, err
		}
		if b.Every > 0 {
			<-tick.C
		}
	}
	return struct{}{}, nil
}

// Open implements overlay.Sessions.
func (h *hostile) Open(peer nodeid.ID, key ed25519.PublicKey, up overlay.SessionEvents) (overlay.Session, error) {
	m := newVoice(up)
	h.mu.Lock()
	m.silent = h.silent
	h.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := h.transport.Open(session.Options{
		Local: h.node.ID(), Remote: peer, RemoteKey: key, Overlay: h.node.Overlay(),
		Encryption: connect.EncryptionRequired, Handler: hostileEvents{h, m},
	})
	if err != nil {
		return nil, err
	}
	m.session = s
	return carrier{s, m}, nil
}

// LinkUp implements overlay.Fabric.
func (h *hostile) LinkUp(peer nodeid.ID, s overlay.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[peer] = s.(carrier).Session
}

// LinkDown implements overlay.Fabric.
func (h *hostile) LinkDown(peer nodeid.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, peer)
}

// DirectoryChanged implements overlay.Fabric.
func (*hostile) DirectoryChanged([]overlay.Change) {}

// Deliver implements overlay.Fabric.
func (h *hostile) Deliver(nodeid.ID, []byte) bool {
	h.hear(1)
	return true
}

// DeliverOrHold implements overlay.Fabric.
func (h *hostile) DeliverOrHold(nodeid.ID, []byte) { h.hear(1) }

func (h *hostile) hear(frames int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard += frames
}

// keep remembers the last flood of each origin.
func (h *hostile) keep(frames [][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range frames {
		if header, frame, err := flood.ParseHeader(f); err == nil {
			h.last[header.Origin] = flooded{header, slices.Clone(frame)}
		}
	}
}

// carrier is a session as the overlay sees it.
type carrier struct {
	*session.Session
	voice *voice
}

func (c carrier) Connect(parameters []byte, binding [32]byte) error {
	err := c.Session.Connect(parameters, binding)
	if errors.Is(err, session.ErrEstablished) {
		return overlay.ErrEstablished
	}
	return err
}

func (c carrier) SendFlood(frames [][]byte) error { return c.Send(session.Flood, frames) }

func (c carrier) SendControl(frames [][]byte) error {
	c.voice.fromNode(frames)
	return nil
}

// hostileEvents takes what a session tells.
type hostileEvents struct {
	h     *hostile
	voice *voice
}

func (e hostileEvents) Parameters(_ *session.Session, p []byte) { e.voice.node.Parameters(p) }

func (e hostileEvents) Established(*session.Session) {
	e.voice.open(e.h, true)
	e.voice.node.Established()
}

func (e hostileEvents) Closed(_ *session.Session, err error) {
	e.voice.open(e.h, false)
	e.voice.node.Closed(err)
}

func (e hostileEvents) Frames(_ *session.Session, frames []frame.Frame) { e.h.hear(len(frames)) }

func (e hostileEvents) Receive(_ *session.Session, kind session.Kind, frames [][]byte) {
	switch kind {
	case session.Control:
		e.voice.fromPeer(frames)
	case session.Flood:
		e.h.keep(frames)
		e.voice.node.Flood(frames)
	default:
		e.h.hear(len(frames))
	}
}
