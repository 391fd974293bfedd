package tap

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenRefuses(t *testing.T) {
	_, err := Open(Config{Name: "a-name-that-is-too-long", MTU: 7})
	if err == nil || !strings.Contains(err.Error(), "at most 15 bytes") || !strings.Contains(err.Error(), "MTU 7") {
		t.Error(err)
	}
}
