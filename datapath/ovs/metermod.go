package ovs

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Of OpenFlow 1.4 (ONF TS-012), section 7 and appendix A: versions, types of messages,
// flags of meters, errors.
const (
	ofVersion = 5

	ofHello          = 0
	ofError          = 1
	ofEchoRequest    = 2
	ofEchoReply      = 3
	ofBarrierRequest = 20
	ofBarrierReply   = 21
	ofMeterMod       = 29

	ofHeaderLen   = 8
	ofMeterAdd    = 0
	ofMeterFlags  = 2 | 4 | 8 // packets per second, burst, statistics
	ofBandDrop    = 1
	ofBandLen     = 16
	ofBadRequest  = 1
	ofBadType     = 1
	ofMeterFailed = 12
	ofMeterExists = 1
)

// appendMessage appends an OpenFlow message.
func appendMessage(b []byte, kind byte, xid uint32, body []byte) []byte {
	b = append(b, ofVersion, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(ofHeaderLen+len(body)))
	b = binary.BigEndian.AppendUint32(b, xid)
	return append(b, body...)
}

// appendMeter appends the message that adds a meter, whose xid is its number.
func appendMeter(b []byte, number uint16) []byte {
	var body []byte
	body = binary.BigEndian.AppendUint16(body, ofMeterAdd)
	body = binary.BigEndian.AppendUint16(body, ofMeterFlags)
	body = binary.BigEndian.AppendUint32(body, uint32(number))
	body = binary.BigEndian.AppendUint16(body, ofBandDrop)
	body = binary.BigEndian.AppendUint16(body, ofBandLen)
	body = binary.BigEndian.AppendUint32(body, askRate)
	body = binary.BigEndian.AppendUint32(body, askBurst)
	body = binary.BigEndian.AppendUint32(body, 0)
	return appendMessage(b, ofMeterMod, uint32(number), body)
}

// addMeters adds meters to a bridge, at the socket that the switch has for it. A meter that
// is there already is fine. No program is started: ovs-ofctl adds one meter at a time.
func addMeters(ctx context.Context, socket string, numbers []uint16) error {
	const barrier = 1 << 16 // no meter's number
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("add meters: %w", err)
	}
	defer func() { _ = conn.Close() }()
	deadline := time.Now().Add(commandTimeout)
	if limit, ok := ctx.Deadline(); ok && limit.Before(deadline) {
		deadline = limit
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("add meters: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request := appendMessage(nil, ofHello, 0, nil)
	for _, n := range numbers {
		request = appendMeter(request, n)
	}
	request = appendMessage(request, ofBarrierRequest, barrier, nil)
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("add meters: %w", err)
	}
	if err := readAnswers(conn); err != nil {
		return fmt.Errorf("add meters: %w", err)
	}
	return nil
}

// readAnswers reads the switch's messages until it has carried out everything before the
// barrier, and answers its echo requests. It returns the first error.
func readAnswers(conn io.ReadWriter) error {
	var first error
	for {
		var header [ofHeaderLen]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return fmt.Errorf("read OpenFlow: %w", err)
		}
		length := int(binary.BigEndian.Uint16(header[2:]))
		if length < ofHeaderLen {
			return fmt.Errorf("read OpenFlow: a message of %d bytes", length)
		}
		body := make([]byte, length-ofHeaderLen)
		if _, err := io.ReadFull(conn, body); err != nil {
			return fmt.Errorf("read OpenFlow: %w", err)
		}
		xid := binary.BigEndian.Uint32(header[4:])
		switch header[1] {
		case ofBarrierReply:
			return first
		case ofEchoRequest:
			if _, err := conn.Write(appendMessage(nil, ofEchoReply, xid, body)); err != nil {
				return fmt.Errorf("answer OpenFlow's echo request: %w", err)
			}
		case ofError:
			if err := refusal(xid, body); first == nil {
				first = err
			}
		}
	}
}

// refusal returns what the body of an error message says, nil for a meter that is there.
func refusal(xid uint32, body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("read OpenFlow: an error of %d bytes", len(body))
	}
	kind, code := binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
	if kind == ofMeterFailed && code == ofMeterExists {
		return nil
	}
	if kind != ofMeterFailed && (kind != ofBadRequest || code != ofBadType) {
		return fmt.Errorf("read OpenFlow: error type %d, code %d", kind, code)
	}
	return refusedMeter(fmt.Sprintf("the switch refused meter %d: OpenFlow error type %d, code %d", xid, kind, code))
}

// refusedMeter is the error of a switch that has no meters, or none left.
type refusedMeter string

func (r refusedMeter) Error() string { return string(r) }
