package confine

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Reach is what a process can reach of the host.
type Reach struct {
	Folders      []Folder // of the host
	Hidden       []string // of these, what something empty is put on; paths on the host
	Namespaces   int      // of networks, that are mounted there
	Capabilities []string // that it has or can get, sorted
	Confined     bool     // it can mount nothing
}

// Folder is one that is mounted.
type Folder struct {
	Path     string // on the host
	Writable bool
}

// Look tells what this process can reach. Without a prefix that is all of the file system
// in which it runs.
func Look(prefix string) (Reach, error) {
	held, err := heldBy()
	if err != nil {
		return Reach{}, err
	}
	r := Reach{Capabilities: held.list(), Confined: !held.has(unix.CAP_SYS_ADMIN)}
	if prefix == "" {
		r.Folders = []Folder{{Path: "/", Writable: true}}
		return r, nil
	}
	all, err := mounts()
	if err != nil {
		return Reach{}, err
	}
	r.add(prefix, all)
	return r, nil
}

func (r *Reach) add(prefix string, all []mount) {
	for _, m := range all {
		at := under(prefix, m.point)
		switch {
		case m.point == prefix || !below(m.point, prefix):
		case m.kind == "nsfs":
			r.Namespaces++
		case m.root == emptyFolder || m.root == emptyFile:
			r.Hidden = append(r.Hidden, at)
		default:
			r.Folders = append(r.Folders, Folder{at, m.writable})
		}
	}
	slices.Sort(r.Hidden)
	slices.SortFunc(r.Folders, func(a, b Folder) int { return strings.Compare(a.Path, b.Path) })
}
