package network

import (
	"errors"
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/overlay"
)

// TestSecret: without its secret an overlay gets no session, and one line says so.
func TestSecret(t *testing.T) {
	logger, hook := test.NewNullLogger()
	var content string
	var fault error
	p := &Plane{
		secrets:  map[string]func() ([]byte, error){"blue": func() ([]byte, error) { return []byte(content), fault }},
		networks: map[string]*network{},
	}
	n := &network{plane: p, log: logger.WithField("network", "n")}
	p.networks["n"] = n
	for _, step := range []struct {
		name, overlay, content string
		fault                  error
		want                   string
		logged                 string
	}{
		{"another overlay", "green", "", nil, "", ""},
		{"gone", "blue", "", errors.New("open s: gone"), "no", "no session opened, trying again"},
		{"still gone", "blue", "", errors.New("open s: gone"), "no", ""},
		{"empty", "blue", "", nil, "no", "no session opened, trying again"},
		{"there", "blue", "0123456789abcdef", nil, "0123456789abcdef", "the secret of overlay blue can be read again"},
		{"changed", "blue", "fedcba9876543210", nil, "fedcba9876543210", ""},
	} {
		hook.Reset()
		content, fault = step.content, step.fault
		got, err := n.secret(step.overlay)
		faults := p.Faults()
		if step.want == "no" {
			if got != nil || !errors.Is(err, overlay.ErrReported) || step.fault != nil && !errors.Is(err, step.fault) {
				t.Errorf("%s: %q, %v", step.name, got, err)
			}
			if len(faults) != 1 || !strings.HasPrefix(faults[0], "overlay blue gets no new sessions: its secret cannot be read: ") {
				t.Errorf("%s: faults %q", step.name, faults)
			}
		} else if string(got) != step.want || err != nil || len(faults) != 0 {
			t.Errorf("%s: %q, %v, faults %q", step.name, got, err, faults)
		}
		var logged string
		for _, e := range hook.AllEntries() {
			logged += e.Message
			if s, err := e.String(); err != nil || strings.Contains(s, "0123") {
				t.Errorf("%s: logged %q, %v", step.name, s, err)
			}
		}
		if logged != step.logged {
			t.Errorf("%s: logged %q", step.name, logged)
		}
	}
}
