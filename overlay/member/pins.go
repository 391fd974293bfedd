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

// pins binds bare JIDs to identities, one file each. Its methods may be called
// from any goroutine.
type pins struct {
	dir string

	mu    sync.Mutex
	known map[string]ed25519.PublicKey
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
	p := &pins{dir: dir, known: map[string]ed25519.PublicKey{}}
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
		p.known[f.JID] = f.Key
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
	key, ok := p.known[jid]
	return key, ok
}

// check pins the key for the JID if it has none, and refuses any other one.
func (p *pins) check(jid string, key ed25519.PublicKey) error {
	p.mu.Lock()
	known, pinned := p.known[jid]
	if !pinned {
		p.known[jid] = key
	}
	p.mu.Unlock()
	if pinned {
		if known.Equal(key) {
			return nil
		}
		return fmt.Errorf("%s shows another identity than the one pinned: if its engine was set up anew, remove %s and restart the plugin", jid, p.path(jid))
	}
	b, err := json.Marshal(pinFile{Version: pinVersion, JID: jid, Key: key, Seen: time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("pin %s: %w", jid, err)
	}
	if err := p.write(jid, b); err != nil {
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

// forget removes a pin; one that is not there is no error.
func (p *pins) forget(jid string) error {
	p.mu.Lock()
	delete(p.known, jid)
	p.mu.Unlock()
	if err := os.Remove(p.path(jid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget pin of %s: %w", jid, err)
	}
	return nil
}
