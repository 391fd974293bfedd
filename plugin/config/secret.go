package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxPassword bounds a password, in bytes.
const maxPassword = 1024

// ReadPassword returns the first line of the file at p, a path as seen from here.
// The file may be replaced at any time; it is read at each login. Its content is
// never part of an error.
func ReadPassword(p string) (_ string, err error) {
	f, err := os.Open(p) //nolint:gosec // the path is the operator's setting
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		return "", fmt.Errorf("password file %s can be read by every user of the host: chmod 600 it and change the password", p)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+2))
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return "", fmt.Errorf("password file %s begins with an empty line: write the password there", p)
	case len(line) > maxPassword:
		return "", fmt.Errorf("password file %s has more than %d bytes in its first line: write the password alone there", p, maxPassword)
	}
	return string(line), nil
}
