package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// xmppProxy is an XMPP server that means harm: it stands, with a certificate of its own, before
// the real one, and alters, repeats and adds what it likes. Without -upstream it only listens to
// what a client tells it.
func xmppProxy(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("xmpp-proxy", flag.ContinueOnError)
	listen := flags.String("listen", ":5223", "`address:port` with direct TLS")
	upstream := flags.String("upstream", "", "`host:port` of the real server, with direct TLS")
	domain := flags.String("domain", "", "`name` in the certificates")
	ca := flags.String("ca", "", "`file` with the real server's CA")
	certificate := flags.String("certificate", "", "`file` to write the own certificate to")
	socket := flags.String("control", "", "unix `socket` to be controlled by")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := &proxy{upstream: *upstream, conns: map[net.Conn]bool{}}
	own, err := selfSigned(*domain, *certificate)
	if err != nil {
		return err
	}
	p.server = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12, NextProtos: []string{"xmpp-client"}}
	if *upstream != "" {
		roots, err := readRoots(*ca)
		if err != nil {
			return err
		}
		p.client = &tls.Config{ServerName: *domain, RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"xmpp-client"}}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { p.accept(ctx, l, &running) })
	defer context.AfterFunc(ctx, func() {
		_ = l.Close()
		p.closeAll()
	})()
	if err := out.print(listening{l.Addr().String()}); err != nil {
		return err
	}
	defer cancel()
	return serveControl(ctx, *socket, map[string]func(*http.Request) (any, error){
		"GET /seen":    func(*http.Request) (any, error) { return p.state(), nil },
		"POST /alter":  p.alter,
		"POST /replay": p.replay,
		"POST /inject": p.inject,
		"POST /forge":  p.forge,
	})
}

// proxySeen is what the proxy tells of itself.
type proxySeen struct {
	Connections int       `json:"connections"` // opened by clients
	Secured     int       `json:"secured"`     // of these, with TLS
	Bytes       int       `json:"bytes"`       // of clients, inside TLS
	Login       bool      `json:"login"`       // a client has begun SASL
	Error       string    `json:"error"`       // of the last TLS handshake that failed
	Messages    int       `json:"messages"`    // with payloads, to clients
	Altered     int       `json:"altered"`
	Oldest      time.Time `json:"oldest,omitzero"` // when the message came that replay sends again
}

type proxy struct {
	upstream       string
	server, client *tls.Config

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	down    *downstream // of the newest client
	seen    proxySeen
	offsets []int  // of bytes to alter, in the next messages
	oldest  []byte // stanza that replay sends again
}

// downstream is a client's connection, written to by the real server and by the proxy.
type downstream struct {
	mu   sync.Mutex
	conn net.Conn
}

func (d *downstream) write(b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.conn.Write(b)
	return err
}

func (p *proxy) state() proxySeen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *proxy) note(f func(*proxySeen)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.seen)
}

func (p *proxy) accept(ctx context.Context, l net.Listener, running *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.note(func(s *proxySeen) { s.Connections++ })
		running.Go(func() {
			p.own(conn)
			defer p.disown(conn)
			if err := p.serve(ctx, conn); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "probe:", err)
			}
		})
	}
}

func (p *proxy) own(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) disown(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) serve(ctx context.Context, conn net.Conn) error {
	secured := tls.Server(conn, p.server)
	if err := secured.HandshakeContext(ctx); err != nil {
		p.note(func(s *proxySeen) { s.Error = err.Error() })
		return err
	}
	p.note(func(s *proxySeen) { s.Secured++ })
	up, err := p.dial(ctx)
	if err != nil {
		return err
	}
	p.own(up)
	defer p.disown(up)
	down := &downstream{conn: secured}
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() { // ends with either connection, which serve waits for
		defer close(ended)
		p.upwards(secured, up)
		_ = up.Close()
	}()
	filter := &xmppFilter{message: p.message}
	b := make([]byte, 1<<14)
	for {
		n, err := up.Read(b)
		if n > 0 {
			err = errors.Join(down.write(filter.feed(b[:n])), err)
		}
		if err != nil {
			_ = secured.Close()
			<-ended
			return nil
		}
	}
}

// dial connects to the real server, or to one that offers to take a password.
func (p *proxy) dial(ctx context.Context) (net.Conn, error) {
	if p.upstream != "" {
		return (&tls.Dialer{Config: p.client}).DialContext(ctx, "tcp", p.upstream)
	}
	ours, theirs := net.Pipe()
	go func() { // ends with the connection
		defer theirs.Close() //nolint:errcheck // a pipe
		if _, err := theirs.Read(make([]byte, 1<<14)); err != nil {
			return
		}
		_, err := io.WriteString(theirs, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"+
			"<stream:features>"+onlyPlain+"</stream:features>")
		if err == nil {
			_, _ = io.Copy(io.Discard, theirs)
		}
	}()
	return ours, nil
}

// upwards passes on what a client says.
func (p *proxy) upwards(from io.Reader, to io.Writer) {
	b := make([]byte, 1<<14)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.note(func(s *proxySeen) {
				s.Bytes += n
				s.Login = s.Login || bytes.Contains(b[:n], []byte("<auth"))
			})
			if _, broken := to.Write(b[:n]); broken != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// message decides what becomes of a message to a client.
func (p *proxy) message(stanza []byte) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Messages++
	if p.oldest == nil {
		p.oldest, p.seen.Oldest = stanza, time.Now()
	}
	if len(p.offsets) == 0 {
		return [][]byte{stanza}
	}
	altered, ok := alterPayload(stanza, p.offsets[0])
	if !ok {
		return [][]byte{stanza}
	}
	p.offsets = p.offsets[1:]
	p.seen.Altered++
	return [][]byte{altered}
}

// alter changes a byte in each of the next messages, at the offsets given.
func (p *proxy) alter(r *http.Request) (any, error) {
	offsets, err := request[[]int](r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.offsets = offsets
	p.mu.Unlock()
	return p.state(), nil
}

var errNobody = errors.New("no client, or nothing to send to it, yet")

// replay sends the oldest message again.
func (p *proxy) replay(*http.Request) (any, error) {
	p.mu.Lock()
	down, stanza := p.down, p.oldest
	p.mu.Unlock()
	if down == nil || stanza == nil {
		return nil, errNobody
	}
	return p.state(), down.write(stanza)
}

// inject sends one stanza of the size given.
func (p *proxy) inject(r *http.Request) (any, error) {
	size, err := request[int](r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down == nil {
		return nil, errNobody
	}
	answer := struct {
		Error string `json:"error"` // the client may hang up
	}{}
	if err := down.write([]byte("<message><body>" + strings.Repeat("x", size) + "</body></message>")); err != nil {
		answer.Error = err.Error()
	}
	return answer, nil
}
