package session

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// frameSize is that of the frames of traffic, and of nothing else.
const frameSize = 700

const trafficRecord = record.Overhead + 2 + frameSize

// streams are numbered frames between two ends, in both directions. The network tells which
// of them were dropped on purpose.
type streams struct {
	ends [2]*end
	sent [2]uint32

	mu   sync.Mutex
	lost int // records of traffic that the network dropped
}

// establishFor establishes a pair whose keys are used for some time. The first end
// is the lower.
func establishFor(t *testing.T, a, b *end, every time.Duration) (lower, higher *end) {
	t.Helper()
	a.transport.config.RekeyEvery = every
	b.transport.config.RekeyEvery = every
	establish(t, a, b)
	if a.session.lower {
		return a, b
	}
	return b, a
}

// lossy drops the datagrams that drop names and counts the traffic among them.
func (s *streams) lossy(n *network, drop func(from netip.AddrPort, datagram []byte) bool) {
	n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
		s.mu.Lock()
		defer s.mu.Unlock()
		if drop == nil || !drop(from, d) {
			return [][]byte{d}
		}
		if len(d) == trafficRecord {
			s.lost++
		}
		return nil
	})
}

// send sends one frame from each end.
func (s *streams) send(t *testing.T) {
	t.Helper()
	for i, e := range s.ends {
		frame := make([]byte, frameSize)
		binary.BigEndian.PutUint32(frame, s.sent[i])
		if err := e.session.Send(Data, [][]byte{frame}); err != nil {
			t.Fatal(err)
		}
		s.sent[i]++
	}
}

// run sends from both ends for a time.
func (s *streams) run(t *testing.T, total, interval time.Duration) {
	t.Helper()
	for end := time.Now().Add(total); time.Now().Before(end); {
		s.send(t)
		advance(interval)
	}
}

// check wants every frame that the network did not drop, once, and the ends with
// keys of the same generation.
func (s *streams) check(t *testing.T, n *network) {
	t.Helper()
	advance(2*path.ProbeInterval + n.delay) // what is under way arrives, an end without traffic says something
	a, b := s.ends[0].session, s.ends[1].session
	for range 100 { // a rekey that has just begun ends
		if synctest.Wait(); a.keys.Load().Pending == nil && b.keys.Load().Pending == nil && a.Info().Rekeys == b.Info().Rekeys {
			break
		}
		advance(n.delay)
	}
	missing := 0
	for i, e := range s.ends {
		seen := make(map[uint32]bool)
		for len(e.received) > 0 {
			for _, frame := range (<-e.received).frames {
				number := binary.BigEndian.Uint32(frame)
				if seen[number] {
					t.Errorf("frame %d came twice", number)
				}
				seen[number] = true
			}
		}
		missing += int(s.sent[1-i]) - len(seen)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if missing != s.lost {
		t.Errorf("%d frames are missing, the network dropped %d", missing, s.lost)
	}
	if a, b := a.Info(), b.Info(); a.Generation != b.Generation || a.Rekeys != b.Rekeys {
		t.Errorf("generations %d and %d after %d and %d rekeys", a.Generation, b.Generation, a.Rekeys, b.Rekeys)
	}
}

// count sets how many records an end has sealed under its keys, in every slot.
func count(e *end, records uint64) {
	keys := e.session.keys.Sending()
	for slot := range keys.Send {
		next := reflect.ValueOf(&keys.Send[slot]).Elem().FieldByName("next")
		(*atomic.Uint64)(next.Addr().UnsafePointer()).Store(records)
	}
}

// soon makes an end want new keys with its next record.
func soon(e *end) { count(e, 1<<40) }

// ofRekey reports whether a datagram is a record of a rekey, by its size: it is no
// traffic, request or answer, and none that asks for a size.
func ofRekey(d []byte) bool {
	const overhead = record.Overhead + 2
	return udp.Classify(d) == udp.Record && len(d) != trafficRecord && len(d) > overhead+path.AnswerSize && len(d) < record.MaxSize
}
