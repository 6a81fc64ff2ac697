package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	labelled   = "bench-labelled"
	unlabelled = "bench-unlabelled"
	// requeue is the variable of Argo's controller that says how long it lets a
	// workflow rest; unset, it is argoDefault.
	requeue     = "DEFAULT_REQUEUE_TIME"
	argoDefault = "10s"
	// most is the wall time that we may add, in seconds.
	most = 2.0
	// slowest is how long one workflow may take.
	slowest = 3 * time.Minute
)

// wall measures the example as a user sees it.
func wall(ctx context.Context, b *bench) (results []result, err error) {
	example, err := lab.Example(ctx, "examples/artifact-passing.yaml")
	if err != nil {
		return nil, err
	}
	before, err := b.lab.Env(ctx, lab.ArgoController, requeue)
	if err != nil {
		return nil, err
	}
	defer func() {
		// Also after an interrupt.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, b.lab.SetEnv(ctx, lab.ArgoController, requeue, before))
	}()
	for _, interval := range []string{argoDefault, "1s"} {
		b.sayf("Argo with %s=%s", requeue, interval)
		if err := b.lab.SetEnv(ctx, lab.ArgoController, requeue, interval); err != nil {
			return nil, err
		}
		r, err := b.compare(ctx, example, interval)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// compare runs a workflow with and without us in turn.
func (b *bench) compare(ctx context.Context, wf *unstructured.Unstructured, interval string) (result, error) {
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{labelled: v1alpha1.ModeEnforce, unlabelled: ""})
	if err != nil {
		return result{}, err
	}
	defer end()
	var with, without []float64
	// The first pair fills caches and does not count.
	for i := range b.runs + 1 {
		on, err := b.timed(ctx, labelled, wf)
		if err != nil {
			return result{}, err
		}
		off, err := b.timed(ctx, unlabelled, wf)
		if err != nil {
			return result{}, err
		}
		b.sayf("run %d of %d: %.1f s with us, %.1f s without", i, b.runs, on.Seconds(), off.Seconds())
		if i > 0 {
			with, without = append(with, on.Seconds()), append(without, off.Seconds())
		}
	}
	r := newResult(fmt.Sprintf("wall time of artifact-passing, Argo requeues after %s", interval), "s", with, without)
	return r.hold(r.Value-*r.Floor <= most, "at most %.0f s more", most), nil
}

// timed says how long a workflow takes from its submission until it is seen to
// have succeeded.
func (b *bench) timed(ctx context.Context, ns string, wf *unstructured.Unstructured) (time.Duration, error) {
	return b.timedWithin(ctx, ns, wf, slowest)
}

// timedWithin is timed with another limit.
func (b *bench) timedWithin(ctx context.Context, ns string, wf *unstructured.Unstructured, limit time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	phases, err := b.lab.WatchPhases(ctx, ns)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	name, err := b.lab.Submit(ctx, ns, wf)
	if err != nil {
		return 0, err
	}
	for p := range phases {
		switch {
		case p.Workflow != name:
		case p.Phase == "Succeeded":
			return p.Seen.Sub(start), nil
		case p.Phase == "Failed" || p.Phase == "Error":
			return 0, fmt.Errorf("workflow %s/%s: %s", ns, name, p.Phase)
		}
	}
	return 0, fmt.Errorf("workflow %s/%s: not done after %s: %w", ns, name, limit, ctx.Err())
}

// namespaces makes the namespaces of a benchmark; end takes them away.
func (b *bench) namespaces(ctx context.Context, modes map[string]v1alpha1.Mode) (end func(), err error) {
	end = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		for name := range modes {
			if err := b.lab.DeleteNamespace(ctx, name); err != nil {
				b.sayf("%v", err)
			}
		}
	}
	for name, mode := range modes {
		if err := b.lab.Namespace(ctx, name, mode); err != nil {
			end()
			return nil, err
		}
	}
	return end, nil
}
