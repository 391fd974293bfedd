package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// datagram is printed for each one received.
type datagram struct {
	From  string `json:"from"`
	To    string `json:"to,omitempty"` // destination address, where the kernel tells it
	Bytes int    `json:"bytes"`
	Token string `json:"token"`
}

// listening is printed when a socket is ready.
type listening struct {
	Listening string `json:"listening"`
}

// socket opens a UDP socket that may send to broadcast addresses and shares its port.
func socket(ctx context.Context, network, addr string) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var option error
		err := c.Control(func(fd uintptr) {
			option = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		})
		return errors.Join(err, option)
	}}
	conn, err := config.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func udpSend(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("udp-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port`, also broadcast or multicast")
	from := flags.String("from", ":0", "local `address:port`")
	dev := flags.String("dev", "", "outgoing `interface` of multicast")
	token := flags.String("token", "probe", "what to send")
	size := flags.Int("size", 0, "pad to this many `bytes`")
	count := flags.Int("count", 1, "how many datagrams")
	every := flags.Duration("every", 100*time.Millisecond, "time between two")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, target, err := sender(ctx, *from, *to, *dev)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	payload := []byte(*token)
	for len(payload) < *size {
		payload = append(payload, '.')
	}
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for i := range *count {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if _, err := conn.WriteTo(payload, target); err != nil {
			return err
		}
	}
	return out.print(struct {
		Sent int    `json:"sent"`
		From string `json:"from"`
	}{*count, conn.LocalAddr().String()})
}

// sender opens a socket at an address to send to another one, multicast by the interface
// that is named, if one is.
func sender(ctx context.Context, from, to, dev string) (*net.UDPConn, *net.UDPAddr, error) {
	target, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return nil, nil, err
	}
	conn, err := socket(ctx, family(target.IP), from)
	if err != nil || dev == "" {
		return conn, target, err
	}
	iface, err := net.InterfaceByName(dev)
	if err == nil {
		err = multicast(conn, target.IP, iface)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, target, nil
}

func family(ip net.IP) string {
	if ip.To4() != nil {
		return "udp4"
	}
	return "udp6"
}

func multicast(conn *net.UDPConn, group net.IP, iface *net.Interface) error {
	if group.To4() != nil {
		return errors.Join(ipv4.NewPacketConn(conn).SetMulticastInterface(iface), ipv4.NewPacketConn(conn).SetMulticastTTL(4))
	}
	return ipv6.NewPacketConn(conn).SetMulticastInterface(iface)
}

func join(conn *net.UDPConn, group net.IP, iface *net.Interface) error {
	address := &net.UDPAddr{IP: group}
	if group.To4() != nil {
		return ipv4.NewPacketConn(conn).JoinGroup(iface, address)
	}
	return ipv6.NewPacketConn(conn).JoinGroup(iface, address)
}

// listener opens a UDP socket that has joined a multicast group, if one is named.
func listener(ctx context.Context, addr, group, dev string) (*net.UDPConn, error) {
	ip := net.ParseIP(group)
	if ip == nil {
		return socket(ctx, "udp", addr)
	}
	conn, err := socket(ctx, family(ip), addr)
	if err != nil {
		return nil, err
	}
	iface, err := net.InterfaceByName(dev)
	if err == nil {
		err = join(conn, ip, iface)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func udpReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("udp-recv", flag.ContinueOnError)
	listen := flags.String("listen", ":0", "local `address:port`")
	group := flags.String("group", "", "multicast `address` to join")
	dev := flags.String("dev", "eth0", "`interface` of the group")
	count := flags.Int("count", 0, "end after so many datagrams; 0: never")
	wait := flags.Duration("for", 0, "end after this time; 0: never")
	poke := flags.String("poke", "", "send the token to this `address:port` five times a second: punches a hole")
	token := flags.String("token", "probe", "what -poke sends")
	echo := flags.Bool("echo", false, "send every datagram back")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := listener(ctx, *listen, *group, *dev)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	if *wait > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(*wait)); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	if err := out.print(listening{conn.LocalAddr().String()}); err != nil {
		return err
	}
	if *poke != "" {
		target, err := net.ResolveUDPAddr("udp", *poke)
		if err != nil {
			return err
		}
		poking, stop := context.WithCancel(ctx)
		defer stop()
		go punch(poking, conn, target, []byte(*token)) // ends with this function
	}
	return receive(conn, out, *count, *echo)
}

// receive prints datagrams until count have come or the read deadline passes.
func receive(conn *net.UDPConn, out *printer, count int, echo bool) error {
	control := ipv4.NewPacketConn(conn)
	_ = control.SetControlMessage(ipv4.FlagDst, true) // not on an IPv6 socket: To stays empty
	buffer := make([]byte, 1<<16)
	oob := make([]byte, 512)
	for n := 0; count == 0 || n < count; n++ {
		size, used, _, from, err := conn.ReadMsgUDPAddrPort(buffer, oob)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		event := datagram{
			From:  netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String(),
			Bytes: size, Token: string(buffer[:size]),
		}
		var message ipv4.ControlMessage
		if message.Parse(oob[:used]) == nil && message.Dst != nil {
			event.To = message.Dst.String()
		}
		if err := out.print(event); err != nil {
			return err
		}
		if echo {
			if _, err := conn.WriteToUDPAddrPort(buffer[:size], from); err != nil {
				return fmt.Errorf("echo to %s: %w", from, err)
			}
		}
	}
	return nil
}

func punch(ctx context.Context, conn *net.UDPConn, to net.Addr, token []byte) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error is one of an earlier datagram: the way may open yet.
		_, _ = conn.WriteTo(token, to)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
