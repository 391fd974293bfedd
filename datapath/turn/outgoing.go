package turn

import (
	"evio/datapath/udp"
)

// outgoing is messages to the server that go together: in one system call as datagrams, or in
// one write to a stream. Its memory is used again.
type outgoing struct {
	bytes []byte
	runs  []udp.Run // the same, for datagrams
	count int       // of messages
}

// reset empties it and keeps the memory.
func (o *outgoing) reset() {
	clear(o.runs)
	o.bytes, o.runs, o.count = o.bytes[:0], o.runs[:0], 0
}

// add appends a run of datagrams, each in a message that frame appends. Datagrams of one size
// give messages of one size.
func (o *outgoing) add(r udp.Run, frame func(dst, datagram []byte) ([]byte, error)) (err error) {
	start, size := len(o.bytes), 0
	for datagram := range r.Datagrams() {
		if o.bytes, err = frame(o.bytes, datagram); err != nil {
			return err
		}
		if size == 0 {
			size = len(o.bytes) - start
		}
		o.count++
	}
	o.runs = append(o.runs, udp.Run{Bytes: o.bytes[start:], Size: size})
	return nil
}
