package frame

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sample describes a frame that a test makes.
type sample struct {
	v6, udp   bool
	tags      []byte
	ipOptions []byte // of IPv4
	extension byte   // of IPv6; 0: there is none
	options   []byte // of TCP
	flags     byte   // of TCP
	id        uint16
	seq       uint32
	dport     uint16
	payload   []byte
	segment   uint16 // 0: a frame in one piece
}

var (
	oneTag  = []byte{0x81, 0, 0x20, 10}
	twoTags = []byte{0x88, 0xa8, 0, 20, 0x81, 0, 0, 10}
)

// build makes the frame, with its checksum unfinished.
func (s sample) build() Frame {
	b := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, s.tags...)
	l4Len, proto := udpLen+len(s.payload), byte(protoUDP)
	if !s.udp {
		l4Len, proto = tcpLen+len(s.options)+len(s.payload), protoTCP
	}
	var pseudo []byte
	if s.v6 {
		b = append(b, 0x86, 0xdd, 0x60, 1, 2, 3)
		next, extension := proto, []byte(nil)
		if s.extension > 0 {
			next, extension = s.extension, append([]byte{60, 0, 1, 4, 0, 0, 0, 0, proto, 1, 1, 12}, make([]byte, 12)...)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(extension)+l4Len))
		b = append(b, next, 64)
		pseudo = append(pseudo, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
		b = append(append(b, pseudo...), extension...)
	} else {
		ip := len(b) + 2
		b = append(b, 8, 0, 0x45+byte(len(s.ipOptions)/4), 0)
		b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+len(s.ipOptions)+l4Len))
		b = binary.BigEndian.AppendUint16(b, s.id)
		b = append(b, 0x40, 0, 64, proto, 0, 0)
		pseudo = append(pseudo, 10, 0, 0, 1, 10, 0, 0, 2)
		b = append(append(b, pseudo...), s.ipOptions...)
		binary.BigEndian.PutUint16(b[ip+10:], ^naiveSum(b[ip:]))
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(l4Len))
	check := naiveSum(append(pseudo, 0, proto))
	f := Frame{Partial: true, Start: uint16(len(b)), Offset: tcpOffset, Segment: s.segment}
	b = binary.BigEndian.AppendUint16(b, 40000)
	b = binary.BigEndian.AppendUint16(b, s.dport)
	if s.udp {
		f.Offset = udpOffset
		b = binary.BigEndian.AppendUint16(b, uint16(l4Len))
		b = binary.BigEndian.AppendUint16(b, check)
	} else {
		b = binary.BigEndian.AppendUint32(b, s.seq)
		b = append(b, 1, 2, 3, 4, byte(tcpLen+len(s.options))/4<<4, s.flags, 5, 6)
		b = binary.BigEndian.AppendUint16(b, check)
		b = append(append(b, 0, 0), s.options...)
	}
	f.Data = append(b, s.payload...)
	if s.segment > 0 {
		switch {
		case s.udp:
			f.Kind = UDP
		case s.v6:
			f.Kind = TCP6
		default:
			f.Kind = TCP4
		}
	}
	return f
}

// naiveSum adds up two bytes at a time, as RFC 1071 describes it.
func naiveSum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(slices.Clone(b), 0)
	}
	total := uint32(0)
	for i := 0; i < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
		if total > 0xffff {
			total -= 0xffff
		}
	}
	return uint16(total)
}

