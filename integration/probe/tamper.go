package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// tamper stands on the wire: it captures UDP datagrams that pass an interface and sends, for each,
// what somebody there could make of it.
func tamper(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("tamper", flag.ContinueOnError)
	var w wiretap
	listen := flags.String("listen", "", "`interface` to capture on")
	send := flags.String("send", "", "`interface` to send on; default: the same")
	flags.Func("to", "`address:port` of the captured datagrams", addrPort(&w.to))
	first := flags.Uint("first", 193, "first `byte` of their payload")
	least := flags.Int("least", 0, "fewest `bytes` of their payload")
	do := flags.String("do", "copy", "copy, flip (the last bit, under a number that was not yet sent), alert (of DTLS, in clear, for the same session), hello (of DTLS, for no session) or bare-hello")
	flags.Func("as-from", "`address:port` to send from; default: the captured one", addrPort(&w.asFrom))
	flags.Func("as-to", "`address:port` to send to; default: the captured one", addrPort(&w.asTo))
	mac := flags.String("mac-dst", "", "`MAC` to send to; default: the captured one")
	count := flags.Int("count", 1, "how many datagrams to capture")
	times := flags.Int("times", 1, "how often to send each")
	wait := flags.Duration("for", 10*time.Second, "how long to try")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w.first, w.least = byte(*first), *least
	if w.change = changes[*do]; w.change == nil {
		return fmt.Errorf("-do %q: write copy, flip, alert, hello or bare-hello", *do)
	}
	if *mac != "" {
		var err error
		if w.mac, err = net.ParseMAC(*mac); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	captured, sent, err := w.run(ctx, *listen, withDefault(*send, *listen), *count, *times)
	return errors.Join(err, out.print(struct {
		Captured int      `json:"captured"`
		Sent     []string `json:"sent"` // UDP payloads
	}{captured, sent}))
}

// changes are what can be made of a payload, by the names of -do.
var changes = map[string]func(payload []byte) []byte{
	"copy": func(p []byte) []byte { return p },
	// The receiver looks first whether it has seen a record's number (docs/PROTOCOL.md, Records).
	"flip": func(p []byte) []byte {
		const number = 7
		p[number+4]++
		p[len(p)-1] ^= 1
		return p
	},
	"alert":      func(p []byte) []byte { return handshake([4]byte(p[1:5]), alert()) },
	"hello":      func(p []byte) []byte { return handshake([4]byte{^p[1], ^p[2], ^p[3], ^p[4]}, clientHello()) },
	"bare-hello": func([]byte) []byte { return clientHello() },
}

// handshake is a handshake datagram for a session, with a tag that cannot be right.
func handshake(session [4]byte, dtls []byte) []byte {
	const tag = 8
	b := append([]byte{192}, session[:]...)
	return append(append(b, make([]byte, tag)...), dtls...)
}

// Contents of DTLS 1.2 records in clear, the first of a connection (RFC 6347 section 4.1).
const (
	dtlsAlert     = 21
	dtlsHandshake = 22
)

func dtlsRecord(content byte, body []byte) []byte {
	b := []byte{content, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

// alert is a fatal handshake_failure.
func alert() []byte { return dtlsRecord(dtlsAlert, []byte{2, 40}) }

// clientHello is the beginning of a connection with the suite that evio uses (RFC 6347 section 4.2).
func clientHello() []byte {
	hello := append([]byte{0xfe, 0xfd}, make([]byte, 32)...) // version, random
	hello = append(hello, 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)      // session, cookie, suites, compressions
	size := []byte{0, 0, byte(len(hello))}
	message := append(append([]byte{1}, size...), 0, 0, 0, 0, 0) // type, length, number, offset
	return dtlsRecord(dtlsHandshake, append(append(message, size...), hello...))
}

// wiretap says what is captured and what is sent instead.
type wiretap struct {
	to           netip.AddrPort
	first        byte
	least        int
	change       func([]byte) []byte
	asFrom, asTo netip.AddrPort
	mac          net.HardwareAddr
}

// answerTo returns what is sent for a captured frame, and its UDP payload; nothing for
// a frame of others.
func (w wiretap) answerTo(frame []byte) (changed, payload []byte) {
	from, to, payload, ok := parseUDP(frame)
	if !ok || to != w.to || len(payload) < max(w.least, 5) || payload[0] != w.first {
		return nil, nil
	}
	if w.asFrom.IsValid() {
		from = w.asFrom
	}
	if w.asTo.IsValid() {
		to = w.asTo
	}
	payload = w.change(append([]byte(nil), payload...))
	head := append([]byte(nil), frame[:etherLen]...)
	if w.mac != nil {
		copy(head, w.mac)
	}
	return append(head, udpDatagram(from, to, payload)...), payload
}

func (w wiretap) run(ctx context.Context, listen, send string, count, times int) (captured int, sent []string, err error) {
	source, err1 := net.InterfaceByName(listen)
	target, err2 := net.InterfaceByName(send)
	if err := errors.Join(err1, err2); err != nil {
		return 0, nil, err
	}
	// One socket for both: the kernel does not show a socket its own frames. All protocols, or it
	// would not show what leaves.
	all := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return 0, nil, fmt.Errorf("packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := errors.Join(
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: source.Index}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
	); err != nil {
		return 0, nil, fmt.Errorf("packet socket on %s: %w", listen, err)
	}
	frame := make([]byte, 1<<16)
	for captured < count {
		if ctx.Err() != nil {
			return captured, sent, nil
		}
		n, _, err := unix.Recvfrom(fd, frame, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return captured, sent, fmt.Errorf("capture on %s: %w", listen, err)
		}
		changed, payload := w.answerTo(frame[:n])
		if changed == nil {
			continue
		}
		captured++
		for range times {
			if err := unix.Sendto(fd, changed, 0, &unix.SockaddrLinklayer{Ifindex: target.Index}); err != nil {
				return captured, sent, fmt.Errorf("send on %s: %w", send, err)
			}
			sent = append(sent, hex.EncodeToString(payload))
		}
	}
	return captured, sent, nil
}

func addrPort(to *netip.AddrPort) func(string) error {
	return func(s string) (err error) {
		*to, err = netip.ParseAddrPort(s)
		return err
	}
}

func withDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
