package session

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/datapath/frame"
)

// datagramFrame returns a UDP super-frame over IPv4 with n bytes of payload to a port.
func datagramFrame(n, segment int, port uint16) frame.Frame {
	const ip, udp, head = 14, 34, 42
	data := append(bytes.Clone(superFrame(0).Data[:udp]), make([]byte, 8+n)...)
	data[ip+9] = 17
	binary.BigEndian.PutUint16(data[ip+2:], uint16(len(data)-ip))
	binary.BigEndian.PutUint16(data[ip+10:], 0)
	binary.BigEndian.PutUint16(data[ip+10:], ^sum16(data[ip:udp]))
	binary.BigEndian.PutUint16(data[udp:], 4000)
	binary.BigEndian.PutUint16(data[udp+2:], port)
	binary.BigEndian.PutUint16(data[udp+4:], uint16(8+n))
	for i := range n {
		data[head+i] = byte(i / 5)
	}
	pseudo := append(bytes.Clone(data[ip+12:udp]), 0, 17, 0, 0)
	binary.BigEndian.PutUint16(pseudo[10:], uint16(8+n))
	binary.BigEndian.PutUint16(data[udp+6:], sum16(pseudo))
	return frame.Frame{Data: data, Partial: true, Start: udp, Offset: 6, Kind: frame.UDP, Segment: uint16(segment)}
}

// single returns a super-frame as one frame.
func single(f frame.Frame) frame.Frame {
	f.Kind, f.Segment = frame.Single, 0
	return f
}

// finished returns a copy of a frame with its checksum finished.
func finished(f frame.Frame) []byte {
	f.Data = bytes.Clone(f.Data)
	frame.Finish(&f)
	return f.Data
}

// TestWhateverIsSent: frames of all kinds go in one call, on paths of all sizes and in records of
// all forms. With their checksums finished they come as the kernel would have sent them.
func TestWhateverIsSent(t *testing.T) {
	from, to, sent, _ := pair(t)
	rapid.Check(t, func(t *rapid.T) {
		got := &unmerger{tb: t}
		to.options.Handler = got
		to.Merge(frame.Kinds{TCP4: true, UDP: rapid.Bool().Draw(t, "datagrams merged")})
		from.limit.Store(int32(rapid.SampledFrom([]int{576, 1000, 1452}).Draw(t, "limit")))
		sent.runs = nil
		before := from.Info()
		var frames []frame.Frame
		var want [][]byte
		for n := range rapid.IntRange(1, 12).Draw(t, "frames") {
			size := rapid.SampledFrom([]int{100, 900, 1348, 3000}).Draw(t, "size")
			var f frame.Frame
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0: // finished
				f = frame.Frame{Data: finished(single(datagramFrame(size, 0, uint16(n))))}
				want = append(want, f.Data)
			case 1: // unfinished
				f = single(datagramFrame(size, 0, uint16(n)))
				want = append(want, finished(f))
			case 2: // of DHCP
				f = single(datagramFrame(size, 0, 67))
				want = append(want, finished(f))
			case 3: // elsewhere
				f = single(datagramFrame(size, 0, uint16(n)))
				f.Start, f.Offset = 60, 4
				want = append(want, finished(f))
			case 4: // datagrams of a size
				f = datagramFrame(size*rapid.IntRange(1, 9).Draw(t, "times")+rapid.IntRange(0, size-1).Draw(t, "rest"), size, uint16(n))
				for _, data := range cutFrame(t, f) {
					l, _ := frame.Parse(data)
					want = append(want, finished(frame.Frame{Data: data, Partial: true, Start: uint16(l.L4), Offset: 6}))
				}
			case 5: // one segment of TCP
				f = single(superFrame(300))
				want = append(want, finished(f))
			case 6: // a checksum outside of the frame
				f = single(superFrame(100))
				f.Start = 60000
			}
			f.Data = bytes.Clone(f.Data)
			frames = append(frames, f)
		}
		err := from.SendFrames(frames)
		to.transport.deliver(sent.received())
		var came [][]byte
		for _, h := range got.frames {
			data := h.Data
			if f, ok := frame.Unfinished(data); ok && h.Partial {
				data = finished(f)
			}
			came = append(came, data)
		}
		if !slices.EqualFunc(want, came, bytes.Equal) {
			t.Fatalf("(-want +got):\n%s", cmp.Diff(want, came))
		}
		after := from.Info()
		lost := after.Drops["send_segments"] - before.Drops["send_segments"]
		if after.TxFrames-before.TxFrames != uint64(len(want)) || (err != nil) != (lost > 0) {
			t.Fatalf("%d frames counted as sent, want %d; %d as lost, error %v", after.TxFrames-before.TxFrames, len(want), lost, err)
		}
	})
	if drops := to.Info().Drops; len(drops) != 0 {
		t.Errorf("drops %v", drops)
	}
}
