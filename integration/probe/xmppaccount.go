package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/sirupsen/logrus"

	"evio/overlay/signal"
)

// account is an XMPP account as the commands are given it.
type account struct{ server, jid, password, ca string }

func (a *account) flags(f *flag.FlagSet) {
	f.StringVar(&a.server, "server", "", "`host:port` with STARTTLS")
	f.StringVar(&a.jid, "jid", "", "own `account`")
	f.StringVar(&a.password, "password", "", "its password")
	f.StringVar(&a.ca, "ca", "", "`file` with the server's CA")
}

// client is the account's session, which waits for Run.
func (a *account) client(h signal.Handler, log *logrus.Entry) (*signal.Client, error) {
	roots, err := readRoots(a.ca)
	if err != nil {
		return nil, err
	}
	return signal.New(signal.Config{
		Server: a.server, JID: a.jid, Password: func() (string, error) { return a.password, nil }, RootCAs: roots, Log: log,
	}, h)
}

// keepRunning drives the session until ctx ends.
func keepRunning(ctx context.Context, client *signal.Client) {
	if err := client.Run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
	}
}

func logTo(w io.Writer) *logrus.Entry {
	log := logrus.New()
	log.SetOutput(w)
	return logrus.NewEntry(log)
}

// xmppAccount logs in and says there what its orders say, true or not.
func xmppAccount(ctx context.Context, _ *printer, args []string) error {
	flags := flag.NewFlagSet("xmpp-account", flag.ContinueOnError)
	var a account
	a.flags(flags)
	socket := flags.String("control", "", "unix `socket` to be controlled by")
	if err := flags.Parse(args); err != nil {
		return err
	}
	m := &mouth{}
	client, err := a.client(m, logTo(os.Stderr))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { keepRunning(ctx, client) })
	return serveControl(ctx, *socket, map[string]func(*http.Request) (any, error){
		"GET /seen": func(*http.Request) (any, error) { return m.seen(), nil },
		"POST /presence": func(r *http.Request) (any, error) {
			extension, err := request[hexBytes](r)
			if err == nil {
				client.SetExtension(extension)
			}
			return struct{}{}, err
		},
		"POST /message": func(r *http.Request) (any, error) {
			wanted, err := request[said](r)
			if err != nil {
				return nil, err
			}
			return struct{}{}, client.Send(r.Context(), wanted.JID, wanted.Payload)
		},
	})
}

// said is a payload that came from, or goes to, a full JID.
type said struct {
	JID     string   `json:"jid"`
	Payload hexBytes `json:"payload"`
}

// mouthSeen is what the account tells of itself.
type mouthSeen struct {
	JID       string `json:"jid"`       // full; empty while not logged in
	Messages  []said `json:"messages"`  // all that came
	Presences []said `json:"presences"` // all that came
}

// mouth handles what the session of an xmpp-account sees.
type mouth struct {
	mu  sync.Mutex
	all mouthSeen
}

func (m *mouth) seen() mouthSeen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all
}

func (m *mouth) note(f func(*mouthSeen)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.all)
}

func (m *mouth) Up(full string)                      { m.note(func(s *mouthSeen) { s.JID = full }) }
func (m *mouth) Down(error)                          { m.note(func(s *mouthSeen) { s.JID = "" }) }
func (*mouth) Roster([]signal.Item)                  {}
func (*mouth) Room(string, signal.RoomChange)        {}
func (*mouth) Occupant(string, string, bool, []byte) {}

func (m *mouth) Presence(from string, available bool, extension []byte) {
	if available {
		m.note(func(s *mouthSeen) { s.Presences = append(s.Presences, said{from, extension}) })
	}
}

func (m *mouth) Message(from string, payload []byte) {
	m.note(func(s *mouthSeen) { s.Messages = append(s.Messages, said{from, append([]byte(nil), payload...)}) })
}

// hexBytes are bytes, in hex where they are text.
type hexBytes []byte

// MarshalJSON implements json.Marshaler.
func (h hexBytes) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(h)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}
