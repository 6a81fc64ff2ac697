// Command bench measures what Argoseal costs, on the development cluster with
// Argoseal installed, and holds it to the project's targets. It prints one
// table, writes it as JSON, and exits with 1 if a target was missed.
//
//	go run ./e2e/bench -runs 10 -only seal
//
// What it measures:
//
//   - wall: Argo's artifact-passing example, with the label and without, in
//     turn; from just before it is submitted until the API server shows its
//     phase Succeeded, by this machine's clock. Once with Argo's default
//     DEFAULT_REQUEUE_TIME and once with 1 s.
//   - seal: from the moment the API server shows a producing pod as Succeeded
//     to the moment it shows its Provenance as sealed. Both are seen by watches;
//     the kubelet's own times have a resolution of one second.
//   - hash: what argoseal-signer measures of an archive that does not compress,
//     beside `openssl speed -evp sha256`; both on one CPU, by the CPU time they
//     use, which is how openssl counts.
//   - admission: what the webhook's two calls for a pod cost, by CPU time, beside a
//     webhook that admits everything. It needs no cluster: `go test -bench`.
//   - p99: how long pods wait for these two calls. It needs no cluster.
//   - log: how many bytes a seal takes in a Rekor v1, a Rekor v2 and both. It needs no
//     cluster.
//   - logs: how long a seal takes in each, and how many come in a second, in servers of their
//     own. Only by name: it needs Debian's MariaDB.
//   - size: of the notary, with and without the clients of key services.
//   - sealing: how many pods of a backlog are sealed in a second, and what each costs which
//     process. It needs the parts of the cluster, not the cluster.
//   - backlog: what it costs argoseal-controller to find 5,000 workflows that ended while
//     it was away. It needs no cluster.
//   - revocation: how long after a Revocation is made a consumer is still admitted, which
//     is asked for without pause; beside the time until it is stored. It needs no cluster.
//   - scrub: what it costs argoseal-scrubber to compare an artifact, beside reading and
//     hashing it and no more; worked out for 100,000 a day. It needs no cluster.
//   - taint: the same as revocation on the cluster, from when `argoseal taint` begins.
//   - burst: how many of 40 producers that start at once are sealed, by seals that
//     verify.
//   - throughput: workflows that Argo gets done in a second, with the label and without,
//     in turn, whose pods kwok simulates; with Argo's own limits, and with the machine's.
//   - large: wall time of a step that writes 1 GiB, with the label and without,
//     in turn; and the most memory that the sidecar had.
//   - huge: the same for 10 GiB. It needs 35 GiB of disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
)

// limit is for all of it; with 10 runs it takes the better part of an hour.
const limit = 2 * time.Hour

// bench is what every benchmark gets.
type bench struct {
	lab  *lab.Lab // nil if no benchmark needs the cluster
	runs int
	out  io.Writer
}

// sayf tells how far a benchmark is.
func (b *bench) sayf(format string, args ...any) {
	fmt.Fprintf(b.out, "  "+format+"\n", args...)
}

// benchmark is one of them.
type benchmark struct {
	name    string
	cluster bool
	run     func(ctx context.Context, b *bench) ([]result, error)
}

var benchmarks = []benchmark{
	{"hash", false, hash},
	{"admission", false, admission},
	{"p99", false, latency},
	{"log", false, logged},
	{"logs", false, logs},
	{"size", false, size},
	{"sealing", false, drained},
	{"backlog", false, backlog},
	{"revocation", false, revocation},
	{"scrub", false, scrubbing},
	{"seal", true, seal},
	{"wall", true, wall},
	{"taint", true, taint},
	{"burst", true, burst},
	{"throughput", true, throughput},
	{"large", true, large},
	{"huge", true, huge},
}

// byName are those that are run by name only: they need what `make bench` does not.
var byName = map[string]bool{"logs": true}

func main() {
	runs := flag.Int("runs", 10, "how often to measure each thing")
	only := flag.String("only", "", "the `names` of the benchmarks to run, with commas: hash, admission, p99, log, logs, size, sealing, backlog, revocation, scrub, seal, wall, taint, burst, throughput, large, huge; all but logs by default")
	file := flag.String("o", filepath.Join("bin", "bench.json"), "the `file` to write")
	flag.Parse()
	if err := run(os.Stdout, *runs, *only, *file); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, runs int, only, file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if runs < 1 {
		return fmt.Errorf("-runs is %d, want at least 1", runs)
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	b := &bench{runs: runs, out: out}
	if err := b.connect(ctx, chosen); err != nil {
		return err
	}
	var results []result
	for _, m := range chosen {
		fmt.Fprintf(out, "\n[%s]\n", m.name)
		r, err := m.run(ctx, b)
		results = append(results, r...)
		if err != nil {
			table(out, results) // what was measured is not lost
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if err := write(file, results); err != nil {
		return err
	}
	table(out, results)
	if missed := missed(results); len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// choose picks benchmarks by name, in their own order.
func choose(only string) ([]benchmark, error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(benchmarks), func(m benchmark) bool { return byName[m.name] }), nil
	}
	wanted := map[string]bool{}
	for _, name := range strings.Split(only, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []benchmark
	for _, m := range benchmarks {
		if wanted[m.name] {
			chosen = append(chosen, m)
			delete(wanted, m.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no benchmark %q", name)
	}
	return chosen, nil
}

// connect reaches the cluster if a benchmark needs it.
func (b *bench) connect(ctx context.Context, chosen []benchmark) error {
	needed := false
	for _, m := range chosen {
		needed = needed || m.cluster
	}
	if !needed {
		return nil
	}
	l, err := lab.Connect(ctx)
	if err != nil {
		return err
	}
	installed, err := l.Installed(ctx)
	if err == nil && !installed {
		err = errors.New("no Argoseal in the cluster: run `make install` first")
	}
	b.lab = l
	return err
}
