package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	revoking = "bench-revoking"
	// askers ask at once, so that the API server has several connections, and with them
	// reaches more than one webhook.
	askers = 4
	// calm is how long nothing may have been admitted before that counts as the end: longer
	// than a webhook goes by what it has read, should it hear of nothing.
	calm = 3 * time.Second
	// turn bounds one measurement.
	turn = time.Minute
)

// handsOver is a workflow whose second step takes what the first has made.
const handsOver = `
metadata: {generateName: revoking-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, command: [sh, -c, "cat /proc/sys/kernel/random/uuid > /tmp/art"]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: busybox, command: [cat, /tmp/in]}
`

// taint measures how long after `argoseal taint` begins a consumer is still admitted.
func taint(ctx context.Context, b *bench) ([]result, error) {
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{revoking: v1alpha1.ModeEnforce})
	if err != nil {
		return nil, err
	}
	defer end()
	dir, err := os.MkdirTemp("", "argoseal-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r, err := b.revoker(ctx, dir)
	if err != nil {
		return nil, err
	}
	runs := 2 * b.runs // the slowest is of interest, too, and they are short
	var stored, until, after []float64
	for i := range runs {
		// By the artifact, too: a run that was cut off leaves its own behind.
		t, err := r.once(ctx, fmt.Sprintf("%s-%.12s-%d", revoking, r.seal.Spec.SHA256, i))
		if err != nil {
			return nil, err
		}
		b.sayf("run %d of %d: stored after %.2f s, the last of %d pods was admitted after %.2f s", i+1, runs, t.stored.Seconds(), t.admitted, t.last.Seconds())
		stored, until = append(stored, t.stored.Seconds()), append(until, t.last.Seconds())
		after = append(after, max(0, t.last.Seconds()-t.stored.Seconds()))
	}
	all := newResult("argoseal taint begins, until no consumer is admitted", "s", until, stored)
	return []result{
		all.hold(slices.Max(until) <= promised, "at most %.0f s in every run", promised),
		newResult("the slowest of these", "s", []float64{slices.Max(until)}, nil),
		newResult("the Revocation is stored, until no consumer is admitted", "s", after, nil),
		newResult("the slowest of these", "s", []float64{slices.Max(after)}, nil),
	}, nil
}

// revoker takes back trust in what a pod takes, and has that pod asked for.
type revoker struct {
	lab      *lab.Lab
	argo     client.Client
	consumer *corev1.Pod
	seal     *v1alpha1.ArtifactSeal
	evidence *lab.Evidence
}

// revoker runs a workflow whose consumer is asked for again.
func (b *bench) revoker(ctx context.Context, dir string) (*revoker, error) {
	wf, err := lab.Workflow(handsOver)
	if err != nil {
		return nil, err
	}
	name, err := b.lab.Submit(ctx, revoking, wf)
	if err != nil {
		return nil, err
	}
	run, err := b.lab.Finish(ctx, revoking, name, slowest)
	if err != nil {
		return nil, err
	}
	node, found := run.Node("use")
	if run.Phase != "Succeeded" || !found {
		return nil, fmt.Errorf("its artifact was not taken: %s", run)
	}
	pod, err := b.lab.PodOf(ctx, run, node)
	if err != nil {
		return nil, err
	}
	seals, err := b.lab.Seals(ctx, revoking, run.UID)
	if err == nil && len(seals) != 1 {
		err = fmt.Errorf("want one seal of %s, got %d", run.Name, len(seals))
	}
	if err != nil {
		return nil, err
	}
	r := &revoker{lab: b.lab, consumer: lab.Again(pod), seal: &seals[0]}
	if r.evidence, err = b.lab.Save(ctx, r.seal, dir); err != nil {
		return nil, err
	}
	r.argo, err = b.lab.AsServiceAccount(part.ArgoNamespace, "argo")
	return r, err
}

