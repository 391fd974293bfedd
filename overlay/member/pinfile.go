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
	"time"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"
)

// pinVersion is the format of a pin's file. Files of version 1, which have no checksum,
// are read as well.
const pinVersion = 2

// maxPinFile is the largest file read as a pin, in bytes.
const maxPinFile = 4096

// aside is put behind the name of a file that is no pin. While it is there and no pin is,
// the account that the name stands for is refused.
const aside = ".corrupt"

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
		return nil, fmt.Errorf("keep pins: %w: make the state directory one that can be written to and has room; it is tried again every 2 s", err)
	}
	p := &pins{dir: dir, log: log, known: map[string]pin{}, offered: map[string]pin{}, unkept: map[string]error{}, damaged: map[string]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	for _, e := range entries { // by name: a pin before what was set aside in its place
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
			if err := os.Remove(path); err != nil {
				log.WithError(err).WithField("file", path).Warn("what an interrupted write left is not removed")
			}
		case strings.HasSuffix(e.Name(), ".json"):
			p.load(path)
		case strings.HasSuffix(e.Name(), ".json"+aside):
			p.setAsideBefore(strings.TrimSuffix(path, aside))
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
	fault := fmt.Sprintf("pin %s of a peer is damaged (%v) and was set aside as %s: %s", path, err, aside, refusedUntilAccepted)
	if err := os.Rename(path, path+aside); err != nil {
		fault = fmt.Sprintf("pin %s of a peer is damaged and cannot be set aside (%v): %s", path, err, refusedUntilAccepted)
	}
	p.log.Error(fault)
	p.damaged[path] = fault
}

// setAsideBefore takes what an earlier process has set aside for damage, unless the account
// has a pin again.
func (p *pins) setAsideBefore(path string) {
	pinned := slices.ContainsFunc(slices.Collect(maps.Keys(p.known)), func(jid string) bool { return p.path(jid) == path })
	if pinned || p.damaged[path] != "" {
		return
	}
	p.damaged[path] = fmt.Sprintf("pin %s of a peer was damaged and is set aside as %s: %s", path, aside, refusedUntilAccepted)
}

const refusedUntilAccepted = "its account is refused until its identity is accepted, and evio peers list names it once it is online; where it is gone for good, remove the file and enable the plugin again"

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

// remove takes a pin from the disk, and what was set aside in its place. What is not there
// is no error.
func (p *pins) remove(jid string) error {
	for _, path := range []string{p.path(jid), p.path(jid) + aside} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
