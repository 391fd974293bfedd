package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

// measured is what TestNATGrid wrote to dist/natgrid.json.
//
//go:embed natgrid.json
var measured []byte

// cell is one pair of kinds of NAT.
type cell struct {
	A     string  `json:"a"`
	B     string  `json:"b"`
	Way   string  `json:"way"` // direct, or the transport to the TURN server
	SetUp float64 `json:"set_up_ms"`
}

// way is a kind of path.
type way struct {
	name  string // in the result
	short string // in a cell
	says  string // in the legend
}

// ways says what a cell and its colour mean.
var ways = []way{
	{"direct", "direct", "direct"},
	{"udp", "TURN/UDP", "through TURN over UDP"},
	{"tcp", "TURN/TCP", "through TURN over TCP; over TLS where only that is allowed"},
}

// natGrid draws which path sites behind each two kinds of NAT end on, and how long a
// session between them takes to set up.
func natGrid(result []byte) ([]byte, error) {
	var cells []cell
	if err := json.Unmarshal(result, &cells); err != nil {
		return nil, fmt.Errorf("result of the NAT grid: %w", err)
	}
	var kinds []string
	for _, c := range cells {
		if !slices.Contains(kinds, c.A) {
			kinds = append(kinds, c.A)
		}
	}
	const left, top, w, h = 160, 90, 128, 48
	d := &drawing{width: left + w*len(kinds) + 20, height: top + h*len(kinds) + 74}
	d.text("title", 20, 30, "Path between two sites by their kinds of NAT, and the time to set a session up")
	d.text("note", 20, 50, "from the first end that begins to both ends that serve; one machine, real NATs, coturn")
	for i, kind := range kinds {
		d.text("title", left+w*i+8, top-10, kind)
		d.text("title", 20, top+h*i+29, kind)
	}
	for _, c := range cells {
		row, column := slices.Index(kinds, c.A), slices.Index(kinds, c.B)
		kind := slices.IndexFunc(ways, func(w way) bool { return w.name == c.Way })
		if column < 0 || kind < 0 {
			return nil, fmt.Errorf("the result has no row for %q, or a way %q", c.B, c.Way)
		}
		at := [][2]int{{row, column}, {column, row}}
		if row == column {
			at = at[:1]
		}
		for _, at := range at {
			d.box(c.Way, left+w*at[1], top+h*at[0], w-4, h-4, fmt.Sprintf("%.1f s", c.SetUp/1000), ways[kind].short)
		}
	}
	y := top + h*len(kinds) + 24
	for i, way := range ways {
		d.box(way.name, 20+180*i, y, 24, 24, "")
		d.text("note", 52+180*i, y+16, way.says)
	}
	return d.bytes(), nil
}