// ask has the consumer's pod asked for. Whether it is admitted is not decided if the API
// server or a webhook has too much to do.
func (r *revoker) ask(ctx context.Context) (admitted, decided bool, err error) {
	err = r.argo.Create(ctx, r.consumer.DeepCopy(), client.DryRunAll)
	switch {
	case apierrors.IsAlreadyExists(err):
		return true, true, nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), string(reason.Revoked)+": "):
		return false, true, nil
	case apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err), apierrors.IsTimeout(err):
		return false, false, nil
	case err == nil:
		err = errors.New("there is no pod of that name any more")
	}
	return false, false, fmt.Errorf("asking for pod %s: %w", r.consumer.Name, err)
}

// taken is what came of one measurement, since the command began: when the Revocation was
// stored, and when the last pod was admitted.
type taken struct {
	stored, last time.Duration
	admitted     int
}

// asked is what all askers have heard.
type asked struct {
	sync.Mutex
	last              time.Time
	admitted, refused int
	err               error
}

func (a *asked) note(admitted, decided bool, err error) {
	a.Lock()
	defer a.Unlock()
	switch {
	case err != nil:
		a.err = err
	case admitted:
		a.last = time.Now()
		a.admitted++
	case decided:
		a.refused++
	}
}

// ended says that nothing is admitted any more.
func (a *asked) ended() (bool, error) {
	a.Lock()
	defer a.Unlock()
	return a.refused > 0 && time.Since(a.last) > calm, a.err
}

// once taints the artifact while its consumer is asked for without pause.
func (r *revoker) once(ctx context.Context, name string) (t taken, err error) {
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	if err := r.trusted(ctx); err != nil {
		return t, err
	}
	defer func() { // also after an interrupt
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turn)
		defer cancel()
		revoked := &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: name}}
		err = errors.Join(err, client.IgnoreNotFound(r.lab.Client.Delete(ctx, revoked)))
	}()
	heard, asking := &asked{}, sync.WaitGroup{}
	questions, stop := context.WithCancel(ctx)
	for range askers {
		asking.Go(func() {
			for questions.Err() == nil {
				admitted, decided, err := r.ask(questions)
				if questions.Err() == nil {
					heard.note(admitted, decided, err)
				}
			}
		})
	}
	defer func() { stop(); asking.Wait() }()
	began := time.Now()
	stored, err := r.taint(ctx, name)
	if err != nil {
		return t, err
	}
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return t, fmt.Errorf("it is admitted still, or refused for something else: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		if over, err = heard.ended(); err != nil {
			return t, err
		}
	}
	heard.Lock()
	defer heard.Unlock()
	return taken{stored: stored.Sub(began), last: max(0, heard.last.Sub(began)), admitted: heard.admitted}, nil
}

// taint runs the command to its end, and says when it has told that the Revocation is
// stored.
func (r *revoker) taint(ctx context.Context, name string) (stored time.Time, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "argoseal"), "taint", "sha256:"+r.seal.Spec.SHA256, "--reason", "a benchmark", "--name", name,
		"--namespace", revoking, "--kubeconfig", r.lab.Kubeconfig, "--key", r.evidence.NotaryKey, "--trusted-root", r.evidence.TrustedRoot)
	said, err := cmd.StderrPipe()
	if err != nil {
		return stored, err
	}
	if err := cmd.Start(); err != nil {
		return stored, fmt.Errorf("argoseal taint: %w: run `make build` first", err)
	}
	var all []string
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all = append(all, lines.Text())
		if stored.IsZero() && strings.Contains(lines.Text(), "is made") {
			stored = time.Now()
		}
	}
	err = cmd.Wait()
	if err == nil && stored.IsZero() {
		err = errors.New("it does not say that the Revocation is made")
	}
	if err != nil {
		return stored, fmt.Errorf("argoseal taint: %w: %s", err, strings.Join(all, "\n"))
	}
	return stored, nil
}

// trusted waits until no webhook that is asked knows of a Revocation any more.
func (r *revoker) trusted(ctx context.Context) error {
	for since := time.Now(); time.Since(since) < calm; {
		admitted, decided, err := r.ask(ctx)
		if err != nil {
			return err
		}
		if decided && !admitted {
			since = time.Now()
		}
	}
	return nil
}
