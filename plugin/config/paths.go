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

// visible returns a fault for each path of f that a plugin with a host prefix could
// not reach.
func visible(f File) Faults {
	var fs Faults
	see := func(at, p string, write bool) {
		if p == "" || p == None {
			return
		}
		p = hostClean(p)
		var dirs []string
		for _, m := range mounts {
			if write && !m.writable {
				continue
			}
			if strings.HasPrefix(p, m.dir+"/") {
				return
			}
			dirs = append(dirs, m.dir)
		}
		fs.add(at, "the plugin cannot reach %s; choose a path below %s", brief(p), strings.Join(dirs, " or "))
	}
	for i, s := range f.Signalling {
		at := index("signalling", i)
		see(at+".password_file", s.PasswordFile, false)
		see(at+".certificate_file", s.CertificateFile, false)
		see(at+".key_file", s.KeyFile, false)
		see(at+".ca_file", s.CAFile, false)
	}
	for i, s := range f.TURN {
		at := index("turn", i)
		see(at+".password_file", s.PasswordFile, false)
		see(at+".secret_file", s.SecretFile, false)
		see(at+".ca_file", s.CAFile, false)
	}
	for _, overlay := range slices.Sorted(maps.Keys(f.Secrets)) {
		see(key("secrets", overlay), f.Secrets[overlay], false)
	}
	see("ovs.run_dir", f.OVS.RunDir, true)
	see("docker.socket", f.Docker.Socket, true)
	see("docker.plugin_dir", f.Docker.PluginDir, true)
	see("state_dir", f.StateDir, true)
	see("run_dir", f.RunDir, true)
	return fs
}
