package config

import (
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxSTUN     = 4
	maxServices = 8
	maxJIDPart  = 1023 // bytes (RFC 7622 section 3)
	maxOverlay  = 64   // bytes of an overlay's name, as in a network's options
)

var (
	levels  = []string{"trace", "debug", "info", "warn", "error"}
	formats = []string{"text", "json"}
	tlsWays = []string{StartTLS, DirectTLS}
)

// Validate returns everything that is wrong with the values of f.
func (f File) Validate() Faults {
	var fs Faults
	if len(f.Signalling) > maxServices {
		fs.add("signalling", "there are %d services; keep %d at most", len(f.Signalling), maxServices)
	}
	accounts := map[string]int{}
	for i, s := range f.Signalling {
		at := index("signalling", i)
		s.validate(&fs, at)
		if first, ok := accounts[s.JID]; ok && s.JID != "" {
			fs.add(at+".jid", "%s is the account of signalling[%d] too; join the two services, one connection serves all overlays", s.JID, first)
			continue
		}
		accounts[s.JID] = i
	}
	if len(f.STUN) > maxSTUN {
		fs.add("stun", "there are %d servers; keep %d at most", len(f.STUN), maxSTUN)
	}
	for i, s := range f.STUN {
		hostPort(&fs, index("stun", i), s, "stun.example.org:3478")
	}
	if f.UDPPort < 0 || f.UDPPort > 65535 {
		fs.add("udp_port", "this is no UDP port; give one from 1 to 65535, or 0 for any free one")
	}
	oneOf(&fs, "log.level", f.Log.Level, levels)
	oneOf(&fs, "log.format", f.Log.Format, formats)
	if f.OVS.RunDir != None {
		absolute(&fs, "ovs.run_dir", f.OVS.RunDir)
	}
	absolute(&fs, "docker.socket", f.Docker.Socket)
	absolute(&fs, "docker.plugin_dir", f.Docker.PluginDir)
	absolute(&fs, "state_dir", f.StateDir)
	absolute(&fs, "run_dir", f.RunDir)
	return fs
}

func (s Service) validate(fs *Faults, at string) {
	if s.Server != "" {
		hostPort(fs, at+".server", s.Server, "xmpp.example.org:5222")
	}
	oneOf(fs, at+".tls", s.TLS, tlsWays)
	jid(fs, at+".jid", s.JID)
	if s.PasswordFile == "" {
		fs.add(at+".password_file", "it is missing; put the password alone into a file of the host, mode 0600, and give its path")
	} else {
		absolute(fs, at+".password_file", s.PasswordFile)
	}
	if s.CAFile != "" {
		absolute(fs, at+".ca_file", s.CAFile)
	}
	if len(s.Overlays) == 0 {
		fs.add(at+".overlays", `it is missing; name the overlays of this service, such as {"*": "roster"} for all`)
	}
	for _, name := range s.OverlayNames() {
		where := at + ".overlays[" + strconv.Quote(name) + "]"
		if !overlayName(name) {
			fs.add(where, "this is no name of an overlay; use up to %d letters, digits, '.', '_' and '-', or * for all", maxOverlay)
		}
		oneOf(fs, where, s.Overlays[name], []string{Roster})
	}
}

// overlayName reports whether s may be an overlay's name or stands for all.
func overlayName(s string) bool {
	letters := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r))
	}
	return s == AnyOverlay || s != "" && len(s) <= maxOverlay && strings.TrimFunc(s, letters) == ""
}

func oneOf(fs *Faults, at, v string, known []string) {
	switch {
	case slices.Contains(known, v):
	case len(known) == 1:
		fs.add(at, "%q is not known; the one value known is %s", v, known[0])
	default:
		fs.add(at, "%q is not known; give one of %s", v, strings.Join(known, ", "))
	}
}

func hostPort(fs *Faults, at, v, example string) {
	host, port, err := net.SplitHostPort(v)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || !hostName(host) {
		fs.add(at, "%q is no host:port; write it like %s", v, example)
	}
}

// hostName reports whether s may be a DNS name or an IP address; what it is the
// resolver finds out.
func hostName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/@\\\"'", r)
	})
}

func jid(fs *Faults, at, v string) {
	local, domain, ok := strings.Cut(v, "@")
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/@\"&'<>", r)
	}
	if !ok || local == "" || len(local) > maxJIDPart || strings.ContainsFunc(local, bad) || !hostName(domain) {
		fs.add(at, "%q is no account; write it like site-a@example.org, without a resource", v)
	}
}

func absolute(fs *Faults, at, v string) {
	if !path.IsAbs(v) || strings.ContainsRune(v, 0) {
		fs.add(at, "%q is no full path; give one of the host that begins with /", v)
	}
}
