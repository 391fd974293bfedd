package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"
)

// serveControl answers HTTP on a unix socket until ctx ends: the hand of a test on a program that
// goes on running.
func serveControl(ctx context.Context, socket string, routes map[string]func(*http.Request) (any, error)) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for pattern, act := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := act(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				fmt.Fprintln(os.Stderr, "probe:", err)
			}
		})
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// request reads what a test wants.
func request[T any](r *http.Request) (T, error) {
	var wanted T
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &wanted)
	}
	return wanted, err
}
