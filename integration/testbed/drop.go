package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Drop is packets that vanish in a router, until Undo.
type Drop struct {
	router *Router
	rules  [2]string // outwards, inwards
}

// dropMark names a rule, so that its counter is found.
const dropMark = "evio-drop-"

// DropBetween makes what goes between this router's site and another's vanish in both directions.
func (r *Router) DropBetween(ctx context.Context, other *Router) (*Drop, error) {
	return r.DropTo(ctx, other.Outside())
}

// DropTo makes what goes between the site and an address of the internet vanish in both directions.
func (r *Router) DropTo(ctx context.Context, other netip.Addr) (*Drop, error) {
	return r.drop(ctx, "-d "+other.String(), "-s "+other.String())
}

// DropUDP makes all of the site's UDP vanish.
func (r *Router) DropUDP(ctx context.Context) (*Drop, error) {
	return r.drop(ctx, "-p udp", "-p udp")
}

// DropLarge makes UDP in IP packets of more than most bytes vanish, even when they come in
// fragments, which the router's connection tracking joins.
func (r *Router) DropLarge(ctx context.Context, most int) (*Drop, error) {
	large := fmt.Sprintf("-p udp -m length --length %d:65535", most+1)
	return r.drop(ctx, large, large)
}

// DropAll makes everything vanish that the router would pass on.
func (r *Router) DropAll(ctx context.Context) (*Drop, error) { return r.drop(ctx, "", "") }

func (r *Router) drop(ctx context.Context, out, in string) (*Drop, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops++
	mark := fmt.Sprintf(" -m comment --comment %s%d-", dropMark, r.drops)
	d := &Drop{router: r, rules: [2]string{
		"FORWARD -i lan -o wan " + out + mark + "out -j DROP",
		"FORWARD -i wan -o lan " + in + mark + "in -j DROP",
	}}
	if err := r.oneByOne(ctx); err != nil {
		return nil, err
	}
	_, err := r.Script(ctx, r.iptables()+" -I "+d.rules[0]+"\n"+r.iptables()+" -I "+d.rules[1])
	if err != nil {
		return nil, err
	}
	return d, nil
}

// oneByOne has the hosts of all sites send every packet by itself: a burst that a kernel has not cut
// yet would count as one, of its whole length.
func (r *Router) oneByOne(ctx context.Context) error {
	for _, s := range r.lab.Sites() {
		if s.dead.Load() {
			continue
		}
		if _, err := s.Script(ctx, `
for dev in /sys/class/net/eth*; do
  ethtool -K "${dev##*/}" tso off gso off tx-udp-segmentation off
done`); err != nil {
			return err
		}
	}
	return nil
}

// iptables is the program for the site's address family.
func (r *Router) iptables() string {
	if r.nat == IPv6Only {
		return "ip6tables"
	}
	return "iptables"
}

// Undo lets packets pass again.
func (d *Drop) Undo(ctx context.Context) error {
	_, err := d.router.Script(ctx, d.router.iptables()+" -D "+d.rules[0]+"\n"+d.router.iptables()+" -D "+d.rules[1])
	return err
}

// Packets counts what has vanished so far on the way out of the site and on the way in.
func (d *Drop) Packets(ctx context.Context) (out, in uint64, err error) {
	table, err := d.router.Run(ctx, d.router.iptables(), "-v", "-x", "-n", "-L", "FORWARD")
	if err != nil {
		return 0, 0, err
	}
	for i, count := range []*uint64{&out, &in} {
		_, mark, _ := strings.Cut(d.rules[i], "--comment ")
		mark, _, _ = strings.Cut(mark, " ")
		if *count, err = counter(table, mark); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", d.router.name, err)
		}
	}
	return out, in, nil
}

// counter finds the packets of the rule with the comment in what iptables -v -x -L prints.
func counter(table, comment string) (uint64, error) {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); strings.Contains(line, "/* "+comment+" */") && len(fields) > 0 {
			return strconv.ParseUint(fields[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no rule %s: has it been undone?", comment)
}
