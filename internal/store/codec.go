package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Version is the version of the file format that this build writes.
const Version = 1

// ErrNewer is why a file of a later version is not read. It is left in its place.
var ErrNewer = errors.New("written by a newer evio: install that version again")

// Record is one object as it is on disk.
type Record struct {
	ID   string
	Body json.RawMessage
	old  bool // in the old format
}

// envelope is the file's content. The checksum covers everything else. It and its
// computation are the same in every version, so that damage is never taken for a newer version.
type envelope struct {
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	ID      string          `json:"id"`
	SHA256  string          `json:"sha256"`
	Body    json.RawMessage `json:"body"`
}

func encode(kind, id string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	e := envelope{Version: Version, Kind: kind, ID: id, Body: raw}
	e.SHA256 = e.sum(raw)
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// decode reads a file's content. It refuses whatever encode would not have
// written, except for white space between the tokens.
func decode(kind string, b []byte) (Record, error) {
	var e envelope
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&e); err != nil {
		return Record{}, fmt.Errorf("no JSON object: %w", err)
	}
	if rest := bytes.TrimSpace(b[dec.InputOffset():]); len(rest) > 0 {
		return Record{}, fmt.Errorf("%d bytes after the object", len(rest))
	}
	var body bytes.Buffer
	if err := json.Compact(&body, e.Body); err != nil {
		return Record{}, fmt.Errorf("body: %w", err)
	}
	if e.SHA256 != e.sum(body.Bytes()) {
		return Record{}, errors.New("the checksum does not match")
	}
	if e.Version > Version {
		return Record{}, fmt.Errorf("format %d, this build knows %d: %w", e.Version, Version, ErrNewer)
	}
	if e.Version < 1 {
		return Record{}, fmt.Errorf("format %d, want 1", e.Version)
	}
	if e.Kind != kind {
		return Record{}, fmt.Errorf("a %q in the folder of %q", e.Kind, kind)
	}
	return Record{ID: e.ID, Body: body.Bytes()}, nil
}

func (e *envelope) sum(body []byte) string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(strconv.Itoa(e.Version)), []byte(e.Kind), []byte(e.ID), body} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":"))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// FileName returns the name of an object's file: 32 hexadecimal digits of the SHA-256 of
// its ID, which may be of any length and hold any byte, and .json.
func FileName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16]) + suffix
}
