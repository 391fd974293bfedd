package netdev

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"eth0":             "",
		"fifteen-bytes-x":  "",
		"sixteen-bytes-xx": "at most 15 bytes",
		"":                 "1 to 15",
		".":                "1 to 15",
		"a b":              "letters, digits",
		"a/b":              "letters, digits",
		"a:b":              "letters, digits",
		"a%d":              "letters, digits",
		"ü":                "letters, digits",
	} {
		err := CheckName(name)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckMTU(t *testing.T) {
	for mtu, ok := range map[int]bool{67: false, 68: true, 1400: true, 65521: true, 65522: false, -1: false} {
		if err := CheckMTU(mtu); (err == nil) != ok {
			t.Errorf("%d: %v", mtu, err)
		}
	}
}

func TestCreateVethRefuses(t *testing.T) {
	err := CreateVeth("a-name-that-is-too-long", "", 10, MAC{1})
	if err == nil {
		t.Fatal("everything is wrong and nothing is said")
	}
	for _, want := range []string{"at most 15 bytes", "1 to 15", "MTU 10", "01:00:00:00:00:00: use a unicast"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\n%v", want, err)
		}
	}
}
