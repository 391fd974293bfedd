package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// figure is one element of bench.json: what one row of one system came to.
type figure struct {
	Row    string  `json:"row"`
	System string  `json:"system"`
	Median float64 `json:"median"`
	Unit   string  `json:"unit"`
	Runs   int     `json:"runs"`
	// Values are those of the runs, in their order.
	Values []float64 `json:"values"`
	// RatioTo is missing for the reference itself, and where it was not measured beside.
	RatioTo *ratio `json:"ratio_to,omitempty"`
}

// ratio compares with a reference system, run by run: each value with the reference's of the same
// round.
type ratio struct {
	System string  `json:"system"`
	Median float64 `json:"median"`
	Low    float64 `json:"low"`  // of all rounds
	High   float64 `json:"high"` // of all rounds
}

// samples are the values of one row: by system, by round.
type samples map[string]map[int]float64

func (s samples) add(system string, round int, value float64) {
	if s[system] == nil {
		s[system] = map[int]float64{}
	}
	s[system][round] = value
}

// figures sums up a row in the order of systems; one without a value is left out.
func (s samples) figures(row, unit, reference string, systems []string) []figure {
	var out []figure
	for _, system := range systems {
		f := figure{Row: row, System: system, Unit: unit}
		var ratios []float64
		for _, round := range slices.Sorted(maps.Keys(s[system])) {
			value := s[system][round]
			f.Values = append(f.Values, value)
			if base := s[reference][round]; system != reference && base > 0 {
				ratios = append(ratios, value/base)
			}
		}
		if len(f.Values) == 0 {
			continue
		}
		f.Runs, f.Median = len(f.Values), median(f.Values)
		if len(ratios) > 0 {
			f.RatioTo = &ratio{reference, median(ratios), slices.Min(ratios), slices.Max(ratios)}
		}
		out = append(out, f)
	}
	return out
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the smallest value that the share of all are not above. Values are not empty.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	for i, v := range sorted {
		if float64(i+1) >= share*float64(len(sorted)) {
			return v
		}
	}
	return sorted[len(sorted)-1]
}

func writeFigures(name string, figures []figure) error {
	b, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644) //nolint:gosec // for whoever likes to read it
}

func readFigures(name string) ([]figure, error) {
	b, err := os.ReadFile(name) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, err
	}
	var figures []figure
	if err := json.Unmarshal(b, &figures); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return figures, nil
}
