package evidence

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/verify"
)

// looked is what a record's bundle says, or why it does not hold. It is of one content of that
// record: the API server gives each a resource version of its own.
type looked struct {
	uid     types.UID
	version string
	result  *verify.Result
	err     error
}

func (l looked) of(record *v1alpha1.Provenance) bool {
	return l.uid == record.UID && l.version == record.ResourceVersion
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
	seen := map[string]bool{}
	for _, seal := range v.namesOf(inputs) {
		if InTime(ctx) != nil {
			return
		}
		record, err := v.sealing(ctx, seal)
		if err != nil {
			return // the next reads would fail as well, and be made again
		}
		if record == nil || seen[record.Name] || fateOf(record).ending != sealed || record.Status.Bundle == "" {
			continue
		}
		seen[record.Name] = true
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
			result, err := v.verified.in(v.trust.Root, record)
			all[i] = looked{record.UID, record.ResourceVersion, result, err}
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, record := range records {
		if all[i].result != nil || all[i].err != nil {
			v.verdicts[recordKey(v.consumer.Namespace, record.Name)] = all[i]
		}
	}
}

// sealing is the record of a seal, whose name it takes, as far as nobody has to be asked for
// it that is not asked later.
func (v *View) sealing(ctx context.Context, seal string) (*v1alpha1.Provenance, error) {
	if source, ok := v.source.(Remembering); ok {
		return source.Remembered(v.consumer.Namespace, seal), nil
	}
	if v.prepared == nil || v.prepared.seals[seal] == nil {
		return nil, nil
	}
	return v.record(ctx, v.consumer.Namespace, v.prepared.seals[seal].Spec.Provenance)
}

// namesOf are those of the workflow's seals at the inputs' places.
func (v *View) namesOf(inputs []argo.Input) []string {
	var names []string
	for _, in := range inputs {
		for _, l := range in.Locations() {
			names = append(names, artifact.SealName(l, v.consumer.WorkflowUID))
		}
	}
	return names
}
