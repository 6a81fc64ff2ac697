// Command upgrade shows what an upgrade costs workflows that run: it installs the
// chart of an earlier commit, has workflows in every state that matters, upgrades to
// the chart of the working tree, and says in a table what became of each. It exits
// with 0 only if all of it is as it has to be.
//
// Where the earlier release kept no record of since when its guards held, nobody
// can prove what its workflows were told, so the steps that they begin afterwards
// are refused by name (GuardsNotHeld). All else goes on: what ran is sealed, what
// was sealed is verified, and what is submitted afterwards runs.
//
// `make upgrade FROM=<commit>` raises a new cluster first and runs this.
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
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	namespace = "upgrade"
	// limit is for all of it; it takes about ten minutes.
	limit = 30 * time.Minute
	// each is how long one workflow may take.
	each = 6 * time.Minute
	// through is how many seconds the steps run that run through the upgrade, which
	// takes a minute: its images are built before.
	through = "150"
)

// flow makes something, may wait, and uses it.
const flow = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: hold, template: hold, when: "HELD"}
    - - name: use
        template: use
        arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}
  - {name: hold, suspend: {}}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo made > /tmp/art; sleep MAKES"]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    outputs: {artifacts: [{name: used, path: /tmp/used}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "grep made /tmp/in && cp /tmp/in /tmp/used && sleep USES"]}
