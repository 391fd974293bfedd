package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

func tcpEcho(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("tcp-echo", flag.ContinueOnError)
	listen := flags.String("listen", ":7", "local `address:port`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	if err := out.print(listening{listener.Addr().String()}); err != nil {
		return err
	}
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		connections.Go(func() { // ends with the connection, or with ctx
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			_, _ = io.Copy(conn, conn) // a client that goes away is no fault of ours
			_ = conn.Close()
		})
	}
}

func tcpCheck(ctx context.Context, _ *printer, args []string) error {
	if len(args) != 1 {
		return errors.New("give one ADDRESS:PORT")
	}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	return conn.Close()
}

func httpServe(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("http-serve", flag.ContinueOnError)
	listen := flags.String("listen", ":80", "local `address:port`, or unix:PATH")
	body := flags.String("body", "probe\n", "the answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	network, address := "tcp", *listen
	if file, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", file
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Probe-Client", r.RemoteAddr)
			_, _ = io.WriteString(w, *body) // a client that goes away is no fault of ours
		}),
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := out.print(listening{listener.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func httpGet(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("http-get", flag.ContinueOnError)
	wait := flags.Duration("for", 10*time.Second, "time-out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("give one URL")
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, flags.Arg(0), http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	return out.print(struct {
		Status int    `json:"status"`
		Client string `json:"client,omitempty"` // our address as an http-serve saw it
		Body   string `json:"body"`
	}{response.StatusCode, response.Header.Get("X-Probe-Client"), string(body)})
}
