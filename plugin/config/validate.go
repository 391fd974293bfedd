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

	minMaxAge, maxMaxAge = 60, 31536000 // seconds

	// Paths in bytes: of a file, of a socket (unix(7) has 107, some for /host before it),
	// and of a folder with sockets in it, whose names have up to 24.
	maxPath, maxSocket, maxFolder = 4000, 100, 76
)

var (
	levels  = []string{"trace", "debug", "info", "warn", "error"}
	formats = []string{"text", "json"}
	offload = []string{Auto, Off}
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
			fs.add(at+".jid", "%s is the account of signalling[%d] too; join the two services, one connection serves all overlays", shown(s.JID), first)
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
	f.validateClaims(&fs)
	if age := f.MembershipMaxAge; age != 0 && (age < minMaxAge || age > maxMaxAge) {
		fs.add("membership_max_age", "give a number of seconds from %d to %d, or 0 for any age", minMaxAge, maxMaxAge)
	}
	if f.RekeySeconds < minRekey || f.RekeySeconds > maxRekey {
		fs.add("rekey_seconds", "give a number of seconds from %d to %d", minRekey, maxRekey)
	}
	if f.UDPPort < 0 || f.UDPPort > 65535 {
		fs.add("udp_port", "this is no UDP port; give one from 1 to 65535, or 0 for any free one")
	}
	oneOf(&fs, "offload.tap", f.Offload.TAP, offload)
	oneOf(&fs, "offload.udp_send", f.Offload.UDPSend, offload)
	oneOf(&fs, "offload.udp_receive", f.Offload.UDPReceive, offload)
	oneOf(&fs, "offload.merge", f.Offload.Merge, offload)
	oneOf(&fs, "log.level", f.Log.Level, levels)
	oneOf(&fs, "log.format", f.Log.Format, formats)
	if f.OVS.RunDir != None {
		absolute(&fs, "ovs.run_dir", f.OVS.RunDir, maxFolder)
	}
	absolute(&fs, "docker.socket", f.Docker.Socket, maxSocket)
	absolute(&fs, "docker.plugin_dir", f.Docker.PluginDir, maxFolder)
	absolute(&fs, "state_dir", f.StateDir, maxPath)
	absolute(&fs, "run_dir", f.RunDir, maxFolder)
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
		fs.add(at, "%s is not known; give one of %s", shown(v), strings.Join(known, ", "))
	}
}

func hostPort(fs *Faults, at, v, example string) {
	host, port, err := net.SplitHostPort(v)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || !hostName(host) {
		fs.add(at, "%s is no host:port; write it like %s", shown(v), example)
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
	switch {
	case !path.IsAbs(v) || strings.ContainsFunc(v, unicode.IsControl):
		fs.add(at, "this is no full path; give one of the host that begins with /")
	case len(v) > maxPath:
		fs.add(at, "the path has %d bytes; give one of at most %d", len(v), maxPath)
	}
}

// absolute checks a path of the host, of at most so many bytes.
func absolute(fs *Faults, at, v string, most int) {
	switch {
	case !path.IsAbs(v) || strings.ContainsFunc(v, unicode.IsControl):
		fs.add(at, "%s is no full path; give one of the host that begins with /", shown(v))
	case len(v) > most:
		fs.add(at, "the path has %d bytes; give one of at most %d", len(v), most)
	}
}
