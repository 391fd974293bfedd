package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"
	"github.com/docker/go-plugins-helpers/sdk"
	"github.com/sirupsen/logrus"
)

const (
	// manifest answers Plugin.Activate, which only sockets outside a managed
	// plugin get.
	manifest = `{"Implements": ["NetworkDriver"]}`

	maxBody = 1 << 20

	createNetworkTimeout = 20 * time.Second
	// joinTimeout leaves time for fifty at once on two processors, where the kernel's
	// lock of devices is what all wait for.
	joinTimeout = 20 * time.Second
	callTimeout = 10 * time.Second
	// slowCall is the duration from which a call is worth a line for the operator.
	slowCall = time.Second
)

type empty struct{}

// newHandler registers the calls of the remote driver API.
func (d *Driver) newHandler() sdk.Handler {
	h := sdk.NewHandler(manifest)
	h.HandleFunc("/NetworkDriver.GetCapabilities", handle(d, "GetCapabilities", callTimeout, true, d.getCapabilities))
	h.HandleFunc("/NetworkDriver.AllocateNetwork", handle(d, "AllocateNetwork", callTimeout, false, d.AllocateNetwork))
	h.HandleFunc("/NetworkDriver.FreeNetwork", handle(d, "FreeNetwork", callTimeout, false, nothing[docker.FreeNetworkRequest]))
	h.HandleFunc("/NetworkDriver.CreateNetwork", handle(d, "CreateNetwork", createNetworkTimeout, false, noReply(d.CreateNetwork)))
	h.HandleFunc("/NetworkDriver.DeleteNetwork", handle(d, "DeleteNetwork", callTimeout, false, noReply(d.DeleteNetwork)))
	h.HandleFunc("/NetworkDriver.CreateEndpoint", handle(d, "CreateEndpoint", callTimeout, false, d.CreateEndpoint))
	h.HandleFunc("/NetworkDriver.DeleteEndpoint", handle(d, "DeleteEndpoint", callTimeout, false, noReply(d.DeleteEndpoint)))
	h.HandleFunc("/NetworkDriver.EndpointOperInfo", handle(d, "EndpointOperInfo", callTimeout, false, d.EndpointOperInfo))
	h.HandleFunc("/NetworkDriver.Join", handle(d, "Join", joinTimeout, false, d.Join))
	h.HandleFunc("/NetworkDriver.Leave", handle(d, "Leave", callTimeout, false, noReply(d.Leave)))
	h.HandleFunc("/NetworkDriver.DiscoverNew", handle(d, "DiscoverNew", callTimeout, false, nothing[docker.DiscoveryNotification]))
	h.HandleFunc("/NetworkDriver.DiscoverDelete", handle(d, "DiscoverDelete", callTimeout, false, nothing[docker.DiscoveryNotification]))
	h.HandleFunc("/NetworkDriver.ProgramExternalConnectivity",
		handle(d, "ProgramExternalConnectivity", callTimeout, false, nothing[docker.ProgramExternalConnectivityRequest]))
	h.HandleFunc("/NetworkDriver.RevokeExternalConnectivity",
		handle(d, "RevokeExternalConnectivity", callTimeout, false, nothing[docker.RevokeExternalConnectivityRequest]))
	return h
}

// nothing answers calls that ask nothing of this driver: Docker reports other swarm
// nodes though evio finds its own peers, and published ports though Docker itself connects
// containers to the outside.
func nothing[Req any](context.Context, *Req) (empty, error) { return empty{}, nil }

func noReply[Req any](call func(context.Context, *Req) error) func(context.Context, *Req) (empty, error) {
	return func(ctx context.Context, req *Req) (empty, error) { return empty{}, call(ctx, req) }
}

// getCapabilities is what an engine asks when it starts, and all that it asks if its
// containers have outlived it.
func (d *Driver) getCapabilities(context.Context, *empty) (docker.CapabilitiesResponse, error) {
	d.watch.forgetVersion()
	select {
	case d.watch.activity <- struct{}{}:
	default:
	}
	return docker.CapabilitiesResponse{Scope: docker.LocalScope, ConnectivityScope: docker.GlobalScope}, nil
}

