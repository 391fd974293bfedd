package testbed

import "fmt"

// NAT is what a site's router does with packets between its LAN and the internet.
type NAT uint8

const (
	// PortRestricted keeps a host's source port where it can (endpoint-independent mapping) and lets
	// in only what answers (address- and port-dependent filtering): the common home router. Two
	// such sites can reach each other by UDP hole punching.
	PortRestricted NAT = iota
	// Symmetric takes a new random port for every destination. With it on one end, and anything
	// but an open host or a full cone on the other, only a relay helps.
	Symmetric
	// UDPBlocked is PortRestricted for TCP and lets no UDP through.
	UDPBlocked
	// None routes: the site has a public address, and nothing is filtered.
	None
	// DoubleNAT is a PortRestricted home router behind a PortRestricted one of the carrier.
	DoubleNAT
	// IPv6Only routes IPv6 and nothing else: the site has public addresses, and its firewall lets
	// in only what answers.
	IPv6Only

	natKinds // how many there are
)

func (n NAT) String() string {
	switch n {
	case PortRestricted:
		return "port-restricted"
	case Symmetric:
		return "symmetric"
	case UDPBlocked:
		return "UDP blocked"
	case None:
		return "none"
	case DoubleNAT:
		return "two NATs"
	case IPv6Only:
		return "IPv6 only"
	default:
		return fmt.Sprintf("NAT(%d)", uint8(n))
	}
}

// routed tells whether a site of this kind has public addresses.
func (n NAT) routed() bool { return n == None || n == IPv6Only }

// rules is the script for a router whose interfaces are called wan and lan.
func (n NAT) rules() (string, error) {
	const filter = `
$iptables -P FORWARD DROP
$iptables -A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
$iptables -A FORWARD -i lan -o wan -j ACCEPT`
	// What comes unasked for the router itself is dropped without an answer. Its ICMP errors would
	// leave connection-tracking entries for the peer's address and port, and the host's own packet
	// to there would then be mapped to another port: no hole would ever be punched.
	const nat = `
iptables=iptables
iptables -A INPUT -i wan -j DROP` + filter + `
iptables -t nat -A POSTROUTING -o wan -j MASQUERADE`
	switch n {
	case PortRestricted, DoubleNAT:
		return nat, nil
	case Symmetric:
		return nat + " --random-fully", nil
	case UDPBlocked:
		return nat + "\niptables -I FORWARD -p udp -j DROP", nil
	case None:
		return "", nil
	case IPv6Only:
		return `
iptables=ip6tables
ip6tables -A INPUT -i wan -p ipv6-icmp -j ACCEPT
ip6tables -A INPUT -i wan -j DROP` + filter, nil
	default:
		return "", fmt.Errorf("unknown kind of NAT %d", uint8(n))
	}
}
