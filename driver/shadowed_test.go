package driver_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestShadowedName: a plugin that is itself named evio keeps Docker from finding the
// driver by that name, which is a fault for as long as it is so.
func TestShadowedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.names = []string{"evio", "evio:latest"}
		d := r.prepare()
		d.Start(t.Context())
		shadowed := func() bool {
			return slices.ContainsFunc(d.Faults(), func(f string) bool {
				return strings.Contains(f, "does not find this driver by -d evio:") && strings.Contains(f, "--alias evionet")
			})
		}
		for _, c := range []struct {
			plugins []string
			want    bool
		}{
			{nil, false},
			{[]string{"evionet:latest", "host/evio:latest", "evio:1"}, false},
			{[]string{"other:latest", "evio:latest"}, true},
			{[]string{"other:latest"}, false},
		} {
			r.engine.Install(c.plugins...)
			<-time.After(2 * time.Minute) // a look is over
			if shadowed() != c.want {
				t.Errorf("plugins %q: faults %q", c.plugins, d.Faults())
			}
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
