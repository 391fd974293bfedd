package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	statusPath = "/status"
	// gcParameter asks for a garbage collection before the document is collected, as that of
	// net/http/pprof does, so that heap_bytes is of now.
	gcParameter = "gc"
	// collectTimeout bounds one collection, so that a status always comes.
	collectTimeout = 5 * time.Second
	// maxDocument bounds what Fetch reads.
	maxDocument = 64 << 20
)

// Source collects the document. It is called for each request, at once for
// requests at once, and returns soon after the context ends. The document is a
// copy that the server may change.
type Source interface {
	Status(ctx context.Context) Document
}

// Server answers GET /status and requests about peers.
type Server struct {
	http *http.Server
	log  *logrus.Entry
}

// NewServer returns a server that hands out what the source collects, and lets an
// operator decide about peers.
func NewServer(source Source, peers Peers, log *logrus.Entry) *Server {
	mux := http.NewServeMux()
	s := &Server{log: log, http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}}
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, r *http.Request) {
		switch gc := r.FormValue(gcParameter); gc {
		case "":
		case "1":
			runtime.GC()
		default:
			http.Error(w, fmt.Sprintf("%s=%.40q: write %s=1, or leave it out", gcParameter, gc, gcParameter), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), collectTimeout)
		defer cancel()
		doc := source.Status(ctx)
		doc.complete()
		doc.Health = Judge(doc)
		s.answer(w, doc)
	})
	s.servePeers(mux, peers)
	return s
}

// answer writes a value as JSON for people.
func (s *Server) answer(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		s.log.WithError(err).Error("status cannot be encoded")
		http.Error(w, "the status cannot be encoded: see the plugin's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(b.Bytes()); err != nil {
		s.log.WithError(err).Debug("status reader went away")
	}
}

// Serve answers on the listener, which it closes, until Close. It may be called
// for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve status: %w", err)
	}
	return nil
}

// Close stops accepting and waits for requests in flight until the context ends.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.http.Close())
}

// complete turns null lists and maps into empty ones.
func (d *Document) complete() {
	list(&d.Signalling)
	list(&d.Networks)
	list(&d.Calls)
	list(&d.Faults)
	list(&d.Settings.Values)
	list(&d.Settings.Faults)
	list(&d.State.Faults)
	list(&d.Membership.Faults)
	list(&d.LastErrors)
	list(&d.Reach.Folders)
	list(&d.Reach.Hidden)
	list(&d.Reach.Capabilities)
	table(&d.Transport.Datagrams)
	table(&d.Transport.Sent)
	table(&d.Transport.Drops)
	table(&d.Transport.Sessions)
	list(&d.Transport.Relays)
	list(&d.Transport.Losses)
	for i := range d.Networks {
		n := &d.Networks[i]
		list(&n.Ports)
		list(&n.Endpoints)
		list(&n.Members)
		list(&n.Sessions)
		list(&n.TAPs)
		list(&n.Ring.Successors)
		list(&n.Ring.LongDistance)
		list(&n.Directory)
		list(&n.Conflicts)
		list(&n.Warnings)
		list(&n.Losses)
		list(&n.Elsewhere)
		table(&n.Drops)
		table(&n.Repairs)
		for j := range n.Endpoints {
			list(&n.Endpoints[j].Addresses)
		}
		for j := range n.Sessions {
			list(&n.Sessions[j].Candidates)
			list(&n.Sessions[j].PeerCandidates)
			table(&n.Sessions[j].Drops)
		}
	}
}

func list[T any](l *[]T) {
	if *l == nil {
		*l = []T{}
	}
}

func table[T any](m *map[string]T) {
	if *m == nil {
		*m = map[string]T{}
	}
}
