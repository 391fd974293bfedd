package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	path = "/status"
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

// Server answers GET /status.
type Server struct {
	http *http.Server
}

// NewServer returns a server that hands out what the source collects.
func NewServer(source Source, log *logrus.Entry) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), collectTimeout)
		defer cancel()
		doc := source.Status(ctx)
		doc.complete()
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		if err := enc.Encode(doc); err != nil {
			log.WithError(err).Error("status cannot be encoded")
			http.Error(w, "the status cannot be encoded: see the plugin's log", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(b.Bytes()); err != nil {
			log.WithError(err).Debug("status reader went away")
		}
	})
	return &Server{http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}}
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
	table(&d.Transport.Datagrams)
	table(&d.Transport.Drops)
	for i := range d.Networks {
		n := &d.Networks[i]
		list(&n.Endpoints)
		list(&n.Members)
		list(&n.Sessions)
		list(&n.Ring.Successors)
		list(&n.Ring.LongDistance)
		list(&n.Directory)
		table(&n.Drops)
		for j := range n.Endpoints {
			list(&n.Endpoints[j].Addresses)
		}
		for j := range n.Sessions {
			table(&n.Sessions[j].Drops)
		}
	}
}

func list[T any](l *[]T) {
	if *l == nil {
		*l = []T{}
	}
}

func table(m *map[string]uint64) {
	if *m == nil {
		*m = map[string]uint64{}
	}
}
