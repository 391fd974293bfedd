// Package status is the plugin's status document and the HTTP server on a unix
// socket that hands it out.
//
// The document is a snapshot for people, scripts and tests: JSON, one object per
// GET /status, or GET /status?gc=1, which collects garbage before. Fields are only ever added. It carries no secret: neither keys nor
// passwords nor the credentials of a session. The package collects nothing itself
// but the figures of its own process; a Source does.
//
// By the same socket an operator sees whose identity is known, and decides about
// identities that changed (peers.go).
package status

import "time"

// Document is the answer to GET /status. Lists are never null, times are RFC 3339
// in UTC, counters start at zero with the process.
type Document struct {
	Version    string       `json:"version"`    // of the evio build
	Started    time.Time    `json:"started"`    // of this process
	Process    Process      `json:"process"`    // the evio process
	Switch     Switch       `json:"switch"`     // Open vSwitch
	Transport  Transport    `json:"transport"`  // the one UDP socket
	Signalling []Signalling `json:"signalling"` // one entry per configured account
	Networks   []Network    `json:"networks"`   // sorted by ID
	Calls      []Call       `json:"calls"`      // Docker's calls, sorted by method
	Collected  Collected    `json:"collected"`  // what Docker had removed without a call
	Faults     []string     `json:"faults"`     // one sentence for each thing that is wrong now

	Time       time.Time  `json:"time"`        // when the document was collected
	Health     Health     `json:"health"`      // what follows from the rest, see Judge
	Settings   Settings   `json:"settings"`    // what the operator set
	State      State      `json:"state"`       // what is kept on disk
	Membership Membership `json:"membership"`  // who is let into overlays
	Docker     Docker     `json:"docker"`      // the engine
	Reach      Reach      `json:"reach"`       // what the process can reach of the host
	LastErrors []LogEvent `json:"last_errors"` // the latest warnings and errors of the log that differ, oldest first
}

// Settings are what the operator set, with the defaults of the rest. Secrets are in
// files, which are named here and not read.
type Settings struct {
	Values []Setting `json:"values"`
	Faults []string  `json:"faults"` // one sentence each
}

// Setting is one value.
type Setting struct {
	Name  string `json:"name"` // as docs/CONFIGURATION.md has it, such as signalling[0].jid
	Value string `json:"value"`
	From  string `json:"from"` // default, file, or the environment variable
}

// State is what is kept on disk.
type State struct {
	Faults []string `json:"faults"` // what could not be read, one sentence each
}

// Membership is who is let into overlays.
type Membership struct {
	Identity string   `json:"identity"` // fingerprint of this engine's own identity, which operators compare
	Faults   []string `json:"faults"`   // what keeps this engine or members out, one sentence each
}

// Docker is the engine that the plugin serves.
type Docker struct {
	Socket string `json:"socket"`          // of its API, a path on the host
	Error  string `json:"error,omitempty"` // why its API did not answer just now
}

// Reach is what the process can reach of the host.
type Reach struct {
	Confined     bool     `json:"confined"`        // it has given up what it does not use, and can mount nothing
	Folders      []Folder `json:"folders"`         // of the host, sorted by path
	Hidden       []string `json:"hidden"`          // in these folders, what something empty is put on
	Namespaces   int      `json:"namespaces"`      // of containers' networks, that are mounted in them
	Capabilities []string `json:"capabilities"`    // that it has or can get, sorted
	Error        string   `json:"error,omitempty"` // why that is not known
}

// Folder is one of the host.
type Folder struct {
	Path     string `json:"path"`
	Writable bool   `json:"writable"`
}

// LogEvent is a warning or an error of the log.
type LogEvent struct {
	Time  time.Time `json:"time"`  // of the latest of them
	Level string    `json:"level"` // as logrus names it: warning, error, …
	Text  string    `json:"text"`
	About string    `json:"about,omitempty"` // fields of the log, NAME=VALUE
	Count uint64    `json:"count"`           // how often it was logged
}

