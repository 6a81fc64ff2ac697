// Package suites runs the tests that show what a paper promises, ability by ability: each
// holds only if every case of it ran, and passed. A case that was skipped shows nothing.
//
// It trusts `go test` to say what became of a test.
package suites

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Case is a test of this repository.
type Case struct {
	// Package is its folder, such as e2e/suite.
	Package, Test string
	// Make is the target that has to come first; empty for none. Cases without one run
	// before all others.
	Make string
}

// In are tests of one package.
func In(folder string, tests ...string) []Case {
	all := make([]Case, len(tests))
	for i, test := range tests {
		all[i] = Case{Package: folder, Test: test}
	}
	return all
}

// Ability is something that a paper promises, and what shows that it is so.
type Ability struct {
	Name  string
	Cases []Case
}

// Missing are the cases that are no test of their package.
func Missing(root string, abilities []Ability) (missing []Case, err error) {
	for _, c := range cases(abilities) {
		files, err := filepath.Glob(filepath.Join(root, c.Package, "*_test.go"))
		if err != nil {
			return nil, err
		}
		there := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			there = there || strings.Contains(string(text), "\nfunc "+c.Test+"(t *testing.T) {")
		}
		if !there {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

// cases are those of all abilities, each once, in their order.
func cases(abilities []Ability) (all []Case) {
	for _, a := range abilities {
		for _, c := range a.Cases {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// batch is what one `go test` runs.
type batch struct {
	folder, target string
	tests          []string
}

// batches has the cases of each package together, and first those that need nothing made.
func batches(all []Case) (run []batch) {
	for _, c := range all {
		at := slices.IndexFunc(run, func(b batch) bool { return b.folder == c.Package && b.target == c.Make })
		if at < 0 {
			at = len(run)
			run = append(run, batch{folder: c.Package, target: c.Make})
		}
		run[at].tests = append(run[at].tests, c.Test)
	}
	slices.SortStableFunc(run, func(a, b batch) int { return strings.Compare(a.target, b.target) })
	return run
}

// anew is the variable by which e2e/suite installs Argoseal itself. It does not where a
// target was made first: that has installed it another way.
const anew = "ARGOSEAL_E2E_ANEW"

// patience is how long the tests of one package may take.
const patience = 110 * time.Minute

// Main runs a paper's suite from the root of the repository, tells what holds, and ends the
// program.
func Main(abilities []Ability) {
	only := flag.String("only", "", "run the abilities whose `name` has this in it, and no others")
	list := flag.Bool("list", false, "say which cases there are, and run none")
	flag.Parse()
	chosen := slices.DeleteFunc(slices.Clone(abilities), func(a Ability) bool { return !strings.Contains(a.Name, *only) })
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, chosen, *list); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, abilities []Ability, list bool) error {
	missing, err := Missing(".", abilities)
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return fmt.Errorf("there is no test %s in %s", missing[0].Test, missing[0].Package)
	case len(abilities) == 0:
		return errors.New("no ability has such a name: -list says which there are")
	case list:
		for _, a := range abilities {
			fmt.Fprintln(out, a.Name)
			for _, c := range a.Cases {
				fmt.Fprintf(out, "  %s %s\n", c.Package, c.Test)
			}
		}
		return nil
	}
	found := results{}
	for _, b := range batches(cases(abilities)) {
		if err := found.add(ctx, out, b); err != nil {
			fmt.Fprintln(out, err) // the verdict says what did not run
		}
	}
	fmt.Fprintln(out)
	if failing := tell(out, abilities, found); failing > 0 {
		return fmt.Errorf("%d of %d abilities do not hold", failing, len(abilities))
	}
	return nil
}

// add runs a batch. An error is not about a test: what that did is found already.
func (r results) add(ctx context.Context, out io.Writer, b batch) error {
	if b.target != "" {
		prepare := exec.CommandContext(ctx, "make", b.target)
		prepare.Stdout, prepare.Stderr = out, out
		if err := prepare.Run(); err != nil {
			return fmt.Errorf("make %s: %w", b.target, err)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-tags", "integration,e2e", "-count=1", "-timeout", patience.String(),
		"-run", "^("+strings.Join(b.tests, "|")+")$", "./"+b.folder)
	if b.target != "" {
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, anew+"=") })
	}
	cmd.Stderr = out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	said, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = r.read(said, out, b)
	if err != nil {
		_, _ = io.Copy(io.Discard, said) // else it would wait for a reader
	}
	// A test that fails has `go test` fail, too, and so does one that does not end well.
	if ended := cmd.Wait(); ended != nil && !r.failed(b) {
		err = errors.Join(err, ended)
		r.spoil(b)
	}
	return err
}

// verdict is what became of a case.
type verdict int

// The zero value shows nothing.
const (
	notRun verdict = iota
	skipped
	failed
	passed
)

var words = map[verdict]string{notRun: "not run", skipped: "skipped", failed: "FAILED", passed: "passed"}

type result struct {
	verdict verdict
	took    time.Duration
}

// results are by package and test, whatever had to be made first.
type results map[[2]string]result

// event is a line of `go test -json` (`go doc test2json`).
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// longest is the longest line that is read, in bytes: a line of a test's log is one.
const longest = 16 << 20

// kept is how much of what a test says is told if it fails, in bytes.
const kept = 256 << 10

// read takes what `go test -json` says of a batch, and tells what failing tests said.
func (r results) read(from io.Reader, out io.Writer, b batch) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longest)
	said := map[string]string{}
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go's own word, such as that it cannot build
			continue
		}
		test, _, below := strings.Cut(e.Test, "/")
		var v verdict
		switch e.Action {
		case "output", "build-output":
			if test == "" {
				fmt.Fprint(out, e.Output)
			} else if len(said[test]) < kept {
				said[test] += e.Output
			}
			continue
		case "pass":
			v = passed
		case "fail":
			v = failed
		case "skip":
			v = skipped
		default:
			continue // run, pause, cont, start: it has not ended
		}
		at := [2]string{b.folder, test}
		switch {
		case below && v == skipped:
			// A case of which a part did not run does not show all of it.
			r[at] = result{verdict: skipped}
		case below || !slices.Contains(b.tests, test):
		case v == passed && r[at].verdict == skipped:
			r[at] = result{skipped, seconds(e.Elapsed)}
		default:
			r[at] = result{v, seconds(e.Elapsed)}
			fmt.Fprintf(out, "%s %s: %s (%.0f s)\n", b.folder, test, words[v], e.Elapsed)
			if v == failed {
				fmt.Fprint(out, said[test])
			}
			delete(said, test)
		}
	}
	return lines.Err()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// failed says whether a test of a batch did.
func (r results) failed(b batch) bool {
	return slices.ContainsFunc(b.tests, func(test string) bool { return r[[2]string{b.folder, test}].verdict == failed })
}

// spoil takes back what passed: the package failed around it, as where something is left
// behind.
func (r results) spoil(b batch) {
	for _, test := range b.tests {
		if at := [2]string{b.folder, test}; r[at].verdict == passed {
			r[at] = result{failed, r[at].took}
		}
	}
}

// tell says of each ability whether it holds, and of how many it does not.
func tell(out io.Writer, abilities []Ability, found results) (failing int) {
	for _, a := range abilities {
		holds := len(a.Cases) > 0
		for _, c := range a.Cases {
			holds = holds && found[[2]string{c.Package, c.Test}].verdict == passed
		}
		word := "HOLDS"
		if !holds {
			word, failing = "DOES NOT HOLD", failing+1
		}
		fmt.Fprintf(out, "%s: %s\n", word, a.Name)
		for _, c := range a.Cases {
			r := found[[2]string{c.Package, c.Test}]
			fmt.Fprintf(out, "  %-7s  %s %s (%.0f s)\n", words[r.verdict], c.Package, c.Test, r.took.Seconds())
		}
	}
	return failing
}
