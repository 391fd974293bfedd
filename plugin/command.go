package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"evio/driver/status"
	"evio/plugin/config"
)

// askLimit is how long a command waits for the process that serves.
const askLimit = 10 * time.Second

const usage = `evio is a network driver for Docker.

  evio [plugin]               serve the Docker engine until SIGTERM or SIGINT
  evio peers list             print the accounts whose identity is pinned
  evio peers accept ACCOUNT [IDENTITY]
                              pin the other identity that the account shows;
                              refused if that is not IDENTITY
  evio peers forget ACCOUNT   pin whatever identity the account shows next
  evio version                print the version
  evio help                   print this

Commands about peers ask the running plugin on its socket, which only root may; it is
found by the same configuration file and environment (docs/CONFIGURATION.md).
`

// usageError says what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// run carries out the command that the arguments name.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	name := "plugin"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "peers":
		return runPeers(ctx, args, getenv, out)
	case "plugin", "version", "help", "-h", "--help":
		if len(args) > 0 {
			return usageError(fmt.Sprintf("%s takes no arguments: see evio help", name))
		}
	default:
		return usageError(fmt.Sprintf("there is no command %.40q: see evio help", name))
	}
	var err error
	switch name {
	case "plugin":
		return bounded(ctx, shutdownLimit, func(ctx context.Context) error { return serve(ctx, getenv, out) })
	case "version":
		_, err = fmt.Fprintf(out, "evio %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	default:
		_, err = io.WriteString(out, usage)
	}
	return err
}

// runPeers asks the process that serves for its peers, or to change them.
func runPeers(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s, _ := config.Load(getenv) // its faults are told by the process that serves
	sock := statusSocket(s)
	var err error
	switch {
	case len(args) == 1 && args[0] == "list":
		var list []status.Peer
		if list, err = status.FetchPeers(ctx, sock); err == nil {
			return printPeers(out, list)
		}
	case len(args) == 2 && args[0] == "accept", len(args) == 3 && args[0] == "accept" && args[2] != "":
		var accepted string
		if accepted, err = status.AcceptPeer(ctx, sock, args[1], strings.Join(args[2:], "")); err == nil {
			_, err = fmt.Fprintf(out, "identity %s of %s is accepted\n", accepted, args[1])
			return err
		}
	case len(args) == 2 && args[0] == "forget":
		if err = status.ForgetPeer(ctx, sock, args[1]); err == nil {
			_, err = fmt.Fprintf(out, "%s is forgotten, the identity that it shows next is taken for its own\n", args[1])
			return err
		}
	default:
		return usageError("write evio peers list, evio peers accept ACCOUNT [IDENTITY] or evio peers forget ACCOUNT")
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return fmt.Errorf("%w: run this as root while the plugin is enabled; another run_dir than %s is set with EVIO_RUN_DIR", err, s.RunDir)
	}
	return err
}

// printPeers prints a table, accounts with another identity than the pinned one
// with that as well.
func printPeers(out io.Writer, list []status.Peer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := [][]string{{"ACCOUNT", "IDENTITY", "SINCE", "REFUSED IDENTITY", "SHOWN"}}
	for _, p := range list {
		row := []string{p.JID, p.Identity, moment(p.Since), "-", "-"}
		if p.Offered != "" {
			row[3], row[4] = p.Offered, moment(p.OfferedSince)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