// Process holds what the evio process uses.
type Process struct {
	Goroutines    int   `json:"goroutines"`
	Descriptors   int   `json:"descriptors"`    // open file descriptors
	TAPs          int   `json:"taps"`           // TAP devices among them
	ResidentBytes int64 `json:"resident_bytes"` // resident memory, bytes
	HeapBytes     int64 `json:"heap_bytes"`     // of objects that the last garbage collection found in use
}

// Switch is the Open vSwitch that carries the bridges.
type Switch struct {
	Own      bool   `json:"own"`             // started by the plugin, not the host's
	Datapath string `json:"datapath"`        // "system" (kernel) or "netdev" (user space)
	Version  string `json:"version"`         // of ovs-vswitchd; empty: not reached yet
	Error    string `json:"error,omitempty"` // why there is none
	Swept    uint64 `json:"swept"`           // bridges and devices that no network owned, removed
	Programs uint64 `json:"programs"`        // of Open vSwitch's tools, started so far
}

// Transport is the UDP socket that all sessions share.
type Transport struct {
	Port      int               `json:"port"`            // UDP port
	Datagrams map[string]uint64 `json:"datagrams"`       // received, by class: stun, handshake, record, unknown
	Sent      map[string]uint64 `json:"sent"`            // datagrams, by class
	Drops     map[string]uint64 `json:"drops"`           // received and not used, by cause
	Losses    []Loss            `json:"losses"`          // which of these mean a loss, and lately
	Sessions  map[string]int    `json:"sessions"`        // by state, those of all networks
	Agents    int               `json:"agents"`          // ICE agents at work
	Relays    []Relay           `json:"relays"`          // the configured TURN servers
	Error     string            `json:"error,omitempty"` // why there is no socket

	SendCalls    uint64 `json:"send_calls"`    // system calls of the socket that send, with those that found no room
	ReceiveCalls uint64 `json:"receive_calls"` // those that receive, with those that found nothing
	Uncut        uint64 `json:"uncut"`         // runs of datagrams that were sent one by one because the kernel refused to cut them

	Offload TransportOffload `json:"offload"`
}

// Relay is one TURN server.
type Relay struct {
	URI         string    `json:"uri"`
	State       string    `json:"state"`            // unused, usable or failed
	Reason      string    `json:"reason,omitempty"` // why it failed
	Since       time.Time `json:"since,omitzero"`   // of the present state
	Allocations int       `json:"allocations"`      // held there
	Dropped     uint64    `json:"dropped"`          // datagrams that were to be sent by it, or found the kernel's buffer full
}

