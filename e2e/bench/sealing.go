package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// sealingCost is what BenchmarkSealing reports of one process, or of how fast it was.
var sealingCost = regexp.MustCompile(`\s([0-9.]+) (seals/s|[a-z-]+-ms/seal)\b`)

// drained drains a backlog of finished pods with two notaries, a real API server, a real etcd
// and a real Rekor v2: `go test -bench`. It needs the parts of the cluster, not the cluster.
func drained(ctx context.Context, b *bench) ([]result, error) {
	b.sayf("1,500 pods are made first: a minute")
	run := exec.CommandContext(ctx, "bash", "-c", `set -euo pipefail
		go run ./e2e/cluster build etcd kubernetes rekor-tiles >&2
		eval "$(go run ./e2e/cluster env)"
		export TEST_ASSET_KUBE_APISERVER="$ARGOSEAL_BIN_KUBE_APISERVER" TEST_ASSET_ETCD="$ARGOSEAL_BIN_ETCD" ARGOSEAL_BENCH_PODS=1500
		exec go test -tags integration -run '^$' -bench '^BenchmarkSealing$' -benchtime 1x -timeout 20m ./pkg/notary`)
	run.Stderr = b.out
	printed, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmark of the notary: %w\n%s", err, printed)
	}
	var results []result
	for _, m := range sealingCost.FindAllSubmatch(printed, -1) {
		value, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return results, fmt.Errorf("benchmark of the notary: %w", err)
		}
		name, unit := "sealing a backlog of 1,500 pods", string(m[2])
		if process, is := strings.CutSuffix(unit, "-ms/seal"); is {
			name, unit = "CPU of "+process+" for each", "ms"
		}
		results = append(results, newResult(name, unit, []float64{value}, nil))
	}
	if len(results) < 2 {
		return results, fmt.Errorf("benchmark of the notary: no numbers in\n%s", printed)
	}
	return results, nil
}
