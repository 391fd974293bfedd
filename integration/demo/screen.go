package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen writes the demonstration's story: numbered steps, commands as a user types
// them, what they answer, tables. One goroutine at a time may use it.
type screen struct {
	out    io.Writer
	colour bool
	began  time.Time
	step   int
}

// Looks of text, as ECMA-48 select graphic rendition.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// newScreen writes to f, in colour if that is a terminal and nobody minds
// (no-color.org).
func newScreen(f *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	colour := err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &screen{out: f, colour: colour, began: time.Now()}
}

// look returns text in a look.
func (s *screen) look(look, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}

// print writes; what the reader of the output does not take is lost to nobody else.
func (s *screen) print(text string) { _, _ = io.WriteString(s.out, text) }

// Title opens the story.
func (s *screen) Title(text string) { s.print("\n" + s.look(bold, text) + "\n") }

// Step begins the next numbered step.
func (s *screen) Step(title string) {
	s.step++
	at := fmt.Sprintf("%d s", int(time.Since(s.began).Seconds()))
	line := fmt.Sprintf("%2d  %s", s.step, title)
	pad := strings.Repeat(" ", max(2, 92-len(at)-utf8.RuneCountInString(line)))
	s.print("\n" + s.look(bold, line) + pad + s.look(dim, at) + "\n")
}

// Say explains, in one line per line of text.
func (s *screen) Say(text string) {
	s.print("\n")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		s.print("    " + strings.TrimRight(line, "\n") + "\n")
	}
	s.print("\n")
}

// Task runs f, which a user would not do by a command, and tells how long it took.
func (s *screen) Task(what string, f func() error) error {
	s.print("    " + what + " ... ")
	began := time.Now()
	if err := f(); err != nil {
		s.print("\n")
		return err
	}
	s.print(s.look(green, fmt.Sprintf("%.1f s", time.Since(began).Seconds())) + "\n")
	return nil
}

// Command shows a command that is about to run at a site.
func (s *screen) Command(site string, args ...string) {
	s.prompt(site, commandLine(args))
}

// prompt shows a line of shell that is about to run at a site.
func (s *screen) prompt(site, line string) {
	s.print("    " + s.look(cyan, site+"#") + " " + s.look(bold, line) + "\n")
}

// Result shows what a command answered.
func (s *screen) Result(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		s.print("      " + strings.TrimRight(line, "\n") + "\n")
	}
}

// File shows a file.
func (s *screen) File(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		s.print(strings.TrimRight("      "+s.look(dim, "| ")+strings.TrimRight(line, "\n"), " ") + "\n")
	}
	s.print("\n")
}

// Table shows rows under a heading.
func (s *screen) Table(heading []string, rows [][]string) {
	widths := make([]int, len(heading))
	for _, row := range append([][]string{heading}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+3))
		}
		return strings.TrimRight(b.String(), " ")
	}
	s.print("    " + s.look(bold, line(heading)) + "\n")
	for _, row := range rows {
		s.print("    " + line(row) + "\n")
	}
}

// Good and Bad close the story.
func (s *screen) Good(text string) { s.print("\n" + s.look(green, text) + "\n") }

// Bad is described at Good.
func (s *screen) Bad(text string) { s.print("\n" + s.look(red, text) + "\n") }

var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// commandLine writes arguments as one would type them in a shell.
func commandLine(args []string) string {
	typed := make([]string, len(args))
	for i, a := range args {
		if plain.MatchString(a) {
			typed[i] = a
		} else {
			typed[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(typed, " ")
}
