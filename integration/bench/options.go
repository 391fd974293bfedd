package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are those of a run.
type options struct {
	rows    []string // all, if none
	names   []string // of systems
	runs    int      // of each measurement; 0: as many as it has in a full run
	seconds int      // of a run of TCP
	most    time.Duration
	bin     string
	file    string
	dir     string
}

// guardRows are those of the guard.
var guardRows = []string{"tcp1", "rtt_p50", "cpu_s_per_gb"}

func parseOptions(args []string) (o options, err error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	rows := flags.String("rows", "", "measure these `rows` only, with commas between: "+strings.Join(rowNames(), ", "))
	names := flags.String("systems", strings.Join(everything, ","), "measure these `systems`; the ratios are to "+reference)
	flags.IntVar(&o.runs, "runs", 0, "`rounds` of each measurement (default: its own number, 5 or 7)")
	flags.IntVar(&o.seconds, "seconds", 5, "how long a run of TCP sends")
	flags.DurationVar(&o.most, "most", 30*time.Minute, "end after this time")
	flags.StringVar(&o.bin, "bin", "dist/bench", "`folder` with the programs: bench, evio, probe, wireguard, nebula, nebula-cert")
	flags.StringVar(&o.file, "out", "dist/bench.json", "`file` for the figures")
	guard := flags.Bool("guard", false, "the short form: "+strings.Join(guardRows, ", ")+" of evio and "+reference+", three rounds")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.rows, o.names = list(*rows), list(*names)
	if *guard {
		o.rows, o.names, o.runs, o.most = guardRows, evioOnly, 3, 4*time.Minute
	}
	for _, row := range o.rows {
		if !slices.Contains(rowNames(), row) {
			return o, fmt.Errorf("there is no row %q", row)
		}
	}
	for _, name := range o.names {
		if systems[name] == nil {
			return o, fmt.Errorf("there is no system %q", name)
		}
	}
	// Programs are started in other folders.
	bin, inBin := filepath.Abs(o.bin)
	file, inFile := filepath.Abs(o.file)
	o.bin, o.file = bin, file
	return o, errors.Join(inBin, inFile)
}

func rowNames() []string {
	var names []string
	for i := range measures {
		for _, r := range measures[i].rows {
			names = append(names, r.name)
		}
	}
	return names
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// inside runs a bench in the root that inroot.sh has made.
func inside(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("/run", "bench-"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.most)
	defer cancel()
	return (&bench{options: o, out: os.Stdout}).inside(ctx)
}
