package view

import (
	"strings"

	"evio/driver/status"
)

// reach is what the process could do to the host.
func (p *page) reach(r status.Reach) {
	var read, written []string
	for _, f := range r.Folders {
		if f.Writable {
			written = append(written, f.Path)
		} else {
			read = append(read, f.Path)
		}
	}
	for _, row := range []struct {
		label string
		what  []string
	}{
		{"capabilities: ", r.Capabilities}, {"folders of the host, to write: ", written}, {"to read: ", read}, {"without: ", r.Hidden},
	} {
		if len(row.what) > 0 {
			p.sentence(row.label, strings.Join(row.what, ", "))
		}
	}
	if r.Namespaces > 0 {
		p.line("network namespaces of containers: %d", r.Namespaces)
	}
	if r.Error != "" {
		p.sentence("what the process can reach: ", "not known: "+r.Error)
	}
}
