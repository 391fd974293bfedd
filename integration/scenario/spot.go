package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/testbed"
)

// Spot is a running container on a network.
type Spot struct {
	Site      *Site
	Container string
	PID       int // of its first process, as the site sees it
	Addresses []string
}

// Spot looks up a container; one that does not run, or is not on the network, is an
// error.
func (s *Site) Spot(ctx context.Context, container, network string) (Spot, error) {
	format := fmt.Sprintf("{{.State.Running}} {{.State.Pid}}{{with index .NetworkSettings.Networks %q}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}", network)
	out, err := s.Docker(ctx, "inspect", "--format", format, container)
	if err != nil {
		return Spot{}, err
	}
	fields := strings.Fields(out)
	if len(fields) != 4 || fields[0] != "true" {
		return Spot{}, fmt.Errorf("site %s: container %s does not run on network %s: %s", s.Name(), container, network, out)
	}
	pid, err := strconv.Atoi(fields[1])
	if err != nil {
		return Spot{}, fmt.Errorf("site %s: container %s: %w", s.Name(), container, err)
	}
	return Spot{Site: s, Container: container, PID: pid, Addresses: fields[2:]}, nil
}

// Inside is a command line for the site's host that runs a program of the host in the
// container's network and process namespaces, so without the engine. The program ends
// with the container.
func (s Spot) Inside(args ...string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(s.PID), "--net", "--pid"}, args...)
}

// pings pings each address until one answer has come, and prints when that was, in
// nanoseconds. An error of the kernel, such as that there is no route, ends one ping.
const pings = `
seconds=$1; shift
for to; do
  (
    until ping -q -n -c 1 -w "$seconds" -i 0.1 "$to" >/dev/null 2>&1; do sleep 0.05; done
    echo "$to $(date +%s%N)"
  ) &
done
wait`

// FirstAnswers pings the addresses from the container until each has answered once,
// and returns when they did. When the context ends before, the error names those that
// did not.
func (s Spot) FirstAnswers(ctx context.Context, to []string) (map[string]time.Time, error) {
	command := []string{"nsenter", "--target", strconv.Itoa(s.PID), "--net", "sh", "-c", pings, "pings", "30"}
	out, err := s.Site.Run(ctx, append(command, to...)...)
	answers := map[string]time.Time{}
	for line := range strings.Lines(out) {
		address, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		if ns, err := strconv.ParseInt(at, 10, 64); err == nil {
			answers[address] = time.Unix(0, ns)
		}
	}
	var silent []string
	for _, address := range to {
		if _, ok := answers[address]; !ok {
			silent = append(silent, address)
		}
	}
	if len(silent) > 0 {
		return answers, fmt.Errorf("site %s, container %s: no answer from %v: %w", s.Site.Name(), s.Container, silent, err)
	}
	return answers, nil
}

// Matrix pings all addresses of every spot from every other one until each has
// answered once, and returns when the last answer came, for each spot that pings.
func Matrix(ctx context.Context, spots []Spot) (map[string]time.Time, error) {
	var (
		group errgroup.Group
		mu    sync.Mutex
		last  = map[string]time.Time{}
	)
	for _, from := range spots {
		var to []string
		for _, other := range spots {
			if other.Container != from.Container {
				to = append(to, other.Addresses...)
			}
		}
		group.Go(func() error {
			answers, err := from.FirstAnswers(ctx, to)
			mu.Lock()
			defer mu.Unlock()
			for at := range maps.Values(answers) {
				if at.After(last[from.Container]) {
					last[from.Container] = at
				}
			}
			return err
		})
	}
	return last, group.Wait()
}

// Steady pings every spot's addresses from every other one for about a second; an
// answer that is missing is an error.
func Steady(ctx context.Context, spots []Spot) error {
	const script = `
failed=
for to; do ping -q -n -c 5 -i 0.2 -W 1 "$to" >"/tmp/steady-$$-$to" & done
wait
for to; do
  grep -q ' 5 received' "/tmp/steady-$$-$to" || { failed=1; echo "$to: $(grep -e received "/tmp/steady-$$-$to")" >&2; }
  rm -f "/tmp/steady-$$-$to"
done
[ ! "$failed" ]`
	var group errgroup.Group
	for _, from := range spots {
		command := []string{"nsenter", "--target", strconv.Itoa(from.PID), "--net", "sh", "-c", script, "steady"}
		for _, other := range spots {
			if other.Container != from.Container {
				command = append(command, other.Addresses...)
			}
		}
		group.Go(func() error {
			_, err := from.Site.Run(ctx, command...)
			if failed, ok := errors.AsType[*testbed.CommandError](err); ok && ctx.Err() == nil {
				err = errors.New(failed.Stderr) // without the script
			}
			if err != nil {
				return fmt.Errorf("site %s, container %s: pings were lost: %w", from.Site.Name(), from.Container, err)
			}
			return nil
		})
	}
	return group.Wait()
}
