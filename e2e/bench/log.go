package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// logRow is a line of BenchmarkLog.
var logRow = regexp.MustCompile(`^BenchmarkLog/(\w+?)(?:-\d+)?\s.*?([0-9.]+) bundle-bytes\s+([0-9.]+) entry-bytes`)

// logged says how many bytes a seal of one output takes in each kind of log, and its
// bundle in the cluster: `go test -bench`, with logs in memory that make entries with
// Rekor's own code.
func logged(ctx context.Context, b *bench) ([]result, error) {
	run := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkLog$", "-benchtime", "1x", "./pkg/seal")
	run.Stderr = b.out
	printed, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmark of the logs: %w\n%s", err, printed)
	}
	var results []result
	for lines := bufio.NewScanner(bytes.NewReader(printed)); lines.Scan(); {
		m := logRow.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		for i, of := range []string{"bundle", "log entry"} {
			value, err := strconv.ParseFloat(m[2+i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark of the logs: %w", err)
			}
			results = append(results, newResult(of+" of a seal, Rekor "+m[1], "bytes", []float64{value}, nil))
		}
	}
	if len(results) != 6 {
		return results, fmt.Errorf("benchmark of the logs: %d values, want 6:\n%s", len(results), printed)
	}
	return results, nil
}
