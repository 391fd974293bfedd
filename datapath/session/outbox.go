package session

import (
	"fmt"

	"evio/datapath/drops"
	"evio/datapath/frame"
	"evio/datapath/record"
)

// outbox turns frames of one kind into a batch of records, which it sends each time that it
// is full. It belongs to one call of Send or SendFrames.
type outbox struct {
	session *Session
	kind    Kind
	limit   int // of the size of records
	batch   *batch
	cutter  frame.Cutter
	first   error // why the first frame that was lost could not be sent
	// what the batch holds
	frames, bytes int
}

// outbox returns one from the transport's pool.
func (s *Session) outbox(kind Kind) *outbox {
	o := s.transport.outboxes.Get().(*outbox)
	o.session, o.kind, o.limit = s, kind, int(s.limit.Load())
	if kind == Control {
		o.limit = min(o.limit, s.full) // no larger than what the path is asked about
	}
	o.batch.Reset(o.limit)
	return o
}

func (o *outbox) recycle() {
	t := o.session.transport
	o.session, o.first = nil, nil
	t.outboxes.Put(o)
}

// close sends what is left and returns the error of the first frame that was lost.
func (o *outbox) close() error {
	o.flush()
	return o.first
}

// add adds a frame in the form in which it travels. It may change the frame's bytes.
func (o *outbox) add(f frame.Frame) {
	if !f.Partial {
		o.addFinished(f.Data)
		return
	}
	room := record.LargestFrame(o.limit)
	l, ok := frame.Parse(f.Data)
	isOwn := ok && (f.Kind != frame.Single || !frame.DHCP(f.Data, l))
	switch {
	case isOwn && o.cutter.Begin(&f, l, room):
		o.addSegments(room)
	case frame.Finish(&f):
		o.addFinished(f.Data)
	default:
		o.session.drops.AddN(drops.SendSegments, uint64(f.Segments()))
		o.fail(fmt.Errorf("send a frame of %d bytes: %w", len(f.Data), ErrSegments))
	}
}

// addFinished adds a frame that lacks nothing.
func (o *outbox) addFinished(f []byte) {
	size := len(f)
	if size == 0 || size > o.kind.limit() {
		o.session.drops.Add(drops.SendSize)
		o.fail(fmt.Errorf("send %v of %d bytes: %w", o.kind, size, ErrFrameSize))
		return
	}
	o.noteSize(size)
	if !record.Fits(size, o.limit) {
		o.slices(f)
		return
	}
	o.reserve(size)
	o.put(len(record.AppendWhole(o.batch.Plain(), uint8(o.kind), f)), size)
}

// addSegments adds what the cutter makes of a frame. Only datagrams, which keep the size that
// their sender gave them, may be longer than room; these are finished, and go in slices.
func (o *outbox) addSegments(room int) {
	o.noteSize(o.cutter.Longest())
	for {
		n := o.cutter.Longest()
		switch {
		case n == 0:
			return
		case n > room:
			o.addLongSegment(n)
			continue
		}
		o.reserve(n)
		plain := record.AppendPartial(o.batch.Plain(), uint8(o.kind), nil)
		o.cutter.Next(plain[len(plain) : len(plain)+n])
		o.put(len(plain)+n, n)
	}
}

func (o *outbox) addLongSegment(n int) {
	segment := make([]byte, n)
	o.cutter.Next(segment)
	if f, ok := frame.Unfinished(segment); ok && frame.Finish(&f) {
		o.addFinished(f.Data)
	}
}

// slices adds the slices of a frame.
func (o *outbox) slices(f []byte) {
	id := o.session.frameID.Add(1)
	for offset := 0; offset < len(f); {
		o.reserve(record.LargestFrame(o.limit))
		var plain []byte
		plain, offset = record.AppendSlice(o.batch.Plain(), uint8(o.kind), id, f, offset, o.limit)
		o.batch.Add(len(plain))
	}
	o.frames++
	o.bytes += len(f)
}

// reserve makes room for a record with a whole frame of a size.
func (o *outbox) reserve(size int) {
	if !o.batch.Takes(size) {
		o.flush()
	}
}

// put adds a record of n bytes of plaintext that hold one frame of a size.
func (o *outbox) put(n, size int) {
	o.batch.Add(n)
	o.frames++
	o.bytes += size
}

// flush sends what the batch holds.
func (o *outbox) flush() {
	s := o.session
	if o.batch.Len() == 0 {
		return
	}
	if err := s.sendBatch(s.path.Load(), s.keys.Sending(), o.batch); err != nil {
		o.fail(err)
	} else {
		s.traffic.txFrames.Add(uint64(o.frames))
		s.traffic.txBytes.Add(uint64(o.bytes))
	}
	o.batch.Reset(o.limit)
	o.frames, o.bytes = 0, 0
}

// noteSize has the path asked about large records once there are any.
func (o *outbox) noteSize(size int) {
	if s := o.session; size > sizeable && !s.large.Load() {
		s.large.Store(true)
	}
}

func (o *outbox) fail(err error) {
	if o.first == nil {
		o.first = err
	}
}
