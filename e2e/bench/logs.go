package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// logsRow is a line of TestWhatSealsCostInEachLog.
var logsRow = regexp.MustCompile(`\b(v1|v2|both) +bundle ([0-9]+) bytes; entries ([0-9]+) bytes; alone: median (\S+), slowest \S+; ([0-9]+) at a time: ([0-9.]+)/s`)

// logs seals in a Rekor v1 with Trillian and MariaDB, in a Rekor v2 and in both, all of them
// processes of their own: a test of e2e/interop. It needs Debian's MariaDB, so it is run by
// name only.
func logs(ctx context.Context, b *bench) ([]result, error) {
	for _, program := range []string{"mariadbd", "mariadb-install-db", "mariadb"} {
		if !here(program) {
			return nil, fmt.Errorf("no %s, which Trillian of a Rekor v1 needs: apt-get install mariadb-server-core mariadb-client-core", program)
		}
	}
	b.sayf("the servers are built first, if they are not there: some minutes")
	run := exec.CommandContext(ctx, "bash", "-c", `set -euo pipefail
		go run ./e2e/cluster build rekor-v1 trillian rekor-tiles >&2
		eval "$(go run ./e2e/cluster env)"
		exec go test -tags e2e -count=1 -timeout 20m -v -run '^TestWhatSealsCostInEachLog$' ./e2e/interop`)
	run.Stderr = b.out
	out, err := run.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := run.Start(); err != nil {
		return nil, err
	}
	var results []result
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&printed, lines.Text())
		m := logsRow.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		b.sayf("%s", m[0]) // a mode takes a minute
		row, err := logsOf(m)
		if err != nil {
			return results, fmt.Errorf("%q: %w", m[0], err)
		}
		results = append(results, row...)
	}
	if err := run.Wait(); err != nil {
		return results, fmt.Errorf("seals in each log: %w\n%s", err, printed.String())
	}
	if len(results) != 12 {
		return results, fmt.Errorf("seals in each log: %d values, want 12:\n%s", len(results), printed.String())
	}
	return results, nil
}

// here tells whether the tests would find a program of Debian's.
func here(program string) bool {
	for _, dir := range []string{"", "/usr/sbin/"} {
		if _, err := exec.LookPath(dir + program); err == nil {
			return true
		}
	}
	return false
}

// logsOf are the results in a line of logsRow.
func logsOf(m []string) ([]result, error) {
	took, err := time.ParseDuration(m[4])
	if err != nil {
		return nil, err
	}
	results := []result{newResult("signed to logged, one at a time, Rekor "+m[1], "s", []float64{took.Seconds()}, nil)}
	for _, of := range []struct{ name, unit, value string }{
		{"seals in a Rekor " + m[1] + ", " + m[5] + " at a time", "seals/s", m[6]},
		{"bundle of a seal, Rekor " + m[1] + " (a server)", "bytes", m[2]},
		{"log entry of a seal, Rekor " + m[1] + " (a server)", "bytes", m[3]},
	} {
		value, err := strconv.ParseFloat(of.value, 64)
		if err != nil {
			return nil, err
		}
		results = append(results, newResult(of.name, of.unit, []float64{value}, nil))
	}
	return results, nil
}
