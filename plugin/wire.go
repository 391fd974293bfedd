package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
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
	"evio/overlay/signal"
	"evio/plugin/config"
)

// schemaFile describes the database of the plugin's own Open vSwitch; it is part
// of the root file system.
const schemaFile = "/usr/share/openvswitch/vswitch.ovsschema"

// parts is what runs beneath the driver. All of it is nil in a plugin with a fault.
type parts struct {
	plane     *network.Plane
	transport *session.Transport
	store     *store.Store
	accounts  []account
}

// account is one signalling session.
type account struct {
	service config.Service
	client  *signal.Client
}

// wire puts the parts together and serves the engine on the listeners until ctx
// ends. fault, if not nil, is what is wrong with the settings; every call that
// needs them is answered with it.
func wire(ctx context.Context, s config.Settings, fault error, listeners []net.Listener, log *logrus.Entry) error {
	started := time.Now()
	var p parts
	if fault == nil {
		if p, fault = build(s, log); fault != nil {
			log.WithError(fault).Error("networks cannot run")
		}
	}
	d, err := newDriver(s, p, fault, log)
	if err != nil {
		return err
	}
	source := source{started: started, driver: d, parts: p}
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, serving := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error { return d.Serve(l) })
	}
	running := p.run(below, log)
	running.Go(func() error { return serveStatus(below, s, source, log) })
	d.Start(below)
	group.Go(func() error {
		<-serving.Done()
		return d.Close(context.WithoutCancel(ctx))
	})
	err = group.Wait()
	stop()
	err = errors.Join(err, running.Wait())
	if p.transport != nil {
		err = errors.Join(err, p.transport.Close())
	}
	return err
}

// build opens what the parts keep on disk, their socket, and nothing that takes time.
func build(s config.Settings, log *logrus.Entry) (p parts, err error) {
	state := s.HostPath(s.StateDir)
	key, err := identity.Load(state)
	if err != nil {
		return parts{}, err
	}
	if p.store, err = store.Open(filepath.Join(state, "docker"), log, driver.Kinds()...); err != nil {
		return parts{}, err
	}
	book, err := member.Open(member.Config{Dir: filepath.Join(state, "peers"), Self: identity.Public(key), Log: log})
	if err != nil {
		return parts{}, err
	}
	for _, service := range s.Signalling {
		a, err := newAccount(s, service, book, log)
		if err != nil {
			return parts{}, err
		}
		p.accounts = append(p.accounts, a)
	}
	p.transport, err = session.Listen(session.Config{
		Port: s.UDPPort, Key: key, STUN: s.STUN, ExcludeInterface: ownInterface, Log: log,
	})
	if err != nil {
		return parts{}, fmt.Errorf("%w: choose another udp_port, or 0 for any free one", err)
	}
	run := s.HostPath(s.RunDir)
	p.plane = network.New(network.Config{
		Key: key, Book: book, Transport: p.transport, Log: log,
		OVS: ovs.Config{
			HostRunDir: hostOVS(s), RunDir: filepath.Join(run, "ovs"), StateDir: filepath.Join(run, "ovs"),
			SchemaFile: schemaFile, Log: log,
		},
	})
	return p, nil
}

func hostOVS(s config.Settings) string {
	if dir := s.OVS.HostRunDir(); dir != "" {
		return s.HostPath(dir)
	}
	return ""
}

// ownInterface names the devices that must not give addresses to peers.
func ownInterface(name string) bool { return network.OwnInterface(name) }

func newAccount(s config.Settings, service config.Service, book *member.Book, log *logrus.Entry) (account, error) {
	c := signal.Config{
		Server: service.Server, DirectTLS: service.TLS == config.DirectTLS, JID: service.JID,
		Password: func() (string, error) { return config.ReadPassword(s.HostPath(service.PasswordFile)) },
		Log:      log,
	}
	if service.CAFile != "" {
		pem, err := os.ReadFile(s.HostPath(service.CAFile))
		if err != nil {
			return account{}, fmt.Errorf("signalling service %s: read ca_file: %w", service.JID, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return account{}, fmt.Errorf("signalling service %s: ca_file %s has no PEM certificate in it", service.JID, service.CAFile)
		}
	}
	handler := book.Service(service.JID, service.OverlayNames())
	client, err := signal.New(c, handler)
	if err != nil {
		return account{}, fmt.Errorf("signalling service %s: %w", service.JID, err)
	}
	handler.Attach(client)
	return account{service: service, client: client}, nil
}

// run starts the parts; they end with the context.
func (p parts) run(ctx context.Context, log *logrus.Entry) *errgroup.Group {
	group, ctx := errgroup.WithContext(ctx)
	if p.plane == nil {
		return group
	}
	group.Go(func() error { return p.plane.Run(ctx) })
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

func newDriver(s config.Settings, p parts, fault error, log *logrus.Entry) (*driver.Driver, error) {
	c := driver.Config{Fault: fault, DeleteLink: netdev.Delete, Log: log}
	if fault == nil {
		engine, err := driver.NewDockerEngine(s.HostPath(s.Docker.Socket))
		if err != nil {
			return nil, err
		}
		c.EngineID, c.Store, c.Plane, c.Engine = p.plane.EngineID(), p.store, p.plane, engine
	}
	return driver.New(c), nil
}

// serveStatus hands out the status document until the context ends; a socket that
// cannot be opened costs the document and nothing else.
func serveStatus(ctx context.Context, s config.Settings, source status.Source, log *logrus.Entry) error {
	l, err := socket.Listen(filepath.Join(s.HostPath(s.RunDir), "evio.sock"))
	if err != nil {
		log.WithError(err).Error("no status document")
		return nil
	}
	server := status.NewServer(source, log)
	defer context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Close(end); err != nil {
			log.WithError(err).Debug("status server ended with an error")
		}
	})()
	return server.Serve(l)
}
