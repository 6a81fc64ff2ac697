package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// result is one row: a median, and what it is held to.
type result struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	// Floor is the same without us; null where there is no such thing.
	Floor *float64 `json:"floor"`
	// Ratio is value by floor; null without a floor.
	Ratio *float64 `json:"ratio"`
	// Target says what is held to; empty for a row that only informs.
	Target string `json:"target"`
	OK     bool   `json:"ok"`
	Runs   int    `json:"runs"`
	// Samples are the values that Value is the median of.
	Samples []float64 `json:"samples"`
}

// newResult makes a row of samples, and of what they would be without us.
func newResult(name, unit string, samples, without []float64) result {
	r := result{Name: name, Unit: unit, Value: median(samples), OK: true, Runs: len(samples), Samples: samples}
	if len(without) > 0 {
		floor := median(without)
		ratio := r.Value / floor
		r.Floor, r.Ratio = &floor, &ratio
	}
	return r
}

// hold gives the row a target.
func (r result) hold(ok bool, format string, args ...any) result {
	r.Target, r.OK = fmt.Sprintf(format, args...), ok
	return r
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// missed names the rows whose target was missed.
func missed(results []result) []string {
	var names []string
	for _, r := range results {
		if !r.OK {
			names = append(names, r.Name)
		}
	}
	return names
}

func write(file string, results []result) error {
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

func table(out io.Writer, results []result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n\tBENCHMARK\tMEDIAN\tWITHOUT US\tRATIO\tTARGET\tRUNS")
	for _, r := range results {
		mark := "ok"
		switch {
		case !r.OK:
			mark = "NO"
		case r.Target == "":
			mark = ""
		}
		floor, ratio := "", ""
		if r.Floor != nil {
			floor, ratio = fmt.Sprintf("%.2f %s", *r.Floor, r.Unit), fmt.Sprintf("%.2f", *r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f %s\t%s\t%s\t%s\t%d\n", mark, r.Name, r.Value, r.Unit, floor, ratio, r.Target, r.Runs)
	}
	_ = w.Flush() // to a terminal or a file; there is nobody to tell
}
