package main

import (
	"errors"
	"fmt"
	"path"

	"evio/driver/status"
	"evio/plugin/config"
	"evio/plugin/confine"
	"evio/plugin/resolver"
)

// resolverFolders are where programs of hosts keep what /etc/resolv.conf leads to.
var resolverFolders = []string{
	"/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf", "/run/connman", "/run/netconfig",
}

// folders are what the plugin uses of the host.
func folders(s config.Settings) confine.Folders {
	onHost := func(p string) string { return path.Clean("/" + s.HostPath(p)[len(s.HostPrefix):]) }
	plugins := onHost(s.Docker.PluginDir)
	f := confine.Folders{
		Prefix: s.HostPrefix, State: onHost(s.StateDir),
		Writable:   []string{onHost(s.RunDir), plugins},
		Namespaces: []string{path.Join(path.Dir(plugins), "netns")},
		Readable:   append(s.Named(), resolverFolders...),
	}
	f.Readable = append(f.Readable, resolver.New(s.HostPrefix).Places()...)
	return f
}

// confined leaves to a managed plugin only what it uses of the host, see package confine. It
// returns when that is done, or why it is not. A process that the engine has not started has
// no mounts of its own, and keeps what it was given.
func confined(s config.Settings) error {
	if s.HostPrefix == "" {
		return nil
	}
	err := confine.Enter(folders(s))
	if err != nil && !errors.Is(err, confine.ErrState) {
		err = fmt.Errorf("the plugin cannot give up what it does not use of the host, and can reach all that the engine has given to it: %w", err)
	}
	return err
}

// reach tells what this process can reach of the host.
func reach(s config.Settings) status.Reach {
	look, err := confine.Look(s.HostPrefix)
	if err != nil {
		return status.Reach{Error: err.Error()}
	}
	r := status.Reach{Hidden: look.Hidden, Namespaces: look.Namespaces, Capabilities: look.Capabilities, Confined: look.Confined}
	for _, f := range look.Folders {
		r.Folders = append(r.Folders, status.Folder{Path: f.Path, Writable: f.Writable})
	}
	return r
}
