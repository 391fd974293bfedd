package confine

import (
	"path"
	"slices"
)

// Folders are what a plugin uses of the host, as the host calls it. What lies in none of
// Trees is not there in any case.
type Folders struct {
	// Prefix is where the host's folders are mounted.
	Prefix string
	// State must be there before anything else can be: it is made if it is missing (0700),
	// and can be written to.
	State string
	// Writable are made if they are missing and written to, where that is possible.
	Writable []string
	// Namespaces are folders in which others mount things later, which are seen.
	Namespaces []string
	// Readable are files and folders of the host that are read, or sockets that are called.
	// One below /run or /etc may come later, or be made anew.
	Readable []string
}

// hidden of /etc is what no plugin has to read, unless it is named as Readable.
var hidden = []string{"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/ssh", "/etc/ssl/private"}

// used are all of them.
func (f Folders) used() []string {
	return slices.Concat([]string{f.State}, f.Writable, f.Namespaces, f.Readable)
}

// fate is what becomes of something below one of the host's folders.
type fate int

const (
	hide    fate = iota // nothing in it is used
	keep                // it is used as a whole
	descend             // something in it is
)

// fateOf decides about a path.
func (f Folders) fateOf(p string) fate {
	result := hide
	for _, u := range f.used() {
		switch {
		case below(p, u):
			return keep
		case below(u, p):
			result = descend
		}
	}
	return result
}

// hiddenOfEtc are the paths of hidden in which nothing is used.
func (f Folders) hiddenOfEtc() []string {
	return slices.DeleteFunc(slices.Clone(hidden), func(p string) bool { return f.fateOf(p) != hide })
}

// outside are the folders of those paths below /var/lib that are read: of it nothing else
// is mounted, so a file's folder is, in which it may be replaced.
func (f Folders) outside() []string {
	var dirs []string
	for _, p := range f.Readable {
		if dir := path.Dir(p); below(p, stateTree) && dir != stateTree && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
