package notary

import (
	"context"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/text"
)

// publishers bounds how many of a pod's ArtifactSeals are written at a time.
const publishers = 8

// publish writes the ArtifactSeal of every subject, from a statement that has
// verified.
func (n *Notary) publish(ctx context.Context, p *v1alpha1.Provenance, st *provenance.Statement) error {
	seals, err := sealsOf(p, st)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(publishers)
	for _, s := range seals {
		g.Go(func() error { return n.put(ctx, s) })
	}
	return g.Wait()
}

// sealsOf spells a statement's subjects as ArtifactSeals.
func sealsOf(p *v1alpha1.Provenance, st *provenance.Statement) ([]*v1alpha1.ArtifactSeal, error) {
	seals := make([]*v1alpha1.ArtifactSeal, 0, len(st.Subjects))
	for _, s := range st.Subjects {
		l, err := s.Location()
		if err != nil {
			return nil, fmt.Errorf("location of output %q: %w", s.Output, err)
		}
		labels := map[string]string{v1alpha1.LabelLocation: artifact.LocationName(l)}
		maps.Copy(labels, p.Labels)
		seals = append(seals, &v1alpha1.ArtifactSeal{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p.Namespace,
				Name:      artifact.SealName(l, st.Step.Workflow.UID),
				Labels:    labels,
			},
			Spec: v1alpha1.ArtifactSealSpec{
				Location:   v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
				Workflow:   v1alpha1.ObjectRef{Name: st.Step.Workflow.Name, UID: types.UID(st.Step.Workflow.UID)},
				SHA256:     string(s.SHA256),
				TreeDigest: string(s.Tree),
				Size:       s.Size,
				Producer: v1alpha1.Producer{
					Pod:        v1alpha1.ObjectRef{Name: st.Step.Pod.Name, UID: types.UID(st.Step.Pod.UID)},
					NodeID:     st.Step.NodeID,
					Template:   text.Prefix(st.Definition.Template, maxName),
					Output:     s.Output,
					FinishedAt: metav1.NewTime(st.FinishedAt), PodCreatedAt: p.Spec.PodCreatedAt, RecordedAt: p.CreationTimestamp,
				},
				Provenance: p.Name,
			},
		})
	}
	return seals, nil
}

// put writes an ArtifactSeal. One that is there already stays, unless its producer
// ran earlier than ours: what a later step put at the location is what lies there
// now. A directory without an archive is no one thing: what two steps store there lies
// beside each other, so the seal of the earlier one stays, under another name.
func (n *Notary) put(ctx context.Context, s *v1alpha1.ArtifactSeal) error {
	err := n.API.Create(ctx, s.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return about(s, err)
	}
	var there v1alpha1.ArtifactSeal
	if err := n.API.Get(ctx, client.ObjectKeyFromObject(s), &there); err != nil {
		return about(s, err)
	}
	if there.Spec.Producer.RecordedAt.IsZero() { // an earlier release wrote it: the record itself knows
		var record v1alpha1.Provenance
		err := n.API.Get(ctx, client.ObjectKey{Namespace: there.Namespace, Name: there.Spec.Provenance}, &record)
		if client.IgnoreNotFound(err) != nil {
			return about(s, err)
		}
		there.Spec.Producer.RecordedAt = record.CreationTimestamp
	}
	ours, theirs := s.Spec.Producer, there.Spec.Producer
	if ours.Pod.UID == theirs.Pod.UID {
		return nil
	}
	later := provenance.RunOf(ours).After(provenance.RunOf(theirs))
	if s.Spec.Location.Kind == string(artifact.KindPrefix) {
		return n.share(ctx, s, &there, later)
	}
	if !later {
		return nil // of two that nobody can tell apart, the one that is there: argoseal-verify compares it with what lies there
	}
	s.ResourceVersion = there.ResourceVersion
	return about(s, n.API.Update(ctx, s))
}

// share writes a seal beside the one that is there, for one directory: that of the
// later step under the location's name, the other under one of its own, first, so that
// neither is ever missing.
func (n *Notary) share(ctx context.Context, s, there *v1alpha1.ArtifactSeal, later bool) error {
	last, earlier := there, s
	if later {
		last, earlier = s, there
		last.ResourceVersion = there.ResourceVersion
	}
	l := earlier.Spec.Location
	at := artifact.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
	beside := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: earlier.Namespace, Labels: earlier.Labels,
			Name: artifact.SharedSealName(at, string(earlier.Spec.Workflow.UID), string(earlier.Spec.Producer.Pod.UID)),
		},
		Spec: earlier.Spec,
	}
	beside.Spec.Shared = true
	if err := n.API.Create(ctx, beside); err != nil && !apierrors.IsAlreadyExists(err) {
		return about(beside, err)
	}
	if last.Spec.Shared {
		return nil
	}
	last.Spec.Shared = true
	return about(last, n.API.Update(ctx, last))
}

func about(s *v1alpha1.ArtifactSeal, err error) error {
	if err != nil {
		return fmt.Errorf("writing artifact seal %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}
