package admission

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"evio/datapath/filter"
	"evio/datapath/packet"
	"evio/overlay"
)

// scene is who is at a bridge: two containers here, a peer, and what is held elsewhere.
var (
	stationA, stationB = overlay.MAC{2, 0, 0, 0, 0, 1}, overlay.MAC{2, 0, 0, 0, 0, 2}
	stationPeer        = overlay.MAC{2, 0, 0, 0, 0, 3}
	virtual            = overlay.MAC{0, 0, 0x5e, 0, 1, 9} // taken by A

	addrsOfA  = addresses("10.0.0.1", "10.0.0.6", "fd00::1", Made(stationA).String())
	takenByA  = addresses("10.0.0.11", "fd00::11", "169.254.3.3")
	addrsOfB  = addresses("10.0.0.2", "fd00::2", Made(stationB).String())
	lostByB   = addresses("10.0.0.8", "fd00::8")
	elsewhere = addresses("10.0.0.8", "fd00::8", "10.0.0.9", "fd00::9")
	subnets   = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}
)

func addresses(all ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range all {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// maker makes frames that mean harm, and frames that do not.
type maker struct{ *rand.Rand }

func pick[T any](m maker, all []T) T { return all[m.IntN(len(all))] }

func (m maker) chance(percent int) bool { return m.IntN(100) < percent }

var (
	pool4 = addresses("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.6", "10.0.0.11", "10.0.0.2", "10.0.0.8", "10.0.0.9", "10.0.0.77", "192.0.2.1",
		"0.0.0.0", "0.0.0.1", "127.0.0.1", "169.254.3.3", "169.254.4.4", "224.0.0.1", "255.255.255.255", "10.0.0.255", "240.0.0.1")
	pool6 = addresses("fd00::1", "fd00::1", "fd00::1", "fd00::11", "fd00::2", "fd00::8", "fd00::9", "fd00::77", "2001:db8::1",
		"::", "::1", "::ffff:10.0.0.2", "ff02::1", "ff02::1:ff00:2", "fe80::1234:5678:9abc:def0", Made(stationA).String(), Made(stationB).String(), Made(stationPeer).String())
	poolMAC = []overlay.MAC{
		stationA, stationA, stationA, stationB, stationPeer, virtual, {0, 0, 0x5e, 0, 1, 7}, {0, 0, 0x5e, 0, 2, 7}, {0, 0, 0x5e, 0, 3, 7},
		{2, 0, 0, 0, 0, 0x66}, {3, 0, 0, 0, 0, 1}, {}, packet.Broadcast,
	}
	poolTo = []overlay.MAC{
		stationA, stationB, stationB, stationB, virtual, stationPeer, {2, 0, 0, 0, 0, 0x77}, packet.Broadcast, {0x33, 0x33, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1},
		{1, 0x80, 0xc2, 0, 0, 0}, {1, 0x80, 0xc2, 0, 0, 0x0e}, {1, 0x80, 0xc2, 0, 0, 0x10},
	}
)

// frame makes one frame.
func (m maker) frame() []byte {
	to, from := pick(m, poolTo), stationA
	if m.chance(20) {
		from = pick(m, poolMAC)
	}
	typ, body := m.body()
	b := append(append([]byte{}, to[:]...), from[:]...)
	for range []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 2}[m.IntN(10)] {
		b = binary.BigEndian.AppendUint16(b, pick(m, []uint16{0x8100, 0x88a8, 0x9100}))
		b = binary.BigEndian.AppendUint16(b, pick(m, []uint16{0, 5, 0x2000, 0x1005, 0x3000}))
	}
	if m.chance(5) { // SNAP
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)+8))
		b = append(b, pick(m, [][]byte{{0xaa, 0xaa, 3, 0, 0, 0}, {0xaa, 0xaa, 3, 0, 0, 0xf8}, {0x42, 0x42, 3, 0, 0, 0}})...)
	}
	b = append(binary.BigEndian.AppendUint16(b, typ), body...)
	if m.chance(5) && len(b) > 14 {
		b = b[:14+m.IntN(len(b)-14)]
	}
	for m.chance(4) && len(b) > 14 {
		b[12+m.IntN(len(b)-12)] = byte(m.Uint32())
	}
	return b
}

func (m maker) body() (uint16, []byte) {
	switch m.IntN(10) {
	case 0, 1:
		return packet.TypeARP, m.arp()
	case 2, 3:
		return packet.TypeIPv4, m.ipv4()
	case 4, 5, 6, 7, 8:
		return packet.TypeIPv6, m.ipv6()
	}
	return pick(m, []uint16{0x88b5, 0x8100, 0x88a8, 0x8847, 0x8035, 0x0026, 0x05dc, 0x86dd, 0x0800, 0x0806}), m.bytes(m.IntN(40))
}

