package main

import (
	"context"
	"errors"
	"flag"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tableOwner is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h.
const tableOwner = 2

// seize makes a table of nftables, family netdev, that the kernel lets nobody else change,
// and keeps it until it ends.
func seize(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("seize", flag.ContinueOnError)
	name := flags.String("table", "", "`name` of the table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the kernel takes the table with it
	table, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: []byte(*name + "\x00")},
		{Type: unix.NFTA_TABLE_FLAGS, Data: []byte{0, 0, 0, tableOwner}},
	})
	if err != nil {
		return err
	}
	message := func(kind netlink.HeaderType, flags netlink.HeaderFlags, family, subsystem byte, data []byte) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request | flags},
			Data:   append([]byte{family, unix.NFNETLINK_V0, 0, subsystem}, data...),
		}
	}
	if _, err := c.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
		message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, netlink.Acknowledge|netlink.Create|netlink.Excl, unix.NFPROTO_NETDEV, 0, table),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
	}); err != nil {
		return err
	}
	if _, err := c.Receive(); err != nil {
		return err
	}
	if err := out.print(struct {
		Seized string `json:"seized"`
	}{*name}); err != nil {
		return err
	}
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return ctx.Err()
}
