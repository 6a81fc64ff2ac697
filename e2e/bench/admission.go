package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// beyondFloor is what a consumer with one input may cost beyond a webhook that
	// admits everything, both calls together, in milliseconds of CPU.
	beyondFloor = 1.2
	// refusedBy is how much more than an admitted one a refused consumer may cost.
	refusedBy = 2.0
	// longest is how long 99 of 100 pods wait for both calls at most, in milliseconds.
	longest = 100
)

// admissions are the pods that are measured, by the names of the Go benchmarks, and
// the one that each is held to; empty: it only informs.
var admissions = []struct{ name, beside string }{
	{"producer", ""},
	{"consumer-warm/1", "floor"},
	{"consumer-warm/10", ""},
	{"consumer-warm/100", ""},
	{"consumer-cold/100", ""},
	{"consumer-large-workflow", "floor"},
	{"consumer-refused/1", "consumer-warm/1"},
	{"consumer-refused/10", "consumer-warm/10"},
	{"consumer-refused/100", "consumer-warm/100"},
}

// admission runs the Go benchmarks of the webhook's handlers, each run beside its
// floor.
func admission(ctx context.Context, b *bench) ([]result, error) {
	samples, err := b.webhook(ctx, "^Benchmark(Floor|Admission)$", "20x", "cpu-ms/op")
	if err != nil {
		return nil, err
	}
	var results []result
	for _, a := range admissions {
		if len(samples[a.name]) == 0 {
			return results, fmt.Errorf("there is no benchmark %s", a.name)
		}
		r := newResult("admission of "+a.name, "ms CPU", samples[a.name], samples["floor"])
		beside := median(samples[a.beside])
		switch {
		case a.beside == "floor":
			r = r.hold(r.Value <= beside+beyondFloor, "<= floor + %.1f ms", beyondFloor)
		case a.beside != "":
			r = r.hold(r.Value <= refusedBy*beside, "<= %.0f times %s", refusedBy, a.beside)
		}
		results = append(results, r)
	}
	return results, nil
}

// latency says how long pods wait for both calls at one client, however many inputs they
// have, whether their seals verified before, have yet to, or are missing. What the log
// does meanwhile changes nothing: the webhook has no client that could ask it. Where a
// seal is on its way the wait is another, and bounded by itself.
func latency(ctx context.Context, b *bench) ([]result, error) {
	cells, err := b.webhook(ctx, "^BenchmarkAdmission$/^consumer-(warm|cold|refused)$", "200x", "p99-ms")
	if err != nil {
		return nil, err
	}
	var results []result
	for _, seals := range []string{"warm", "cold", "refused"} {
		for _, inputs := range []int{1, 10, 100} {
			name := fmt.Sprintf("consumer-%s/%d", seals, inputs)
			if len(cells[name]) == 0 {
				return results, fmt.Errorf("there is no benchmark %s", name)
			}
			r := newResult("p99 of "+name, "ms", cells[name], nil)
			results = append(results, r.hold(slices.Max(cells[name]) <= longest, "<= %d ms in each run", longest))
		}
	}
	return results, nil
}

// webhook runs Go benchmarks of the webhook, and gives what they print in one unit: a value
// of each run, by the name of the benchmark.
func (b *bench) webhook(ctx context.Context, benchmarks, times, unit string) (map[string][]float64, error) {
	samples := map[string][]float64{}
	for i := range b.runs {
		b.sayf("run %d of %d", i+1, b.runs)
		run := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", benchmarks, "-benchtime", times, "./webhook/server")
		run.Stderr = b.out
		printed, err := run.Output()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of the webhook: %w\n%s", err, printed)
		}
		for name, value := range figures(printed, unit) {
			samples[name] = append(samples[name], value)
		}
	}
	return samples, nil
}

// row is a line of the Go benchmarks; they append the number of CPUs to the name.
var row = regexp.MustCompile(`^Benchmark(?:Admission/)?(\S+?)(?:-\d+)?\s`)

// figures reads what was printed in one unit of each benchmark, by its name.
func figures(printed []byte, unit string) map[string]float64 {
	found := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(printed))
	for lines.Scan() {
		m := row.FindStringSubmatch(lines.Text())
		fields := strings.Fields(lines.Text())
		at := slices.Index(fields, unit)
		if m == nil || at < 1 {
			continue
		}
		if value, err := strconv.ParseFloat(fields[at-1], 64); err == nil {
			found[strings.ToLower(m[1])] = value
		}
	}
	return found
}
