package scenario

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"evio/driver/status"
)

// StatusAfterGC is Status, and the plugin collects its garbage first: what its document calls
// the heap in use is of now.
func (s *Site) StatusAfterGC(ctx context.Context) (status.Document, error) {
	fail := func(err error) (status.Document, error) {
		return status.Document{}, fmt.Errorf("site %s: status after a garbage collection: %w", s.Name(), err)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.EvioStatus())
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://evio/status?gc=1", http.NoBody)
	if err != nil {
		return fail(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fail(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("%s: %s", resp.Status, text))
	}
	d, err := status.Decode(text)
	if err != nil {
		return fail(err)
	}
	return d, nil
}
