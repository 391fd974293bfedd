package network

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/datapath/proof"
	"evio/overlay"
)

// named gives a secret a name in place of what it is stretched to.
func named(names ...string) []proof.Secret {
	var secrets []proof.Secret
	for _, name := range names {
		var s proof.Secret
		copy(s[:], name)
		secrets = append(secrets, s)
	}
	return secrets
}

func raw(secrets []proof.Secret) (out [][]byte) {
	for _, s := range secrets {
		out = append(out, s[:])
	}
	return out
}

// TestSecret: without its secret an overlay gets no session, and one line says so.
func TestSecret(t *testing.T) {
	logger, hook := test.NewNullLogger()
	var content string
	var fault error
	read := func() ([]proof.Secret, error) {
		if content == "" {
			return nil, fault
		}
		return named(content), fault
	}
	p := &Plane{
		secrets:  map[string]func() ([]proof.Secret, error){"blue": read},
		networks: map[string]*network{},
	}
	n := &network{plane: p, log: logger.WithField("network", "n")}
	n.bind()
	p.networks["n"] = n
	var last func() []proof.Secret
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
		{"changed", "blue", "fedcba9876543210", nil, "fedcba9876543210", "the secrets of overlay blue have changed, there are 1 now"},
		{"gone again", "blue", "", errors.New("open s: gone"), "no", "no session opened, trying again"},
		{"back as it was", "blue", "fedcba9876543210", nil, "fedcba9876543210", "the secret of overlay blue can be read again"},
	} {
		hook.Reset()
		content, fault = step.content, step.fault
		var got string
		secrets, err := n.secret.of(step.overlay)
		if secrets != nil {
			last = secrets
			got = strings.TrimRight(string(bytes.Join(raw(secrets()), nil)), "\x00")
		}
		faults := p.Faults()
		if step.want == "no" {
			if secrets != nil || !errors.Is(err, overlay.ErrReported) || step.fault != nil && !errors.Is(err, step.fault) {
				t.Errorf("%s: %q, %v", step.name, got, err)
			}
			if len(faults) != 1 || !strings.HasPrefix(faults[0], "overlay blue gets no new sessions: its secret cannot be read: ") {
				t.Errorf("%s: faults %q", step.name, faults)
			}
			if last != nil && len(last()) == 0 {
				t.Errorf("%s: a session that is up has no secret", step.name)
			}
		} else if got != step.want || err != nil || len(faults) != 0 {
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
