package session

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// witness is an outlet that remembers the header of each record, and refuses a part of them.
type witness struct {
	mu      sync.Mutex
	headers map[string]int
	calls   int
}

func (*witness) Addr() netip.AddrPort { return netip.AddrPort{} }

func (w *witness) SendRuns(_ netip.AddrPort, runs []udp.Run) (sent int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range runs {
		for datagram := range r.Datagrams() {
			w.headers[string(datagram[:record.HeaderSize])]++
			sent++
		}
	}
	if w.calls++; w.calls%3 == 0 {
		return sent / 2, errors.New("refused")
	}
	return sent, nil
}

// TestNoNonceTwice: whatever sends at once, on whatever path and under whatever keys, and whether
// or not the records are taken, no two have the same slot, generation and number.
func TestNoNonceTwice(t *testing.T) {
	from, to, _, _ := pair(t)
	from.full = record.MaxSize
	w := &witness{headers: map[string]int{}}
	bind := func(slot int) *boundPath {
		return &boundPath{Route: path.Route{Remote: there}, out: w, slot: slot}
	}
	from.path.Store(bind(0))
	const senders, rounds = 4, 50
	var sending sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			for round := range rounds {
				if sender == 0 {
					from.path.Store(bind(round % record.Slots))
				}
				if sender == 0 && round%10 == 5 {
					rotate(t, from, to, uint8(round/10+1))
				}
				if from.SendFrames([]frame.Frame{superFrame(60000), {Data: superFrame(3000).Data}, {}}) == nil {
					t.Error("a frame without bytes was sent")
				}
				from.sendOwnOn(from.path.Load(), from.keys.Sending(), Probe, func(dst []byte) []byte { return append(dst, path.OpNarrow) })
				if err := from.Send(Control, [][]byte{{1}, make([]byte, 5000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	total := 0
	for header, n := range w.headers {
		if total += n; n != 1 {
			t.Errorf("%x is the header of %d records", header, n)
		}
	}
	info := from.Info()
	lost := info.Drops["send_socket"]
	if info.TxRecords != uint64(total) || lost == 0 || lost >= uint64(total) || info.Drops["send_size"] != senders*rounds {
		t.Errorf("%d records were made and %d counted, drops %v", total, info.TxRecords, info.Drops)
	}
}
