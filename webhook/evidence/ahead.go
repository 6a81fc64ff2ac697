package evidence

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/verify"
)

// looked is what a record's bundle says, or why it does not hold.
type looked struct {
	result *verify.Result
	err    error
}

// ahead verifies the bundles that the inputs will ask for, on all processors that there are: a
// bundle takes a millisecond, a step may have a hundred of them, and who asks is one goroutine.
// It decides nothing, and what it leaves out is verified when it is asked for: what cannot be
// read, has no last word, is known, or has a bundle that is not kept.
func (v *View) ahead(ctx context.Context, inputs []argo.Input) {
	if v.trust.Root == nil {
		return
	}
	var records []*v1alpha1.Provenance
	for _, name := range v.namesOf(inputs) {
		if InTime(ctx) != nil {
			return
		}
		record, err := v.record(ctx, v.consumer.Namespace, name)
		if err != nil {
			return // the next reads would fail as well, and be made again
		}
		if record == nil || fateOf(record).ending != sealed || record.Status.Bundle == "" {
			continue
		}
		if _, known := v.verified.of(v.trust.Root, record); !known {
			records = append(records, record)
		}
	}
	if len(records) < 2 {
		return
	}
	all := make([]looked, len(records))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, record := range records {
		if InTime(ctx) != nil {
			break
		}
		g.Go(func() error {
			// A panic here would end the program, and ends a request where it is asked for.
			defer func() { _ = recover() }()
			all[i].result, all[i].err = v.verified.in(v.trust.Root, record)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, record := range records {
		if all[i] != (looked{}) {
			v.verdicts[recordKey(v.consumer.Namespace, record.Name)] = all[i]
		}
	}
}

// namesOf are the records of the workflow's seals at the inputs' places, each once.
func (v *View) namesOf(inputs []argo.Input) []string {
	var names []string
	seen := map[string]bool{}
	for _, in := range inputs {
		for _, l := range in.Locations() {
			seal := v.prepared.seals[artifact.SealName(l, v.consumer.WorkflowUID)]
			if seal != nil && !seen[seal.Spec.Provenance] {
				seen[seal.Spec.Provenance] = true
				names = append(names, seal.Spec.Provenance)
			}
		}
	}
	return names
}
