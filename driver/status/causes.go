package status

// class says what it means that a drop counter moves.
type class uint8

const (
	// lost: what was to arrive did not, for a reason that somebody can do something
	// about. It is a fault until nothing was lost for a while.
	lost class = iota
	// refused: somebody sent what they may not send, or what nobody needs.
	refused
	// passing: a session or a path was coming or going, which another part of the document
	// reports, or the network between two sites lost or repeated something.
	passing
)

// cause is a row of the table: what a counter's movement means, and for a loss what
// was lost and what to do.
type cause struct {
	class  class
	remedy string // end of the sentence that begins with the count
}

// causes has a row for every drop counter of networks, tunnels and the UDP socket; a
// test compares it with the code that counts. A counter without a row is a loss.
var causes = map[string]cause{
	// The UDP socket.
	"unclassified":     {class: refused},
	"truncated":        {class: refused},
	"buffer-full":      {lost, "datagrams came faster than this engine reads them, and the UDP socket's buffer was full: raise net.core.rmem_max on this host, give it more processor time, or send less"},
	"stun_malformed":   {class: refused},
	"stun_unsupported": {class: refused},
	"stun_username":    {class: refused},
	"stun_local":       {class: refused},
	"stun_source":      {class: refused},
	"stun_integrity":   {class: refused},
	"stun_transaction": {class: refused},
	"stun_queue":       {class: passing},

	// Tunnels.
	"handshake_short": {class: refused},
	"handshake_index": {class: passing},
	"handshake_tag":   {class: refused},
	"handshake_queue": {class: passing},
	"handshake_proof": {class: passing},
	"record_short":    {class: refused},
	"record_index":    {class: passing},
	"record_keys":     {class: passing},
	"record_slot":     {class: refused},
	"record_forged":   {class: refused},
	"record_replayed": {class: refused},
	"record_plain":    {class: refused},
	"record_closed":   {class: passing},
	"slice_malformed": {class: refused},
	"slice_mismatch":  {class: refused},
	"slice_overlap":   {class: refused},
	"slice_evicted":   {class: passing}, // the rest of these frames was lost on the way
	"slice_expired":   {class: passing}, // the rest of these frames was lost on the way
	"probe_unknown":   {class: refused},
	"path_size":       {class: passing}, // of probes; what the path does not take is a fault of its own
	"path_limit":      {class: refused},
	"rekey_stale":     {class: passing},
	"rekey_queue":     {class: passing},
	"send_segments":   {lost, "containers sent super-frames that evio cannot cut: set EVIO_OFFLOAD_TAP=off (offload.tap), and report what the containers run"},
	"send_size":       {lost, "frames were larger than a tunnel takes: give the network a smaller MTU with -o com.docker.network.driver.mtu"},
	"send_path":       {class: passing},
	"send_socket":     {lost, "datagrams were refused by this host's kernel: look at its routes and its firewall, and whether its uplink is up"},
	"send_relay":      {lost, "datagrams were more than the connection to the TURN server takes: send less, or use a server that is nearer or has more room"},
	"send_exhausted":  {class: passing},

	// The overlay.
	"envelope-malformed":      {class: refused},
	"envelope-stranger":       {class: refused},
	"envelope-identity":       {class: refused},
	"envelope-expired":        {class: refused},
	"envelope-signature":      {class: refused},
	"envelope-replayed":       {class: refused},
	"envelope-limit":          {class: refused},
	"letters":                 {class: passing},
	"control":                 {class: passing},
	"ring":                    {class: refused},
	"ring-limit":              {class: refused},
	"site":                    {class: refused},
	"move":                    {class: refused},
	"clock":                   {class: refused},
	"directory-record":        {class: refused},
	"directory-limit":         {class: refused},
	"address-conflict":        {class: passing},
	"address-lost":            {class: passing},
	"flood":                   {class: refused},
	"flood-own-limit":         {lost, "broadcast, multicast and frames to unknown addresses of containers here were more than the 2,500 frames or 2.5 MiB a second that an engine may send to all others: send less of it in this network, or spread the senders over more engines"},
	"flood-container-limit":   {lost, "broadcast, multicast and frames to unknown addresses of one container here were more than its share, which is a tenth of what an engine may send to all others, and more while the others leave it: Last errors in evio status names the container; have it send less"},
	"flood-ingress-limit":     {lost, "frames to all containers were more than one neighbour may hand on: find the engine whose containers flood the overlay, by flood-own-limit or flood-container-limit in its status"},
	"flood-origin-limit":      {lost, "frames to all containers were more than one engine may send: find the engine whose containers flood the overlay, by flood-own-limit or flood-container-limit in its status"},
	"flood-queue-full":        {lost, "frames to all containers came faster than this engine signs and checks them: give it more processor time, or send less broadcast and multicast"},
	"flood-not-sent":          {class: passing}, // no tunnel, or its own counters say why
	"flood-own-frame":         {class: refused},
	"flood-bad-arc":           {class: refused},
	"flood-time":              {lost, "frames to all containers were sent at another time than now: compare the clocks of the engines"},
	"flood-duplicate":         {class: refused},
	"flood-forged":            {class: refused},
	"flood-source-not-origin": {class: refused},
	"node-queue-full":         {lost, "messages and first frames came faster than this engine works on them: give it more processor time"},
	"peer-queue-full":         {lost, "messages came from one member faster than this engine works on them: give it more processor time"},

	// The network's ports.
	"malformed":         {class: refused},
	"source-not-owned":  {class: refused},
	"address-not-owned": {class: refused},
	"router-or-dhcp":    {class: refused},
	"queue-full":        {lost, "first frames of members came faster than this engine works on them: give it more processor time, or send less to all containers"},
	"no-session":        {class: passing},
	"loop-probe":        {class: refused},
	"claim-outside":     {class: refused},
	"claim-held":        {class: refused},
	"claim-limit":       {class: refused},
	"claim-delayed":     {class: passing}, // the claim is announced when it is made
	"send":              {class: passing}, // the tunnel's own counters say why
	"link-write":        {lost, "frames were refused by the port of a tunnel: see the plugin's log, and disable and enable the plugin if they do not end"},
	"fabric-write":      {lost, "frames were refused by the fabric port: see the plugin's log, and disable and enable the plugin if they do not end"},

	// What is in front of the bridge's flows, and the devices.
	"switch-queue-full": {lost, "frames came faster than the plugin's Open vSwitch reads them: give this engine more processor time, or send less at once"},
	"switch-offload":    {lost, "frames were to be cut by a container's interface in a way that Open vSwitch does not know: in the container, switch tx-udp-segmentation and the like off again with ethtool -K"},
	"switch-too-long":   {lost, "frames of a container were longer than the network's MTU: set the MTU of its interface back"},
	"tap-queue-full":    {lost, "frames for other engines came faster than this engine encrypts them: give it more processor time, or send less at once"},
	"tap-length":        {lost, "frames were longer than the network's MTU: give the network the same MTU at all sites, and do not change that of containers"},
	"tap-refused":       {lost, "frames were refused by this host's kernel, which had no memory or whose device was down: see the plugin's log"},
	"tap-offload":       {lost, "frames were to be cut in a way that this engine does not know: set EVIO_OFFLOAD_TAP=off (offload.tap), and report what the containers run"},
	"container-refused": {class: passing}, // it starts or ends, gave itself a smaller MTU, or is slow

	// What the bridge's flows refuse containers and members.
	"bridge-malformed":           {class: refused},
	"bridge-source-not-owned":    {class: refused},
	"bridge-address-not-owned":   {class: refused},
	"bridge-router-or-dhcp":      {class: refused},
	"bridge-asked-too-often":     {class: refused},
	"bridge-not-its-address":     {class: refused},
	"bridge-unknown-destination": {class: refused},
	"bridge-not-local":           {class: refused},
}

// causeOf returns the row of a counter.
func causeOf(name string) cause {
	if c, ok := causes[name]; ok {
		return c
	}
	return cause{lost, "frames or datagrams were dropped for a reason that this version does not explain: see the plugin's log"}
}
