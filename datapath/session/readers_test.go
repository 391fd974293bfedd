package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/turn"
	"evio/datapath/udp"
)

// tally is a handler that counts the frames that reach it: those of data by the number at their
// end, others by kind. It counts calls after Closed as well.
type tally struct {
	discard
	mu     sync.Mutex
	seen   map[uint32]int
	kinds  map[Kind]int
	closed bool
	late   int
}

func (h *tally) enter() (leave func()) {
	if !h.mu.TryLock() {
		panic("two calls of a handler at once")
	}
	if h.closed {
		h.late++
	}
	return h.mu.Unlock
}

func (h *tally) Frames(_ *Session, frames []frame.Frame) {
	defer h.enter()()
	for _, f := range frames {
		if f.Kind == frame.Single {
			h.seen[binary.BigEndian.Uint32(f.Data[len(f.Data)-4:])]++
			continue
		}
		payload := f.Data[66:]
		for ; len(payload) > 0; payload = payload[min(int(f.Segment), len(payload)):] {
			one := payload[:min(int(f.Segment), len(payload))]
			h.seen[binary.BigEndian.Uint32(one[len(one)-4:])]++
		}
	}
}

func (h *tally) Receive(_ *Session, kind Kind, frames [][]byte) {
	defer h.enter()()
	h.kinds[kind] += len(frames)
}

func (h *tally) Closed(*Session, error) {
	defer h.enter()()
	h.closed = true
}

// queue is an outlet that hands over copies of runs to one of several readers.
type queue struct {
	addr    netip.AddrPort
	readers []chan []udp.Datagram
	next    int
	mu      sync.Mutex
}

func (q *queue) Addr() netip.AddrPort { return q.addr }

func (q *queue) SendRuns(_ netip.AddrPort, runs []udp.Run) (sent int, err error) {
	var batch []udp.Datagram
	for _, r := range runs {
		buffer := append(make([]byte, 0, 64<<10), r.Bytes...)
		for at := 0; at < len(buffer); at += r.Size {
			batch = append(batch, udp.Datagram{Local: here, Remote: there, Data: buffer[at:min(at+r.Size, len(buffer))]})
		}
	}
	q.mu.Lock()
	to := q.readers[q.next%len(q.readers)]
	q.next++
	q.mu.Unlock()
	to <- batch
	return len(batch), nil
}

// via is an allocation that records come through.
type via struct{ addr netip.AddrPort }

func (v via) Addr() netip.AddrPort                          { return v.addr }
func (via) Send(netip.AddrPort, []byte) error               { return nil }
func (via) SendRuns(netip.AddrPort, []udp.Run) (int, error) { return 0, errors.New("sends nothing") }
func (via) Server() string                                  { return "" }
func (via) Transport() string                               { return turn.UDP }
func (via) Permit(context.Context, ...netip.Addr) error     { return nil }
func (via) Done() <-chan struct{}                           { return nil }
func (via) Err() error                                      { return nil }
func (via) Release()                                        {}

var _ allocation = via{}

// TestReadersOfOneSession: a session's records come by the socket and by two TURN servers at
// once, from several senders. Meanwhile the keys are replaced, the path moves, and what may be
// merged changes; at last the session ends. Each frame is handed over once or counted.
func TestReadersOfOneSession(t *testing.T) {
	for _, ends := range []bool{false, true} {
		from, to, _, _ := pair(t)
		got := &tally{seen: map[uint32]int{}, kinds: map[Kind]int{}}
		from.full = record.MaxSize
		to.options.Handler = got
		const senders, rounds, segments = 4, 60, 20
		readers := []chan []udp.Datagram{make(chan []udp.Datagram), make(chan []udp.Datagram), make(chan []udp.Datagram)}
		route := *from.path.Load()
		route.out = &queue{addr: route.Local, readers: readers}
		from.path.Store(&route)

		var reading, sending sync.WaitGroup
		for i, batches := range readers {
			reading.Go(func() {
				for batch := range batches {
					if i == 0 {
						to.transport.deliver(batch)
					} else {
						to.transport.deliverTURN(via{netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 9)}, batch)
					}
				}
			})
		}
		stop := make(chan struct{})
		var changing sync.WaitGroup
		changing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				to.Merge(frame.Kinds{TCP4: n%2 == 0})
				moved := route
				moved.slot = n % record.Slots
				from.path.Store(&moved)
				to.path.Store(&boundPath{Route: path.Route{Local: netip.AddrPortFrom(here, uint16(n)), Remote: there}, out: moved.out})
				to.Info()
			}
		})
		for sender := range senders {
			sending.Go(func() {
				for round := range rounds {
					if sender == 0 && round%20 == 10 {
						rotate(t, from, to, uint8(round/20+1))
					}
					if ends && sender == 0 && round == rounds/2 {
						to.calls.Lock()
						to.ended = true
						got.Closed(to, ErrClosed)
						to.calls.Unlock()
					}
					f := superFrame(segments * segmentSize)
					for i := range segments {
						end := 66 + (i+1)*segmentSize
						binary.BigEndian.PutUint32(f.Data[end-4:], uint32((sender*rounds+round)*segments+i))
					}
					if err := from.SendFrames([]frame.Frame{f}); err != nil {
						t.Error(err)
					}
					if err := from.Send(Control, [][]byte{bytes.Repeat([]byte{1}, 3000), {2}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sending.Wait()
		close(stop)
		changing.Wait()
		for _, batches := range readers {
			close(batches)
		}
		reading.Wait()

		info := to.Info()
		lost := info.Drops["record_closed"]
		delete(info.Drops, "record_closed")
		delete(info.Drops, "path_limit") // of the events that nobody takes here
		// A reader that gets no processor for long finds that the keys have left the ring. A frame
		// has one record or more.
		stale := info.Drops["record_slot"]
		delete(info.Drops, "record_slot")
		for number, n := range got.seen {
			if n != 1 {
				t.Errorf("frame %d came %d times", number, n)
			}
		}
		handedOver, sent := uint64(len(got.seen)+got.kinds[Control]), uint64(senders*rounds*(segments+2))
		if came := handedOver + lost; came > sent || came+stale < sent || ends != (lost > 0) || info.RxFrames != came {
			t.Errorf("the session ends, %t: %d frames sent, %d received, %d handed over, %d came too late, %d records too late for their keys",
				ends, sent, info.RxFrames, handedOver, lost, stale)
		}
		if got.late != 0 || len(info.Drops) != 0 {
			t.Errorf("%d calls after the last one, other drops %v", got.late, info.Drops)
		}
	}
}

// rotate gives both ends keys of the next generation: the receiver has them pending until the
// first record under them comes.
func rotate(t *testing.T, from, to *Session, generation uint8) {
	secrets := record.Secrets{Exporter: []byte{generation, 1}, AEAD: record.AES128GCM, Remote: to.index, Generation: generation, Lower: true}
	send, err := record.Derive(secrets)
	if err != nil {
		t.Error(err)
		return
	}
	secrets.Lower = false
	receive, err := record.Derive(secrets)
	if err != nil {
		t.Error(err)
		return
	}
	to.keys.Expect(receive)
	from.keys.Expect(send)
	from.keys.Confirm(send, time.Now)
}
