package drops

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryCauseHasItsOwnName(t *testing.T) {
	seen := make(map[string]Cause)
	for c := range Causes {
		name := c.String()
		if name == "" {
			t.Errorf("cause %d has no name", c)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("causes %d and %d are both %q", other, c, name)
		}
		seen[name] = c
	}
	if got := Causes.String(); got != "unknown" {
		t.Errorf("name of no cause = %q, want unknown", got)
	}
}

func TestMapHoldsOnlyWhatOccurred(t *testing.T) {
	var c Counters
	c.Add(RecordForged)
	c.AddN(STUNQueue, 3)
	want := map[string]uint64{"record_forged": 1, "stun_queue": 3}
	if diff := cmp.Diff(want, c.Map()); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
	if got := c.Get(STUNQueue); got != 3 {
		t.Errorf("count = %d, want 3", got)
	}
}