func (m maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m maker) arp() []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, byte(pick(m, []int{1, 1, 1, 2, 2, 3, 0}))}
	if m.chance(5) {
		b[m.IntN(8)]++
	}
	mac := stationA
	if m.chance(20) {
		mac = pick(m, poolMAC)
	}
	b = append(append(b, mac[:]...), pick(m, pool4).AsSlice()...)
	b = append(append(b, make([]byte, 6)...), pick(m, pool4).AsSlice()...)
	return b
}

var poolPort = []uint16{0, 53, 67, 68, 68, 546, 547, 1067, 5353}

func (m maker) udp() []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, pick(m, poolPort)), pick(m, poolPort))
	return append(b, 0, 12, 0, 0, 1, 2, 3, 4)[:m.cut(12)]
}

// cut returns mostly the whole length.
func (m maker) cut(n int) int {
	if m.chance(8) {
		return m.IntN(n + 1)
	}
	return n
}

func (m maker) ipv4() []byte {
	options := pick(m, []int{0, 0, 0, 4, 40})
	proto, payload := byte(6), m.bytes(20)
	switch m.IntN(4) {
	case 0, 1:
		proto, payload = filter.UDP, m.udp()
	case 2:
		proto, payload = filter.ICMP, append([]byte{byte(pick(m, []int{0, 5, 8, 9, 10})), 0}, m.bytes(10)...)[:m.cut(12)]
	}
	b := []byte{byte(0x45 + options/4), 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+options+len(payload)))
	binary.BigEndian.PutUint16(b[6:], pick(m, []uint16{0, 0, 0, 0x4000, 0x2000, 0x2001, 1}))
	b = append(append(b, pick(m, pool4).AsSlice()...), pick(m, pool4).AsSlice()...)
	b = append(append(b, make([]byte, options)...), payload...)
	if m.chance(5) {
		b[2+m.IntN(2)] = byte(m.IntN(64))
	}
	if m.chance(3) {
		b[0] = byte(m.Uint32())
	}
	return b
}

func (m maker) ipv6() []byte {
	next, payload := byte(filter.NoNext), []byte(nil)
	switch m.IntN(6) {
	case 0:
		next, payload = filter.UDP, m.udp()
	case 1, 2, 3, 4:
		next, payload = filter.ICMPv6, m.icmp6()
	}
	hops := pick(m, []byte{255, 255, 255, 255, 255, 1, 64})
	for m.chance(20) {
		kind := pick(m, []byte{0, 43, 44, 51, 60})
		header := []byte{next, 0, 1, 4, 0, 0, 0, 0}
		switch kind {
		case 44:
			binary.BigEndian.PutUint16(header[2:], pick(m, []uint16{0, 1, 1, 8, 9, 6}))
		case 51:
			header[1] = 0
		default:
			if m.chance(20) {
				header[1], header = 1, append(header, 1, 6, 0, 0, 0, 0, 0, 0)
			}
		}
		next, payload = kind, append(header, payload...)
		if m.chance(5) {
			payload[1] = byte(m.IntN(40))
		}
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, next, hops}
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	if m.chance(5) {
		binary.BigEndian.PutUint16(b[4:], uint16(m.IntN(2*len(payload)+1)))
	}
	b = append(append(b, pick(m, pool6).AsSlice()...), pick(m, pool6).AsSlice()...)
	return append(b, payload...)
}

func (m maker) icmp6() []byte {
	kind := byte(pick(m, []int{135, 135, 135, 136, 136, 136, 133, 134, 137, 128, 143, 0}))
	b := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	if m.chance(5) {
		b[1] = 1
	}
	if kind == 135 || kind == 136 {
		b = append(b, pick(m, pool6).AsSlice()...)
		for range []int{0, 1, 1, 1, 2}[m.IntN(5)] {
			mac := stationA
			if m.chance(25) {
				mac = pick(m, poolMAC)
			}
			option := append([]byte{byte(pick(m, []int{1, 1, 2, 2, 3})), 1}, mac[:]...)
			if m.chance(10) {
				option[1] = byte(m.IntN(3))
			}
			if m.chance(10) {
				option = append(option, make([]byte, 8)...)
			}
			b = append(b, option...)
		}
	}
	return b[:m.cut(len(b))]
}

// factsFor are those of a sender or a receiver of the scene.
func factsFor(v *filter.View, macs []overlay.MAC, own, others []netip.Addr) filter.Facts {
	mac := func(a overlay.MAC) filter.Holder {
		if slices.Contains(macs, a) {
			return filter.Self
		}
		return filter.Nobody
	}
	addr := func(a netip.Addr) filter.Holder {
		switch {
		case slices.Contains(own, a):
			return filter.Self
		case slices.Contains(others, a):
			return filter.Other
		}
		return filter.Nobody
	}
	return filter.Facts{Source: mac(v.Source), Link: mac(v.Link), From: addr(v.From), To: addr(v.To), Target: addr(v.Target)}
}
