// Command soak runs tests of argoseal-sentinel again and again, and writes in tables how
// often they passed, what was read and written meanwhile, and how soon each recovered. What
// each run printed stays beside the tables. It goes on after one that fails, and exits with
// 0 only if none did.
//
// `make sentinel-soak RUNS=20` builds what they need, and runs this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// usual are the tests that raise a control plane, if none is named.
var usual = []string{"TestSecretEncryptionUnderChaos", "TestSecretEncryption", "TestSecretEncryptionByAPlugin", "TestSecretsUnderAKeyService"}

func main() {
	runs := flag.Int("runs", 20, "how often each test is run")
	atOnce := flag.Int("at-once", 1, "how many run at once, each with three API servers and three etcd members")
	dir := flag.String("dir", "bin/sentinel-soak", "where to write the tables, and what each run printed")
	flag.Parse()
	tests := flag.Args()
	if len(tests) == 0 {
		tests = usual
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := soak(ctx, os.Stdout, *dir, *runs, *atOnce, tests); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context, out io.Writer, dir string, runs, atOnce int, tests []string) error {
	if runs < 1 || atOnce < 1 {
		return errors.New("-runs and -at-once are 1 or more")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	program, err := filepath.Abs(filepath.Join(dir, "sentinel.test"))
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "e2e", "-o", program, "./e2e/sentinel")
	build.Stdout, build.Stderr = out, out
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the tests: %w", err)
	}
	tables := filepath.Join(dir, "results.md")
	var mu sync.Mutex // has what follows
	var all []result
	failed := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for n := range runs {
		for _, test := range tests {
			g.Go(func() error {
				log := filepath.Join(dir, fmt.Sprintf("%s-%d.log", test, n+1))
				r, err := one(ctx, program, test, log)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, r)
				if !r.passed {
					failed++
				}
				fmt.Fprintf(out, "%s %d of %d: %s, see %s\n", test, n+1, runs, r, log)
				// Written each time: who ends it before its time has what there is.
				return os.WriteFile(tables, []byte(render(all)), 0o644)
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n%s has it.\n", render(all), tables)
	if failed > 0 {
		return fmt.Errorf("%d of %d runs failed", failed, len(all))
	}
	return nil
}

// one runs a test once.
func one(ctx context.Context, program, test, log string) (result, error) {
	if err := ctx.Err(); err != nil {
		return result{}, err // another run could not be started, or somebody ends all
	}
	cmd := exec.CommandContext(ctx, program, "-test.v", "-test.timeout=40m", "-test.run=^"+test+"$")
	cmd.Dir = "e2e/sentinel" // where `go test` runs it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	before, err := load()
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	said, failed := cmd.CombinedOutput()
	took := time.Since(began)
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if ended := (*exec.ExitError)(nil); failed != nil && !errors.As(failed, &ended) {
		return result{}, failed
	}
	if err := os.WriteFile(log, said, 0o644); err != nil {
		return result{}, err
	}
	after, err := load()
	r := parse(test, string(said))
	r.passed = r.passed && failed == nil
	r.took, r.load = took, [2]string{before, after}
	return r, err
}

// load is the machine's average over a minute.
func load() (string, error) {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first, nil
}
