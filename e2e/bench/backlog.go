package main

import "context"

const (
	// peakMiB is what the controller may hold of memory at most, of 5,000 workflows with
	// 20,000 artifacts that ended while it was away.
	peakMiB = 256
	// callsEach is how often it may ask the API server for each of them.
	callsEach = 6
)

// backlogged are what BenchmarkBacklog measures, by the units of Go's benchmarks.
var backlogged = []struct {
	unit, name, in string
	most           float64 // 0: it only informs
}{
	{"workflows/s", "backlog of 5,000 workflows", "workflows/s", 0},
	{"calls/workflow", "API calls of it for each", "calls", callsEach},
	{"peak-MiB", "memory of it at its peak", "MiB", peakMiB},
	{"again-calls/workflow", "API calls for each after another start", "calls", callsEach},
	{"again-peak-MiB", "memory at its peak after another start", "MiB", peakMiB},
}

// backlog has the controller find workflows that ended while it was away, on an API
// server of its own.
func backlog(ctx context.Context, b *bench) ([]result, error) {
	b.sayf("5,000 workflows and the records of 20,000 pods are made first: some minutes")
	printed, err := goBench(ctx, b, "BenchmarkBacklog", "./cmd/argoseal-controller")
	if err != nil {
		return nil, err
	}
	var results []result
	for _, of := range backlogged {
		value, err := metric(printed, of.unit)
		if err != nil {
			return results, err
		}
		r := newResult(of.name, of.in, []float64{value}, nil)
		if of.most > 0 {
			r = r.hold(value <= of.most, "at most %.0f", of.most)
		}
		results = append(results, r)
	}
	return results, nil
}
