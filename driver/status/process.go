package status

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
)

const (
	descriptors = "/proc/self/fd"
	tunDevice   = "/dev/net/tun"
)

// ThisProcess returns the figures of the calling process. What the kernel does not
// tell stays zero.
func ThisProcess() Process {
	p := Process{Goroutines: runtime.NumGoroutine(), HeapBytes: liveHeap()}
	if fds, err := os.ReadDir(descriptors); err == nil {
		p.Descriptors = len(fds) - 1 // one is the folder being read
		for _, fd := range fds {
			// One that is not attached to a device is gone in a moment.
			if target, err := os.Readlink(filepath.Join(descriptors, fd.Name())); err == nil && target == tunDevice {
				p.TAPs++
			}
		}
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if pages, err := residentPages(b); err == nil {
			p.ResidentBytes = pages * int64(os.Getpagesize())
		}
	}
	return p
}

// liveHeap returns the bytes of objects that the last garbage collection left.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(min(sample[0].Value.Uint64(), math.MaxInt64))
}

// residentPages reads the second field of /proc/PID/statm, proc(5).
func residentPages(statm []byte) (int64, error) {
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has %d fields, want 7", len(fields))
	}
	return strconv.ParseInt(string(fields[1]), 10, 64)
}
