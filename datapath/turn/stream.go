package turn

import (
	"encoding/binary"
	"io"

	"evio/datapath/udp"
)

// streamBuffer is how much of a stream is read at once.
const streamBuffer = 64 << 10

// stream cuts what comes by a stream into messages. Those that are larger than maxMessage are
// skipped and counted.
type stream struct {
	buffer     [streamBuffer]byte
	start, end int // of what was read and is in no message yet
	skip       int // how much of a message that is too large is to come
	skipped    uint64
	vector     []udp.Datagram
}

// receive waits for messages, and returns those that are there as udp.Conn does: without
// addresses, in one buffer. They are valid until the next call. There may be some beside an
// error, and none if one was skipped.
func (s *stream) receive(r io.Reader) ([]udp.Datagram, error) {
	s.vector = s.vector[:0]
	skipped := s.skipped
	for {
		s.start, s.end = 0, copy(s.buffer[:], s.buffer[s.start:s.end])
		n, err := r.Read(s.buffer[s.end:])
		s.end += n
		if e := s.cut(); e != nil {
			err = e
		}
		if len(s.vector) > 0 || s.skipped > skipped || err != nil {
			return s.vector, err
		}
	}
}

// cut appends the messages that have come whole to the vector. Their capacity ends before what
// has not.
func (s *stream) cut() error {
	defer func() {
		for i, m := range s.vector {
			s.vector[i].Data = m.Data[: len(m.Data) : cap(m.Data)-(len(s.buffer)-s.start)]
		}
	}()
	for {
		skipped := min(s.skip, s.end-s.start)
		s.skip -= skipped
		s.start += skipped
		rest := s.buffer[s.start:s.end]
		size, err := messageSize(rest)
		switch {
		case err != nil:
			return err
		case size > maxMessage:
			s.skip = size
			s.skipped++
		case size == 0 || size > len(rest):
			return nil
		default:
			s.vector = append(s.vector, udp.Datagram{Data: rest[:size]})
			s.start += size
		}
	}
}

// messageSize returns the size of the message that begins a stream, with its padding, or 0 if
// there is too little of it to tell (RFC 8656 section 12.5).
func messageSize(b []byte) (int, error) {
	if len(b) < channelHeader {
		return 0, nil
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	switch b[0] >> 6 {
	case 0:
		return stunHeader + size, nil
	case 1:
		return channelHeader + (size+3)&^3, nil
	default:
		return 0, errMessage
	}
}
