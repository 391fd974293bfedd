package path

import "net/netip"

// Route is a pair of addresses that datagrams may take.
type Route struct {
	Local  netip.AddrPort
	TURN   bool // Local is an address that a TURN server has allocated to this node
	Remote netip.AddrPort
}
