package overlay

import (
	"cmp"
	"net/netip"
	"slices"

	"evio/overlay/nodeid"
)

// reservation is a prefix whose addresses the operator has given to one account.
type reservation struct {
	prefix  netip.Prefix
	account string
	owner   nodeid.ID // zero: nobody here knows the account's engine
}

// reservations returns those of a configuration, of accounts whose prefixes do not
// overlap.
func reservations(claims map[string][]netip.Prefix) []reservation {
	var all []reservation
	for account, prefixes := range claims {
		for _, p := range prefixes {
			all = append(all, reservation{prefix: p.Masked(), account: account})
		}
	}
	slices.SortFunc(all, func(a, b reservation) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	return all
}

// followAccounts finds out whose the reserved addresses are now.
func (n *Node) followAccounts() {
	for i, r := range n.reserved {
		n.reserved[i].owner, _ = n.cfg.Book.Node(n.cfg.Overlay, r.account)
	}
}

// reservedAccount returns the account for which the operator keeps an address.
func (n *Node) reservedAccount(addr netip.Addr) string {
	for _, r := range n.reserved {
		if r.prefix.Contains(addr) {
			return r.account
		}
	}
	return ""
}

// reservedFor returns the node that alone may have an address, if the operator has said
// so; the zero ID if that node is not known.
func (n *Node) reservedFor(addr netip.Addr) (owner nodeid.ID, ok bool) {
	for _, r := range n.reserved {
		if r.prefix.Contains(addr) {
			return r.owner, true
		}
	}
	return nodeid.ID{}, false
}
