package main

import (
	"bufio"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// lookAround tells how to enter the sites from another shell and waits until the user
// has seen enough.
func (d *demo) lookAround(ctx context.Context) {
	a, b, c := d.evio.Sites[0], d.evio.Sites[1], d.evio.Sites[2]
	at := func(pathOfRoot string) string { return "nsenter --target " + pid(pathOfRoot) + " --all" }
	d.print("\n" + d.look(bold, "The sites stay. Look around, as root in another shell of this machine:") + "\n")
	for _, hint := range []struct{ what, how string }{
		{"a shell at the host of site a, the same for b and c",
			at(a.Path("/")) + " bash\n" + at(b.Path("/")) + " bash\n" + at(c.Path("/")) + " bash"},
		{"docker at a site", at(a.Path("/")) + " docker ps"},
		{"the plugin's status", at(a.Path("/")) + " curl -s --unix-socket /run/evio/evio.sock http://evio/status"},
		{"a shell in a container", at(c.Path("/")) + " docker exec -it client sh"},
		{"what passes on a site's link to the internet", at(a.Router.Path("/")) + " tcpdump -ni wan udp"},
		{"the log of a site's engine and plugin", "tail -f " + a.Engine().Log()},
	} {
		d.print("\n    " + hint.what + "\n")
		for line := range strings.Lines(hint.how) {
			d.print("      " + d.look(bold, strings.TrimSpace(line)) + "\n")
		}
	}
	d.print("\n" + d.look(bold, "Enter or Ctrl-C ends it.") + " ")
	select {
	case <-enter():
	case <-ctx.Done():
	}
	d.print("\n")
}

// pid is the process in /proc/PID/root, where the testbed shows a machine's files.
func pid(root string) string {
	return strings.Split(root, "/")[2]
}

// enter returns a channel that is closed when a line comes from standard input. None
// may ever come: without a terminal that is at its end at once, and in the background
// a terminal cannot be read.
func enter() <-chan struct{} {
	signal.Ignore(syscall.SIGTTIN) // reading fails then, and does not stop the process
	line := make(chan struct{})
	go func() { // ends with the process
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
			close(line)
		}
	}()
	return line
}
