package notary

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/budget"
)

// What objects take in etcd, in bytes, beside the texts that are counted: with metadata
// and what the API server notes on each field. Estimates, by objects of a real cluster.
const (
	sizeOfRecord = 2 << 10
	sizeOfOutput = 512
	// sizeOfImage is that of one in an output: on the record, and with its label on the
	// ArtifactSeal.
	sizeOfImage = 768
	// sizeOfArtifactSeal is that of one whose key has some hundred bytes.
	sizeOfArtifactSeal = 2 << 10
	sizeOfWorkflow     = 2 << 10
	sizeOfNode         = 384
	// sizeOfStatements is that of both bundles of a WorkflowProvenance, which the
	// informer does not keep.
	sizeOfStatements = 24 << 10
)

// sizeOf is what a Provenance takes, with the ArtifactSeals of its outputs.
func sizeOf(p *v1alpha1.Provenance) budget.Size {
	s := budget.Size{Objects: 1, Bytes: sizeOfRecord + int64(len(p.Status.Bundle)+len(p.Status.Envelope))}
	for i := range p.Status.Outputs {
		o := &p.Status.Outputs[i]
		s.Bytes += sizeOfOutput + int64(len(o.Files)+len(o.Location)+sizeOfImage*len(o.Images))
		if o.SHA256 != "" {
			s.Objects++
			s.Bytes += sizeOfArtifactSeal + int64(len(o.Location))
		}
	}
	return s
}

// sizeOfSeal is what a seal is going to add to a record: its outputs, and its bundle,
// which has the payload in base64, beside a proof of some three KiB.
func sizeOfSeal(outputs, payload int) budget.Size {
	return budget.Size{
		Objects: int64(outputs),
		Bytes:   int64(outputs)*(sizeOfArtifactSeal+sizeOfOutput) + int64(payload)*4/3 + 3<<10,
	}
}

// sizeOfWhole is what a WorkflowProvenance takes.
func sizeOfWhole(p *v1alpha1.WorkflowProvenance) budget.Size {
	s := budget.Size{Objects: 1, Bytes: sizeOfWorkflow + sizeOfNode*int64(min(p.Status.Counts.Pods, maxNodesListed))}
	if p.Status.AttestedRecords > 0 {
		s.Bytes += sizeOfStatements
	}
	return s
}

// maxNodesListed is how many nodes a WorkflowProvenance lists.
const maxNodesListed = 1000

// count tells the ledger of a record that came, changed or went.
func (s *source) count(was, is any) {
	var before, now budget.Size
	namespace := ""
	if n, ok := was.(*recordNote); ok {
		before, namespace = n.size, n.namespace
	}
	if n, ok := is.(*recordNote); ok {
		now, namespace = n.size, n.namespace
	}
	s.notary.Budget.Change(namespace, now.Minus(before))
}

// CountWorkflows has the ledger count WorkflowProvenances, too, as the cache tells of them.
func (n *Notary) CountWorkflows(ctx context.Context, c cache.Cache) error {
	if n.Budget == nil {
		return nil
	}
	informer, err := c.GetInformer(ctx, &v1alpha1.WorkflowProvenance{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching workflow provenances: %w", err)
	}
	change := func(was, is any) {
		if unknown, ok := was.(toolscache.DeletedFinalStateUnknown); ok {
			was = unknown.Obj
		}
		var before, now budget.Size
		namespace := ""
		if p, ok := was.(*v1alpha1.WorkflowProvenance); ok {
			before, namespace = sizeOfWhole(p), p.Namespace
		}
		if p, ok := is.(*v1alpha1.WorkflowProvenance); ok {
			now, namespace = sizeOfWhole(p), p.Namespace
		}
		n.Budget.Change(namespace, now.Minus(before))
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { change(nil, o) },
		UpdateFunc: change,
		DeleteFunc: func(o any) { change(o, nil) },
	})
	if err != nil {
		return fmt.Errorf("watching workflow provenances: %w", err)
	}
	return nil
}
