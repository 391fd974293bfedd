package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/datapath/udp"
	"evio/driver"
	"evio/driver/network"
	"evio/driver/network/device"
	"evio/driver/socket"
	"evio/driver/status"
	"evio/internal/store"
	"evio/overlay/member"
	"evio/plugin/config"
	"evio/plugin/confine"
	"evio/plugin/resolver"
	"evio/wall"
)

// schemaFile describes the database of the plugin's own Open vSwitch; it is part
// of the root file system.
const schemaFile = "/usr/share/openvswitch/vswitch.ovsschema"

// parts is what the driver stands on. With a fault only what could be opened is
// there, which is enough to forget networks that Docker removes meanwhile.
type parts struct {
	key       ed25519.PrivateKey
	store     *store.Store
	memory    memory
	engine    *driver.DockerEngine
	book      *member.Book
	resolver  *resolver.Resolver
	plane     *network.Plane
	transport *session.Transport
	accounts  []signallingSession
	names     []string // of the v1 plugin
	faults    faults
}

// faults are why parts are missing, by what is to be mended.
type faults struct{ settings, state, transport, reach []string }

// startFaults are what went wrong before there were parts: faults of settings, and why the plugin
// could not give up what it does not use.
type startFaults struct {
	settings   config.Faults
	unconfined error
}

// wire puts the parts together and serves the engine on the listeners until ctx
// ends. What is wrong with the settings every call that needs them is answered with. A
// state folder that could not be used and can be ends it with errMended.
func wire(ctx context.Context, s config.Settings, wrong startFaults, events *lastErrors, listeners []net.Listener, log *logrus.Entry) error {
	started := wall.Now()
	p, fault := assemble(s, wrong, started, log) //nolint:contextcheck // opens a socket, which takes no time
	d := p.newDriver(fault, log)
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running := p.run(below, log)
	told := source{started: started, driver: d, parts: p, settings: s, events: events, losses: &status.Losses{}}
	running.Go(func() error { return serveStatus(below, s, told, log) })
	if p.plane != nil {
		running.Go(func() error {
			told.losses.Watch(below, told.counters, func(d status.Document) {
				for _, n := range d.Networks {
					p.plane.Losing(n.ID, len(n.Losses) > 0)
				}
			})
			return nil
		})
	}
	group, serving := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error { return d.Serve(l) })
	}
	d.Start(below)
	if len(p.faults.state) > 0 {
		try := func() error { return tryState(s, log) }
		if errors.Is(wrong.unconfined, confine.ErrState) {
			try = func() error { return confine.MakeState(folders(s)) } // the rest is for the confined plugin
		}
		group.Go(func() error { return awaitState(serving, try, log) })
	}
	group.Go(func() error {
		<-serving.Done()
		return d.Close(context.WithoutCancel(ctx))
	})
	err := group.Wait()
	stop()
	return errors.Join(err, running.Wait(), p.close())
}

// assemble makes the parts, as many as it can, and returns what is wrong.
func assemble(s config.Settings, wrong startFaults, started time.Time, log *logrus.Entry) (p parts, fault error) {
	for _, f := range wrong.settings {
		p.faults.settings = append(p.faults.settings, f.Error())
	}
	var err error
	if errors.Is(wrong.unconfined, confine.ErrState) {
		err = fmt.Errorf("%w: %s", wrong.unconfined, stateAdvice) // nothing is heard from outside before
	} else {
		if wrong.unconfined != nil {
			p.faults.reach = append(p.faults.reach, wrong.unconfined.Error())
		}
		err = p.openState(s, log)
	}
	if err != nil {
		p.faults.state = append(p.faults.state, err.Error())
	}
	if fault = errors.Join(wrong.settings.Err(), err); fault != nil {
		return p, fault
	}
	if fault = p.build(s, started, log); fault != nil {
		log.WithError(fault).Error("networks cannot run")
	}
	return p, fault
}

// build makes everything that needs settings without a fault; it takes no time.
func (p *parts) build(s config.Settings, started time.Time, log *logrus.Entry) error {
	var err error
	p.book, err = member.Open(member.Config{
		Dir: s.HostPath(s.StateDir), Key: p.key, Started: started, Log: log,
		MaxAge: time.Duration(s.MembershipMaxAge) * time.Second, Ledger: ledger{p.memory.store},
	})
	if err != nil {
		p.faults.state = append(p.faults.state, err.Error())
		return err
	}
	p.resolver = resolver.New(s.HostPrefix)
	if err = p.useSettings(s, log); err != nil {
		p.faults.settings = append(p.faults.settings, err.Error())
		return err
	}
	accounts := p.accounts
	p.transport, err = session.Listen(session.Config{
		Reopened: func() {
			for _, a := range accounts {
				a.client.Reconnect()
			}
		},
		Port: s.UDPPort, Key: p.key, ICEServers: iceServers(s), Lookup: p.resolver.LookupNetIP,
		Offload:    offload(s.Offload),
		RekeyEvery: time.Duration(s.RekeySeconds) * time.Second, ExcludeInterface: device.OwnInterface, Log: log,
	})
	if err != nil {
		p.faults.transport = append(p.faults.transport, err.Error())
		return err
	}
	run := filepath.Join(s.HostPath(s.RunDir), "ovs")
	p.plane = network.New(network.Config{
		Key: p.key, Book: p.book, Transport: p.transport, Secrets: overlaySecrets(s), Site: s.Site, Log: log,
		Claims: s.Reserved(), Memory: p.memory, Offload: tapOffloads(s.Offload),
		OVS: ovs.Config{HostRunDir: hostOVS(s), RunDir: run, StateDir: run, SchemaFile: schemaFile, Log: log},
	})
	return nil
}

