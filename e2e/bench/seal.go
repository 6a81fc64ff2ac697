package main

import (
	"context"
	"fmt"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	sealing = "bench-sealing"
	// soon is when a seal is to be there, in seconds, in half of the cases.
	soon = 0.5
)

// producer is a workflow of one pod that produces one artifact.
const producer = `
metadata: {generateName: producer-}
spec:
  entrypoint: produce
  templates:
  - name: produce
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo hello > /tmp/message"]
    outputs:
      artifacts:
      - {name: message, path: /tmp/message}
`

// seal measures how long after its pod an artifact is sealed.
func seal(ctx context.Context, b *bench) ([]result, error) {
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{sealing: v1alpha1.ModeEnforce})
	if err != nil {
		return nil, err
	}
	defer end()
	var delays []float64
	for i := range b.runs + 1 {
		delay, err := b.sealed(ctx)
		if err != nil {
			return nil, err
		}
		b.sayf("run %d of %d: sealed %.2f s after the pod's end", i, b.runs, delay.Seconds())
		if i > 0 {
			delays = append(delays, delay.Seconds())
		}
	}
	r := newResult("pod seen as Succeeded to Provenance seen as sealed", "s", delays, nil)
	return []result{r.hold(r.Value <= soon, "at most %.1f s", soon)}, nil
}

// sealed runs a producer and says how long after its pod the seal was seen.
func (b *bench) sealed(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	pods, err := b.lab.WatchPods(ctx, sealing)
	if err != nil {
		return 0, err
	}
	seals, err := b.lab.WatchSealed(ctx, sealing)
	if err != nil {
		return 0, err
	}
	wf, err := lab.Workflow(producer)
	if err != nil {
		return 0, err
	}
	name, err := b.lab.Submit(ctx, sealing, wf)
	if err != nil {
		return 0, err
	}
	var pod, done time.Time
	for pod.IsZero() || done.IsZero() {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("workflow %s/%s: no seal after %s: %w", sealing, name, slowest, ctx.Err())
		case e := <-pods:
			first(&pod, e, name)
		case e := <-seals:
			first(&done, e, name)
		}
	}
	return done.Sub(pod), nil
}

// first notes when something of a workflow was first seen to be done.
func first(at *time.Time, e lab.Ended, workflow string) {
	if e.Workflow == workflow && at.IsZero() {
		*at = e.Seen
	}
}
