package session

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/udp"
)

// segmentSize is the payload of the segments of superFrame.
const segmentSize = 1348

// superFrame returns a TCP super-frame over IPv4 with n bytes of payload, as the kernel of a
// container hands it over: of the checksum only the pseudo header is summed.
func superFrame(n int) frame.Frame {
	const ip, tcp, head = 14, 34, 34 + 32
	data := make([]byte, head+n)
	copy(data, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	data[ip], data[ip+8], data[ip+9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(data[ip+2:], uint16(len(data)-ip))
	copy(data[ip+12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(data[ip+10:], ^sum16(data[ip:tcp]))
	data[tcp+12], data[tcp+13] = 8<<4, 0x18 // 32 bytes of header; PSH, ACK
	for i := range n {
		data[head+i] = byte(i / 7)
	}
	pseudo := append(bytes.Clone(data[ip+12:tcp]), 0, 6, 0, 0)
	binary.BigEndian.PutUint16(pseudo[10:], uint16(len(data)-tcp))
	binary.BigEndian.PutUint16(data[tcp+16:], sum16(pseudo))
	return frame.Frame{Data: data, Partial: true, Start: tcp, Offset: 16, Kind: frame.TCP4, Segment: segmentSize}
}

// sum16 is the ones' complement sum of RFC 1071.
func sum16(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// keeper is a socket that keeps copies of the runs that are sent.
type keeper struct {
	idle
	runs []udp.Run
}

func (k *keeper) SendRuns(_ udp.Source, _ netip.AddrPort, runs []udp.Run) (sent int, err error) {
	for _, r := range runs {
		k.runs = append(k.runs, udp.Run{Bytes: bytes.Clone(r.Bytes), Size: r.Size})
	}
	return eachDatagram(runs, func([]byte) error { return nil })
}

// received returns the runs as the socket delivers them: each in a buffer of its own.
func (k *keeper) received() (batch []udp.Datagram) {
	for _, r := range k.runs {
		buffer := append(make([]byte, 0, 64<<10), r.Bytes...)
		for at := 0; at < len(buffer); at += r.Size {
			batch = append(batch, udp.Datagram{Local: here, Remote: there, Data: buffer[at:min(at+r.Size, len(buffer))]})
		}
	}
	return batch
}

var here, there = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("192.0.2.2:2")

// whole is a handler that keeps copies of the frames.
type whole struct {
	discard
	frames []frame.Frame
}

func (w *whole) Frames(_ *Session, frames []frame.Frame) {
	for _, f := range frames {
		f.Data = bytes.Clone(f.Data)
		w.frames = append(w.frames, f)
	}
}

// pair returns two sessions without a network between them. What the first sends is kept.
func pair(tb testing.TB) (from, to *Session, sent *keeper, got *whole) {
	tb.Helper()
	from, fromKeys, _ := established(tb)
	sent, got = new(keeper), new(whole)
	from.state = Established
	p := *from.path.Load()
	p.out = &hostOutlet{socket: sent, addr: p.Local}
	from.path.Store(&p)
	to, _, _ = established(tb)
	to.keys.Begin(fromKeys, record.Secrets{})
	to.options.Handler = got
	to.transport.config.Offload.Merge = true
	to.Merge(frame.Kinds{TCP4: true, TCP6: true})
	return from, to, sent, got
}

// TestSuperFrameArrivesInOnePiece sends a super-frame as segments, each in a record, and gets
// it back in one piece.
func TestSuperFrameArrivesInOnePiece(t *testing.T) {
	from, to, sent, got := pair(t)
	want := superFrame(40*segmentSize + 77)
	if err := from.SendFrames([]frame.Frame{{Data: bytes.Clone(want.Data), Partial: true, Start: want.Start, Offset: want.Offset, Kind: want.Kind, Segment: want.Segment}}); err != nil {
		t.Fatal(err)
	}
	if len(sent.runs) != 1 {
		t.Errorf("%d runs were sent, want 1", len(sent.runs))
	}
	to.transport.deliver(sent.received())
	if diff := cmp.Diff([]frame.Frame{want}, got.frames); diff != "" {
		t.Error(diff)
	}
	tx, rx := from.Info(), to.Info()
	if tx.TxFrames != 41 || rx.RxFrames != 41 || tx.TxBytes != rx.RxBytes || rx.RxMerged != 1 || tx.TxRecords != 41 || rx.RxRecords != 41 {
		t.Errorf("sent %d frames, %d bytes, %d records; received %d, %d, %d, merged to %d; want 41, the same, 41, and 1",
			tx.TxFrames, tx.TxBytes, tx.TxRecords, rx.RxFrames, rx.RxBytes, rx.RxRecords, rx.RxMerged)
	}
}

// TestStrangersDoNotKeepSegmentsApart: records that do not open lie between segments, such as they
// would be of another session. The super-frame comes in one piece all the same.
func TestStrangersDoNotKeepSegmentsApart(t *testing.T) {
	from, to, sent, got := pair(t)
	_, otherPeer := addEstablished(t, to.transport, 8, discard{})
	if err := from.SendFrames([]frame.Frame{superFrame(10 * segmentSize)}); err != nil {
		t.Fatal(err)
	}
	repeated := seal(t, &otherPeer.Send[0], record.AppendWhole(nil, uint8(Data), []byte("frame")))
	to.transport.deliver([]udp.Datagram{{Local: here, Remote: there, Data: bytes.Clone(repeated)}})
	forged := bytes.Clone(repeated)
	forged[len(forged)-1] ^= 1
	var batch []udp.Datagram
	for _, d := range sent.received() {
		batch = append(batch, d)
		for _, datagram := range [][]byte{repeated, forged} {
			batch = append(batch, udp.Datagram{Local: here, Remote: there, Data: bytes.Clone(datagram)})
		}
	}
	to.transport.deliver(batch)
	if len(got.frames) != 1 {
		t.Errorf("%d frames, want one", len(got.frames))
	}
}

// TestMergingBeginsLater: what the handler takes may change between two vectors of datagrams
// that are all of one session.
func TestMergingBeginsLater(t *testing.T) {
	from, to, sent, got := pair(t)
	for _, kinds := range []frame.Kinds{{}, {TCP4: true}, {}} {
		to.Merge(kinds)
		sent.runs, got.frames = nil, nil
		if err := from.SendFrames([]frame.Frame{superFrame(3 * segmentSize)}); err != nil {
			t.Fatal(err)
		}
		to.transport.deliver(sent.received())
		if one := len(got.frames) == 1; one != kinds.TCP4 {
			t.Errorf("with %+v %d frames came", kinds, len(got.frames))
		}
	}
}

// TestSegmentsWithoutMerging: where merging is off, whatever the reason, each segment is handed
// over alone.
func TestSegmentsWithoutMerging(t *testing.T) {
	for name, off := range map[string]func(*Session){
		"by the configuration":   func(s *Session) { s.transport.config.Offload.Merge = false },
		"by the handler":         func(s *Session) { s.Merge(frame.Kinds{}) },
		"for the kind of frames": func(s *Session) { s.Merge(frame.Kinds{TCP6: true, UDP: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			from, to, sent, got := pair(t)
			off(to)
			if err := from.SendFrames([]frame.Frame{superFrame(3 * segmentSize)}); err != nil {
				t.Fatal(err)
			}
			to.transport.deliver(sent.received())
			if len(got.frames) != 3 {
				t.Fatalf("%d frames, want 3", len(got.frames))
			}
			for _, f := range got.frames {
				if !f.Partial || f.Kind != frame.Single || len(f.Data) != 66+segmentSize {
					t.Errorf("%d bytes, kind %d, partial %t; want a segment whose checksum is unfinished", len(f.Data), f.Kind, f.Partial)
				}
			}
		})
	}
}

// TestNarrowPathCutsTCPSmaller: on a path that takes less than a segment no slices are needed.
func TestNarrowPathCutsTCPSmaller(t *testing.T) {
	from, to, sent, got := pair(t)
	from.limit.Store(1000)
	if err := from.SendFrames([]frame.Frame{superFrame(10 * segmentSize)}); err != nil {
		t.Fatal(err)
	}
	for _, r := range sent.runs {
		if r.Size > 1000 {
			t.Errorf("a record has %d bytes, the path takes 1000", r.Size)
		}
	}
	to.transport.deliver(sent.received())
	if len(got.frames) != 1 || len(got.frames[0].Data) != len(superFrame(10*segmentSize).Data) {
		t.Errorf("%d frames, want one with all bytes", len(got.frames))
	}
	if info := from.Info(); info.TxRecords != info.TxFrames {
		t.Errorf("%d records for %d frames: some are slices", info.TxRecords, info.TxFrames)
	}
}

// TestWhatCannotBeCut: a super-frame whose headers are not understood, and a checksum whose place
// is outside of the frame, are counted and not sent.
func TestWhatCannotBeCut(t *testing.T) {
	from, _, sent, _ := pair(t)
	tagged, outside := superFrame(5000), superFrame(100)
	tagged.Data[12], tagged.Data[13] = 0x88, 0xb5
	outside.Kind, outside.Segment, outside.Start = frame.Single, 0, 60000
	if err := from.SendFrames([]frame.Frame{tagged, outside, {Data: make([]byte, 60)}}); err == nil {
		t.Error("no error")
	}
	if n := from.Info().Drops["send_segments"]; n != 5 || len(sent.runs) != 1 {
		t.Errorf("%d counted and %d runs sent, want 5 segments and 1", n, len(sent.runs))
	}
}

// TestUnfinishedChecksumsAreOfDataOnly: only Ethernet frames may lack a checksum, and only such
// where it can be found.
func TestUnfinishedChecksumsAreOfDataOnly(t *testing.T) {
	to, peer, handler := established(t)
	segment := superFrame(100).Data
	for _, c := range []struct {
		kind Kind
		body []byte
	}{{Flood, segment}, {Control, segment}, {Probe, segment}, {Data, segment[:40]}, {Data, make([]byte, 60)}} {
		var b record.Batch
		b.Reset(record.MaxSize)
		b.Add(len(record.AppendPartial(b.Plain(), uint8(c.kind), c.body)))
		if err := peer.Send[0].Seal(&b); err != nil {
			t.Fatal(err)
		}
		before := to.Info().Drops["record_plain"]
		to.transport.deliver([]udp.Datagram{{Local: here, Remote: there, Data: b.Runs()[0].Bytes}})
		if len(handler.received) != 0 || to.Info().Drops["record_plain"] != before+1 {
			t.Errorf("%v with an unfinished checksum got through, or was not counted", c.kind)
		}
	}
}

// TestMalformedSegmentsAmongOthers: a peer sends a run of segments, and one has headers that are
// not understood. It is refused and counted, wherever it lies, and the others arrive.
func TestMalformedSegmentsAmongOthers(t *testing.T) {
	const run, head = 5, 66
	for name, damage := range map[string]func(data []byte){
		"a fragment":               func(data []byte) { data[20] |= 0x20 },
		"another length":           func(data []byte) { data[17]-- },
		"another protocol":         func(data []byte) { data[23] = 1 },
		"an IP header of 16 bytes": func(data []byte) { data[14] = 0x44 },
		"a TCP header of 16 bytes": func(data []byte) { data[46] = 0x40 },
		"another type":             func(data []byte) { data[12], data[13] = 0x88, 0xb5 },
		"three tags":               func(data []byte) { copy(data[12:], "\x81\x00\x00\x01\x81\x00\x00\x01\x81\x00\x00\x01\x08\x00\x45") },
	} {
		for where, malformed := range map[string][]int{"first": {0}, "in the middle": {2}, "last": {run - 1}, "all": {0, 1, 2, 3, 4}} {
			t.Run(name+", "+where, func(t *testing.T) {
				to, peer, _ := established(t)
				got := new(whole)
				to.options.Handler = got
				to.transport.config.Offload.Merge = true
				to.Merge(frame.Kinds{TCP4: true})
				super := superFrame(run * segmentSize)
				l, _ := frame.Parse(super.Data)
				var c frame.Cutter
				if !c.Begin(&super, l, 1<<17) {
					t.Fatal("cannot be cut")
				}
				var b record.Batch
				b.Reset(record.MaxSize)
				var want [][]byte
				for i := range run {
					data := make([]byte, c.Longest())
					c.Next(data)
					if slices.Contains(malformed, i) {
						damage(data)
					} else {
						want = append(want, data[head:])
					}
					b.Add(len(record.AppendPartial(b.Plain(), uint8(Data), data)))
				}
				if err := peer.Send[0].Seal(&b); err != nil {
					t.Fatal(err)
				}
				sent := keeper{}
				for _, r := range b.Runs() {
					sent.runs = append(sent.runs, udp.Run(r))
				}
				if len(sent.runs) != 1 {
					t.Fatalf("%d runs, want one", len(sent.runs))
				}
				to.transport.deliver(sent.received())
				if n := to.Info().Drops["record_plain"]; n != uint64(len(malformed)) {
					t.Errorf("%d are counted, want %d", n, len(malformed))
				}
				var came [][]byte
				for _, f := range got.frames {
					for at := head; at < len(f.Data); at += segmentSize {
						came = append(came, f.Data[at:min(at+segmentSize, len(f.Data))])
					}
				}
				if diff := cmp.Diff(want, came); diff != "" {
					t.Errorf("%d segments came of %d", len(came), len(want))
				}
			})
		}
	}
}
