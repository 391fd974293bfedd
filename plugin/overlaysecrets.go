package main

import (
	"bytes"
	"runtime/debug"
	"slices"
	"sync"

	"evio/datapath/proof"
	"evio/plugin/config"
)

// overlaySecrets returns, by overlay, what reads its secrets.
func overlaySecrets(s config.Settings) map[string]func() ([]proof.Secret, error) {
	return readersOf(s, proof.Stretch)
}

func readersOf(s config.Settings, slow func(overlay string, secret []byte) proof.Secret) map[string]func() ([]proof.Secret, error) {
	stretching := new(sync.Mutex) // one at a time: each takes 64 MiB
	secrets := make(map[string]func() ([]proof.Secret, error), len(s.Secrets))
	for overlay, path := range s.Secrets {
		f := &secretFile{overlay: overlay, path: s.HostPath(path), stretching: stretching, slow: slow}
		secrets[overlay] = f.read
	}
	return secrets
}

// secretFile is a file with an overlay's secrets. They are stretched when the file is read
// first and after it has changed, and never else. Any goroutine may read it.
type secretFile struct {
	overlay, path string
	stretching    *sync.Mutex
	slow          func(overlay string, secret []byte) proof.Secret

	mu        sync.Mutex
	lines     [][]byte
	stretched []proof.Secret
}

// read returns the secrets, stretched.
func (f *secretFile) read() ([]proof.Secret, error) {
	lines, err := config.ReadOverlaySecrets(f.path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.EqualFunc(lines, f.lines, bytes.Equal) {
		f.stretched = f.stretch(lines)
		f.lines = lines
	}
	return f.stretched, nil
}

// stretch stretches what it has not stretched before: an operator who puts a second line
// into the file waits for that one alone.
func (f *secretFile) stretch(lines [][]byte) []proof.Secret {
	f.stretching.Lock()
	defer f.stretching.Unlock()
	var out []proof.Secret
	for _, line := range lines {
		known := slices.IndexFunc(f.lines, func(l []byte) bool { return bytes.Equal(l, line) })
		if known >= 0 {
			out = append(out, f.stretched[known])
			continue
		}
		out = append(out, f.slow(f.overlay, line))
	}
	debug.FreeOSMemory() // it was far more than the plugin uses otherwise
	return out
}
