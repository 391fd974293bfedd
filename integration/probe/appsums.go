package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"time"

	"golang.org/x/sys/unix"
)

// appSums reads datagrams as clients and servers of DHCP do, from a packet socket, and tells in
// what state their checksums are.
func appSums(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-sums", flag.ContinueOnError)
	device := flags.String("dev", "eth0", "`interface`")
	port := flags.Uint("port", 67, "destination `port`")
	first := flags.Duration("first", 5*time.Second, "end when nothing has come at all for so long")
	idle := flags.Duration("idle", 500*time.Millisecond, "end when nothing more has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var got struct {
		Right      int `json:"right"`
		Unfinished int `json:"unfinished"` // and the kernel says so
		Wrong      int `json:"wrong"`
	}
	ready := func() error { return out.print(listening{*device}) }
	err := hear(ctx, *device, *first, *idle, ready, func(h heard) bool {
		udp, pseudo, ok := datagramOf(h.frame, uint16(*port))
		switch {
		case !ok:
		case h.unfinished:
			got.Unfinished++
		case checksum(append(pseudo, udp...)) == 0:
			got.Right++
		default:
			got.Wrong++
		}
		return ok
	})
	return errors.Join(err, out.print(got))
}

// datagramOf returns the datagram of UDP over IPv4 to a port that a frame carries whole, and its
// pseudo header.
func datagramOf(frame []byte, port uint16) (udp, pseudo []byte, ok bool) {
	ip := frame[etherLen:]
	if binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP || len(ip) < 20 || ip[9] != unix.IPPROTO_UDP {
		return nil, nil, false
	}
	head, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if total > len(ip) || total < head+8 || binary.BigEndian.Uint16(ip[head+2:]) != port {
		return nil, nil, false
	}
	udp = ip[head:total]
	pseudo = append(pseudo, ip[12:20]...)
	pseudo = append(pseudo, 0, unix.IPPROTO_UDP)
	return udp, binary.BigEndian.AppendUint16(pseudo, uint16(len(udp))), true
}
