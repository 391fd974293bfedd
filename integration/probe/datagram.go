package main

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	etherLen = 14
	udpLen   = 8
)

// parseUDP reads an Ethernet frame with an unfragmented UDP datagram over IPv4.
func parseUDP(frame []byte) (from, to netip.AddrPort, payload []byte, ok bool) {
	if len(frame) < etherLen+20 || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP {
		return from, to, nil, false
	}
	ip := frame[etherLen:]
	head, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[9] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || head < 20 || total > len(ip) || total < head+udpLen {
		return from, to, nil, false
	}
	udp := ip[head:total]
	from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), binary.BigEndian.Uint16(udp))
	to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), binary.BigEndian.Uint16(udp[2:]))
	return from, to, udp[udpLen:], true
}

// udpDatagram is an IPv4 packet with right checksums.
func udpDatagram(from, to netip.AddrPort, payload []byte) []byte {
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(udpLen+len(payload)))
	udp = append(append(udp, 0, 0), payload...)

	pseudo := append(append([]byte{}, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, unix.IPPROTO_UDP)
	pseudo = append(pseudo, udp[4], udp[5])
	sum := checksum(append(pseudo, udp...))
	if sum == 0 { // would mean that there is none (RFC 768)
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], sum)

	ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
	ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(ip, udp...)
}

// checksum is the internet's (RFC 1071).
func checksum(p []byte) uint16 {
	var sum uint32
	for ; len(p) > 1; p = p[2:] {
		sum += uint32(p[0])<<8 | uint32(p[1])
	}
	if len(p) == 1 {
		sum += uint32(p[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
