package network

import (
	"context"
	"net"
	"net/netip"
	"time"

	"evio/driver/network/claims"
	"evio/driver/status"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// addStatus adds to each endpoint what its container has claimed, and what it announces
// and does not get. What a busy network does not report within the context is left out.
func (c *claimer) addStatus(ctx context.Context, list []status.Endpoint) {
	shown := make(chan map[string][]claims.Shown, 1)
	c.put(func(_ context.Context, now time.Time) {
		all := map[string][]claims.Shown{}
		for _, e := range list {
			all[e.ID] = c.core.Show(e.ID, now)
		}
		shown <- all
	})
	var all map[string][]claims.Shown
	select {
	case all = <-shown:
	case <-ctx.Done():
		return
	case <-c.over:
		return
	}
	names := c.nodeNames(ctx, all)
	for i := range list {
		for _, c := range all[list[i].ID] {
			list[i].Claims = append(list[i].Claims, claimStatus(c, names))
		}
	}
}

// nodeNames returns how people know the nodes that claims name.
func (c *claimer) nodeNames(ctx context.Context, all map[string][]claims.Shown) map[nodeid.ID]string {
	names := map[nodeid.ID]string{}
	for _, list := range all {
		for _, c := range list {
			for _, id := range []nodeid.ID{c.Holder.Node, c.Rival.Node} {
				if !id.IsZero() {
					names[id] = "node " + id.String()
				}
			}
		}
	}
	node := c.n.currentNode()
	if node == nil || len(names) == 0 {
		return names
	}
	told, err := node.Status(ctx)
	if err != nil {
		return names
	}
	for _, m := range told.Members {
		if names[m.Node] != "" {
			names[m.Node] = memberName(m)
		}
	}
	return names
}

func memberName(m overlay.MemberStatus) string {
	if m.Site == "" {
		return m.JID
	}
	return m.JID + " at site " + m.Site
}

func claimStatus(c claims.Shown, names map[nodeid.ID]string) status.Claim {
	out := status.Claim{MAC: net.HardwareAddr(c.MAC[:]).String(), State: status.ClaimHas, Since: c.Since}
	if c.Addr.IsValid() {
		out.Address = c.Addr.String()
	}
	switch c.Cause {
	case 0:
		if !c.RivalAt.IsZero() {
			out.Container = otherContainer(c.Rival.Container, c.Rival.Addr, c.Rival.MAC, names[c.Rival.Node])
		}
	case claims.Held:
		out.State = status.ClaimHeld
		h := c.Holder
		if h.Container != "" || !h.Node.IsZero() {
			out.Container = otherContainer(h.Container, h.Addr, h.MAC, names[h.Node])
		}
	case claims.Limit, claims.Delayed:
		out.State = status.ClaimLimit
	case claims.Outside:
		out.State = status.ClaimRefused
	}
	return out
}

// otherContainer names a container by what Docker has given to it, and says where it is.
func otherContainer(id string, addr netip.Addr, mac [6]byte, node string) string {
	name := "a container"
	if mac != [6]byte{} {
		name = net.HardwareAddr(mac[:]).String()
	}
	if addr.IsValid() {
		name += " (" + addr.String() + ")"
	}
	if id != "" {
		return name + " of this engine, endpoint " + short(id)
	}
	return name + " of " + node
}
