package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// drawing collects the elements of one figure. Units are pixels.
type drawing struct {
	width, height int
	body          bytes.Buffer
}

// style is shared by all figures: grey lines, one fill for each owner and
// for each way of the NAT grid.
const style = `
    text { font: 13px "DejaVu Sans", Verdana, sans-serif; fill: #222 }
    .title { font-weight: bold }
    .note { font-size: 11px; fill: #444 }
    .box { stroke: #444; stroke-width: 1.2 }
    .outside { fill: #f2f2f2 }
    .process { fill: #fbfbf4; stroke-dasharray: 6 4 }
    .driver { fill: #dbe8f6 }
    .overlay { fill: #e3f1dc }
    .datapath { fill: #f8e6d2 }
    .direct { fill: #cfe8cf }
    .udp { fill: #fdf0c4 }
    .tcp, .tls { fill: #f6d3c4 }
    .line { stroke: #444; stroke-width: 1.4; fill: none; marker-end: url(#head) }
    .both { marker-start: url(#tail) }
`

const markers = `  <defs>
    <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker>
    <marker id="tail" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M8 0 L0 4 L8 8 z" fill="#444"/></marker>
  </defs>
`

const lineHeight = 17

// box draws a rectangle with a title and smaller lines below it.
func (d *drawing) box(class string, x, y, w, h int, title string, notes ...string) {
	fmt.Fprintf(&d.body, "  <rect class=\"box %s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>\n", class, x, y, w, h)
	if title != "" {
		d.text("title", x+10, y+20, title)
	}
	for i, note := range notes {
		d.text("note", x+10, y+20+(i+1)*lineHeight, note)
	}
}

// text draws one line from x rightwards.
func (d *drawing) text(class string, x, y int, s string) {
	fmt.Fprintf(&d.body, "  <text class=\"%s\" x=\"%d\" y=\"%d\">", class, x, y)
	if err := xml.EscapeText(&d.body, []byte(s)); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	d.body.WriteString("</text>\n")
}

// arrow draws straight lines through points, with a head at the end.
func (d *drawing) arrow(points ...int) { d.path("line", points) }

// way draws straight lines through points, with a head at each end.
func (d *drawing) way(points ...int) { d.path("line both", points) }

func (d *drawing) path(class string, points []int) {
	fmt.Fprintf(&d.body, "  <polyline class=\"%s\" points=\"", class)
	for i := 0; i+1 < len(points); i += 2 {
		fmt.Fprintf(&d.body, "%d,%d ", points[i], points[i+1])
	}
	d.body.WriteString("\"/>\n")
}

// bytes returns the document.
func (d *drawing) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", d.width, d.height, d.width, d.height)
	fmt.Fprintf(&b, "  <style>%s  </style>\n%s", style, markers)
	fmt.Fprintf(&b, "  <rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", d.width, d.height)
	b.Write(d.body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}