// Signalling is one XMPP account.
type Signalling struct {
	Server    string    `json:"server"` // host:port; where none is set, the one that is connected or was tried last
	JID       string    `json:"jid"`    // bare
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`       // of the present state
	LastError string    `json:"last_error,omitempty"` // of the last connection or attempt that failed
	Failures  uint64    `json:"failures"`             // connections, TLS verifications and logins that failed
	Strangers uint64    `json:"strangers"`            // presences and messages of accounts that are in no list of members, dropped

	Drops map[string]uint64 `json:"drops"` // of stanzas, by cause
	Lists []List            `json:"lists"` // of members
}

// List is one list of members of an account.
type List struct {
	Members   string    `json:"members"`            // roster, group:NAME or room:ROOM@SERVICE
	Confirmed time.Time `json:"confirmed,omitzero"` // when it was last complete
}

// Network is one Docker network and its overlay as this node sees it.
type Network struct {
	ID         string            `json:"id"`         // Docker's
	Name       string            `json:"name"`       // Docker's; empty until the engine has reported it
	Overlay    string            `json:"overlay"`    // empty while local
	Node       string            `json:"node"`       // own node ID, 32 hex digits
	Bridge     string            `json:"bridge"`     // device name
	Ports      []string          `json:"ports"`      // of the bridge, as the switch has them
	MTU        int               `json:"mtu"`        // bytes
	Local      bool              `json:"local"`      // of this engine alone: no overlay (yet)
	Encryption string            `json:"encryption"` // the option evio.encryption
	Guard      string            `json:"guard"`      // the option evio.guard: strict, claim or open
	Secret     bool              `json:"secret"`     // an overlay secret is part of the keys
	Endpoints  []Endpoint        `json:"endpoints"`
	Members    []Member          `json:"members"`
	Sessions   []Session         `json:"sessions"`
	TAPs       []TAP             `json:"taps"` // sorted by device
	Ring       Ring              `json:"ring"`
	Directory  []Entry           `json:"directory"`
	Conflicts  []Conflict        `json:"conflicts"`       // addresses of containers here that another node owns
	Warnings   []string          `json:"warnings"`        // what works and is going to fail, a sentence each
	Drops      map[string]uint64 `json:"drops"`           // frames, by cause
	Losses     []Loss            `json:"losses"`          // which of these, and of the sessions' drops, mean a loss, and lately
	Elsewhere  []Elsewhere       `json:"elsewhere"`       // members that are online while none is in this overlay
	Running    bool              `json:"running"`         // it has a bridge; otherwise it is being restored
	Fault      string            `json:"fault,omitempty"` // what keeps it, its bridge or its sessions from being as they should
	Loops      uint64            `json:"loops"`           // how often the port of a container was muted that led the network back into itself
	Repairs    map[string]uint64 `json:"repairs"`         // what others had changed and was put right: bridge, settings, port, flows, device, address, shield
}

// Endpoint is a container's attachment on this engine.
type Endpoint struct {
	ID        string   `json:"id"` // Docker's
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses"`
	Interface string   `json:"interface"` // the veth end on the bridge; empty while not joined
	State     string   `json:"state"`     // one of the constants below
	Claims    []Claim  `json:"claims,omitempty"`
}

// Claim is what a container has claimed by itself, or announces without getting it.
type Claim struct {
	Address string    `json:"address"` // empty: the MAC address alone
	MAC     string    `json:"mac"`
	State   string    `json:"state"` // one of the constants below
	Since   time.Time `json:"since"` // of the state
	// Container is the one that has it (held), or that announces it too (claimed).
	Container string `json:"container,omitempty"`
}

// States of a claim.
const (
	ClaimHas     = "claimed"
	ClaimHeld    = "held"    // another container has it
	ClaimLimit   = "limit"   // it is more than the container or the engine may claim
	ClaimRefused = "refused" // no container may claim it
)

// States of an endpoint.
const (
	EndpointCreated  = "created"  // no container has joined
	EndpointChanging = "changing" // a call of Docker about it is under way
	EndpointAttached = "attached" // its interface is on the bridge
	EndpointDetached = "detached" // it should be attached and is not
)

// Member is an identity that is allowed in the overlay.
type Member struct {
	JID        string `json:"jid"`  // bare
	Node       string `json:"node"` // node ID; empty while its identity is not known
	Online     bool   `json:"online"`
	Membership string `json:"membership"`           // what it is a member by: roster, group:NAME or room:ROOM@SERVICE
	Site       string `json:"site,omitempty"`       // what it calls its place; empty: nothing, or not known yet
	LastError  string `json:"last_error,omitempty"` // of the last session with it that was not established or ended
	Clock      *Clock `json:"clock,omitempty"`      // how its clock stands to this engine's; missing: not known
}

// Clock is how the clock of another engine stands to this one's.
type Clock struct {
	AheadMillis int64 `json:"ahead_ms"` // negative: it is behind
	// Likely: that follows from when it signed what was refused for its time; otherwise it was
	// measured over the session.
	Likely bool `json:"likely,omitempty"`
}

