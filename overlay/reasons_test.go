package overlay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Why there is no session is in the status; that the secrets differ is in the log too,
// whichever way it comes out, but not at each attempt of a minute.
func TestDifferingSecretsAreTold(t *testing.T) {
	secrets := fmt.Errorf("%w: compare the overlay's secret on both nodes", ErrSecret)
	for name, set := range map[string]func(*wire, error){
		"when it is connected": func(w *wire, err error) { w.refused = err },
		"when its time is up": func(w *wire, err error) {
			if w.timeout = err; err == nil {
				w.timeout = errTimeout
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 2)
				a, b := l.sites[0], l.sites[1]
				change := func(cut bool, err error) {
					l.wire.setCut(a.id, b.id, cut)
					l.wire.mu.Lock()
					defer l.wire.mu.Unlock()
					set(l.wire, err)
				}
				change(true, secrets)
				pass(time.Minute)
				told := a.log.with(secrets.Error())
				if len(told) == 0 || len(told) > 6 || !strings.Contains(told[0], "level=warning") || !strings.Contains(told[0], b.jid) {
					t.Errorf("the log has %q", told)
				}
				if m := a.status().Members; len(m) != 1 || !errors.Is(m[0].Err, ErrSecret) {
					t.Errorf("status %+v", m)
				}
				change(false, nil)
				l.until("connected", l.connected)
			})
		})
	}
}
