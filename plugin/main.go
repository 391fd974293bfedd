// Command evio is a network driver for Docker whose networks span engines at
// different sites.
//
//	evio plugin                 serves the engine until SIGTERM or SIGINT
//	evio status [--json]        prints the state of the plugin
//	evio peers list             prints the accounts whose identity is pinned
//	evio peers accept ACCOUNT IDENTITY
//	                            pins the new identity that the account shows
//	evio peers forget ACCOUNT   removes the pin: the identity that it shows now, or next, is pinned
//	evio version                prints the version
//	evio help                   prints these, as does evio alone
//
// The package opens sockets, reads settings and puts the parts together (wire.go);
// what the driver does lies below it. Commands ask the process that serves.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"evio/driver/socket"
	"evio/plugin/config"
)

// shutdownLimit is how long the parts have to end after a signal. The engine kills
// a plugin 10 s after SIGTERM.
const shutdownLimit = 9 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errDegraded) { // its reasons have been printed
		fmt.Fprintln(os.Stderr, "evio:", err)
	}
	os.Exit(exitCode(err))
}

// serve reads the settings and opens the sockets before any part starts, since an
// engine that finds nobody there at its start leaves the plugin disabled. A fault in
// the settings is no reason to end: the engine would start the process again and
// again, and nobody would be told.
//
// Before that, and so before it hears of anybody, a managed plugin gives up what it does not
// use, which runs the program anew.
//
// A state folder that could not be used at the start is tried again, and everything is made
// anew when it can be.
func serve(ctx context.Context, getenv func(string) string, out io.Writer) error {
	events := &lastErrors{}
	for {
		if err := serveOnce(ctx, getenv, events, out); !errors.Is(err, errMended) {
			return err
		}
	}
}

func serveOnce(ctx context.Context, getenv func(string) string, events *lastErrors, out io.Writer) (err error) {
	s, faults := config.Load(getenv)
	log, err := newLogger(out, s.Log)
	if err != nil {
		return err
	}
	log.Logger.AddHook(events)
	unconfined := confined(s)
	managed, err := socket.Listen(s.Socket)
	if err != nil {
		return err
	}
	listeners := []net.Listener{managed}
	defer func() { err = errors.Join(err, closeAll(listeners)) }()
	v1, v1Err := listenV1(s.HostPath(s.Docker.PluginDir), s.V1Names, s.Socket)
	listeners = append(listeners, v1...)

	log.Infof("evio %s serves %s and the names %v", version(), s.Socket, s.V1Names)
	if v1Err != nil {
		log.WithError(v1Err).Error("not every name can be served; what works is the plugin's own, such as -d evionet:latest")
		s.V1Names = nil // others may serve them
	}
	report(log, s, faults)
	if unconfined != nil {
		log.Error(unconfined)
	}
	return wire(ctx, s, startFaults{faults, unconfined}, events, listeners, log)
}

// bounded runs f and gives it limit to return once ctx has ended.
func bounded(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }() // ends with the process if f does not
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("shutdown took more than %v and was cut off", limit)
	}
}

// version returns what the Go toolchain recorded about the source tree.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}