`

// A state is one in which the upgrade finds a workflow.
type state struct {
	name, what  string
	held        bool
	makes, uses string
	// there says whether it is in that state.
	there func(*lab.Run) bool
	// begins: a step of it begins only after the upgrade.
	begins bool
}

func states() []state {
	phase := func(node, phase string) func(*lab.Run) bool {
		return func(r *lab.Run) bool {
			n, ok := r.Node(node)
			return ok && n.Phase == phase
		}
	}
	return []state{
		{name: "ended", what: "has ended before", makes: "0", uses: "0", there: (*lab.Run).Done},
		{name: "held", what: "has made, and uses afterwards", held: true, makes: "0", uses: "0", there: phase("hold", "Running"), begins: true},
		{name: "making", what: "makes meanwhile, and uses afterwards", makes: through, uses: "0", there: phase("make", "Running"), begins: true},
		{name: "using", what: "uses and makes meanwhile", makes: "0", uses: through, there: phase("use", "Running")},
	}
}

func main() {
	from := flag.String("from", "", "the commit whose chart and images are installed first")
	flag.Parse()
	if *from == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "upgrade: -from is not set: make upgrade FROM=<commit>")
		os.Exit(2)
	}
	if err := run(os.Stdout, *from); err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, from string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l, err := lab.Connect(ctx)
	if err != nil {
		return err
	}
	installed, err := l.Installed(ctx)
	if err != nil {
		return err
	}
	if installed {
		return errors.New("there is an Argoseal already: begin on a new cluster (make cluster-down cluster-up)")
	}
	u := upgrade{lab: l, out: out}
	earlier, err := u.checkOut(ctx, from)
	if err != nil {
		return err
	}
	if err := errors.Join(u.make(ctx, ".", "images"), u.make(ctx, earlier, "install")); err != nil {
		return err
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	proven, err := u.keepsRecord(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(u.make(ctx, ".", "install"), u.drained(ctx)); err != nil {
		return err
	}
	return u.end(ctx, proven)
}

type upgrade struct {
	lab *lab.Lab
	out io.Writer
}

// checkOut puts the files of a commit into a folder.
func (u upgrade) checkOut(ctx context.Context, commit string) (string, error) {
	dir := filepath.Join("bin", "upgrade", commit)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	script := `git archive --format=tar "$1" | tar -x -C "$2"`
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script, "bash", commit, dir)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("check out %s: %w: %s", commit, err, said)
	}
	return dir, nil
}

func (u upgrade) make(ctx context.Context, dir, target string) error {
	fmt.Fprintf(u.out, "$ make -C %s %s\n", dir, target)
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", dir, target)
	cmd.Stdout, cmd.Stderr = u.out, u.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make -C %s %s: %w", dir, target, err)
	}
	return nil
}

// drained waits until nothing of the earlier release answers any more: what it
// admits, it admits by its own rules.
func (u upgrade) drained(ctx context.Context) error {
	err := lab.Eventually(ctx, 3*time.Minute, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := u.lab.List(ctx, lab.System, &pods)
		return err == nil && !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), err
	})
	if err != nil {
		return fmt.Errorf("pods of the earlier release do not end: %w", err)
	}
	return nil
}

// begin has a workflow in each state.
func (u upgrade) begin(ctx context.Context) error {
	if err := u.lab.Namespace(ctx, namespace, v1alpha1.ModeEnforce); err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // what the API servers need to know of the label
	for _, s := range states() {
		if err := u.submit(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range states() {
		run, err := u.lab.WaitFor(ctx, namespace, s.name, each, s.there)
		if err != nil {
			return err
		}
		fmt.Fprintf(u.out, "workflow %s %s: %s\n", s.name, s.what, run.Phase)
	}
	return nil
}

func (u upgrade) submit(ctx context.Context, s state) error {
	wf, err := lab.Workflow(strings.NewReplacer("NAME", s.name, "HELD", fmt.Sprint(s.held), "MAKES", s.makes, "USES", s.uses).Replace(flow))
	if err != nil {
		return err
	}
	_, err = u.lab.Submit(ctx, namespace, wf)
	return err
}

// keepsRecord says whether the release that is installed records since when the
// guards hold.
func (u upgrade) keepsRecord(ctx context.Context) (bool, error) {
	err := u.lab.Client.Get(ctx, client.ObjectKey{Namespace: lab.System, Name: v1alpha1.ConfigMapEpochs}, &corev1.ConfigMap{})
	return err == nil, client.IgnoreNotFound(err)
}

// end sees what becomes of all of them, and of one that comes afterwards.
func (u upgrade) end(ctx context.Context, proven bool) error {
	after := state{name: "after", what: "is submitted afterwards", makes: "0", uses: "0"}
	if err := u.submit(ctx, after); err != nil {
		return err
	}
	if err := u.lab.Resume(ctx, namespace, "held"); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	table := tabwriter.NewWriter(u.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\n\tWORKFLOW\tEXPECTED\tHAPPENED")
	failed := false
	for _, s := range append(states(), after) {
		want := "Succeeded, all sealed"
		if s.begins && !proven {
			want = string(reason.GuardsNotHeld) + ", all else sealed"
		}
		mark := "ok"
		if err := u.became(ctx, s, proven); err != nil {
			mark, failed = "NO", true
			fmt.Fprintf(table, "%s\t%s\t%s\t%v\n", mark, s.what, want, err)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tas expected\n", mark, s.what, want)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed {
		return errors.New("not everything is as expected; see the table")
	}
	return nil
}

// became says what is not as it has to be of a workflow.
func (u upgrade) became(ctx context.Context, s state, proven bool) error {
	run, err := u.lab.Finish(ctx, namespace, s.name, each)
	if err != nil {
		return err
	}
	outputs := 2
	if s.begins && !proven {
		outputs = 1
		use, _ := run.Node("use")
		if run.Phase == "Succeeded" || !strings.Contains(use.Message, string(reason.GuardsNotHeld)) {
			return fmt.Errorf("want %s: %s", reason.GuardsNotHeld, run)
		}
	} else if run.Phase != "Succeeded" {
		return errors.New(run.String())
	}
	pods, err := u.lab.Pods(ctx, namespace, s.name)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if _, err := u.lab.Provenance(ctx, &pod, time.Minute); err != nil {
			return err
		}
	}
	seals, err := u.lab.Seals(ctx, namespace, run.UID)
	if err != nil {
		return err
	}
	if len(seals) != outputs {
		return fmt.Errorf("%d seals, want %d", len(seals), outputs)
	}
	for _, seal := range seals {
		if _, err := u.lab.Check(ctx, &seal); err != nil {
			return fmt.Errorf("seal %s: %w", seal.Name, err)
		}
	}
	return nil
}
