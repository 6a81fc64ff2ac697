package evidence

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// SealsOfDigest are the seals of a namespace for single files with that digest, the
// newest first, of those that are wanted.
func (v *View) SealsOfDigest(ctx context.Context, namespace string, d artifact.Digest, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	return v.sealsWith(ctx, namespace, labels.Set{v1alpha1.LabelSHA256: artifact.DigestLabel(d)}, func(s *v1alpha1.ArtifactSeal) bool {
		return s.Spec.SHA256 == string(d) && wanted(s)
	})
}

// SealsOfLayouts are the seals of a namespace for outputs in which our sidecar found the
// image with that digest, the newest first, of those that are wanted.
func (v *View) SealsOfLayouts(ctx context.Context, namespace string, d artifact.Digest, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	return v.sealsWith(ctx, namespace, labels.Set{v1alpha1.LabelImagePrefix + artifact.DigestLabel(d): v1alpha1.ImageMeasured}, func(s *v1alpha1.ArtifactSeal) bool {
		return slices.ContainsFunc(s.Spec.Images, func(i v1alpha1.SealedImage) bool { return i.SHA256 == string(d) }) && wanted(s)
	})
}

// sealsWith are the seals of a namespace with a label, of those that are the right ones.
func (v *View) sealsWith(ctx context.Context, namespace string, of labels.Set, is func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	right := func(s *v1alpha1.ArtifactSeal) bool { return s.Namespace == namespace && is(s) }
	found, err := v.source.Seals(ctx, namespace, of, right)
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		return nil, refusal
	case err != nil:
		return nil, lookupFailed("the ArtifactSeals of namespace "+namespace, err)
	}
	found = slices.DeleteFunc(slices.Clone(found), func(s v1alpha1.ArtifactSeal) bool {
		return !right(&s)
	})
	slices.SortFunc(found, func(a, b v1alpha1.ArtifactSeal) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	return found, nil
}

// Sealing refuses for now, as long as a pod of the consumer's workflow has ended
// and its record is not final: what it made may yet be sealed. A cache suffices to
// see that a record is final, because it stays so. It is nil where there is no
// workflow.
func (v *View) Sealing(ctx context.Context, quick Source, now time.Time) *reason.Error {
	if v.consumer.Workflow == "" {
		return nil
	}
	pods, err := v.pods(ctx)
	if err != nil {
		return lookupFailed("the pods of this workflow", err)
	}
	for _, p := range pods {
		mute := len(p.Outputs) == 0 && !p.Unreadable
		if mute || !p.Finished || p.Pod == v.consumer.Pod || p.Namespace != v.consumer.Namespace || !v.tagged(p) {
			continue
		}
		if known, err := quick.Provenance(ctx, p.Namespace, p.UID); err == nil && known != nil && Final(known) {
			continue
		}
		w := writer{Producer: p}
		if w.record, err = v.record(ctx, v.consumer.Namespace, p.UID); err != nil {
			return lookupFailed("the Provenance of pod "+p.Pod, err)
		}
		if w.fate = fateOf(w.record); w.fate.ending == open {
			return Writers{all: []writer{w}}.Pending(now)
		}
	}
	return nil
}

// pods are all pods of the consumer's workflow.
func (v *View) pods(ctx context.Context) ([]Producer, error) {
	if source, ok := v.source.(Batched); ok {
		return source.All(ctx, v.consumer.Namespace, v.consumer.Workflow)
	}
	return v.source.Producers(ctx, v.consumer.Namespace, v.consumer.Workflow, argo.Input{})
}
