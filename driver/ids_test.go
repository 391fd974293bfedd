package driver

import (
	"strings"
	"testing"
)

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "ab12", strings.Repeat("f", maxID), "ü"} {
		if err := checkID("network", id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for id, want := range map[string]string{
		"": "names no network", "a/b": "a slash", strings.Repeat("f", maxID+1): "at most 256", "a\xff": "not UTF-8", "\ufffd": "not UTF-8",
	} {
		if err := checkID("network", id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
}
