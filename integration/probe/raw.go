package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// rawSend sends one Ethernet frame past the kernel's IP stack. Without -payload it is a UDP
// datagram from -ip-src to -ip-dst port 9 with the token; with -arp an ARP request; otherwise the hex bytes.
func rawSend(_ context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("raw-send", flag.ContinueOnError)
	dev := flags.String("dev", "eth0", "outgoing `interface`")
	src := flags.String("mac-src", "", "source `MAC`; default: the interface's")
	dst := flags.String("mac-dst", "ff:ff:ff:ff:ff:ff", "destination `MAC`")
	from := flags.String("ip-src", "", "source IPv4 `address`; with -arp the sender's")
	to := flags.String("ip-dst", "", "destination IPv4 `address`; with -arp the one asked for")
	port := flags.Uint("port", 9, "UDP destination port")
	token := flags.String("token", "probe", "UDP payload")
	arp := flags.Bool("arp", false, "send an ARP request")
	kind := flags.Uint("type", 0x88b5, "EtherType of -payload")
	payload := flags.String("payload", "", "hex `bytes` after the EtherType")
	count := flags.Int("count", 1, "how many times")
	if err := flags.Parse(args); err != nil {
		return err
	}
	iface, err := net.InterfaceByName(*dev)
	if err != nil {
		return err
	}
	source := iface.HardwareAddr
	if *src != "" {
		if source, err = net.ParseMAC(*src); err != nil {
			return err
		}
	}
	target, err := net.ParseMAC(*dst)
	if err != nil {
		return err
	}
	var body []byte
	etherType := uint16(unix.ETH_P_IP)
	switch {
	case *payload != "":
		etherType = uint16(*kind)
		if body, err = hex.DecodeString(*payload); err != nil {
			return err
		}
	default:
		sender, err1 := netip.ParseAddr(*from)
		asked, err2 := netip.ParseAddr(*to)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if !sender.Is4() || !asked.Is4() {
			return errors.New("give IPv4 addresses; other frames go with -payload")
		}
		if body = udpPacket(sender, asked, uint16(*port), *token); *arp {
			etherType, body = unix.ETH_P_ARP, arpRequest(source, sender, asked)
		}
	}
	frame := binary.BigEndian.AppendUint16(append(append([]byte{}, target...), source...), etherType)
	frame = append(frame, body...)
	if err := transmit(iface, frame, *count); err != nil {
		return err
	}
	return out.print(struct {
		Sent  int    `json:"sent"`
		Frame string `json:"frame"`
	}{*count, hex.EncodeToString(frame)})
}

func transmit(iface *net.Interface, frame []byte, count int) (err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	to := &unix.SockaddrLinklayer{Ifindex: iface.Index}
	for range count {
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			return fmt.Errorf("send on %s: %w", iface.Name, err)
		}
	}
	return nil
}

func arpRequest(mac net.HardwareAddr, sender, asked netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, request
	p = append(append(p, mac...), sender.AsSlice()...)
	p = append(p, 0, 0, 0, 0, 0, 0)
	return append(p, asked.AsSlice()...)
}

// udpPacket is a datagram from and to the same port.
func udpPacket(from, to netip.Addr, port uint16, token string) []byte {
	return udpDatagram(netip.AddrPortFrom(from, port), netip.AddrPortFrom(to, port), []byte(token))
}
