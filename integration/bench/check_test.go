package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reaching are figures that reach every bar just so.
func reaching() []figure {
	var figures []figure
	for _, b := range bars {
		f := figure{Row: b.row, System: b.system, Median: 100, Unit: "units", Runs: 5}
		if b.absolute {
			f.Median = b.floor + b.ceiling
		} else {
			f.RatioTo = &ratio{System: reference, Median: b.floor + b.ceiling, Low: 0.01, High: 100}
		}
		figures = append(figures, f)
	}
	return figures
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func([]figure) []figure
		guard  bool
		ok     bool
		says   string
	}{
		{"just reached", func(f []figure) []figure { return f }, false, true, "2.20 × (0.01–100.00, 5 runs; 100 units)  ok"},
		{"a floor missed", func(f []figure) []figure { f[0].RatioTo.Median = 2.19; return f }, false, false, "2.19 × (0.01–100.00, 5 runs; 100 units)  MISSED"},
		{"a ceiling missed", func(f []figure) []figure { f[5].RatioTo.Median = 1.16; return f }, false, false, "1.16 × (0.01–100.00, 5 runs; 100 units)  MISSED"},
		{"an absolute one missed", func(f []figure) []figure { f[9].Median = 101; return f }, false, false, "101 units  MISSED"},
		{"absent", func(f []figure) []figure { return f[1:] }, false, false, "MISSED: it was not measured"},
		{"empty", func([]figure) []figure { return nil }, false, false, "MISSED: it was not measured"},
		{"without a ratio", func(f []figure) []figure { f[0].RatioTo = nil; return f }, false, false, "MISSED: no ratio to wireguard-go"},
		{"a ratio to another", func(f []figure) []figure { f[0].RatioTo.System = "veth"; return f }, false, false, "MISSED: no ratio to wireguard-go"},
		{"guard: the best round", func(f []figure) []figure {
			f[0].RatioTo = &ratio{System: reference, Median: 0.5, Low: 0.1, High: 1.66}
			f[5].RatioTo = &ratio{System: reference, Median: 9, Low: 1.53, High: 9}
			return f
		}, true, true, "1.66 × (0.10–1.66, 5 runs; 100 units)  ok"},
		{"guard: a floor missed", func(f []figure) []figure { f[0].RatioTo.High = 1.64; return f }, true, false, "MISSED"},
		{"guard: a ceiling missed", func(f []figure) []figure { f[5].RatioTo.Low = 1.54; return f }, true, false, "MISSED"},
		{"guard: others do not count", func(f []figure) []figure { return append(f[:1:1], f[2], f[5], f[7]) }, true, true, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bench.json")
			if err := writeFigures(file, c.change(reaching())); err != nil {
				t.Fatal(err)
			}
			args := []string{"check", file}
			if c.guard {
				args = []string{"check", "-guard", file}
			}
			var out strings.Builder
			err := command(t.Context(), &out, args)
			if (err == nil) != c.ok {
				t.Errorf("error %v, want none: %v", err, c.ok)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("printed\n%swithout %q", out.String(), c.says)
			}
			want := len(bars)
			if c.guard {
				want = 4
			}
			if got := strings.Count(out.String(), "\n") - 1; got != want {
				t.Errorf("%d lines, want one for each of %d bars", got, want)
			}
		})
	}
}

func TestCheckOfNoFigures(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check"}, {"check", "a", "b"}, {"check", broken}, {"check", broken + ".none"}, {}, {"measure"}} {
		if err := command(t.Context(), &strings.Builder{}, args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestBarsAreOfMeasuredRows(t *testing.T) {
	units := map[string]bool{}
	for i := range measures {
		for _, r := range measures[i].rows {
			for _, system := range measures[i].systems {
				units[r.name+" "+system] = true
			}
		}
	}
	for _, b := range bars {
		if !units[b.row+" "+b.system] || b.floor+b.ceiling == 0 || b.floor*b.ceiling != 0 {
			t.Errorf("bar %+v", b)
		}
	}
	for _, name := range everything {
		if systems[name] == nil {
			t.Errorf("no system %s", name)
		}
	}
}