// anySample draws a frame with a payload of up to most bytes.
func anySample(t *rapid.T, most int) sample {
	words := func(name string, most int) []byte {
		return rapid.SliceOfN(rapid.Byte(), 4*most, 4*most).Draw(t, name)
	}
	s := sample{
		v6:    rapid.Bool().Draw(t, "v6"),
		udp:   rapid.Bool().Draw(t, "UDP"),
		id:    rapid.Uint16().Draw(t, "id"),
		seq:   rapid.Uint32().Draw(t, "seq"),
		dport: rapid.SampledFrom([]uint16{80, 443, 5201}).Draw(t, "port"),
		tags:  rapid.SampledFrom([][]byte{nil, nil, oneTag, twoTags}).Draw(t, "tags"),
		flags: 0x10 | rapid.Byte().Draw(t, "flags")&(flagPSH|flagFIN|flagCWR|0x40),
	}
	s.payload = make([]byte, rapid.IntRange(0, most).Draw(t, "payload"))
	for i := range s.payload {
		s.payload[i] = byte(i * 37 >> 3)
	}
	if s.v6 {
		s.id = 0
		s.extension = rapid.SampledFrom([]byte{0, 0, 43, 60}).Draw(t, "extension")
	} else {
		s.ipOptions = words("IPv4 options", rapid.SampledFrom([]int{0, 0, 0, 1, 10}).Draw(t, "n"))
	}
	if s.udp {
		s.seq, s.flags = 0, 0
	} else {
		s.options = words("TCP options", rapid.SampledFrom([]int{0, 3, 3, 6, 10}).Draw(t, "n"))
	}
	return s
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		sample
		want Layout
	}{
		{"TCP over IPv4", sample{payload: []byte("x")}, Layout{14, 34, 54, false, false}},
		{"an ACK", sample{}, Layout{14, 34, 54, false, false}},
		{"IPv4 options", sample{ipOptions: make([]byte, 8)}, Layout{14, 42, 62, false, false}},
		{"TCP options", sample{options: make([]byte, 40)}, Layout{14, 34, 94, false, false}},
		{"TCP over IPv6", sample{v6: true, options: make([]byte, 12)}, Layout{14, 54, 86, true, false}},
		{"UDP over IPv4", sample{udp: true}, Layout{14, 34, 42, false, true}},
		{"UDP over IPv6", sample{udp: true, v6: true}, Layout{14, 54, 62, true, true}},
		{"extension headers", sample{v6: true, extension: 60, payload: []byte("x")}, Layout{14, 78, 98, true, false}},
		{"a tag", sample{tags: oneTag}, Layout{18, 38, 58, false, false}},
		{"two tags", sample{tags: twoTags, v6: true}, Layout{22, 62, 82, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.build()
			got, ok := Parse(f.Data)
			if !ok || got != c.want {
				t.Errorf("%+v, %v", got, ok)
			}
			if !Own(&f, got) {
				t.Error("the checksum is not its own")
			}
			again, ok := Unfinished(f.Data)
			if !ok || again.Start != f.Start || again.Offset != f.Offset || !again.Partial || again.Kind != Single || again.Segment != 0 {
				t.Errorf("unfinished: %+v, %v", again, ok)
			}
			for n := range len(f.Data) {
				if l, ok := Parse(f.Data[:n]); ok {
					t.Errorf("the first %d bytes: %+v", n, l)
				}
			}
		})
	}
}

