package frame

import (
	"encoding/binary"
	"testing"

	"evio/datapath/filter"
)

// view returns what the check of a frame's origin looks at.
func view(t interface{ Fatalf(string, ...any) }, data []byte) filter.View {
	v, ok := filter.Parse(data)
	if !ok {
		t.Fatalf("%x is no frame", data)
	}
	return v
}

// sameHeaders fails unless the check of origins finds the TCP or UDP header where Parse does.
func sameHeaders(t *testing.T, data []byte, l Layout) {
	t.Helper()
	v := view(t, data)
	if v.Kind == filter.Tagged || v.Kind == filter.PriorityTag {
		if l.L3 == 14 {
			t.Fatalf("%+v, and a tag: %+v", l, v)
		}
		return
	}
	want := filter.View{Kind: filter.IPv4, Protocol: protoTCP, Fragment: filter.Whole, Hops: v.Hops, Source: v.Source, Destination: v.Destination, From: v.From, To: v.To, Target: v.Target}
	if l.V6 {
		want.Kind = filter.IPv6
	}
	if l.UDP {
		want.Protocol, want.FromPort, want.ToPort = protoUDP, binary.BigEndian.Uint16(data[l.L4:]), binary.BigEndian.Uint16(data[l.L4+2:])
	}
	if v != want || l.L3 != 14 {
		t.Fatalf("%+v, which shows %+v, want %+v", l, v, want)
	}
}

// FuzzViews: whatever peers send, the check of its origin finds in a merged frame what it finds
// in each of its segments, and finds TCP and UDP where Parse does. So one check is enough for all
// segments of a run, and no frame passes for another one by being merged.
func FuzzViews(f *testing.F) {
	for _, s := range []sample{
		{}, {v6: true}, {udp: true, dport: 67}, {udp: true, v6: true, dport: 547}, {tags: oneTag}, {tags: twoTags, v6: true},
		{v6: true, extension: 43}, {v6: true, udp: true, extension: 60}, {ipOptions: make([]byte, 40), options: make([]byte, 40)},
	} {
		s.payload = make([]byte, 50)
		segments := s.segments(20)
		f.Add(segments[0].Data, segments[1].Data, segments[2].Data, uint16(0), byte(0))
		f.Add(segments[0].Data, segments[1].Data, segments[2].Data, uint16(256+23), byte(1))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte, place uint16, by byte) {
		frames := [][]byte{a, b, c}
		spoofed := frames[int(place>>8)%len(frames)]
		if at := int(place & 0xff); at < len(spoofed) { // one segment is another than the others
			spoofed[at] ^= by
		}
		for _, data := range frames {
			if len(data) < 14 || len(data) > 60000 {
				return
			}
			if l, ok := Parse(data); ok {
				sameHeaders(t, data, l)
				if v := view(t, data); v.Kind == filter.IPv4 || v.Kind == filter.IPv6 {
					ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, v.FromPort), v.ToPort)
					if DHCP(data, l) != (isDHCP(ports) || isDHCP(ports[2:])) {
						t.Fatalf("%+v is of DHCP: %v", v, DHCP(data, l))
					}
				}
			}
		}
		m := Merger{Kinds: all}
		for _, run := range merge(t, &m, frames) {
			want := view(t, run.Data)
			for i, segment := range cutAgain(t, []Frame{run}) {
				if got := view(t, segment); got != want {
					t.Fatalf("segment %d shows %+v, the frame that it is merged into %+v", i, got, want)
				}
			}
		}
	})
}
