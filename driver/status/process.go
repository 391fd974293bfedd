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
// report stays zero.
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
		if resident, err := residentBytes(b, int64(os.Getpagesize())); err == nil {
			p.ResidentBytes = resident
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

// residentBytes reads the second field of /proc/PID/statm, proc(5): resident pages,
// of pageSize bytes each. It returns zero with every error.
func residentBytes(statm []byte, pageSize int64) (int64, error) {
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has %d fields, want 7", len(fields))
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("statm: resident pages: %w", err)
	}
	if pages < 0 || pages > math.MaxInt64/pageSize {
		return 0, fmt.Errorf("statm: %d resident pages are no count", pages)
	}
	return pages * pageSize, nil
}
