package session

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// handed is a frame as it was before segments were merged.
type handed struct {
	Kind    Kind
	Partial bool
	Data    []byte
}

func (h handed) equal(other handed) bool {
	return h.Kind == other.Kind && h.Partial == other.Partial && bytes.Equal(h.Data, other.Data)
}

// unmerger is a handler that keeps copies of all frames, with merged ones cut again.
type unmerger struct {
	discard
	tb     interface{ Fatalf(string, ...any) }
	frames []handed
	merged int // super-frames
}

func (u *unmerger) Receive(_ *Session, kind Kind, frames [][]byte) {
	for _, f := range frames {
		u.frames = append(u.frames, handed{Kind: kind, Data: bytes.Clone(f)})
	}
}

func (u *unmerger) Frames(_ *Session, frames []frame.Frame) {
	for _, f := range frames {
		if f.Kind == frame.Single {
			u.frames = append(u.frames, handed{Data, f.Partial, bytes.Clone(f.Data)})
			continue
		}
		u.merged++
		for _, data := range cutFrame(u.tb, f) {
			u.frames = append(u.frames, handed{Data, true, data})
		}
	}
}

// cutFrame returns the segments of a super-frame.
func cutFrame(tb interface{ Fatalf(string, ...any) }, f frame.Frame) (segments [][]byte) {
	var c frame.Cutter
	if l, ok := frame.Parse(f.Data); !ok || !c.Begin(&f, l, 1<<17) {
		tb.Fatalf("a super-frame of %d bytes that cannot be cut", len(f.Data))
	}
	for c.Longest() > 0 {
		data := make([]byte, c.Longest())
		c.Next(data)
		segments = append(segments, data)
	}
	return segments
}

// stream returns the segments of a TCP stream from a port, each of at most n bytes.
func stream(tb interface{ Fatalf(string, ...any) }, port uint16, n, length int) [][]byte {
	f := superFrame(length)
	binary.BigEndian.PutUint16(f.Data[34:], port)
	f.Segment = uint16(n)
	for i := range length {
		f.Data[66+i] = byte(i) ^ byte(port)
	}
	return cutFrame(tb, f)
}

// TestWhateverComesTogether puts records of two sessions and all kinds, and what is none, into few
// buffers, as the kernel does. Each session gets its frames in order and unchanged: merging in
// place overwrites nothing that is still needed.
func TestWhateverComesTogether(t *testing.T) {
	first, firstPeer, _ := established(t)
	second, secondPeer := addEstablished(t, first.transport, 8, discard{})
	first.transport.config.Offload.Merge = true
	merged := 0
	tb := t
	rapid.Check(t, func(t *rapid.T) {
		sessions, peers := []*Session{first, second}, []*record.Keys{firstPeer, secondPeer}
		want := make([][]handed, 2)
		got := make([]*unmerger, 2)
		for i, s := range sessions {
			got[i] = &unmerger{tb: t}
			s.options.Handler = got[i]
			s.Merge(frame.Kinds{TCP4: true})
		}
		var streams [][][]byte
		for port := range 3 {
			n := rapid.SampledFrom([]int{1, 7, 100, 1300}).Draw(t, "segment")
			streams = append(streams, stream(t, uint16(port), n, n*20+rapid.IntRange(0, n-1).Draw(t, "rest")))
		}
		var batch []udp.Datagram
		buffer := make([]byte, 0, 64<<10)
		put := func(datagram []byte) {
			if cap(buffer)-len(buffer) < len(datagram) || rapid.IntRange(0, 15).Draw(t, "fresh buffer") == 0 {
				buffer = make([]byte, 0, 64<<10)
			}
			start := len(buffer)
			buffer = append(buffer, datagram...)
			batch = append(batch, udp.Datagram{Local: here, Remote: there, Data: buffer[start:]})
		}
		to, flow := 0, 0
		for n := range rapid.IntRange(1, 80).Draw(t, "datagrams") {
			if rapid.IntRange(0, 9).Draw(t, "another session") == 0 {
				to = 1 - to
			}
			if rapid.IntRange(0, 5).Draw(t, "another stream") == 0 {
				flow = rapid.IntRange(0, 2).Draw(t, "stream")
			}
			sealer := &peers[to].Send[rapid.IntRange(0, 1).Draw(t, "slot")]
			body := bytes.Repeat([]byte{byte(n)}, rapid.IntRange(1, 200).Draw(t, "length"))
			give := func(h handed) { want[to] = append(want[to], h) }
			switch rapid.IntRange(0, 15).Draw(t, "what") {
			case 0:
				kind := rapid.SampledFrom([]Kind{Data, Flood, Control, Envelope}).Draw(t, "kind")
				put(seal(tb, sealer, record.AppendWhole(nil, uint8(kind), body)))
				give(handed{Kind: kind, Data: body})
			case 1:
				kind := rapid.SampledFrom([]Kind{Data, Flood}).Draw(t, "kind")
				long := bytes.Repeat(body, 3000/len(body)+1)
				for offset := 0; offset < len(long); {
					var plain []byte
					plain, offset = record.AppendSlice(nil, uint8(kind), uint32(n), long, offset, record.MaxSize)
					put(seal(tb, sealer, plain))
				}
				give(handed{Kind: kind, Data: long})
			case 2: // forged
				datagram := seal(tb, sealer, record.AppendWhole(nil, uint8(Data), body))
				datagram[len(datagram)-1] ^= 1
				put(datagram)
			case 3: // seen before
				datagram := seal(tb, sealer, record.AppendWhole(nil, uint8(Data), body))
				put(datagram)
				put(datagram)
				give(handed{Kind: Data, Data: body})
			case 4: // no frame with an unfinished checksum
				put(seal(tb, sealer, record.AppendPartial(nil, uint8(Data), body)))
			case 5:
				put(seal(tb, sealer, path.AppendPadded([]byte{byte(Probe), 0}, path.OpSizeRequest, 7, 100+len(body))))
			case 6: // STUN, nothing that is known, a handshake
				put(append([]byte{rapid.SampledFrom([]byte{0, 255, udp.FirstHandshake}).Draw(t, "first byte")}, body...))
			default:
				if len(streams[flow]) == 0 {
					continue
				}
				segment := streams[flow][0]
				streams[flow] = streams[flow][1:]
				put(seal(tb, sealer, record.AppendPartial(nil, uint8(Data), segment)))
				give(handed{Kind: Data, Partial: true, Data: segment})
			}
		}
		first.transport.deliver(batch)
		for i := range sessions {
			if !slices.EqualFunc(want[i], got[i].frames, handed.equal) {
				t.Fatalf("session %d (-want +got):\n%s", i, cmp.Diff(want[i], got[i].frames))
			}
			merged += got[i].merged
		}
	})
	if merged == 0 {
		t.Error("nothing was merged")
	}
}
