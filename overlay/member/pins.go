package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"
)

// pinVersion is the format of a pin's file. Files of version 1, which have no checksum,
// are read as well.
const pinVersion = 2

// maxPinFile is the largest file read as a pin, in bytes.
const maxPinFile = 4096

// maxOffered bounds the identities that are remembered for having been refused.
const maxOffered = 256

// pins binds bare JIDs to identities, one file each. Its methods may be called
// from any goroutine.
type pins struct {
	dir string
	log *logrus.Entry

	changing sync.Mutex // held over I/O, so that disk and memory change alike

	mu      sync.Mutex
	known   map[string]pin
	offered map[string]pin   // by JID, the last other identity that it showed
	unkept  map[string]error // by JID, why its pin is not on disk
	damaged []string         // a sentence for each file that was set aside
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
	SHA256  string    `json:"sha256,omitempty"` // of the rest, see sum
}

// sum is the checksum of everything else in the file.
func (f pinFile) sum() (string, error) {
	f.SHA256 = ""
	b, err := json.Marshal(f)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

func openPins(dir string, log *logrus.Entry) (*pins, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep pins: %w: make the state directory one that can be written to and has room, and enable the plugin again", err)
	}
	p := &pins{dir: dir, log: log, known: map[string]pin{}, offered: map[string]pin{}, unkept: map[string]error{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
			if err := os.Remove(path); err != nil {
				log.WithError(err).WithField("file", path).Warn("what an interrupted write left is not removed")
			}
		case strings.HasSuffix(e.Name(), ".json"):
			p.load(path)
		}
	}
	return p, nil
}

// load takes a pin from its file, and sets a damaged one aside.
func (p *pins) load(path string) {
	f, err := readPin(path)
	if err == nil && p.path(f.JID) != path {
		err = fmt.Errorf("it names %s, whose pin is another file", f.JID)
	}
	if err == nil {
		p.known[f.JID] = pin{f.Key, f.Seen}
		return
	}
	fault := fmt.Sprintf("pin %s of a peer is damaged (%v) and was set aside as .corrupt: the peer is pinned anew when it is next seen", path, err)
	if err := os.Rename(path, path+".corrupt"); err != nil {
		fault = fmt.Sprintf("pin %s of a peer is damaged and cannot be set aside (%v): remove it, the peer is pinned anew when it is next seen", path, err)
	}
	p.log.Error(fault)
	p.damaged = append(p.damaged, fault)
}

// faults says, one sentence each, which pins are not as they should be.
func (p *pins) faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.damaged)
	for _, jid := range slices.Sorted(maps.Keys(p.unkept)) {
		all = append(all, fmt.Sprintf("%v: it holds until the plugin ends, and is written when the state directory takes it", p.unkept[jid]))
	}
	return all
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
	if f.Version != pinVersion && f.Version != 1 {
		return pinFile{}, fmt.Errorf("version %d, want %d", f.Version, pinVersion)
	}
	var want string
	if f.Version == pinVersion {
		var err error
		if want, err = f.sum(); err != nil {
			return pinFile{}, err
		}
	}
	if f.SHA256 != want {
		return pinFile{}, errors.New("the checksum does not match")
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
// remembered as offered. A pin that the disk does not take holds all the same, and is
// written as soon as a later check finds that the disk takes it.
func (p *pins) check(jid string, key ed25519.PublicKey) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.rewrite()
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
		if err := p.keep(jid, pin{key, now}); err != nil {
			p.log.WithError(err).WithField("peer", jid).Error("pin of a peer is not on disk")
			p.mu.Lock()
			p.unkept[jid] = err
			p.mu.Unlock()
		}
		return nil
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
	p.mu.Unlock()
	shown := Fingerprint(o.key)
	other := fingerprint != "" && fingerprint != shown
	switch {
	case !ok:
		return "", fmt.Errorf("%s has shown no other identity than the pinned one since the plugin was started: there is nothing to accept", jid)
	case other:
		return "", fmt.Errorf("%s shows identity %s by now, not %s: find out which is its own, see evio peers list", jid, shown, fingerprint)
	}
	if err := p.keep(jid, o); err != nil {
		return "", fmt.Errorf("%w: mend that and accept the identity again", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[jid] = o
	delete(p.offered, jid)
	delete(p.unkept, jid)
	return shown, nil
}

// rewrite puts those pins on the disk that it did not take before, until one fails.
func (p *pins) rewrite() {
	p.mu.Lock()
	due := make(map[string]pin, len(p.unkept))
	for jid := range p.unkept {
		due[jid] = p.known[jid]
	}
	p.mu.Unlock()
	for jid, k := range due {
		if p.keep(jid, k) != nil {
			return
		}
		p.mu.Lock()
		delete(p.unkept, jid)
		p.mu.Unlock()
	}
}

// keep puts a pin on the disk.
func (p *pins) keep(jid string, k pin) error {
	f := pinFile{Version: pinVersion, JID: jid, Key: k.key, Seen: k.seen}
	var err error
	if f.SHA256, err = f.sum(); err != nil {
		return fmt.Errorf("pin %s: %w", jid, err)
	}
	b, err := json.Marshal(f)
	if err == nil {
		err = p.write(jid, b)
	}
	if err != nil {
		return fmt.Errorf("pin %s: %w", jid, err)
	}
	return nil
}

// write puts a pin on the disk, its folder's entry as well.
func (p *pins) write(jid string, b []byte) error {
	if err := renameio.WriteFile(p.path(jid), b, 0o600, renameio.WithTempDir(p.dir)); err != nil {
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
	delete(p.unkept, jid)
	p.mu.Unlock()
	if err := os.Remove(p.path(jid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget pin of %s: %w", jid, err)
	}
	return nil
}
