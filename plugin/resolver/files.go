package resolver

import (
	"fmt"
	"os"
	"path"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// The host's files.
const (
	hostsFile  = "/etc/hosts"
	resolvConf = "/etc/resolv.conf"
)

// Places are where the host's files are at present, or were to be; paths on the host.
func (r *Resolver) Places() []string {
	var places []string
	for _, name := range []string{hostsFile, resolvConf} {
		if there, err := r.locate(name); err == nil {
			places = append(places, path.Clean("/"+strings.TrimPrefix(there, r.root)))
		}
	}
	return places
}

// open opens one of the host's files. Its links lead to places of the host: from
// /etc/resolv.conf to /run/systemd/resolve, as a rule. One that leads to where nothing
// of the host is seen from here is answered with the copy that the engine made of the
// file when the plugin started.
func (r *Resolver) open(name string) (*os.File, error) {
	there, err := r.locate(name)
	if err != nil {
		return nil, fmt.Errorf("find the host's %s: %w", name, err)
	}
	f, err := os.Open(there) //nolint:gosec // a link of the host may lead anywhere in it
	if err == nil || r.root == "/" {
		return f, err
	}
	if own, ownErr := os.Open(name); ownErr == nil { //nolint:gosec // a constant
		return own, nil
	}
	return nil, err
}

// locate follows the links of a host's path. /var/run is /run on every current host, and
// a plugin sees only the latter.
func (r *Resolver) locate(name string) (string, error) {
	there, err := securejoin.SecureJoin(r.root, name)
	if err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix(there, path.Join(r.root, "var/run")+"/"); ok && r.root != "/" {
		return securejoin.SecureJoin(r.root, path.Join("/run", rest))
	}
	return there, nil
}
