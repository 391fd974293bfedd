package status

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
)

// ThisProcess returns the figures of the calling process. What the kernel does not
// tell stays zero.
func ThisProcess() Process {
	p := Process{Goroutines: runtime.NumGoroutine()}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Descriptors = len(fds) - 1 // one is the folder being read
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if pages, err := residentPages(b); err == nil {
			p.ResidentBytes = pages * int64(os.Getpagesize())
		}
	}
	return p
}

// residentPages reads the second field of /proc/PID/statm, proc(5).
func residentPages(statm []byte) (int64, error) {
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has %d fields, want 7", len(fields))
	}
	return strconv.ParseInt(string(fields[1]), 10, 64)
}
