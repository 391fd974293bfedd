package netdev

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ingressTable is a table of nftables of the family netdev, by its name. It has one chain
// for each device, without rules: a frame that comes to its end is dropped.
type ingressTable string

// chainsAtOnce bounds what is added in one transaction: the kernel's answers must have
// room in the socket.
const chainsAtOnce = 50

// chainOf names the chain of a device. Another device that takes its name has another
// one, so a chain that is there is for this device.
func chainOf(d Device) string { return fmt.Sprintf("%s_%d", d.Name, d.Index) }

func (t ingressTable) table() *nftables.Table {
	return &nftables.Table{Name: string(t), Family: nftables.TableFamilyNetdev}
}

// add makes chains, and puts right those that somebody has changed.
func (t ingressTable) add(devices []Device) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(t.table())
	c.FlushTable(table)
	drop := nftables.ChainPolicyDrop
	for _, d := range devices {
		c.AddChain(&nftables.Chain{
			Name: chainOf(d), Table: table, Type: nftables.ChainTypeFilter, Policy: &drop,
			Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFirst, Device: d.Name,
		})
	}
	return c.Flush()
}

// sound returns the chains that drop all that comes: none if rules were added, or the
// table was switched off.
func (t ingressTable) sound() (map[string]bool, error) {
	sound := map[string]bool{}
	table, err := t.find()
	if err != nil || table == nil || table.Flags != 0 {
		return sound, err
	}
	if ruled, err := t.ruled(); err != nil || ruled {
		return sound, err
	}
	chains, err := t.chains()
	for _, c := range chains {
		if c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookIngress && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			sound[c.Name] = true
		}
	}
	return sound, err
}

// find returns the table, nil if there is none.
func (t ingressTable) find() (*nftables.Table, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	table, err := c.ListTableOfFamily(string(t), nftables.TableFamilyNetdev)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil //nolint:nilnil // "not there" is an answer here
	}
	return table, err
}

func (t ingressTable) chains() ([]*nftables.Chain, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	var own []*nftables.Chain
	for _, chain := range all {
		if chain.Table != nil && chain.Table.Name == string(t) {
			own = append(own, chain)
		}
	}
	return own, err
}

// ruled reports whether there are rules in any of the chains, which the library asks
// chain by chain.
func (t ingressTable) ruled() (bool, error) {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_NETDEV, Version: unix.NFNETLINK_V0})
	request.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(string(t))))
	rules, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	return len(rules) > 0, err
}

// sweep removes the chains of devices that are gone, and a table without any.
func (t ingressTable) sweep() error {
	chains, err := t.chains()
	if err != nil || len(chains) == 0 {
		return nil // a kernel without nftables has nothing to remove
	}
	gone := slices.DeleteFunc(slices.Clone(chains), func(c *nftables.Chain) bool { return deviceThere(c.Name) })
	if len(gone) == len(chains) {
		return t.remove()
	}
	for some := range slices.Chunk(gone, chainsAtOnce) {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		for _, chain := range some {
			c.DelChain(chain)
		}
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove chains of devices that are gone: %w", err)
		}
	}
	return nil
}

// deviceThere reports whether the device of a chain exists, or may.
func deviceThere(chain string) bool {
	i := strings.LastIndexByte(chain, '_')
	if i < 0 {
		return false
	}
	index, err := Index(chain[:i])
	return err != nil || strconv.Itoa(index) == chain[i+1:]
}

func (t ingressTable) remove() error {
	table, err := t.find()
	if err != nil || table == nil {
		return nil //nolint:nilerr // a kernel without nftables has nothing to remove
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(t.table())
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove table %s of nftables: %w", t, err)
	}
	return nil
}
