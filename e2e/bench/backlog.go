package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

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
// server of its own: `go test -bench`. It needs the parts of the cluster, not the cluster.
func backlog(ctx context.Context, b *bench) ([]result, error) {
	b.sayf("5,000 workflows and the records of 20,000 pods are made first: some minutes")
	run := exec.CommandContext(ctx, "bash", "-c", `set -euo pipefail
		eval "$(go run ./e2e/cluster env)"
		export TEST_ASSET_KUBE_APISERVER="$ARGOSEAL_BIN_KUBE_APISERVER" TEST_ASSET_ETCD="$ARGOSEAL_BIN_ETCD"
		go test -tags integration -run '^$' -bench '^BenchmarkBacklog$' -benchtime 1x -timeout 40m ./cmd/argoseal-controller`)
	run.Stderr = b.out
	printed, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmark of the controller: %w\n%s", err, printed)
	}
	var results []result
	for _, of := range backlogged {
		m := regexp.MustCompile(`\s([0-9.]+) ` + regexp.QuoteMeta(of.unit) + `\s`).FindSubmatch(printed)
		if m == nil {
			return results, fmt.Errorf("benchmark of the controller: no %s in\n%s", of.unit, printed)
		}
		value, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return results, fmt.Errorf("benchmark of the controller: %w", err)
		}
		r := newResult(of.name, of.in, []float64{value}, nil)
		if of.most > 0 {
			r = r.hold(value <= of.most, "at most %.0f", of.most)
		}
		results = append(results, r)
	}
	return results, nil
}
