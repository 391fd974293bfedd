package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"evio/driver/status"
	"evio/internal/suggest"
	"evio/overlay/member"
	"evio/plugin/config"
	"evio/plugin/view"
)

// askLimit is how long a command waits for the process that serves.
const askLimit = 10 * time.Second

const usage = `evio is a network driver for Docker.

  evio plugin                 serve the Docker engine until SIGTERM or SIGINT; the engine
                              starts this itself
  evio status [--json]        print the state of the plugin, with --json the whole document
  evio peers list             print the accounts whose identity is pinned
  evio peers accept ACCOUNT IDENTITY
                              pin the new identity that the account shows, if it is IDENTITY;
                              its operator finds that in evio status on that engine
  evio peers forget ACCOUNT   remove the pin; the identity it shows now, or next, is pinned
  evio version                print the version
  evio help                   print this, as does evio alone

Status and peers ask the running plugin on its socket, which only root may use. They find it
by the plugin's configuration file and environment (docs/CONFIGURATION.md).

Exit codes:
  0  done; for status: the plugin is healthy
  1  it could not be done, or the plugin could not be asked
  2  the command line is wrong
  3  status: the plugin is degraded, and the reasons are printed
`

// usageError says what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// errDegraded is that a status was printed which is not healthy.
var errDegraded = errors.New("degraded")

// exitCode is what the process ends with after run.
func exitCode(err error) int {
	switch _, wrong := errors.AsType[usageError](err); {
	case err == nil:
		return 0
	case wrong:
		return 2
	case errors.Is(err, errDegraded):
		return 3
	default:
		return 1
	}
}

// commands are the words that may follow evio.
var commands = []string{"plugin", "status", "peers", "version", "help"}

// helpFlags ask for the help wherever they stand first.
var helpFlags = []string{"-h", "--help"}

// run carries out the command that the arguments name. Without one it prints the help: a
// second plugin beside the one that the engine runs is never what a user wants.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if slices.Contains(helpFlags, name) {
		name = "help"
	}
	switch name {
	case "status":
		return runStatus(ctx, args, getenv, out)
	case "peers":
		return runPeers(ctx, args, getenv, out)
	case "plugin", "version", "help":
		if len(args) > 0 {
			return usageError(fmt.Sprintf("%s takes no arguments: see evio help", name))
		}
	default:
		return usageError(fmt.Sprintf("there is no command %.40q: %ssee evio help", name, didYouMean(name, commands)))
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

// didYouMean asks whether a mistyped word is one of the given ones, for a sentence that goes on.
func didYouMean(word string, known []string) string {
	if near, ok := suggest.Nearest(word, known); ok {
		return "did you mean " + near + "? "
	}
	return ""
}

// didYouMeanFirst is didYouMean for the first argument, unless that is known.
func didYouMeanFirst(args, known []string) string {
	if len(args) == 0 || slices.Contains(known, args[0]) {
		return ""
	}
	return didYouMean(args[0], known)
}

// runPeers asks the process that serves for its peers, or to change them.
func runPeers(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	if len(args) == 1 && slices.Contains(helpFlags, args[0]) {
		_, err := io.WriteString(out, usage)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s, _ := config.Load(getenv) // its faults are reported by the process that serves
	sock := statusSocket(s)
	var err error
	switch {
	case len(args) == 1 && args[0] == "list":
		var list []status.Peer
		if list, err = status.FetchPeers(ctx, sock); err == nil {
			return printPeers(out, list)
		}
	case len(args) == 2 && args[0] == "accept":
		return usageError("write which identity is accepted: " + member.HowToAccept(args[1]))
	case len(args) == 3 && args[0] == "accept" && args[2] != "":
		if err = status.AcceptPeer(ctx, sock, args[1], args[2]); err == nil {
			_, err = fmt.Fprintf(out, "identity %s of %s is accepted\n", args[2], args[1])
			return err
		}
	case len(args) == 2 && args[0] == "forget":
		if err = status.ForgetPeer(ctx, sock, args[1]); err == nil {
			_, err = fmt.Fprintf(out, "%s is forgotten: the identity that it shows now, or next, is pinned\n", args[1])
			return err
		}
	default:
		return usageError(didYouMeanFirst(args, []string{"list", "accept", "forget"}) + "write evio peers list, evio peers accept ACCOUNT IDENTITY or evio peers forget ACCOUNT")
	}
	return notAsked(err, s)
}

// runStatus prints how the process that serves is.
func runStatus(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	plain := len(args) == 0
	switch {
	case plain, len(args) == 1 && args[0] == "--json":
	case len(args) == 1 && slices.Contains(helpFlags, args[0]):
		_, err := io.WriteString(out, usage)
		return err
	default:
		return usageError(didYouMeanFirst(args, []string{"--json"}) + "write evio status or evio status --json")
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s, _ := config.Load(getenv) // as above
	doc, text, err := status.FetchText(ctx, statusSocket(s))
	switch {
	case err != nil:
		return notAsked(err, s)
	case plain:
		err = view.Print(out, doc)
	default:
		_, err = out.Write(text)
	}
	if err == nil && !doc.Health.Healthy {
		return errDegraded
	}
	return err
}

// notAsked adds to an error what to do when nobody has answered.
func notAsked(err error, s config.Settings) error {
	switch dial, ok := errors.AsType[*net.OpError](err); {
	case ok && dial.Op == "dial":
		return fmt.Errorf("%w: run this as root, and check that the plugin is enabled (docker plugin ls); if its run_dir is not %s, set EVIO_RUN_DIR to it", err, s.RunDir)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the plugin does not answer, look into its log", err)
	default:
		return err
	}
}

// printPeers prints a table, accounts with another identity than the pinned one
// with that as well.
func printPeers(out io.Writer, list []status.Peer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := [][]string{{"ACCOUNT", "IDENTITY", "SINCE", "REFUSED IDENTITY", "SHOWN"}}
	for _, p := range list {
		row := []string{p.JID, p.Identity, moment(p.Since), "-", "-"}
		if p.Identity == "" {
			row[1], row[2] = "damaged", "-"
		}
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
