package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// maxV1Names bounds the sockets beside the managed one.
const maxV1Names = 16

// Settings is everything the operator set, with the defaults of what was not.
type Settings struct {
	File
	// ConfigPath is the configuration file's path on the host.
	ConfigPath string
	// Missing says that there is no configuration file, which is no fault: networks
	// are of this engine only.
	Missing bool
	// HostPrefix is where the host's /etc, /run and /var/lib are mounted; empty
	// where the process runs on the host itself.
	HostPrefix string
	// Socket is where the engine calls, a path as seen from here.
	Socket string
	// V1Names are the names under which the driver is also served as a v1 plugin.
	V1Names []string
	// Variables are those of the environment that took effect.
	Variables []string
}

// environment lists the variables, which win over the file. An empty one counts as
// not set, since a managed plugin declares all of them.
var environment = []struct {
	name     string
	standard string // what the variable is when it is not set; "" where the file says it
	setting  string // of the file that it wins over; "" where there is none
	set      func(*Settings, string)
}{
	{"EVIO_CONFIG", "/etc/evio/config.json", "", func(s *Settings, v string) { s.ConfigPath = v }},
	{"EVIO_HOST_PREFIX", "", "", func(s *Settings, v string) { s.HostPrefix = v }},
	{"EVIO_SOCKET", "/run/docker/plugins/evio.sock", "", func(s *Settings, v string) { s.Socket = v }},
	{"EVIO_V1_NAMES", "evio,evio:latest", "", func(s *Settings, v string) { s.V1Names = list(v) }},
	{"EVIO_SITE", "", "site", func(s *Settings, v string) { s.Site = v }},
	{"EVIO_LOG_LEVEL", "", "log.level", func(s *Settings, v string) { s.Log.Level = v }},
	{"EVIO_LOG_FORMAT", "", "log.format", func(s *Settings, v string) { s.Log.Format = v }},
	{"EVIO_UDP_PORT", "", "udp_port", func(s *Settings, v string) { s.UDPPort = number(v) }},
	{"EVIO_OFFLOAD_TAP", "", "offload.tap", func(s *Settings, v string) { s.Offload.TAP = v }},
	{"EVIO_OFFLOAD_UDP_SEND", "", "offload.udp_send", func(s *Settings, v string) { s.Offload.UDPSend = v }},
	{"EVIO_OFFLOAD_UDP_RECEIVE", "", "offload.udp_receive", func(s *Settings, v string) { s.Offload.UDPReceive = v }},
	{"EVIO_OFFLOAD_MERGE", "", "offload.merge", func(s *Settings, v string) { s.Offload.Merge = v }},
	{"EVIO_OVS_RUNDIR", "", "ovs.run_dir", func(s *Settings, v string) { s.OVS.RunDir = v }},
	{"EVIO_DOCKER_SOCKET", "", "docker.socket", func(s *Settings, v string) { s.Docker.Socket = v }},
	{"EVIO_PLUGIN_DIR", "", "docker.plugin_dir", func(s *Settings, v string) { s.Docker.PluginDir = v }},
	{"EVIO_STATE_DIR", "", "state_dir", func(s *Settings, v string) { s.StateDir = v }},
	{"EVIO_RUN_DIR", "", "run_dir", func(s *Settings, v string) { s.RunDir = v }},
}

// Load reads the environment through getenv and the configuration file. The
// settings are usable whether or not there are faults. With faults the caller must
// delete nothing of what is on the host: the state directory may be another one than
// the operator meant.
func Load(getenv func(string) string) (Settings, Faults) {
	s := Settings{File: Default()}
	var faults Faults
	for _, v := range environment {
		if v.standard != "" {
			v.set(&s, v.standard)
		}
	}
	apply(&s, getenv, &faults)

	file, missing, fileFaults := read(s)
	faults = append(faults, fileFaults.from(s.ConfigPath)...)
	s.File, s.Missing = file, missing
	if s.HostPrefix != "" {
		hidden := visible(s.File)
		faults = append(faults, hidden.from(s.ConfigPath)...)
		s.File = s.without(hidden)
	}
	s.Variables = apply(&s, getenv, nil) // once more: the environment wins over the file
	return s, faults
}

// apply sets what the environment says, each variable only if it is right; faults,
// if not nil, takes the rest. It returns the variables that are right.
func apply(s *Settings, getenv func(string) string, faults *Faults) []string {
	var right []string
	for _, v := range environment {
		text := getenv(v.name)
		if text == "" {
			continue
		}
		trial := Settings{File: Default(), ConfigPath: "/", Socket: "/", HostPrefix: s.HostPrefix}
		v.set(&trial, text)
		wrong := trial.validate()
		if len(wrong) == 0 {
			v.set(s, text)
			right = append(right, v.name)
		} else if faults != nil {
			faults.add(v.name, "%s", wrong[0].Text)
		}
	}
	return right
}

// validate returns what is wrong with s, the file's settings included.
func (s Settings) validate() Faults {
	faults := s.Validate()
	absolute(&faults, "EVIO_CONFIG", s.ConfigPath, maxPath)
	absolute(&faults, "EVIO_SOCKET", s.Socket, maxSocket)
	if s.HostPrefix != "" {
		absolute(&faults, "EVIO_HOST_PREFIX", s.HostPrefix, maxPath)
		faults = append(faults, visible(s.File)...)
	}
	if len(s.V1Names) > maxV1Names {
		faults.add("EVIO_V1_NAMES", "there are %d names; keep %d at most", len(s.V1Names), maxV1Names)
	}
	for _, n := range s.V1Names {
		if n == "" || strings.HasPrefix(n, ".") || strings.ContainsAny(n, "/\x00") || len(n) > 64 {
			faults.add("EVIO_V1_NAMES", "%s is no name of a plugin; give names with commas between them, such as evio,evio:latest, or none", shown(n))
		}
	}
	return faults
}

// read returns the configuration file's settings.
func read(s Settings) (file File, missing bool, _ Faults) {
	b, err := readLimited(s.HostPath(s.ConfigPath), maxSize+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default(), true, nil
	case err != nil:
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // the fault has the path, as it is on the host
		}
		var faults Faults
		faults.add("", "%v; make it a file that root can read", err)
		return Default(), false, faults
	}
	file, faults := Decode(b)
	return file, false, faults
}

func readLimited(p string, most int64) (_ []byte, err error) {
	f, err := os.Open(p) //nolint:gosec // the path is the operator's setting
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, most))
}

// list splits v at its commas; None is an empty list.
func list(v string) []string {
	if v == None {
		return nil
	}
	names := strings.Split(v, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// number returns the whole number v, and -1, which is out of every range here, for
// anything else.
func number(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		return -1
	}
	return n
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func key(path, name string) string { return path + "[" + shown(name) + "]" }
