//go:build e2e

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// clean waits until no site has anything left over, and returns how long after the
// fault that was, in milliseconds.
func clean(t *testing.T, d *scenario.Deployment, began time.Time) int64 {
	t.Helper()
	for _, s := range d.Sites {
		await(t, cleaning, func(ctx context.Context) error {
			left, err := s.Leftovers(ctx)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("site %s is not clean: %w", s.Name(), errors.Join(asErrors(left)...))
			}
			return err
		})
	}
	return time.Since(began).Milliseconds()
}

// testLeftovers leaves something at a site and looks whether it is found: else nothing
// would ever be.
func testLeftovers(t *testing.T, s *scenario.Site) {
	_, err := s.Script(within(t, 10*time.Second), `
ip link add evh0123456789 type veth peer name evc0123456789
touch /var/lib/evio/docker/endpoint/left.json
ip netns add left
touch /run/docker/netns/0123456789ab
mount --bind /run/netns/left /run/docker/netns/0123456789ab
nsenter --net=/run/netns/left sleep 60 >/dev/null 2>&1 &`)
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.Leftovers(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(left, "; ")
	for _, want := range []string{"evh0123456789", "evc0123456789", "kind endpoint", "namespaces"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s was not found among %q", want, left)
		}
	}
	_, err = s.Script(within(t, 10*time.Second), `
pkill -f "^sleep 60$" || :
umount /run/docker/netns/0123456789ab
rm -f /run/docker/netns/0123456789ab /var/lib/evio/docker/endpoint/left.json
ip netns delete left
ip link delete evh0123456789 2>/dev/null || : # the plugin may have been faster`)
	if err != nil {
		t.Fatal(err)
	}
}

// cleaning bounds how long something may be left over.
const cleaning = 15 * time.Second

func asErrors(sentences []string) []error {
	errs := make([]error, len(sentences))
	for i, s := range sentences {
		errs[i] = errors.New(s)
	}
	return errs
}
