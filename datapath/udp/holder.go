package udp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// explain says of an error of bind what to do. The kernel tells whose the socket is that has
// the port, and not which process has it.
func explain(port int, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		held := "another process has it"
		if h, ok := findHolder(port); ok {
			held = fmt.Sprintf("a process of user ID %d has it at %s", h.user, h.at)
		}
		return fmt.Errorf("%w: %s: end that process (ss -lunp 'sport = :%d' names it), or choose another udp_port, or 0 for any free one", err, held, port)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: a port below 1024 needs CAP_NET_BIND_SERVICE, which the managed plugin has: choose another udp_port, or 0 for any free one", err)
	}
	return err
}

// holder is a UDP socket of the kernel's list.
type holder struct {
	user uint32
	at   netip.AddrPort
}

// findHolder looks for the process that has a port, in the network namespace of this process.
func findHolder(port int) (holder, bool) {
	for _, name := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		f, err := os.Open(name) //nolint:gosec // a constant
		if err != nil {
			continue
		}
		h, ok := readHolder(f, port)
		_ = f.Close() // only read from
		if ok {
			return h, true
		}
	}
	return holder{}, false
}

// readHolder finds the first socket of a port in a list as /proc/net/udp has it: a line of
// titles, then one for each socket with "sl local_address rem_address st queues tr:when
// retrnsmt uid …" (proc_pid_net(5)).
func readHolder(list io.Reader, port int) (holder, bool) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		at, ok := parseKernelAddress(fields[1])
		if !ok || int(at.Port()) != port {
			continue
		}
		if user, err := strconv.ParseUint(fields[7], 10, 32); err == nil {
			return holder{uint32(user), at}, true
		}
	}
	return holder{}, false
}

// parseKernelAddress reads ADDRESS:PORT in hexadecimal digits, the address in words of this
// machine's byte order.
func parseKernelAddress(text string) (netip.AddrPort, bool) {
	digits, portDigits, ok := strings.Cut(text, ":")
	b, err := hex.DecodeString(digits)
	port, portErr := strconv.ParseUint(portDigits, 16, 16)
	if !ok || err != nil || portErr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok
}
