// Command bench compares evio with other tunnels between two machines.
package main

import (
	"context"
	"fmt"
	"os"

	"evio/integration/bench/evio"
	"evio/integration/bench/lab"
)

// systems are what can be measured, each made anew for a run.
var systems = map[string]func() lab.System{
	"veth":           func() lab.System { return &veth{} },
	"evio-tap":       func() lab.System { return evio.NewTAP() },
	"evio-container": func() lab.System { return evio.NewContainer() },
	"evio-turn":      func() lab.System { return evio.NewTURN() },
}

// roles are what this program does when a system starts it, by its first argument: `bench ROLE …`.
var roles = map[string]func(ctx context.Context, args []string) error{
	evio.NodeRole: evio.Node,
}

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", len(systems), "systems")
}
