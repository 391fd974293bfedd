package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/session"
	"evio/driver"
	"evio/driver/network"
	"evio/driver/socket"
	"evio/driver/status"
	"evio/driver/store"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/plugin/config"
)

// schemaFile describes the database of the plugin's own Open vSwitch; it is part
// of the root file system.
const schemaFile = "/usr/share/openvswitch/vswitch.ovsschema"

// parts is what the driver stands on. With a fault only what could be opened is
// there, which is enough to forget networks that Docker removes meanwhile.
type parts struct {
	key       ed25519.PrivateKey
	store     *store.Store
	engine    *driver.DockerEngine
	book      *member.Book
	plane     *network.Plane
	transport *session.Transport
	accounts  []account
}

// wire puts the parts together and serves the engine on the listeners until ctx
// ends. fault, if not nil, is what is wrong with the settings; every call that
// needs them is answered with it.
func wire(ctx context.Context, s config.Settings, fault error, listeners []net.Listener, log *logrus.Entry) error {
	started := time.Now()
	var p parts
	err := p.openState(s, log)
	if fault = errors.Join(fault, err); fault == nil {
		if fault = p.build(s, started, log); fault != nil { //nolint:contextcheck // opens a socket, which takes no time
			log.WithError(fault).Error("networks cannot run")
		}
	}
	d := p.newDriver(fault, log)
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running := p.run(below, log)
	running.Go(func() error {
		return serveStatus(below, s, source{started: started, driver: d, parts: p}, log)
	})
	d.Start(below)
	group, serving := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error { return d.Serve(l) })
	}
	group.Go(func() error {
		<-serving.Done()
		return d.Close(context.WithoutCancel(ctx))
	})
	err = group.Wait()
	stop()
	return errors.Join(err, running.Wait(), p.close())
}

// openState opens what is kept on disk.
func (p *parts) openState(s config.Settings, log *logrus.Entry) (err error) {
	state := s.HostPath(s.StateDir)
	if p.key, err = identity.Load(state); err != nil {
		return err
	}
	p.store, err = store.Open(filepath.Join(state, "docker"), log, driver.Kinds()...)
	return err
}

// build makes everything that needs settings without a fault; it takes no time.
func (p *parts) build(s config.Settings, started time.Time, log *logrus.Entry) error {
	var err error
	p.book, err = member.Open(member.Config{
		Dir: filepath.Join(s.HostPath(s.StateDir), "peers"), Key: p.key, Started: started, Log: log,
	})
	if err != nil {
		return err
	}
	for _, service := range s.Signalling {
		a, err := newAccount(s, service, p.book, log)
		if err != nil {
			return fmt.Errorf("signalling service %s: %w", service.JID, err)
		}
		p.accounts = append(p.accounts, a)
	}
	if p.engine, err = driver.NewDockerEngine(s.HostPath(s.Docker.Socket)); err != nil {
		return err
	}
	p.transport, err = session.Listen(session.Config{
		Port: s.UDPPort, Key: p.key, STUN: s.STUN, TURN: turnServers(s),
		RekeyEvery: time.Duration(s.RekeySeconds) * time.Second, ExcludeInterface: network.OwnInterface, Log: log,
	})
	if err != nil {
		return fmt.Errorf("%w: choose another udp_port, or 0 for any free one", err)
	}
	run := filepath.Join(s.HostPath(s.RunDir), "ovs")
	p.plane = network.New(network.Config{
		Key: p.key, Book: p.book, Transport: p.transport, Secrets: overlaySecrets(s), Log: log,
		OVS: ovs.Config{HostRunDir: hostOVS(s), RunDir: run, StateDir: run, SchemaFile: schemaFile, Log: log},
	})
	return nil
}

func (p *parts) newDriver(fault error, log *logrus.Entry) *driver.Driver {
	c := driver.Config{Fault: fault, DeleteLink: netdev.Delete, Log: log}
	if p.key != nil {
		c.EngineID = network.EngineID(p.key)
	}
	if p.store != nil {
		c.Store = p.store
	}
	if fault == nil {
		c.Plane, c.Engine = p.plane, p.engine
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
	for _, a := range p.accounts {
		group.Go(func() error {
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

// serveStatus hands out the status document until the context ends; a socket that
// cannot be opened costs the document and nothing else.
func serveStatus(ctx context.Context, s config.Settings, source source, log *logrus.Entry) error {
	l, err := socket.Listen(statusSocket(s))
	if err != nil {
		log.WithError(err).Error("no status document")
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
		log.WithError(err).Error("no status document any more")
	}
	return nil
}
