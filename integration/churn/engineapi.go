//go:build e2e

package churn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// engineAPI calls a site's engine without the docker command, since fifty of it at once would be
// most of the work.
type engineAPI struct {
	site   *scenario.Site
	client *http.Client
}

func newEngineAPI(t *testing.T, s *scenario.Site) engineAPI {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.Path("/run/docker.sock"))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return engineAPI{s, &http.Client{Transport: transport}}
}

// call makes one request; any answer but success is an error.
func (e engineAPI) call(ctx context.Context, method, path string, body any) error {
	fail := func(err error) error { return fmt.Errorf("site %s: %s %s: %w", e.site.Name(), method, path, err) }
	text, err := json.Marshal(body)
	if err != nil {
		return fail(err)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, bytes.NewReader(text))
	if err != nil {
		return fail(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return fail(err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if response.StatusCode/100 != 2 {
		err = errors.Join(fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(answer)), err)
	}
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fail(err)
	}
	return nil
}

// run is docker run -d --init.
func (e engineAPI) run(ctx context.Context, name, network string) error {
	err := e.call(ctx, http.MethodPost, "/containers/create?name="+name, map[string]any{
		"Image": testbed.Image, "Cmd": []string{"sleep", "infinity"},
		"HostConfig": map[string]any{"Init": true, "NetworkMode": network},
	})
	if err != nil {
		return err
	}
	return e.call(ctx, http.MethodPost, "/containers/"+name+"/start", nil)
}

// remove is docker rm -f.
func (e engineAPI) remove(ctx context.Context, name string) error {
	return e.call(ctx, http.MethodDelete, "/containers/"+name+"?force=1", nil)
}

// connect is docker network connect.
func (e engineAPI) connect(ctx context.Context, network, container string) error {
	return e.call(ctx, http.MethodPost, "/networks/"+network+"/connect", map[string]any{"Container": container})
}

// disconnect is docker network disconnect.
func (e engineAPI) disconnect(ctx context.Context, network, container string) error {
	return e.call(ctx, http.MethodPost, "/networks/"+network+"/disconnect", map[string]any{"Container": container})
}