// TestParseRefuses: what is no plain TCP segment or UDP datagram has no layout.
func TestParseRefuses(t *testing.T) {
	v4, v6, udp := sample{payload: make([]byte, 40)}, sample{v6: true, payload: make([]byte, 40)}, sample{udp: true, payload: make([]byte, 40)}
	for _, c := range []struct {
		name string
		of   sample
		at   int
		as   []byte
	}{
		{"another type", v4, 12, []byte{8, 6}},
		{"a tag where IP begins", v4, 12, []byte{0x81, 0}},
		{"a third tag", sample{tags: append(oneTag[:4:4], twoTags...)}, 0, nil},
		{"a tag of another kind", sample{tags: []byte{0x91, 0, 0, 5}}, 0, nil},
		{"another type behind a tag", sample{tags: oneTag}, 16, []byte{8, 6}},
		{"IPv6 in IPv4's place", v6, 12, []byte{8, 0}},
		{"IPv4 in IPv6's place", v4, 12, []byte{0x86, 0xdd}},
		{"more fragments", v4, 20, []byte{0x20, 0}},
		{"a later fragment", v4, 20, []byte{0, 1}},
		{"an IPv4 header of 16 bytes", v4, 14, []byte{0x44}},
		{"one that goes on behind the end", sample{}, 14, []byte{0x4f}},
		{"ICMP", v4, 23, []byte{1}},
		{"a fragment of IPv6", v6, 20, []byte{44}},
		{"the second of two fragments", sample{v6: true, extension: 60, payload: make([]byte, 40)}, 54, []byte{44}},
		{"an extension that goes on behind the end", sample{v6: true, extension: 60}, 55, []byte{9}},
		{"five extensions", sample{v6: true, extension: 60, payload: make([]byte, 40)}, 62, []byte{60, 0, 1, 4, 0, 0, 0, 0, 60, 0, 1, 4, 0, 0, 0, 0, 60, 0, 1, 4, 0, 0, 0, 0, 6, 0}},
		{"an authentication header", v6, 20, []byte{51}},
		{"a jumbogram", v6, 18, []byte{0, 0}},
		{"a TCP header of 16 bytes", v4, 46, []byte{0x40}},
		{"one that goes on behind the end", sample{}, 46, []byte{0xf0}},
		{"a longer datagram", udp, 38, []byte{0, 49}},
		{"a shorter datagram", udp, 38, []byte{0, 47}},
		{"a datagram that does not say", udp, 38, []byte{0, 0}},
	} {
		data := c.of.build().Data
		copy(data[c.at:], c.as)
		if l, ok := Parse(data); ok {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
	short := udp.build().Data[:34+7]
	short[17] = byte(len(short) - 14)
	if l, ok := Parse(short); ok {
		t.Errorf("a part of a UDP header: %+v", l)
	}
	short = v4.build().Data[:34+19]
	short[17] = byte(len(short) - 14)
	if l, ok := Parse(short); ok {
		t.Errorf("a part of a TCP header: %+v", l)
	}
	for _, s := range []sample{v4, v6, udp} {
		if l, ok := Parse(append(s.build().Data, 0)); ok {
			t.Errorf("padding: %+v", l)
		}
	}
}

func TestDHCP(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for port, want := range map[uint16]bool{66: false, 67: true, 68: true, 69: false, 545: false, 546: true, 547: true, 548: false, 443: false} {
			for _, at := range []int{0, 2} {
				for _, udp := range []bool{true, false} {
					f := sample{v6: v6, udp: udp, dport: 443}.build()
					binary.BigEndian.PutUint16(f.Data[int(f.Start)+at:], port)
					l, ok := Parse(f.Data)
					if !ok {
						t.Fatal("no layout")
					}
					if got := DHCP(f.Data, l); got != (want && udp) {
						t.Errorf("port %d at %d, UDP %v: %v", port, at, udp, got)
					}
				}
			}
		}
	}
}

// TestOwn: a checksum elsewhere is another header's.
func TestOwn(t *testing.T) {
	for _, change := range []func(*Frame){
		func(f *Frame) { f.Partial = false },
		func(f *Frame) { f.Start += 28 },
		func(f *Frame) { f.Offset = udpOffset },
	} {
		f := sample{payload: make([]byte, 60)}.build()
		l, _ := Parse(f.Data)
		change(&f)
		if Own(&f, l) {
			t.Errorf("%+v", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []sample{{}, {v6: true}, {udp: true}, {v6: true, udp: true, payload: []byte("abc")}, {tags: oneTag}, {tags: twoTags, v6: true}, {v6: true, extension: 43}, {ipOptions: make([]byte, 40), options: make([]byte, 40)}} {
		f.Add(s.build().Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		l, ok := Parse(data)
		u, unfinished := Unfinished(data)
		if !bytes.Equal(data, before) || ok != unfinished {
			t.Fatalf("%+v, %v; %+v, %v", l, ok, u, unfinished)
		}
		if !ok {
			return
		}
		if l.L3 != 14 && l.L3 != 18 && l.L3 != 22 || l.L4 < l.L3+ipv4Len || l.Payload < l.L4+udpLen || l.Payload > len(data) || !Own(&u, l) {
			t.Fatalf("%+v of %d bytes", l, len(data))
		}
		DHCP(data, l)
		if !Finish(&u) {
			t.Error("its checksum cannot be finished")
		}
	})
}
