package evio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/driver"
	"evio/driver/network"
	"evio/driver/network/device"
	"evio/driver/socket"
	"evio/driver/status"
	"evio/internal/store"
	"evio/overlay/identity"
	"evio/overlay/member"
	xmpp "evio/overlay/signal"
	"evio/plugin/config"
)

// NodeRole is the first argument of a process that is a Node.
const NodeRole = "evio-node"

// Node is the plugin with links that belong to the host. It reads the plugin's environment and
// configuration file, serves Docker's calls and the status document, and ends with SIGTERM. The
// arguments are the host's address and MAC address, and those of its peer.
func Node(ctx context.Context, args []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	h, err := parseHost(args)
	if err != nil {
		return err
	}
	n, err := newNode(h) //nolint:contextcheck // opens a socket, which takes no time
	if err != nil {
		return err
	}
	return n.run(ctx)
}

func parseHost(args []string) (h host, err error) {
	if len(args) != 4 {
		return h, fmt.Errorf("%s: give address, MAC address, the peer's address and its MAC address", NodeRole)
	}
	var errs [4]error
	h.addr, errs[0] = netip.ParsePrefix(args[0])
	h.mac, errs[1] = net.ParseMAC(args[1])
	h.peer, errs[2] = netip.ParseAddr(args[2])
	h.peersMAC, errs[3] = net.ParseMAC(args[3])
	return h, errors.Join(errs[:]...)
}

// node holds the parts that plugin/wire.go makes too.
type node struct {
	settings  config.Settings
	plane     *network.Plane
	transport *session.Transport
	client    *xmpp.Client
	driver    *driver.Driver
	log       *logrus.Entry
}

func newNode(h host) (*node, error) {
	n := &node{log: logrus.NewEntry(logrus.New())}
	var faults config.Faults
	n.settings, faults = config.Load(os.Getenv)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	s := n.settings
	key, err := identity.Load(s.StateDir)
	if err != nil {
		return nil, err
	}
	kept, err := store.Open(driver.StoreConfig(filepath.Join(s.StateDir, "docker"), n.log))
	if err != nil {
		return nil, err
	}
	book, err := member.Open(member.Config{Dir: s.StateDir, Key: key, Log: n.log})
	if err != nil {
		return nil, err
	}
	if n.client, err = newClient(s.Signalling[0], book, n.log); err != nil {
		return nil, err
	}
	n.transport, err = session.Listen(session.Config{
		Port: s.UDPPort, Key: key, RekeyEvery: time.Duration(s.RekeySeconds) * time.Second, ExcludeInterface: device.OwnInterface, Log: n.log,
		Offload: session.AllOffloads(),
	})
	if err != nil {
		return nil, err
	}
	run := filepath.Join(s.RunDir, "ovs")
	n.plane = network.New(network.Config{
		Key: key, Book: book, Transport: n.transport, OpenLink: h.open, Log: n.log,
		Offload: tap.AllOffloads,
		OVS:     ovs.Config{RunDir: run, StateDir: run, Log: n.log},
	})
	n.driver = driver.New(driver.Config{
		EngineID: device.EngineID(key), Store: kept, Plane: n.plane, DeleteLink: netdev.Delete, Log: n.log,
	})
	return n, nil
}

func newClient(service config.Service, book *member.Book, log *logrus.Entry) (*xmpp.Client, error) {
	handler, err := book.Service(service.JID, service.Overlays)
	if err != nil {
		return nil, err
	}
	cas, err := config.ReadCAs(service.CAFile)
	if err != nil {
		return nil, err
	}
	client, err := xmpp.New(xmpp.Config{
		Server: service.Server, JID: service.JID, RootCAs: cas, Log: log,
		Password: func() (string, error) { return config.ReadPassword(service.PasswordFile) },
	}, handler)
	if err != nil {
		return nil, err
	}
	handler.Attach(client)
	return client, nil
}

// run serves until ctx ends.
func (n *node) run(ctx context.Context) error {
	calls, err := socket.Listen(n.settings.Socket)
	if err != nil {
		return err
	}
	told, err := socket.Listen(filepath.Join(n.settings.RunDir, "evio.sock"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	below, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends after the calls
	defer stop()
	group.Go(func() error { return n.plane.Run(below) })
	group.Go(func() error { return unlessEnded(ctx, n.client.Run(ctx)) })
	group.Go(func() error { return n.driver.Serve(calls) })
	n.driver.Start(below)
	server := &http.Server{Handler: http.HandlerFunc(n.tell), ReadHeaderTimeout: time.Second}
	group.Go(func() error { return unlessEnded(ctx, server.Serve(told)) })
	group.Go(func() error {
		<-ctx.Done()
		defer stop()
		return errors.Join(n.driver.Close(context.WithoutCancel(ctx)), server.Close())
	})
	return errors.Join(group.Wait(), n.transport.Close())
}

// unlessEnded leaves out an error that the end of ctx has caused.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// tell answers with the part of the status document that the bench reads.
func (n *node) tell(w http.ResponseWriter, r *http.Request) {
	t := n.transport.Stats()
	_ = json.NewEncoder(w).Encode(status.Document{ // the reader may be gone
		Process: status.ThisProcess(), Networks: n.plane.Networks(r.Context()),
		Transport: status.Transport{
			Port: t.Port, Datagrams: t.Socket.Received, Sent: t.Socket.Sent, Drops: t.Drops,
			SendCalls: t.Socket.SendCalls, ReceiveCalls: t.Socket.ReceiveCalls, Uncut: t.Socket.Uncut,
			Offload: status.TransportOffload{
				UDPSend: status.Offload(t.Offload.Send), UDPReceive: status.Offload(t.Offload.Receive),
				Merge: status.Offload{On: true}, Routes: t.Offload.Refused,
			},
		},
	})
}
