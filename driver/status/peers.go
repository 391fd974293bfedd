package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	peersPath  = "/peers"
	acceptPath = "/peers/accept"
	forgetPath = "/peers/forget"
	// maxRequest bounds the body of a request.
	maxRequest = 8 << 10
	// maxJID bounds an account's name (RFC 7622 section 3.1).
	maxJID = 2047
	// identityDigits is how long a fingerprint is.
	identityDigits = 32
)

// Peer is an account whose identity is pinned, as GET /peers lists it.
type Peer struct {
	JID          string    `json:"jid"`               // bare
	Identity     string    `json:"identity"`          // fingerprint of the pinned identity; empty: the pin is damaged
	Since        time.Time `json:"since"`             // when it was pinned
	Offered      string    `json:"offered,omitempty"` // fingerprint of another identity that the account showed and that was refused
	OfferedSince time.Time `json:"offered_since,omitzero"`
}

// Peers is what an operator may see and change of the pinned identities. Errors are
// one sentence.
type Peers interface {
	Peers() ([]Peer, error)
	// Accept pins the identity that was offered and refused if it has the fingerprint.
	Accept(jid, identity string) error
	Forget(jid string) error // pin whatever is shown next
}

// peerRequest is the body of POST /peers/accept, and of POST /peers/forget, which takes no
// identity.
type peerRequest struct {
	JID      string  `json:"jid"`
	Identity *string `json:"identity,omitempty"` // fingerprint
}

func (s *Server) servePeers(mux *http.ServeMux, peers Peers) {
	mux.HandleFunc("GET "+peersPath, func(w http.ResponseWriter, _ *http.Request) {
		list, err := peers.Peers()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if list == nil {
			list = []Peer{}
		}
		s.answer(w, list)
	})
	mux.HandleFunc("POST "+acceptPath, func(w http.ResponseWriter, r *http.Request) {
		jid, identity, err := readPeerRequest(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil && identity == "" {
			err = errors.New("which identity is accepted must be said: let the operator of that engine read out, not through the XMPP server, the one that evio status prints there, and send it as \"identity\"")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := peers.Accept(jid, identity); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+forgetPath, func(w http.ResponseWriter, r *http.Request) {
		jid, identity, err := readPeerRequest(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil && identity != "" {
			err = errors.New("whatever is pinned is forgotten: send no identity")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := peers.Forget(jid); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// readPeerRequest returns the account that a request is about, and the identity if it
// names one.
func readPeerRequest(body io.Reader) (jid, identity string, _ error) {
	var r peerRequest
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&r)
	if err == nil && dec.More() {
		err = errors.New("there is more behind it")
	}
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%w: send {\"jid\": \"site-b@example.org\"}", err)
	case !strings.Contains(r.JID, "@") || len(r.JID) > maxJID || strings.ContainsFunc(r.JID, unfit):
		return "", "", fmt.Errorf("%.80q is no account: write it like site-b@example.org, without a resource", r.JID)
	case r.Identity == nil:
		return r.JID, "", nil
	case len(*r.Identity) != identityDigits || strings.Trim(*r.Identity, "0123456789abcdef") != "":
		return "", "", fmt.Errorf("%.80q is no identity: write the 32 digits that evio peers list prints", *r.Identity)
	}
	return r.JID, *r.Identity, nil
}

// unfit reports characters that no account has (RFC 7622).
func unfit(c rune) bool { return c <= ' ' || c == 0x7f || c == '/' || c == 0xfffd }
