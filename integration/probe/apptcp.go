package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// appStream is printed by both ends of a stream.
type appStream struct {
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Seconds float64 `json:"seconds"`
}

// Options of TCP and IP that make headers long. Both ends must have them.
const (
	optionsIP  = "ip"  // 40 bytes of IP options
	optionsMD5 = "md5" // TCP's signature option (RFC 2385)
)

// appTCPSend sends pseudo-random bytes for a while, or a number of them.
func appTCPSend(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-tcp-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port` of an app-tcp-recv")
	size := flags.Int64("bytes", 1<<20, "how many `bytes`")
	wait := flags.Duration("for", 10*time.Second, "give up after this time")
	options := flags.String("options", "", "ip or md5: makes headers long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	target, err := net.ResolveTCPAddr("tcp", *to)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Control: longHeaders(*options, target.IP)}
	conn, err := dialer.DialContext(ctx, "tcp", *to)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what matters is the answer
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	began, hash := time.Now(), sha256.New()
	n, err := io.Copy(io.MultiWriter(conn, hash), io.LimitReader(rand.NewChaCha8([32]byte{1}), *size))
	if err == nil {
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err == nil { // the other end has all when it closes
		_, err = io.Copy(io.Discard, conn)
	}
	return errors.Join(err, out.print(appStream{n, hex.EncodeToString(hash.Sum(nil)), time.Since(began).Seconds()}))
}

// appTCPReceive takes one stream and prints what came.
func appTCPReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-tcp-recv", flag.ContinueOnError)
	listen := flags.String("listen", ":5556", "local `address:port`")
	wait := flags.Duration("for", 15*time.Second, "give up after this time")
	options := flags.String("options", "", "ip or md5: makes headers long")
	from := flags.String("from", "", "sender's `address`, for md5")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config := net.ListenConfig{Control: longHeaders(*options, net.ParseIP(*from))}
	network := "tcp"
	if *options != "" {
		network = "tcp4"
	}
	listener, err := config.Listen(ctx, network, *listen)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // nothing is buffered
	deadline := time.Now().Add(*wait)
	if err := listener.(*net.TCPListener).SetDeadline(deadline); err != nil {
		return err
	}
	if err := out.print(listening{listener.Addr().String()}); err != nil {
		return err
	}
	conn, err := listener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return out.print(appStream{})
	}
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // all was read
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	began, hash := time.Now(), sha256.New()
	n, _ := io.Copy(hash, conn) // what came before the time was over is the answer
	return out.print(appStream{n, hex.EncodeToString(hash.Sum(nil)), time.Since(began).Seconds()})
}

// longHeaders sets options on a socket before it is used.
func longHeaders(options string, peer net.IP) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var option error
		err := c.Control(func(fd uintptr) {
			switch options {
			case "":
			case optionsIP: // NOPs, and the end of the list
				nops := make([]byte, 40)
				for i := range 39 {
					nops[i] = 1
				}
				option = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, string(nops))
			case optionsMD5:
				signature := unix.TCPMD5Sig{Keylen: 6}
				copy(signature.Key[:], "secret")
				signature.Addr.Family = unix.AF_INET
				copy(signature.Addr.Data[2:], peer.To4())
				option = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, &signature)
			default:
				option = fmt.Errorf("options %q: use ip or md5", options)
			}
		})
		return errors.Join(err, option)
	}
}
