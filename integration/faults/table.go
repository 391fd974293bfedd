//go:build e2e

package faults

import (
	"encoding/json"
	"os"
	"testing"

	"evio/integration/scenario"
)

// recoveryFile is where the times are kept.
var recoveryFile = scenario.Repository("dist/recovery.json")

type mendings []scenario.Mending

// write prints the table and keeps it.
func (r mendings) write(t *testing.T) {
	t.Helper()
	for _, row := range r {
		t.Logf("| %s | %.1f | %.1f |", row.Fault, float64(row.Recovery)/1000, float64(row.Outage)/1000)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(recoveryFile, append(b, '\n'), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
