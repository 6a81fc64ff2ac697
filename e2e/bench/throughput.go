package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	// apart is the least ratio of Argo's throughput with us to that without.
	apart = 0.95
	// together is how many workflows are submitted at a time.
	together = 16
	// slowestRound is how long a round may take, and what it leaves to go away.
	slowestRound = 15 * time.Minute
)

// pace is how fast Argo may go, and how many workflows a round has then.
type pace struct {
	name       string
	qps, burst string
	requeue    string
	workflows  int
}

// paces are Argo's own defaults, and the limits of the development cluster, which leave
// the processors as the only bound.
var paces = []pace{
	{"with its defaults, 20 requests a second", "20", "30", argoDefault, 100},
	{"with 200 requests a second, bounded by the machine", "200", "400", "1s", 150},
}

// throughput measures how many workflows Argo gets done in a second, with the label and
// without, in turn. Their pods are simulated: no container runs, so that the machine is
// left to Argo, the API server and us.
func throughput(ctx context.Context, b *bench) (results []result, err error) {
	wf, err := lab.Workflow(simulated)
	if err != nil {
		return nil, err
	}
	stop, err := b.simulate(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	before, err := b.lab.Container(ctx, lab.ArgoController)
	if err != nil {
		return nil, err
	}
	defer func() { // also after an interrupt
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, b.lab.Alter(ctx, lab.ArgoController, func(c *corev1.Container) { c.Args, c.Env = before.Args, before.Env }))
	}()
	for _, p := range paces {
		b.sayf("Argo %s", p.name)
		if err := b.lab.Alter(ctx, lab.ArgoController, p.set); err != nil {
			return results, err
		}
		r, err := b.paced(ctx, p, wf)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

// set gives Argo's controller its limits.
func (p pace) set(c *corev1.Container) {
	for i, arg := range c.Args {
		name, _, _ := strings.Cut(arg, "=")
		switch name {
		case "--qps":
			c.Args[i] = name + "=" + p.qps
		case "--burst":
			c.Args[i] = name + "=" + p.burst
		}
	}
	for i := range c.Env {
		if c.Env[i].Name == requeue {
			c.Env[i].Value = p.requeue
		}
	}
}

// paced compares rounds with and without us.
func (b *bench) paced(ctx context.Context, p pace, wf *unstructured.Unstructured) (result, error) {
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{labelled: v1alpha1.ModeEnforce, unlabelled: ""})
	if err != nil {
		return result{}, err
	}
	defer end()
	var with, without []float64
	// The first pair fills caches and does not count. Each begins with the other one.
	for i := range b.runs + 1 {
		var rates [2]float64
		for j := range rates {
			which := (i + j) % 2
			if rates[which], err = b.round(ctx, []string{labelled, unlabelled}[which], p.workflows, (i+1)*p.workflows, wf); err != nil {
				return result{}, err
			}
		}
		b.sayf("run %d of %d: %.2f workflows a second with us, %.2f without", i, b.runs, rates[0], rates[1])
		if i > 0 {
			with, without = append(with, rates[0]), append(without, rates[1])
		}
	}
	r := newResult("Argo "+p.name+", simulated pods", "workflows/s", with, without)
	return r.hold(*r.Ratio >= apart, "at most %.0f %% less", (1-apart)*100), nil
}

// round says how many of so many workflows a second come to their end. With the label,
// all have to be sealed then; so many seals there are in all.
func (b *bench) round(ctx context.Context, ns string, workflows, seals int, wf *unstructured.Unstructured) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, slowestRound)
	defer cancel()
	phases, err := b.lab.WatchPhases(ctx, ns)
	if err != nil {
		return 0, err
	}
	reported, err := b.report(ctx, ns)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	submitted, submitting := errgroup.WithContext(ctx)
	submitted.SetLimit(together)
	var all sync.WaitGroup
	var failed error
	all.Go(func() {
		for range workflows {
			submitted.Go(func() error {
				_, err := b.lab.Submit(submitting, ns, wf)
				return err
			})
		}
		failed = submitted.Wait()
	})
	done := map[string]bool{}
	for len(done) < workflows && err == nil {
		select {
		case p, open := <-phases:
			switch {
			case !open:
				err = fmt.Errorf("%d of %d workflows of %s are done after %s", len(done), workflows, ns, time.Since(began).Round(time.Second))
			case p.Phase == "Succeeded":
				done[p.Workflow] = true
			case p.Phase == "Failed" || p.Phase == "Error":
				err = fmt.Errorf("workflow %s/%s: %s", ns, p.Workflow, p.Phase)
			}
		case err = <-reported:
		}
	}
	took := time.Since(began)
	all.Wait()
	if err = errors.Join(failed, err); err != nil {
		return 0, err
	}
	if ns == labelled {
		if err := b.allSealed(ctx, ns, seals); err != nil {
			return 0, err
		}
	}
	// What one round leaves would be in the way of the next.
	if err := b.lab.DeleteWorkflows(ctx, ns); err != nil {
		return 0, err
	}
	return float64(workflows) / took.Seconds(), b.lab.DeletePods(ctx, ns)
}

// allSealed wants so many ArtifactSeals: else Argo would have been fast beside an Argoseal
// that did nothing.
func (b *bench) allSealed(ctx context.Context, ns string, want int) error {
	found := 0
	err := lab.Eventually(ctx, time.Minute, func(ctx context.Context) (bool, error) {
		var seals v1alpha1.ArtifactSealList
		err := b.lab.List(ctx, ns, &seals)
		found = len(seals.Items)
		return found >= want, err
	})
	if err != nil {
		return fmt.Errorf("%d of %d artifacts of %s are sealed: %w", found, want, ns, err)
	}
	return nil
}
