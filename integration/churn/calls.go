//go:build e2e

package churn

import (
	"fmt"
	"slices"
	"testing"

	"evio/driver/status"
	"evio/integration/scenario"
)

// call is what the plugin reports about a method.
func call(t *testing.T, s *scenario.Site, method string) status.Call {
	t.Helper()
	calls := scenario.Document(t, s).Calls
	at := slices.IndexFunc(calls, func(c status.Call) bool { return c.Method == method })
	if at < 0 {
		t.Fatalf("%s was never called", method)
	}
	return calls[at]
}

func described(c status.Call) string {
	return fmt.Sprintf("%s by the plugin's own count: %d calls, half within %.1f ms, 99%% %.1f ms, all %.1f ms",
		c.Method, c.Total, c.P50Millis, c.P99Millis, c.LongestMillis)
}
