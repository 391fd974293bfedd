package resolver

import (
	"bufio"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// maxLine bounds a line of the hosts file; what follows a longer one is not read.
const maxLine = 1 << 20

// inHosts returns the addresses that the host's hosts file gives a name. A file that
// cannot be read has none, as for every other program of the host.
func (r *Resolver) inHosts(name string) []netip.Addr {
	f, err := r.open(hostsFile)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read from
	return findHost(f, name)
}

// findHost reads a hosts file: an address and its names on each line, # before comments.
// It reads the file line by line, since lists of blocked names are long.
func findHost(file io.Reader, name string) []netip.Addr {
	name = strings.TrimSuffix(name, ".")
	var found []netip.Addr
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(n string) bool {
			return strings.EqualFold(strings.TrimSuffix(n, "."), name)
		}) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil && !slices.Contains(found, a.Unmap()) {
			found = append(found, a.Unmap())
		}
	}
	return found
}
