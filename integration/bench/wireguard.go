package main

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"evio/integration/bench/lab"
)

// wireguard is wireguard-go, configured over its socket.
type wireguard struct {
	pair    *lab.Pair
	keys    [2]*ecdh.PrivateKey
	running []*lab.Process
}

const (
	wireguardMTU  = 1420 // its own default: what fits in 1500 over IPv6
	wireguardPort = 51820
)

func (w *wireguard) Prepare(_ context.Context, p *lab.Pair) (err error) {
	w.pair = p
	for i := range w.keys {
		if w.keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return err
		}
	}
	return nil
}

func (w *wireguard) Up(ctx context.Context) (lab.Ends, error) {
	ends := [2]lab.End{
		{Net: w.pair.A.Namespace, Addr: lab.TunnelA},
		{Net: w.pair.B.Namespace, Addr: lab.TunnelB},
	}
	for i, m := range []*lab.Machine{w.pair.A, w.pair.B} {
		device := []string{"wga", "wgb"}[i] // its socket, which both machines see, is named so
		p, err := m.Start(ctx, device, filepath.Join(w.pair.Bin, "wireguard"), "-f", device)
		if err != nil {
			return lab.Ends{}, err
		}
		w.running = append(w.running, p)
		other := []*lab.Machine{w.pair.B, w.pair.A}[i]
		config := strings.Join([]string{
			"set=1", "private_key=" + hex.EncodeToString(w.keys[i].Bytes()), fmt.Sprint("listen_port=", wireguardPort),
			"public_key=" + hex.EncodeToString(w.keys[1-i].PublicKey().Bytes()),
			"endpoint=" + netip.AddrPortFrom(other.Addr, wireguardPort).String(), "allowed_ip=0.0.0.0/0", "", "",
		}, "\n")
		if err := p.Await(ctx, func() error { return configureWireguard(ctx, device, config) }); err != nil {
			return lab.Ends{}, err
		}
		if err := address(ctx, m.Namespace, device, ends[i].Addr, wireguardMTU); err != nil {
			return lab.Ends{}, err
		}
	}
	return lab.Ends{A: ends[0], B: ends[1], MTU: wireguardMTU}, nil
}

func configureWireguard(ctx context.Context, device, config string) (err error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/wireguard/"+device+".sock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(config)); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "errno=0\n" {
		return fmt.Errorf("%s: its configuration was refused: %q", device, answer)
	}
	return nil
}

// address gives a device an address of a /24 and an MTU, and sets it up.
func address(ctx context.Context, n *lab.Namespace, device string, addr netip.Addr, mtu int) error {
	_, added := n.Run(ctx, "ip", "address", "add", addr.String()+"/24", "dev", device)
	_, up := n.Run(ctx, "ip", "link", "set", device, "mtu", fmt.Sprint(mtu), "up")
	return errors.Join(added, up)
}

func (w *wireguard) Down(context.Context) error {
	stop(&w.running)
	return nil
}

// stop ends processes and forgets them.
func stop(processes *[]*lab.Process) {
	for _, p := range *processes {
		p.Stop()
	}
	*processes = nil
}
