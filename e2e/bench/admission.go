package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

const (
	// beyondFloor is what a consumer with one input may cost beyond a webhook that
	// admits everything, both calls together, in milliseconds of CPU.
	beyondFloor = 1.2
	// refusedBy is how much more than an admitted one a refused consumer may cost.
	refusedBy = 2.0
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
	samples := map[string][]float64{}
	for i := range b.runs {
		b.sayf("run %d of %d", i+1, b.runs)
		run := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Floor|Admission)$", "-benchtime", "20x", "./webhook/server")
		run.Stderr = b.out
		printed, err := run.Output()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of the webhook: %w\n%s", err, printed)
		}
		for name, cpu := range cpuOf(printed) {
			samples[name] = append(samples[name], cpu)
		}
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

// row is a line of the Go benchmarks; they append the number of CPUs to the name.
var row = regexp.MustCompile(`^Benchmark(?:Admission/)?(\S+?)(?:-\d+)?\s.*?\s([0-9.]+) cpu-ms/op`)

// cpuOf reads the CPU time of each benchmark, by its name.
func cpuOf(printed []byte) map[string]float64 {
	found := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(printed))
	for lines.Scan() {
		m := row.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if cpu, err := strconv.ParseFloat(m[2], 64); err == nil {
			found[strings.ToLower(m[1])] = cpu
		}
	}
	return found
}
