// Package config reads what an operator sets: the configuration file on the host
// and the plugin's environment (docker plugin set).
//
// It decides nothing about networks: it turns bytes into [Settings], with every
// fault named by its place and a sentence that says what to do. A setting that is
// at fault has its default in the result, so that a plugin with a broken file can
// still listen and say what is wrong. Secrets are never in the result: the file
// names files of the host, and [ReadPassword] and its like read one when it is needed.
//
// Values are plain data. Functions keep no state and may be called at once.
package config

// DefaultUDPPort carries all sessions unless the operator says otherwise. It is
// fixed, so that a firewall rule and a NAT's mapping hold over a restart; below
// 32768, where Linux takes no port for outgoing sockets by itself; and neither 3478
// nor 3479, which a STUN or TURN server on the same host takes.
const DefaultUDPPort = 14790

// None is the value of a setting that is a path or a list and is switched off.
const None = "none"

// AnyOverlay in [Service.Overlays] stands for every overlay.
const AnyOverlay = "*"

// File is the configuration file: JSON, every setting optional. Paths are paths on
// the host, whatever the plugin's own root file system is.
type File struct {
	// Site is the short name of the place where this engine stands, which other engines
	// show beside its account; the form of a label of a host's name, or empty.
	Site string `json:"site"`
	// Signalling lists the services through which members find each other; none
	// means that networks stay on this engine.
	Signalling []Service `json:"signalling"`
	// STUN lists servers, "host:port", that tell this engine its address outside of
	// its NAT. At most 4.
	STUN []string `json:"stun"`
	// TURN lists servers that relay where no direct path is found. At most 4.
	TURN []TURN `json:"turn"`
	// Secrets names, by overlay, the file with the overlay secret, which all engines
	// of the overlay must have in common; overlays without one are left out.
	Secrets map[string]string `json:"secrets"`
	// Claims says, by account, whose the addresses within prefixes are; no other engine
	// may have one of them, and none of them whose account is not there.
	Claims map[string][]string `json:"claims"`
	// MembershipMaxAge is the age, in seconds, at which a list of members vouches for nobody
	// until the server gives it again; 60 to 31536000, 0 for any age.
	MembershipMaxAge int `json:"membership_max_age"`
	// RekeySeconds is the age at which the keys of a session are replaced; 10 to 86400.
	RekeySeconds int `json:"rekey_seconds"`
	// UDPPort carries all sessions; 1 to 65535, 0 for any free one.
	UDPPort int `json:"udp_port"`
	// Offload says what is left to the kernel.
	Offload Offload `json:"offload"`
	// Log says what is logged and how.
	Log Log `json:"log"`
	// OVS says which Open vSwitch is used.
	OVS OVS `json:"ovs"`
	// Docker says where the engine is found.
	Docker Docker `json:"docker"`
	// StateDir keeps the identity and the networks; it must survive a reboot.
	StateDir string `json:"state_dir"`
	// RunDir holds the status socket evio.sock and the plugin's own Open vSwitch.
	RunDir string `json:"run_dir"`
}

// Log says what is logged and how.
type Log struct {
	// Level is trace, debug, info, warn or error.
	Level string `json:"level"`
	// Format is text or json, one line per event either way.
	Format string `json:"format"`
}

// Auto and Off are the values of the settings of [Offload]: use it where the kernel can, or
// never.
const (
	Auto = "auto"
	Off  = "off"
)

// Offload says what is left to the kernel, so that frames of up to 64 KiB pass in one piece.
type Offload struct {
	// TAP: frames of the TAP devices of links are segmented, and their checksums finished, by
	// the kernel, or not at all.
	TAP string `json:"tap"`
	// UDPSend: the kernel cuts records that are sent by one call into datagrams.
	UDPSend string `json:"udp_send"`
	// UDPReceive: the kernel hands over datagrams of one sender together.
	UDPReceive string `json:"udp_receive"`
	// Merge: segments that were received together go to the kernel as one frame.
	Merge string `json:"merge"`
}

// OVS says which Open vSwitch is used.
type OVS struct {
	// RunDir is where the host's Open vSwitch has its db.sock. Where that does not
	// answer, or with None, the plugin runs its own.
	RunDir string `json:"run_dir"`
}

// HostRunDir returns RunDir, or "" for None.
func (o OVS) HostRunDir() string {
	if o.RunDir == None {
		return ""
	}
	return o.RunDir
}

// Docker says where the engine is found.
type Docker struct {
	// Socket is the engine's API.
	Socket string `json:"socket"`
	// PluginDir is where the engine looks for the sockets of v1 plugins.
	PluginDir string `json:"plugin_dir"`
}

// Default returns the settings of an empty file.
func Default() File {
	return File{
		RekeySeconds: 3600,
		UDPPort:      DefaultUDPPort,
		Offload:      Offload{TAP: Auto, UDPSend: Auto, UDPReceive: Auto, Merge: Auto},
		Log:          Log{Level: "info", Format: "text"},
		OVS:          OVS{RunDir: "/run/openvswitch"},
		Docker:       Docker{Socket: "/run/docker.sock", PluginDir: "/run/docker/plugins"},
		StateDir:     "/var/lib/evio",
		RunDir:       "/run/evio",
	}
}
