package wall

import (
	"time"

	"golang.org/x/sys/unix"
)

// Slept returns for how long this machine has slept since it was booted. The monotonic
// reading of time.Now leaves that out (clock_gettime(2)).
func Slept() time.Duration {
	booted := clock(unix.CLOCK_BOOTTIME)
	return booted - clock(unix.CLOCK_MONOTONIC)
}

// clock returns what a clock shows. All kernels that the plugin runs on have those asked
// for, so it does not fail.
func clock(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t)
	return time.Duration(t.Nano())
}
