package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"evio/integration/bench/lab"
	"evio/integration/testbed"
)

// engine is a real dockerd with two containers on its default bridge.
type engine struct {
	lab        *testbed.Lab
	namespaces [2]*os.File
	addresses  [2]string
}

// bridgeVariable tells the program in inroot.sh's root the containers' addresses. Their network
// namespaces are its descriptors 4 and 5.
const bridgeVariable = "EVIO_BENCH_BRIDGE"

func startEngine(ctx context.Context, bin string) (_ *engine, err error) {
	e := &engine{}
	if e.lab, err = testbed.New(ctx, testbed.Options{Probe: filepath.Join(bin, "probe")}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	site, err := e.lab.AddSite(ctx, testbed.SiteConfig{Name: "bridge"})
	if err != nil {
		return nil, err
	}
	if err := site.StartEngine(ctx, testbed.EngineOptions{}); err != nil {
		return nil, err
	}
	for i, name := range []string{"end-a", "end-b"} {
		if _, err := site.Docker(ctx, "run", "--detach", "--init", "--name", name, testbed.Image); err != nil {
			return nil, err
		}
		out, err := site.Docker(ctx, "inspect", "--format", "{{.State.Pid}} {{.NetworkSettings.IPAddress}}", name)
		if err != nil {
			return nil, err
		}
		pid, addr, _ := strings.Cut(out, " ")
		e.addresses[i] = addr
		if e.namespaces[i], err = os.Open(site.Path(filepath.Join("/proc", pid, "ns/net"))); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) environment() string {
	return bridgeVariable + "=" + strings.Join(e.addresses[:], " ")
}

func (e *engine) close() error {
	errs := []error{e.lab.Close()}
	for _, f := range e.namespaces {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// dockerBridge is two containers of one engine: what Docker gives without an overlay.
type dockerBridge struct{ ends lab.Ends }

func (d *dockerBridge) Prepare(_ context.Context, p *lab.Pair) error {
	addresses := strings.Fields(os.Getenv(bridgeVariable))
	if len(addresses) != 2 {
		return fmt.Errorf("%s=%q: two addresses are missing", bridgeVariable, os.Getenv(bridgeVariable))
	}
	d.ends.MTU = lab.UnderlayMTU
	for i, end := range []*lab.End{&d.ends.A, &d.ends.B} {
		addr, err := netip.ParseAddr(addresses[i])
		if err != nil {
			return err
		}
		end.Addr, end.Net = addr, lab.NamespaceAt(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), 4+i), p.Dir)
	}
	return nil
}

func (d *dockerBridge) Up(context.Context) (lab.Ends, error) { return d.ends, nil }

func (d *dockerBridge) Down(context.Context) error { return nil }
