package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/sirupsen/logrus"

	"evio/internal/store"
)

// Folder is where the pins are, in the directory of Config. It is their kind in the store.
const Folder = "peers"

// pinRecord is a pin as it is stored, under the account's bare JID.
type pinRecord struct {
	Key  []byte    `json:"key"`
	Seen time.Time `json:"first_seen"`
}

func openPins(dir string, log *logrus.Entry) (*pins, error) {
	s, err := store.Open(store.Config{
		Dir: dir, Kinds: []string{Folder}, Log: log,
		Old: &store.Format{Name: oldName, Decode: decodeOld},
		// A pin that could not be forgotten still counts, here and after a restart.
		NoRetry: true,
	})
	if err != nil {
		return nil, fmt.Errorf("keep pins: %w; it is tried again every 2 s", err)
	}
	records, err := s.Load(Folder)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	offered, err := simplelru.NewLRU[string, pin](maxOffered, nil)
	if err != nil {
		return nil, fmt.Errorf("keep pins: %w", err)
	}
	p := &pins{store: s, log: log, known: map[string]pin{}, offered: offered, unkept: map[string]error{}, damaged: map[string]string{}}
	for _, r := range records {
		k, err := decodePin(r)
		if err != nil {
			s.SetAside(Folder, r.ID, err)
			continue
		}
		p.known[r.ID] = k
	}
	pinned := map[string]bool{}
	for jid := range p.known {
		pinned[place(jid)] = true
	}
	for _, d := range s.Damage(Folder) {
		// What was set aside earlier counts unless the account has a pin again.
		if at := placeOf(d); !pinned[at] && p.damaged[at] == "" {
			p.damaged[at] = faultOf(d)
			log.Error(p.damaged[at])
		}
	}
	return p, nil
}

const refusedUntilAccepted = "its account is refused until its identity is accepted, and evio peers list names it once it is online; where it is gone for good, remove the file and enable the plugin again"

// faultOf says what is wrong with a pin, and what to do.
func faultOf(d store.Damage) string {
	switch {
	case d.Why == nil:
		return fmt.Sprintf("pin %s of a peer was damaged and is set aside as %s: %s", d.Path, d.Aside, refusedUntilAccepted)
	case d.Aside == "":
		return fmt.Sprintf("pin %s of a peer is not used (%v): %s", d.Path, d.Why, refusedUntilAccepted)
	}
	return fmt.Sprintf("pin %s of a peer is damaged (%v) and was set aside as %s: %s", d.Path, d.Why, d.Aside, refusedUntilAccepted)
}

// decodePin reads what the store has for an account.
func decodePin(r store.Record) (pin, error) {
	var p pinRecord
	if err := json.Unmarshal(r.Body, &p); err != nil {
		return pin{}, err
	}
	if len(p.Key) != ed25519.PublicKeySize || r.ID == "" {
		return pin{}, errors.New("no JID or no key of 32 bytes in it")
	}
	return pin{p.Key, p.Seen}, nil
}

// placeDigits is how much of the names of an account's files is the same in both formats.
const placeDigits = 16

// place is what names of an account's files begin with.
func place(jid string) string { return store.FileName(jid)[:placeDigits] }

// placeOf is what the name of a damaged file begins with.
func placeOf(d store.Damage) string {
	name := filepath.Base(d.Path)
	return name[:min(len(name), placeDigits)]
}

// oldPin is the content of a pin's file before pins were in a store.
type oldPin struct {
	Version int       `json:"version"` // 1, or 2 with a checksum
	JID     string    `json:"jid"`
	Key     []byte    `json:"key"`
	Seen    time.Time `json:"first_seen"`
	SHA256  string    `json:"sha256,omitempty"` // of the rest
}

func oldName(jid string) string { return place(jid) + ".json" }

// decodeOld reads a file of versions 1 and 2.
func decodeOld(b []byte) (store.Record, error) {
	var f oldPin
	if err := json.Unmarshal(b, &f); err != nil {
		return store.Record{}, err
	}
	sum := f.SHA256
	switch f.Version {
	case 1:
		if sum != "" {
			return store.Record{}, errors.New("a checksum in version 1")
		}
	case 2:
		f.SHA256 = ""
		rest, err := json.Marshal(f)
		if want := sha256.Sum256(rest); err != nil || sum != hex.EncodeToString(want[:]) {
			return store.Record{}, errors.New("the checksum does not match")
		}
	default:
		return store.Record{}, fmt.Errorf("version %d, want 1 or 2", f.Version)
	}
	body, err := json.Marshal(pinRecord{f.Key, f.Seen})
	r := store.Record{ID: f.JID, Body: body}
	if err == nil {
		_, err = decodePin(r)
	}
	return r, err
}

// keep puts a pin on the disk.
func (p *pins) keep(jid string, k pin) error {
	if err := p.store.Put(Folder, jid, pinRecord{k.key, k.seen}); err != nil {
		return fmt.Errorf("pin %s: %w", jid, err)
	}
	return nil
}