// Session is the keys and the path shared with one other node.
type Session struct {
	Node      string  `json:"node"` // the far end's node ID
	JID       string  `json:"jid"`  // the far end's bare JID
	State     string  `json:"state"`
	Path      Path    `json:"path"`
	Moves     uint64  `json:"moves"`  // from one path to another
	RTTMillis float64 `json:"rtt_ms"` // smoothed round trip, milliseconds; 0: not measured

	// ICE candidates as WebRTC writes them (RFC 8839 section 5.1): those that the far end
	// gets, and those that it sent and that may be used.
	Candidates     []string `json:"candidates"`
	PeerCandidates []string `json:"peer_candidates"`

	Opened      time.Time         `json:"opened,omitzero"`
	Established time.Time         `json:"established,omitzero"` // its first keys were confirmed; opened to here is the set-up
	AEAD        string            `json:"aead"`
	Generation  uint8             `json:"generation"`       // of the keys, modulo 256
	Rekeyed     time.Time         `json:"rekeyed,omitzero"` // when the keys in use took the place of others
	Rekeys      uint64            `json:"rekeys"`           // how often that was
	TxFrames    uint64            `json:"tx_frames"`
	TxBytes     uint64            `json:"tx_bytes"` // of frames
	RxFrames    uint64            `json:"rx_frames"`
	RxMerged    uint64            `json:"rx_merged"`        // what the Ethernet frames among these became: segments that came together go on as one frame
	RxBytes     uint64            `json:"rx_bytes"`         // of frames
	OffPath     uint64            `json:"off_path"`         // valid records that came from elsewhere than the path's far end
	Drops       map[string]uint64 `json:"drops"`            // records and frames, by cause
	Narrow      *Narrow           `json:"narrow,omitempty"` // the path takes no full packets
}

// Narrow is a path that takes no packets as large as the largest frames of containers
// become. Frames are cut.
type Narrow struct {
	FullBytes  int `json:"full_bytes"`  // of these packets, IP and UDP header included
	TakesBytes int `json:"takes_bytes"` // of the largest packets that are known to pass
	MTU        int `json:"mtu"`         // of a network whose frames would not be cut
}

// Path is how a session's records travel. Types are ICE's: host, srflx, prflx, relay.
type Path struct {
	Kind           string `json:"kind"`                      // direct or relay; empty while there is none
	Relay          string `json:"relay,omitempty"`           // URI of this engine's own TURN server on the path
	RelayTransport string `json:"relay_transport,omitempty"` // udp, tcp or tls, to that server

	Local      string `json:"local"`  // address:port
	Remote     string `json:"remote"` // address:port
	LocalType  string `json:"local_type"`
	RemoteType string `json:"remote_type"`
}

// Ring is this node's place on the ring.
type Ring struct {
	Successors   []string `json:"successors"`    // node IDs, nearest first
	LongDistance []string `json:"long_distance"` // node IDs
	Estimate     float64  `json:"estimate"`      // nodes in the overlay, estimated from the ring
}

// Entry is one address of the directory.
type Entry struct {
	Address string `json:"address"` // IPv4 or IPv6
	MAC     string `json:"mac"`
	Node    string `json:"node"` // owner's node ID
}

// Conflict is an address of a container of this engine that another node owns. The
// container has no traffic with it until that node gives it up or dies.
type Conflict struct {
	Address string    `json:"address"` // empty: the container has its MAC address only
	MAC     string    `json:"mac"`     // of the container here
	Node    string    `json:"node"`    // the owner's node ID
	JID     string    `json:"jid"`     // the owner's bare JID
	Site    string    `json:"site,omitempty"`
	Since   time.Time `json:"since"`
}

// Collected counts what was removed because Docker did not list it any more, since
// the start of the process.
type Collected struct {
	Networks  uint64 `json:"networks"`
	Endpoints uint64 `json:"endpoints"` // those of collected networks are not counted
}

// Call counts one method of Docker's API since the start of the process.
type Call struct {
	Method        string  `json:"method"`
	Total         uint64  `json:"total"`  // calls that ended
	Failed        uint64  `json:"failed"` // of these, answered with an error
	LongestMillis float64 `json:"longest_ms"`
	// Of the latest 512 calls half, and 99 in 100, took at most as long; milliseconds.
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
}
