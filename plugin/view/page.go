package view

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// width is where sentences are broken, in columns. Tables are as wide as they are.
const width = 100

const indent = "  "

// page collects text. Whatever is put on it comes from elsewhere, names and errors of
// peers and servers among it, so nothing that a terminal would obey gets through.
type page struct{ b bytes.Buffer }

// heading begins a section.
func (p *page) heading(format string, args ...any) {
	p.b.WriteString("\n" + clean(fmt.Sprintf(format, args...)) + "\n")
}

// line is one line of a section, whatever its length.
func (p *page) line(format string, args ...any) {
	p.b.WriteString(indent + clean(fmt.Sprintf(format, args...)) + "\n")
}

// sentence puts text behind a label, its further lines below its beginning.
func (p *page) sentence(label, text string) {
	label = indent + clean(label)
	margin := strings.Repeat(" ", utf8.RuneCountInString(label))
	column := len(margin)
	p.b.WriteString(label)
	for i, word := range strings.Fields(clean(text)) {
		size := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+size > width:
			p.b.WriteString("\n" + margin)
			column = len(margin)
		default:
			p.b.WriteString(" ")
			column++
		}
		p.b.WriteString(word)
		column += size
	}
	p.b.WriteString("\n")
}

// table aligns rows; it is left out if it has only its heading.
func (p *page) table(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = clean(cell); cells[i] == "" {
				cells[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(w, indent+strings.Join(cells, "\t")) // a buffer takes everything
	}
	_ = w.Flush()
	p.b.Write(b.Bytes())
}

// clean replaces what does not print.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return r
		}
		return '�'
	}, s)
}
