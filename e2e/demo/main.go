// Command demo shows a newcomer what Argoseal does, on a real cluster: it
// installs the chart and plays four scenarios, then says in a table what was
// expected and what happened. It exits with 0 only if all of it held.
//
// `make demo` raises the cluster first and runs this.
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
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	sealedNamespace = "demo-sealed"
	plainNamespace  = "demo-plain"
)

// limit is for the whole demo; it takes about two minutes.
const limit = 8 * time.Minute

func main() {
	dir := flag.String("dir", "bin/demo", "where to leave the bundle, keys and artifact of the demo")
	flag.Parse()
	if err := run(os.Stdout, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	started := time.Now()
	stage, err := newStage(ctx, out, dir)
	if err != nil {
		return err
	}
	baseline, err := scenario.Install(ctx, stage, plainNamespace)
	if err != nil {
		return err
	}
	if err := stage.Lab.Namespace(ctx, sealedNamespace, v1alpha1.ModeEnforce); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n$ kubectl label namespace %s %s=%s\n", sealedNamespace, v1alpha1.LabelMode, v1alpha1.ModeEnforce)

	results := play(ctx, stage, []scenario.Scenario{
		scenario.Sealed(sealedNamespace),
		scenario.Unsealed(sealedNamespace),
		scenario.Overwritten(sealedNamespace),
		scenario.Unlabelled(plainNamespace, baseline),
	})
	held := table(out, results)
	fmt.Fprintf(out, "\n%s in all. The bundle, the keys and the artifact are in %s.\n", time.Since(started).Round(time.Second), dir)
	if !held {
		return errors.New("not everything held; see the table")
	}
	return nil
}

func newStage(ctx context.Context, out io.Writer, dir string) (*scenario.Stage, error) {
	l, err := lab.Connect(ctx)
	if err != nil {
		return nil, err
	}
	cosign, err := part.Path(ctx, "cosign", "cosign")
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	return &scenario.Stage{
		Lab: l, Root: root, Argoseal: filepath.Join(root, "bin", "argoseal"), Cosign: cosign, Dir: dir, Out: out,
	}, nil
}

type result struct {
	scenario scenario.Scenario
	happened string
	err      error
	took     time.Duration
}

func play(ctx context.Context, s *scenario.Stage, scenarios []scenario.Scenario) []result {
	results := make([]result, 0, len(scenarios))
	for i, sc := range scenarios {
		fmt.Fprintf(s.Out, "\n[%d/%d] %s\n", i+1, len(scenarios), sc.Name)
		start := time.Now()
		happened, err := sc.Play(ctx, s)
		r := result{scenario: sc, happened: happened, err: err, took: time.Since(start)}
		if err != nil {
			s.Sayf("NOT AS EXPECTED: %v", err)
			r.happened = "not as expected (see above)"
		}
		results = append(results, r)
	}
	return results
}

// table prints what was expected and what happened, and says whether all held.
func table(out io.Writer, results []result) bool {
	held := true
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n\tSCENARIO\tEXPECTED\tHAPPENED\tTOOK")
	for _, r := range results {
		mark := "ok"
		if r.err != nil {
			mark, held = "NO", false
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", mark, r.scenario.Name, r.scenario.Expected, r.happened, r.took.Round(time.Second))
	}
	_ = w.Flush()
	return held
}
