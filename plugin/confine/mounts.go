package confine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
)

// mount is one of a mount namespace.
type mount struct {
	root     string // of it, in its file system
	point    string // where it is, as this process sees it
	kind     string // of its file system
	writable bool
}

// mounts lists those of this thread, in the order in which they were made.
func mounts() ([]mount, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	all, err := parseMounts(f)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return all, nil
}

// parseMounts reads lines of proc_pid_mountinfo(5); what has another form is left out.
func parseMounts(list io.Reader) ([]mount, error) {
	var all []mount
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		place, rest, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(place), strings.Fields(rest)
		if !ok || len(before) < 6 || len(after) < 1 {
			continue
		}
		flags := "," + before[5] + ","
		all = append(all, mount{
			root: unescape(before[3]), point: unescape(before[4]), kind: after[0],
			writable: strings.Contains(flags, ",rw,"),
		})
	}
	return all, lines.Err()
}

// unescape undoes the kernel's writing of blanks and backslashes: three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// below reports whether p is dir or lies in it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// under returns what a path below the prefix is called on the host.
func under(prefix, p string) string { return path.Clean("/" + strings.TrimPrefix(p, prefix)) }