// offload is what passes in one piece between the process and the network.
func offload(o config.Offload) session.Offload {
	return session.Offload{
		UDP:   udp.Offload{Send: o.UDPSend != config.Off, Receive: o.UDPReceive != config.Off},
		Merge: o.Merge != config.Off,
	}
}

// tapOffloads returns what the TAPs of links may offload.
func tapOffloads(o config.Offload) tap.Offloads {
	if o.TAP == config.Off {
		return tap.Offloads{Why: "switched off by configuration"}
	}
	return tap.AllOffloads
}

// useSettings makes what fails by settings alone.
func (p *parts) useSettings(s config.Settings, log *logrus.Entry) (err error) {
	for _, service := range s.Signalling {
		a, err := newAccount(s, service, p.book, offers{p.memory.store, strings.ToLower(service.JID)}, p.resolver, log)
		if err != nil {
			return fmt.Errorf("signalling service %s: %w", service.JID, err)
		}
		p.accounts = append(p.accounts, a)
	}
	p.names = s.V1Names
	p.engine, err = driver.NewDockerEngine(s.HostPath(s.Docker.Socket))
	return err
}

func (p *parts) newDriver(fault error, log *logrus.Entry) *driver.Driver {
	c := driver.Config{Fault: fault, DeleteLink: netdev.Delete, Log: log}
	if p.key != nil {
		c.EngineID = device.EngineID(p.key)
	}
	if p.store != nil {
		c.Store = p.store
	}
	if fault == nil {
		c.Plane, c.Engine, c.Names = p.plane, p.engine, p.names
	}
	return driver.New(c)
}

// run starts what goes on by itself; it ends with the context.
func (p *parts) run(ctx context.Context, log *logrus.Entry) *errgroup.Group {
	group, ctx := errgroup.WithContext(ctx)
	if p.plane == nil {
		return group
	}
	group.Go(func() error { return p.plane.Run(ctx) })
	group.Go(func() error {
		p.watchAddresses(ctx, log)
		return nil
	})
	group.Go(func() error {
		p.watchNames(ctx, log)
		return nil
	})
	group.Go(func() error {
		p.watchClock(ctx, log)
		return nil
	})
	for _, a := range p.accounts {
		group.Go(func() error {
			select {
			case <-p.transport.Opened(): // peers would send to where nobody listens
			case <-ctx.Done():
				return nil
			}
			if err := a.client.Run(ctx); err != nil && ctx.Err() == nil {
				log.WithError(err).WithField("jid", a.service.JID).Error("signalling ended")
			}
			return nil
		})
	}
	return group
}

// statusSocket is where the status document and the peers are asked for.
func statusSocket(s config.Settings) string { return filepath.Join(s.HostPath(s.RunDir), "evio.sock") }

func (p *parts) close() error {
	var err error
	if p.transport != nil {
		err = p.transport.Close()
	}
	if p.engine != nil {
		err = errors.Join(err, p.engine.Close())
	}
	return err
}

func hostOVS(s config.Settings) string {
	if dir := s.OVS.HostRunDir(); dir != "" {
		return s.HostPath(dir)
	}
	return ""
}

// statusRetry is how long a status socket that cannot be opened is left alone.
const statusRetry = 2 * time.Second

// serveStatus hands out the status document until the context ends. A socket that cannot
// be opened costs the document and nothing else; it is tried again.
func serveStatus(ctx context.Context, s config.Settings, source source, log *logrus.Entry) error {
	l := listenStatus(ctx, s, log)
	if l == nil {
		return nil
	}
	server := status.NewServer(source, peers{source.parts.book}, log)
	defer context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Close(end); err != nil {
			log.WithError(err).Debug("status server ended with an error")
		}
	})()
	if err := server.Serve(l); err != nil {
		log.WithError(err).Error("the status document is no longer served")
	}
	return nil
}

// listenStatus opens the status socket, trying again until the context ends; then it
// returns nil.
func listenStatus(ctx context.Context, s config.Settings, log *logrus.Entry) net.Listener {
	said := ""
	for {
		l, err := socket.Listen(statusSocket(s))
		if err == nil {
			return l
		}
		if said != err.Error() {
			said = err.Error()
			log.WithError(err).Error("no status document: make run_dir a folder that can be written to; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statusRetry):
		}
	}
}
