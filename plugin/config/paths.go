package config

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// mounts are the parts of the host that a managed plugin sees below its host
// prefix (config.json), and whether it may write there.
var mounts = []struct {
	dir      string
	writable bool
}{{"/etc", false}, {"/run", true}, {"/var/lib", true}}

// HostPath returns where the host's path p is found from here.
func (s Settings) HostPath(p string) string {
	if s.HostPrefix == "" {
		return path.Clean(p)
	}
	return path.Join(s.HostPrefix, hostClean(p))
}

// hostClean returns the host's path p without its detours; /var/run is /run on every
// current host, and only the latter is mounted.
func hostClean(p string) string {
	p = path.Clean("/" + p)
	if rest, ok := strings.CutPrefix(p, "/var/run"); ok && (rest == "" || rest[0] == '/') {
		return "/run" + rest
	}
	return p
}

// named is a path of the host that a setting names.
type named struct {
	at    string // the setting
	path  string
	write bool // the plugin makes something there, or calls a socket
}

// named lists all paths of f, except for those that are switched off.
func (f File) named() []named {
	var all []named
	add := func(at, p string, write bool) {
		if p != "" && p != None {
			all = append(all, named{at, hostClean(p), write})
		}
	}
	for i, s := range f.Signalling {
		at := index("signalling", i)
		add(at+".password_file", s.PasswordFile, false)
		add(at+".certificate_file", s.CertificateFile, false)
		add(at+".key_file", s.KeyFile, false)
		add(at+".ca_file", s.CAFile, false)
	}
	for i, s := range f.TURN {
		at := index("turn", i)
		add(at+".password_file", s.PasswordFile, false)
		add(at+".secret_file", s.SecretFile, false)
		add(at+".ca_file", s.CAFile, false)
	}
	for _, overlay := range slices.Sorted(maps.Keys(f.Secrets)) {
		add(key("secrets", overlay), f.Secrets[overlay], false)
	}
	add("ovs.run_dir", f.OVS.RunDir, true)
	add("docker.socket", f.Docker.Socket, true)
	add("docker.plugin_dir", f.Docker.PluginDir, true)
	add("state_dir", f.StateDir, true)
	add("run_dir", f.RunDir, true)
	return all
}

// Named lists every path of the host that the settings name, the configuration file among
// them, without detours.
func (s Settings) Named() []string {
	paths := []string{hostClean(s.ConfigPath)}
	for _, n := range s.named() {
		paths = append(paths, n.path)
	}
	return paths
}

// visible returns a fault for each path of f that a plugin with a host prefix could
// not reach.
func visible(f File) Faults {
	var fs Faults
	for _, n := range f.named() {
		var dirs []string
		reached := false
		for _, m := range mounts {
			if n.write && !m.writable {
				continue
			}
			reached = reached || strings.HasPrefix(n.path, m.dir+"/")
			dirs = append(dirs, m.dir)
		}
		if !reached {
			fs.add(n.at, "the plugin cannot reach %s; choose a path below %s", brief(n.path), strings.Join(dirs, " or "))
		}
	}
	return fs
}