// AllocateNetwork returns the options it was given: in a swarm they replace the
// user's.
func (d *Driver) AllocateNetwork(_ context.Context, req *docker.AllocateNetworkRequest) (*docker.AllocateNetworkResponse, error) {
	options := req.Options
	if options == nil {
		options = map[string]string{}
	}
	return &docker.AllocateNetworkResponse{Options: options}, nil
}

// handle is what every call goes through: read, count in, call with a deadline and with
// panics caught, answer, count out, log. An empty body is Docker's retry of a call
// whose body it has already spent: an error without any effect.
func handle[Req, Resp any](d *Driver, method string, limit time.Duration, emptyBody bool,
	call func(context.Context, *Req) (Resp, error),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// A caller that sends half of a request does not delay a shutdown.
		var req Req
		ids, err := decode(w, r, emptyBody, &req)
		if !d.calls.enter() {
			reply(w, http.StatusServiceUnavailable, docker.NewErrorResponse("evio is stopping: try again when it runs"))
			return
		}
		began := time.Now()
		code := http.StatusOK
		defer func() { d.calls.leave(method, time.Since(began), code != http.StatusOK) }()
		if err != nil {
			code = http.StatusBadRequest
			err = fmt.Errorf("%s: %w", method, err)
			reply(w, code, docker.NewErrorResponse(sentence(err)))
			d.logCall(method, ids, time.Since(began), err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		resp, err := guarded(ctx, d.log, method, &req, call)
		if err != nil {
			code = http.StatusInternalServerError
			reply(w, code, docker.NewErrorResponse(sentence(err)))
		} else {
			reply(w, code, resp)
		}
		d.logCall(method, ids, time.Since(began), err)
	}
}

// callIDs is what nearly every request has.
type callIDs struct{ NetworkID, EndpointID string }

// decode reads the whole body: only then does the server notice that the caller
// goes away.
func decode(w http.ResponseWriter, r *http.Request, emptyBody bool, req any) (callIDs, error) {
	var ids callIDs
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return ids, fmt.Errorf("read the request: %w", err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if emptyBody {
			return ids, nil
		}
		return ids, errors.New("the request has no body: try again")
	}
	if err := json.Unmarshal(body, req); err != nil {
		return ids, fmt.Errorf("the request is not what Docker sends: %w", err)
	}
	// Requests without these fields leave them empty.
	_ = json.Unmarshal(body, &ids)
	return ids, nil
}

// guarded turns a panic into an error; the calls' own deferred undo has run then.
func guarded[Req, Resp any](ctx context.Context, log *logrus.Entry, method string, req *Req,
	call func(context.Context, *Req) (Resp, error),
) (resp Resp, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.WithField("call", method).Errorf("panic: %v\n%s", p, debug.Stack())
			err = fmt.Errorf("internal error in %s: see the log of the plugin", method)
		}
	}()
	return call(ctx, req)
}

// reply writes the whole answer before it returns, so that Close loses none.
func reply(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"Err":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", sdk.DefaultContentTypeV1_1)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	// A caller that went away is noticed by its context, not here.
	_, _ = w.Write(b)
	_ = http.NewResponseController(w).Flush()
}

func (d *Driver) logCall(method string, ids callIDs, took time.Duration, err error) {
	log := d.log.WithFields(logrus.Fields{"call": method, "took": took.Round(time.Microsecond).String()})
	if ids.NetworkID != "" {
		log = log.WithField("network", short(ids.NetworkID))
	}
	if ids.EndpointID != "" {
		log = log.WithField("endpoint", short(ids.EndpointID))
	}
	switch {
	case err != nil:
		log.WithError(err).Warn("call refused")
	case took >= slowCall:
		log.Warn("call was slow")
	default:
		log.Debug("call answered")
	}
}
