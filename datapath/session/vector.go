package session

import (
	"evio/datapath/drops"
	"evio/datapath/frame"
)

// vector gathers frames of one session and kind, so that the handler is called once for all
// of them. It belongs to a reader. Frames lie in the datagrams that brought them, until flush.
type vector struct {
	session *Session
	kind    Kind
	frames  [][]byte // of all kinds but data

	data     []frame.Frame
	merger   frame.Merger
	segments int // that data has been merged from
	bytes    int // of those segments
}

// turnTo hands over the frames of any other session: the next ones are of this one, or there
// are none if it is nil.
func (v *vector) turnTo(s *Session) {
	if v.session == s {
		return
	}
	v.flush()
	v.session = s
	if s != nil {
		v.merger.Kinds = s.mergeable()
	}
}

// add adds a frame of a kind other than data, of the session turned to.
func (v *vector) add(kind Kind, f []byte) {
	v.of(kind)
	v.frames = append(v.frames, f)
}

// addData adds an Ethernet frame, of the session turned to. If it continues the one before it
// becomes a part of that, where the session allows it.
func (v *vector) addData(f frame.Frame) {
	v.of(Data)
	v.segments++
	v.bytes += len(f.Data)
	if !v.merger.Add(f) {
		v.endRun()
		v.merger.Add(f)
	}
}

// endRun ends the run of segments that are merged.
func (v *vector) endRun() {
	if f, ok := v.merger.Flush(); ok {
		v.data = append(v.data, f)
	}
}

// of hands over the frames of any other kind.
func (v *vector) of(kind Kind) {
	if v.kind != kind {
		v.flush()
		v.kind = kind
	}
}

func (v *vector) flush() {
	s := v.session
	v.endRun()
	switch {
	case len(v.data) > 0:
		s.hand(v.segments, func() { s.options.Handler.Frames(s, v.data) })
		s.count(v.segments, v.bytes)
		s.traffic.rxMerged.Add(uint64(len(v.data)))
		clear(v.data)
		v.data, v.segments, v.bytes = v.data[:0], 0, 0
	case len(v.frames) > 0:
		bytes := 0
		for _, f := range v.frames {
			bytes += len(f)
		}
		s.hand(len(v.frames), func() { s.options.Handler.Receive(s, v.kind, v.frames) })
		s.count(len(v.frames), bytes)
		clear(v.frames)
		v.frames = v.frames[:0]
	}
}

// count counts frames that were handed over, so whoever waits for a count finds that many.
func (s *Session) count(frames, bytes int) {
	s.traffic.rxFrames.Add(uint64(frames))
	s.traffic.rxBytes.Add(uint64(bytes))
}

// hand makes a call of the handler with frames, unless Closed has been called.
func (s *Session) hand(frames int, call func()) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.ended {
		s.drops.AddN(drops.RecordClosed, uint64(frames))
		return
	}
	call()
}
