// Command bench compares evio with other tunnels between two machines, on this one. It runs in the
// repository's root, as root.
//
//	bench run     measures, and writes dist/bench.json
//	bench check   says of each bar whether the figures in a file reach it, and fails if one does not
//
// `make bench` builds what it needs and does both. Nothing of it is left on the machine, however it
// ends: all but one engine lives in the namespaces of integration/inroot.sh, and that engine in a
// lab of package testbed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"evio/integration/bench/evio"
	"evio/integration/bench/lab"
)

// systems are what can be measured, each made anew for a run.
var systems = map[string]func() lab.System{
	"evio-tap":       func() lab.System { return evio.NewTAP() },
	"evio-container": func() lab.System { return evio.NewContainer() },
	"evio-turn":      func() lab.System { return evio.NewTURN() },
	reference:        func() lab.System { return &wireguard{} },
	"nebula":         func() lab.System { return &nebula{} },
	"datachannel":    func() lab.System { return &dataChannel{} },
	"veth":           func() lab.System { return &veth{} },
	"docker-bridge":  func() lab.System { return &dockerBridge{} },
}

// roles are what this program does when it is started by itself, by its first argument.
var roles = map[string]func(ctx context.Context, args []string) error{
	"inside":      inside,
	"udp-send":    udpSend,
	"udp-receive": udpReceive,
	"datachannel": dataChannelEnd,
	evio.NodeRole: evio.Node,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := command(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errBars = errors.New("not every bar is reached")

func command(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: run or check, with -h for the flags of each")
	}
	if role := roles[args[0]]; role != nil {
		return role(ctx, args[1:])
	}
	switch args[0] {
	case "run":
		return launch(ctx, args[1:])
	case "check":
		return checkFile(out, args[1:])
	default:
		return fmt.Errorf("%q: say run or check", args[0])
	}
}

func checkFile(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(flags.Output(), "bench check [-guard] FILE") // the help of a command that was not understood
		flags.PrintDefaults()
	}
	guard := flags.Bool("guard", false, "the guard's bars only: floors × 0.75, ceilings ÷ 0.75, the best round of each figure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("check: name one file, such as dist/bench.json")
	}
	figures, err := readFigures(flags.Arg(0))
	if err != nil {
		return err
	}
	reached, err := check(out, figures, *guard)
	if err == nil && !reached {
		err = errBars
	}
	return err
}
