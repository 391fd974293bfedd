//go:build e2e

package applications

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// frameRows are frames with tags that a container makes itself.
func frameRows() []application {
	return []application{
		{name: "tag 10, small", run: tagged("8100", "000a", 64)},
		{name: "tag 10, full", run: tagged("8100", "000a", 1418)},
		{name: "tag of a provider", run: tagged("88a8", "0014", 1414)},
		{name: "two tags", run: tagged("88a8", "00148100000a", 1414)},
		// Tag 0 says that there is none: the bridge refuses it (README.md).
		{name: "tag 0", run: tagged("8100", "0000", 64), exception: []string{"8100:0 64 bytes"}},
		{name: "stream with a tag", run: behindTags("8100:10", stream{}.run)},
		{name: "stream with a tag by IPv6", run: behindTags("8100:10", stream{ipv6: true}.run)},
		// Open vSwitch in user space looks behind one tag only, so nothing may be left to it.
		{name: "stream with two tags", run: behindTags("88a8:20,8100:10", stream{
			from: "ethtool -K eth0 tx off", undoFrom: summing,
			to: "ethtool -K eth0 tx off; ip route replace $from/32 dev eth0 advmss 1340", undo: "ip route del $from/32 dev eth0; " + summing,
		}.run)},
		{name: "segments with a tag", run: behindTags("8100:10", datagrams(false, 12000, 1200, 20))},
		{name: "SCTP", run: sctp},
	}
}

// tagged sends ten frames of so many bytes, all tags included.
func tagged(kind, tags string, bytes int) func(*testing.T, *applications, way) tally {
	return func(t *testing.T, _ *applications, w way) tally {
		ear := w.to.ear(t, "app-frames-recv", "-dev", "eth0", "-type", strconv.Itoa(0x88b5), "-first", "2s", "-idle", "500ms")
		payload := tags + "88b5"
		payload += strings.Repeat("5a", bytes-14-len(payload)/2)
		w.from.run(t, "probe", "raw-send", "-dev", "eth0", "-mac-dst", w.to.mac, "-type", "0x"+kind, "-payload", payload, "-count", "10")
		var got struct{ Frames tally }
		ear.Wait(t, &got)
		return got.Frames
	}
}

// behindTags runs something whose frames have VLAN tags, with super-frames as from a VLAN device.
func behindTags(tags string, inner func(*testing.T, *applications, way) tally) func(*testing.T, *applications, way) tally {
	return func(t *testing.T, s *applications, w way) tally {
		for _, e := range []end{w.from, w.to} {
			e.run(t, "probe", "app-tag", "-dev", "eth0", "-tags", tags)
			defer e.run(t, "tc", "qdisc", "del", "dev", "eth0", "clsact")
		}
		inside := w
		inside.name += ", behind " + tags
		inside.from.run(t, "ping", "-c", "1", "-w", "5", inside.to.v4)
		return inner(t, s, inside)
	}
}

// sctp sends packets whose checksum is none of the internet's (RFC 9260 section 6.8).
func sctp(t *testing.T, _ *applications, w way) tally {
	const protocol, size = 132, 1380
	ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], 20+size)
	for _, address := range []string{w.from.v4, w.to.v4} {
		ip = append(ip, netip.MustParseAddr(address).AsSlice()...)
	}
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	packet := make([]byte, size)
	copy(packet, []byte{0x13, 0x88, 0x13, 0x89, 1, 2, 3, 4})
	packet[12], packet[14], packet[15] = 11, (size-12)>>8, (size-12)&0xff // COOKIE ACK, for nobody
	binary.LittleEndian.PutUint32(packet[8:], crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli)))

	ear := w.to.ear(t, "app-frames-recv", "-dev", "eth0", "-type", strconv.Itoa(0x0800), "-proto", strconv.Itoa(protocol), "-first", "2s", "-idle", "500ms")
	w.from.run(t, "probe", "raw-send", "-dev", "eth0", "-mac-dst", w.to.mac, "-type", "0x0800", "-payload", hex.EncodeToString(append(ip, packet...)), "-count", "10")
	var got struct{ Frames map[string]int }
	ear.Wait(t, &got)
	came, sent := tally{}, fmt.Sprintf("content %08x %d bytes", crc32.ChecksumIEEE(slices.Concat([]byte{8, 0}, ip, packet)), 14+len(ip)+size)
	for text, n := range got.Frames {
		if text == sent {
			came["as they were sent"] += n
		} else {
			came["changed"] += n
		}
	}
	return came
}
