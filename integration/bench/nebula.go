package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"evio/integration/bench/lab"
)

// nebula is Nebula, with certificates of its own authority and no lighthouse: each end knows where
// the other is.
type nebula struct {
	pair    *lab.Pair
	running []*lab.Process
}

// Nebula's default of 1300 leaves room that this cable has.
const nebulaMTU = 1420

const nebulaPort = 4242

func (n *nebula) Prepare(ctx context.Context, p *lab.Pair) error {
	n.pair = p
	cert := filepath.Join(p.Bin, "nebula-cert")
	file := func(name string) string { return filepath.Join(p.Dir, name) }
	if _, err := p.A.Run(ctx, cert, "ca", "-name", "bench", "-out-crt", file("ca.crt"), "-out-key", file("ca.key")); err != nil {
		return err
	}
	for _, end := range []struct {
		name, other string
		addr, far   netip.Addr
		at          netip.Addr
	}{
		{"a", "b", lab.TunnelA, lab.TunnelB, p.B.Addr},
		{"b", "a", lab.TunnelB, lab.TunnelA, p.A.Addr},
	} {
		_, err := p.A.Run(ctx, cert, "sign", "-name", end.name, "-networks", end.addr.String()+"/24",
			"-ca-crt", file("ca.crt"), "-ca-key", file("ca.key"),
			"-out-crt", file(end.name+".crt"), "-out-key", file(end.name+".key"))
		if err != nil {
			return err
		}
		config := fmt.Sprintf(`
pki: {ca: %[1]s/ca.crt, cert: %[1]s/%[2]s.crt, key: %[1]s/%[2]s.key}
static_host_map: {"%[3]s": ["%[4]s"]}
lighthouse: {am_lighthouse: false}
listen: {host: 0.0.0.0, port: %[5]d, read_buffer: %[6]d, write_buffer: %[6]d}
tun: {dev: nebula1, mtu: %[7]d}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
`, p.Dir, end.name, end.far, netip.AddrPortFrom(end.at, nebulaPort), nebulaPort, lab.SocketBuffer, nebulaMTU)
		if err := os.WriteFile(file(end.name+".yml"), []byte(config), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *nebula) Up(ctx context.Context) (lab.Ends, error) {
	for i, m := range []*lab.Machine{n.pair.A, n.pair.B} {
		name := []string{"a", "b"}[i]
		p, err := m.Start(ctx, "nebula-"+name, filepath.Join(n.pair.Bin, "nebula"), "-config", filepath.Join(n.pair.Dir, name+".yml"))
		if err != nil {
			return lab.Ends{}, err
		}
		n.running = append(n.running, p)
	}
	return lab.Ends{
		A:   lab.End{Net: n.pair.A.Namespace, Addr: lab.TunnelA},
		B:   lab.End{Net: n.pair.B.Namespace, Addr: lab.TunnelB},
		MTU: nebulaMTU,
	}, nil
}

func (n *nebula) Down(context.Context) error {
	stop(&n.running)
	return nil
}
