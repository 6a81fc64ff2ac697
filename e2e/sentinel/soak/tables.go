package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what came of one run.
type result struct {
	test   string
	passed bool
	took   time.Duration
	// load of the machine, at the beginning and at the end.
	load [2]string
	// counted says whether the test has counted what it read and wrote.
	counted                               bool
	reads, writes, errors, lost, excusing int
	// reached are what the test waited for, in order, and how long that took.
	reached []wait
}

type wait struct {
	what string
	took time.Duration
}

func (r result) String() string {
	words := "failed"
	if r.passed {
		words = "passed"
	}
	words += " in " + r.took.Round(time.Second).String()
	if r.counted {
		words += fmt.Sprintf(", %d errors, %d lost writes", r.errors, r.lost)
	}
	return words
}

var (
	counts  = regexp.MustCompile(`(\d+) reads and (\d+) writes through \d+ servers: (\d+) errors, (\d+) lost writes; (\d+) were not answered`)
	reached = regexp.MustCompile(`reached, after (\S+): (.+)`)
)

// parse reads what a test printed. One that printed nothing of itself did not run, and has
// not passed: as where nothing is called like that.
func parse(test, said string) result {
	r := result{test: test, passed: strings.Contains(said, "\n--- PASS: "+test+" ")}
	if m := counts.FindStringSubmatch(said); m != nil {
		r.counted = true
		for i, n := range []*int{&r.reads, &r.writes, &r.errors, &r.lost, &r.excusing} {
			*n, _ = strconv.Atoi(m[i+1]) // digits
		}
	}
	for _, m := range reached.FindAllStringSubmatch(said, -1) {
		if took, err := time.ParseDuration(m[1]); err == nil {
			r.reached = append(r.reached, wait{what: strings.TrimSpace(m[2]), took: took})
		}
	}
	return r
}

// render are the tables: of the tests, and of what each waited for, in the order in which
// they were seen first.
func render(all []result) string {
	var b strings.Builder
	b.WriteString("| test | passed | took | load | reads | writes | errors | lost writes | not answered by what was away |\n|---|---|---|---|---|---|---|---|---|\n")
	tests := map[string][]result{}
	var order []string
	for _, r := range all {
		if tests[r.test] == nil {
			order = append(order, r.test)
		}
		tests[r.test] = append(tests[r.test], r)
	}
	for _, test := range order {
		var sum result
		passed, counted := 0, false
		var took []time.Duration
		var loads []string
		for _, r := range tests[test] {
			if r.passed {
				passed++
			}
			counted = counted || r.counted
			took = append(took, r.took)
			loads = append(loads, r.load[:]...)
			sum.reads, sum.writes, sum.errors = sum.reads+r.reads, sum.writes+r.writes, sum.errors+r.errors
			sum.lost, sum.excusing = sum.lost+r.lost, sum.excusing+r.excusing
		}
		fmt.Fprintf(&b, "| `%s` | %d of %d | %s | %s |", test, passed, len(tests[test]), span(took), extent(loads))
		if !counted {
			b.WriteString(" | | | | |\n")
			continue
		}
		fmt.Fprintf(&b, " %d | %d | %d | %d | %d |\n", sum.reads, sum.writes, sum.errors, sum.lost, sum.excusing)
	}
	b.WriteString("\n| test | waited for | times | median | longest |\n|---|---|---|---|---|\n")
	for _, test := range order {
		waits := map[string][]time.Duration{}
		var whats []string
		for _, r := range tests[test] {
			for _, w := range r.reached {
				if waits[w.what] == nil {
					whats = append(whats, w.what)
				}
				waits[w.what] = append(waits[w.what], w.took)
			}
		}
		for _, what := range whats {
			took := waits[what]
			slices.Sort(took)
			fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s |\n", test, what, len(took), short(took[(len(took)-1)/2]), short(took[len(took)-1]))
		}
	}
	return b.String()
}

// span is the shortest and the longest of some times.
func span(took []time.Duration) string {
	if low, high := slices.Min(took), slices.Max(took); low != high {
		return short(low) + " to " + short(high)
	}
	return short(took[0])
}

// extent is the least and the most of some loads.
func extent(loads []string) string {
	var all []float64
	for _, l := range loads {
		if n, err := strconv.ParseFloat(l, 64); err == nil {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f to %.0f", slices.Min(all), slices.Max(all))
}

func short(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
