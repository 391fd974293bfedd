//go:build component

package netdev

import (
	"strings"
	"testing"
)

func TestDevicesBearMarks(t *testing.T) {
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	for _, mark := range []string{"", "a\x00b", strings.Repeat("x", MaxMark+1)} {
		if err := Mark("host0", mark); err == nil {
			t.Errorf("marked with %q", mark)
		}
	}
	mark := strings.Repeat("x", MaxMark)
	if err := Mark("host0", mark); err != nil {
		t.Fatal(err)
	}
	all, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	index, err := Index("host0")
	if want := (Device{Name: "host0", Index: index, MTU: 1400, Ready: true, Mark: mark}); err != nil || all["host0"] != want {
		t.Errorf("device %+v, want %+v, %v", all["host0"], want, err)
	}
	if d := all["cont0"]; d.Ready || d.Mark != "" || d.Index == 0 {
		t.Errorf("the container's end: %+v", d)
	}
}

// A device that has taken the name of one that was to be deleted stays.
func TestDeleteExact(t *testing.T) {
	create := func() Device {
		if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
			t.Fatal(err)
		}
		all, err := Devices()
		if err != nil {
			t.Fatal(err)
		}
		return all["host0"]
	}
	old := create()
	later := create()
	for range 2 {
		if err := DeleteExact(old); err != nil {
			t.Error(err)
		}
	}
	if index, err := Index("host0"); err != nil || index != later.Index {
		t.Errorf("device %d, %v, want %d", index, err, later.Index)
	}
	if err := DeleteExact(later); err != nil {
		t.Error(err)
	}
	if index, err := Index("host0"); err != nil || index != 0 {
		t.Errorf("device %d is left, %v", index, err)
	}
}
