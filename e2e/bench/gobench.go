package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// progress begins a line of a Go benchmark that says how far it is.
const progress = "progress: "

// goBench runs a benchmark of Go's once.
func goBench(ctx context.Context, b *bench, name, folder string, parts ...string) (string, error) {
	return goTest(ctx, b, "-run '^$' -bench '^"+name+"$' -benchtime 1x "+folder, parts...)
}

// goTest runs tests with servers of their own, and gives what they printed. They need the
// parts of the cluster, of which it builds those that are not there, and not the cluster.
func goTest(ctx context.Context, b *bench, arguments string, parts ...string) (string, error) {
	run := exec.CommandContext(ctx, "bash", "-c", `set -euo pipefail
		go run ./e2e/cluster build etcd kubernetes `+strings.Join(parts, " ")+`
		eval "$(go run ./e2e/cluster env)"
		export TEST_ASSET_KUBE_APISERVER="$ARGOSEAL_BIN_KUBE_APISERVER" TEST_ASSET_ETCD="$ARGOSEAL_BIN_ETCD"
		go test -tags integration -count 1 -v -timeout 40m `+arguments)
	run.Stderr = b.out
	out, err := run.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := run.Start(); err != nil {
		return "", err
	}
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if far, says := strings.CutPrefix(lines.Text(), progress); says {
			b.sayf("%s", far)
			continue
		}
		printed.WriteString(lines.Text() + "\n")
	}
	if err := errors.Join(lines.Err(), run.Wait()); err != nil {
		return "", fmt.Errorf("go test %s: %w\n%s", arguments, err, printed.String())
	}
	return printed.String(), nil
}

// metric is what was printed in a unit, as Go's benchmarks do.
func metric(printed, unit string) (float64, error) {
	all, err := metrics(printed, unit)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// metrics is all that was printed in a unit: one value or more.
func metrics(printed, unit string) (all []float64, err error) {
	for _, m := range regexp.MustCompile(`\s([0-9.e+-]+) `+regexp.QuoteMeta(unit)+`\s`).FindAllStringSubmatch(printed, -1) {
		value, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", unit, err)
		}
		all = append(all, value)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no %s in\n%s", unit, printed)
	}
	return all, nil
}
