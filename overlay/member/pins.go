package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"
)

// pinVersion is the format of a pin's file.
const pinVersion = 1

// maxPinFile is the largest file read as a pin, in bytes.
const maxPinFile = 4096

// maxOffered bounds the identities that are remembered for having been refused.
const maxOffered = 256

// pins binds bare JIDs to identities, one file each. Its methods may be called
// from any goroutine.
type pins struct {
	dir string

	changing sync.Mutex // held over I/O, so that disk and memory change alike

	mu      sync.Mutex
	known   map[string]pin
	offered map[string]pin // by JID, the last other identity that it showed
}

// pin is an identity and since when it is known.
type pin struct {
	key  ed25519.PublicKey
	seen time.Time
}

// pinFile is the content of a pin's file.
type pinFile struct {
	Version int       `json:"version"`
	JID     string    `json:"jid"`
	Key     []byte    `json:"key"`
	Seen    time.Time `json:"first_seen"`
}

func openPins(dir string, log *logrus.Entry) (*pins, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep pins: %w", err)
	}
	p := &pins{dir: dir, known: map[string]pin{}, offered: map[string]pin{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := readPin(path)
		if err == nil && p.path(f.JID) != path {
			err = fmt.Errorf("it names %s, whose pin is another file", f.JID)
		}
		if err != nil {
			aside := path + ".corrupt"
			log.WithError(errors.Join(err, os.Rename(path, aside))).WithField("file", aside).
				Error("pin of a peer is damaged and was set aside; the peer is pinned anew when it is next seen")
			continue
		}
		p.known[f.JID] = pin{f.Key, f.Seen}
	}
	return p, nil
}

func readPin(path string) (pinFile, error) {
	b, err := os.ReadFile(path) //nolint:gosec // a name listed from our own state directory
	if err != nil {
		return pinFile{}, err
	}
	return parsePin(b)
}

func parsePin(b []byte) (pinFile, error) {
	if len(b) > maxPinFile {
		return pinFile{}, fmt.Errorf("%d bytes, want at most %d", len(b), maxPinFile)
	}
	var f pinFile
	if err := json.Unmarshal(b, &f); err != nil {
		return pinFile{}, err
	}
	if f.Version != pinVersion {
		return pinFile{}, fmt.Errorf("version %d, want %d", f.Version, pinVersion)
	}
	if len(f.Key) != ed25519.PublicKeySize || f.JID == "" {
		return pinFile{}, errors.New("no JID or no key of 32 bytes in it")
	}
	return f, nil
}

func (p *pins) path(jid string) string {
	sum := sha256.Sum256([]byte(jid))
	return filepath.Join(p.dir, hex.EncodeToString(sum[:8])+".json")
}

func (p *pins) get(jid string) (ed25519.PublicKey, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.known[jid]
	return k.key, ok
}

// check pins the key for the JID if it has none. Any other one is refused and
// remembered as offered.
func (p *pins) check(jid string, key ed25519.PublicKey) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	now := time.Now().UTC()
	p.mu.Lock()
	known, pinned := p.known[jid]
	switch {
	case !pinned:
		p.known[jid] = pin{key, now}
	case !known.key.Equal(key):
		p.offerLocked(jid, pin{key, now})
	}
	p.mu.Unlock()
	if !pinned {
		return p.keep(jid, pin{key, now})
	}
	if known.key.Equal(key) {
		return nil
	}
	return fmt.Errorf("%s shows identity %s, but %s is pinned: if its engine was set up anew, run: evio peers accept %s %[2]s", jid, Fingerprint(key), Fingerprint(known.key), jid)
}

// offerLocked forgets the oldest offer where there are too many.
func (p *pins) offerLocked(jid string, o pin) {
	p.offered[jid] = o
	if len(p.offered) <= maxOffered {
		return
	}
	oldest := jid
	for other, known := range p.offered {
		if known.seen.Before(p.offered[oldest].seen) {
			oldest = other
		}
	}
	delete(p.offered, oldest)
}

// accept pins the identity that was last refused, with a fingerprint only that one, and
// returns its fingerprint.
func (p *pins) accept(jid, fingerprint string) (string, error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	o, ok := p.offered[jid]
	shown := Fingerprint(o.key)
	other := fingerprint != "" && fingerprint != shown
	if ok && !other {
		delete(p.offered, jid)
		p.known[jid] = o
	}
	p.mu.Unlock()
	switch {
	case !ok:
		return "", fmt.Errorf("%s has shown no other identity than the pinned one since the plugin was started: there is nothing to accept", jid)
	case other:
		return "", fmt.Errorf("%s shows identity %s by now, not %s: find out which is its own, see evio peers list", jid, shown, fingerprint)
	}
	return shown, p.keep(jid, o)
}

// keep puts a pin that is known already on the disk; a pin that cannot be kept is
// none.
func (p *pins) keep(jid string, k pin) error {
	b, err := json.Marshal(pinFile{Version: pinVersion, JID: jid, Key: k.key, Seen: k.seen})
	if err == nil {
		err = p.write(jid, b)
	}
	if err != nil {
		p.mu.Lock()
		delete(p.known, jid)
		p.mu.Unlock()
		return fmt.Errorf("pin %s: %w", jid, err)
	}
	return nil
}

// write puts a pin on the disk, its folder's entry as well.
func (p *pins) write(jid string, b []byte) error {
	if err := renameio.WriteFile(p.path(jid), b, 0o600); err != nil {
		return err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// forget removes a pin and what was offered; one that is not there is no error.
func (p *pins) forget(jid string) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	delete(p.known, jid)
	delete(p.offered, jid)
	p.mu.Unlock()
	if err := os.Remove(p.path(jid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget pin of %s: %w", jid, err)
	}
	return nil
}
