package resolver

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"
)

// lookEvery is how often Watch looks at the files. Looking needs no event of the kernel
// and so sees everything: a rename over the file, a link that leads elsewhere, and the
// target of a link that comes into being in a folder that was not there.
const lookEvery = time.Second

// Watch calls changed when the host's hosts file or resolv.conf has become another,
// until the context ends.
func (r *Resolver) Watch(ctx context.Context, changed func()) {
	last := r.stamp()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := r.stamp(); now != last {
			last = now
			changed()
		}
	}
}

// stamp tells versions of the two files apart: resolv.conf by what is in it, since it is
// often written anew as it was; the hosts file, which may be long, by its inode.
func (r *Resolver) stamp() string {
	return r.inode(hostsFile) + "\n" + r.content(resolvConf)
}

func (r *Resolver) content(name string) string {
	f, err := r.open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read from
	b, err := io.ReadAll(io.LimitReader(f, maxConfiguration))
	if err != nil {
		return ""
	}
	return string(b)
}

func (r *Resolver) inode(name string) string {
	f, err := r.open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only looked at
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	var inode uint64
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprint(inode, info.Size(), info.ModTime().UnixNano())
}
