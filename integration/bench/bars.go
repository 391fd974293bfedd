package main

import (
	"fmt"
	"io"
)

// bar is what a figure has to reach.
type bar struct {
	line, row, system string
	floor             float64 // at least, if not 0
	ceiling           float64 // at most, if not 0
	absolute          bool    // it is about the median itself, not about the ratio to the reference
	guarded           bool    // part of the guard as well
}

// bars are in the order in which check prints them.
var bars = []bar{
	{line: "1", row: "tcp1", system: "evio-tap", floor: 2.2, guarded: true},
	{line: "1", row: "tcp8", system: "evio-tap", floor: 2.0},
	{line: "1", row: "tcp1", system: "evio-container", floor: 0.9, guarded: true},
	{line: "2", row: "pps64", system: "evio-tap", floor: 1.0},
	{line: "2", row: "udp1400", system: "evio-tap", floor: 1.0},
	{line: "2", row: "rtt_p50", system: "evio-tap", ceiling: 1.15, guarded: true},
	{line: "2", row: "rtt_p99_load", system: "evio-tap", ceiling: 1.25},
	{line: "2", row: "cpu_s_per_gb", system: "evio-tap", ceiling: 0.5, guarded: true},
	{line: "3", row: "tcp1_loss1", system: "evio-tap", floor: 1.0},
	{line: "4", row: "syscalls_per_mb", system: "evio-tap", ceiling: 100, absolute: true},
	{line: "5", row: "mem_per_tunnel", system: "evio-container", ceiling: 300, absolute: true},
}

// reference is the system with which all others are compared.
const reference = "wireguard-go"

// guardRoom is by how much a figure may miss its bar in the guard, which has little time: floors
// are multiplied by it, ceilings divided.
const guardRoom = 0.75

// check prints a line for each bar and returns whether all are reached. In the guard, the best
// round decides.
func check(out io.Writer, figures []figure, guard bool) (reached bool, err error) {
	reached = true
	if _, err := fmt.Fprintf(out, "%-4s %-16s %-15s %-26s %s\n", "line", "row", "system", "bar", "value"); err != nil {
		return false, err
	}
	for _, b := range bars {
		if guard && !b.guarded {
			continue
		}
		verdict, ok := b.judge(figures, guard)
		reached = reached && ok
		if _, err := fmt.Fprintf(out, "%-4s %-16s %-15s %-26s %s\n", b.line, b.row, b.system, b.text(guard), verdict); err != nil {
			return false, err
		}
	}
	return reached, nil
}

// judge finds the bar's figure and says what it is and whether the bar is reached.
func (b bar) judge(figures []figure, guard bool) (verdict string, ok bool) {
	for _, f := range figures {
		if f.Row != b.row || f.System != b.system {
			continue
		}
		value, text := f.Median, ""
		switch {
		case b.absolute:
			text = fmt.Sprintf("%.4g %s", value, f.Unit)
		case f.RatioTo == nil || f.RatioTo.System != reference:
			return "MISSED: no ratio to " + reference, false
		default:
			r := f.RatioTo
			value = r.Median
			if guard {
				value = b.best(r)
			}
			text = fmt.Sprintf("%.2f × (%.2f–%.2f, %d runs; %.4g %s)", value, r.Low, r.High, f.Runs, f.Median, f.Unit)
		}
		if b.holds(value, guard) {
			return text + "  ok", true
		}
		return text + "  MISSED", false
	}
	return "MISSED: it was not measured", false
}

func (b bar) best(r *ratio) float64 {
	if b.floor > 0 {
		return r.High
	}
	return r.Low
}

func (b bar) holds(value float64, guard bool) bool {
	floor, ceiling := b.limits(guard)
	return (b.floor == 0 || value >= floor) && (b.ceiling == 0 || value <= ceiling)
}

func (b bar) limits(guard bool) (floor, ceiling float64) {
	if guard {
		return b.floor * guardRoom, b.ceiling / guardRoom
	}
	return b.floor, b.ceiling
}

func (b bar) text(guard bool) string {
	floor, ceiling := b.limits(guard)
	of := " × " + reference
	if b.absolute {
		of = ""
	}
	if b.floor > 0 {
		return fmt.Sprintf("≥ %.3g%s", floor, of)
	}
	return fmt.Sprintf("≤ %.3g%s", ceiling, of)
}
