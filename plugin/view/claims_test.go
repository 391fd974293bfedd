package view

import (
	"bytes"
	"strings"
	"testing"

	"evio/driver/status"
)

// A row names the container, what it announces, and the other container.
func TestClaimsAreTold(t *testing.T) {
	var out bytes.Buffer
	err := Print(&out, status.Document{Networks: []status.Network{{Name: "blue", Endpoints: []status.Endpoint{{
		MAC: "02:00:00:00:00:01", Claims: []status.Claim{
			{Address: "10.1.0.200", MAC: "02:00:00:00:00:01", State: status.ClaimHas},
			{Address: "10.1.0.201", MAC: "02:00:00:00:00:01", State: status.ClaimHeld, Container: "02:00:00:00:00:02 (10.1.0.2) of b@example.org"},
			{MAC: "00:00:5e:00:01:33", State: status.ClaimHas},
		},
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"02:00:00:00:00:01", "10.1.0.200", "claimed"},
		{"02:00:00:00:00:01", "10.1.0.201", "held", "02:00:00:00:00:02 (10.1.0.2) of b@example.org"},
		{"02:00:00:00:00:01", "00:00:5e:00:01:33", "claimed"},
	} {
		found := false
		for line := range strings.Lines(out.String()) {
			there := true
			for _, w := range want {
				there = there && strings.Contains(line, w)
			}
			found = found || there
		}
		if !found {
			t.Errorf("no line has %q:\n%s", want, &out)
		}
	}
}
