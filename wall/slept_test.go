package wall_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"evio/wall"
)

// TestSlept: what the monotonic clock shows and what it left out while the machine slept make
// the time since it was booted, as the kernel tells it.
func TestSlept(t *testing.T) {
	monotonic := func() time.Duration {
		var at unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
			t.Fatal(err)
		}
		return time.Duration(at.Nano())
	}
	before := monotonic()
	slept := wall.Slept()
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	after := monotonic()
	seconds, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	const cut = 10 * time.Millisecond // of the file
	up := time.Duration(seconds * float64(time.Second))
	if least, most := before+slept-cut, after+slept+(after-before)+cut; up < least || up > most {
		t.Errorf("up for %v, want %v to %v, of which it slept %v", up, least, most, slept)
	}
}
