package testbed

import (
	"context"
	"fmt"
)

// Meter counts the packets of one length that come from the internet to a router, and those of them
// that go on into the site.
type Meter struct {
	router *Router
	marks  [2]string // coming, going on
}

const meterMark = "evio-meter-"

// Meter begins to count IP packets of so many bytes. A length has one meter.
func (r *Router) Meter(ctx context.Context, length int) (*Meter, error) {
	if err := r.oneByOne(ctx); err != nil {
		return nil, err
	}
	m := &Meter{r, [2]string{fmt.Sprintf("%s%d-in", meterMark, length), fmt.Sprintf("%s%d-on", meterMark, length)}}
	_, err := r.Script(ctx, fmt.Sprintf(`
%[1]s -t mangle -A PREROUTING -i wan -m length --length %[2]d -m comment --comment %[3]s
%[1]s -t mangle -A POSTROUTING -o lan -m length --length %[2]d -m comment --comment %[4]s`, r.iptables(), length, m.marks[0], m.marks[1]))
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Packets returns how many have come, and how many went on.
func (m *Meter) Packets(ctx context.Context) (came, wentOn uint64, err error) {
	for i, chain := range []string{"PREROUTING", "POSTROUTING"} {
		table, err := m.router.Run(ctx, m.router.iptables(), "-t", "mangle", "-v", "-x", "-n", "-L", chain)
		if err != nil {
			return 0, 0, err
		}
		count, err := counter(table, m.marks[i])
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", m.router.name, err)
		}
		if i == 0 {
			came = count
		} else {
			wentOn = count
		}
	}
	return came, wentOn, nil
}
