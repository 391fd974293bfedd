package config

import (
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"evio/datapath/turn"
	"evio/overlay/sites"
)

const (
	maxSTUN    = 4
	maxOverlay = 64 // bytes of an overlay's name, as in a network's options

	minRekey, maxRekey = 10, 86400 // seconds
)

var (
	levels  = []string{"trace", "debug", "info", "warn", "error"}
	formats = []string{"text", "json"}
)

// Validate returns everything that is wrong with the values of f.
func (f File) Validate() Faults {
	var fs Faults
	if err := sites.CheckName(f.Site); err != nil {
		fs.add("site", "this is no name of a site: %v", err)
	}
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
	if len(f.TURN) > turn.MaxServers {
		fs.add("turn", "there are %d servers; keep %d at most", len(f.TURN), turn.MaxServers)
	}
	for i, s := range f.TURN {
		s.validate(&fs, index("turn", i))
	}
	for _, overlay := range slices.Sorted(maps.Keys(f.Secrets)) {
		at := key("secrets", overlay)
		if overlay == AnyOverlay || !overlayName(overlay) {
			fs.add(at, "this is no name of an overlay; use up to %d letters, digits, '.', '_' and '-'", maxOverlay)
		}
		secretFile(&fs, at, f.Secrets[overlay])
	}
	if f.RekeySeconds < minRekey || f.RekeySeconds > maxRekey {
		fs.add("rekey_seconds", "give a number of seconds from %d to %d", minRekey, maxRekey)
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

// overlayName reports whether s may be an overlay's name or stands for all.
func overlayName(s string) bool {
	letters := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r))
	}
	return s == AnyOverlay || s != "" && len(s) <= maxOverlay && strings.TrimFunc(s, letters) == ""
}

func oneOf(fs *Faults, at, v string, known []string) {
	if !slices.Contains(known, v) {
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

// file checks a path that may be left out.
func file(fs *Faults, at, v string) {
	if v != "" {
		secretFile(fs, at, v)
	}
}

// secretFile checks a path without repeating it: it may be the secret itself that was
// written where its file belongs.
func secretFile(fs *Faults, at, v string) {
	if !path.IsAbs(v) || strings.ContainsRune(v, 0) {
		fs.add(at, "this is no full path; give one of the host that begins with /")
	}
}

func absolute(fs *Faults, at, v string) {
	if !path.IsAbs(v) || strings.ContainsRune(v, 0) {
		fs.add(at, "%q is no full path; give one of the host that begins with /", v)
	}
}
