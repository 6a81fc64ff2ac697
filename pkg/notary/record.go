package notary

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/text"
)

// Bounds of a record's fields, as in v1alpha1, in bytes.
const (
	maxNodeID  = 512
	maxUID     = 64
	maxName    = 253
	maxMessage = 1024
)

// maxRecord bounds envelope and outputs of a record as JSON, in bytes. What etcd
// stores at most, 1.5 MiB, leaves room for the proof of the log, and for what the
// API server notes on each field.
const maxRecord = 1 << 20

// newRecord makes the Provenance of a pod, claimed by us.
func (n *Notary) newRecord(pod *corev1.Pod) *v1alpha1.Provenance {
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   pod.Namespace,
			Name:        string(pod.UID),
			Annotations: map[string]string{annotationClaimedBy: n.Holder},
		},
		Spec: v1alpha1.ProvenanceSpec{
			Pod:          v1alpha1.ObjectRef{Name: pod.Name, UID: pod.UID},
			NodeID:       text.Prefix(pod.Annotations[layout.AnnotationNodeID], maxNodeID),
			PodCreatedAt: pod.CreationTimestamp,
		},
	}
	if name := pod.Labels[layout.LabelWorkflow]; name != "" {
		p.Labels = map[string]string{layout.LabelWorkflow: name}
	}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && owner.Kind == layout.Kind && strings.HasPrefix(owner.APIVersion, layout.Group+"/") {
		p.Spec.Workflow = v1alpha1.ObjectRef{Name: text.Prefix(owner.Name, maxName), UID: types.UID(text.Prefix(string(owner.UID), maxUID))}
	}
	return p
}

// Final says whether a record has its last word: sealed, or why never.
func Final(p *v1alpha1.Provenance) bool {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	return c != nil && (c.Status == metav1.ConditionTrue || c.Reason != string(reason.Pending))
}

// annotationClaimedBy is the first claim. It is on the record from its creation on,
// when there can be no status yet. By it a notary knows its own record again, after
// a restart, or if the reply to its create was lost.
const annotationClaimedBy = v1alpha1.Group + "/claimed-by"

// heldSince says who holds a record, and when that one last said so.
func heldSince(p *v1alpha1.Provenance) (holder string, renewed time.Time) {
	if c := p.Status.Claim; c != nil {
		return c.Holder, c.RenewTime.Time
	}
	return p.Annotations[annotationClaimedBy], p.CreationTimestamp.Time
}

// holdOf says who holds a record and until when. Clocks of two notaries may
// differ: that costs a second log entry at worst, because every write is a
// compare-and-swap.
func holdOf(p *v1alpha1.Provenance, duration time.Duration) (holder string, until time.Time) {
	holder, renewed := heldSince(p)
	return holder, renewed.Add(duration)
}

// claimWait is how long to leave a record to its holder.
func (n *Notary) claimWait(p *v1alpha1.Provenance) time.Duration {
	holder, renewed := heldSince(p)
	return n.waitFor(types.UID(p.Name), holder, renewed)
}

// waitFor is how long to leave a pod's record to this holder: zero if that is us, if it let
// its claim lapse, or if nobody holds it.
func (n *Notary) waitFor(pod types.UID, holder string, renewed time.Time) time.Duration {
	if holder == n.Holder || holder == "" {
		n.claims.Forget(pod)
		return 0
	}
	return n.claims.Wait(pod, renewed, n.Clock.Now(), n.ClaimDuration)
}

// renew puts our name and the time on a record.
func (n *Notary) renew(s *v1alpha1.ProvenanceStatus) {
	s.Claim = &v1alpha1.Claim{Holder: n.Holder, RenewTime: metav1.NewMicroTime(n.Clock.Now())}
}

// renewalDue says that a third of the claim has passed.
func (n *Notary) renewalDue(p *v1alpha1.Provenance) bool {
	holder, until := holdOf(p, n.ClaimDuration)
	return holder != n.Holder || until.Sub(n.Clock.Now()) < n.ClaimDuration*2/3
}

// write changes a record's status if nobody else did since it was read. The
// claim is renewed with every write.
func (n *Notary) write(ctx context.Context, p *v1alpha1.Provenance, change func(*v1alpha1.ProvenanceStatus)) error {
	next := p.DeepCopy()
	// Who wrote which field is nobody's question: there is one writer, and the API
	// server's account of it costs as much as the rest of a write.
	next.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	n.renew(&next.Status)
	change(&next.Status)
	if err := n.API.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("writing provenance %s/%s: %w", p.Namespace, p.Name, err)
	}
	*p = *next
	return nil
}

// storeEnvelope keeps what was signed and is not on record yet.
func (n *Notary) storeEnvelope(ctx context.Context, p *v1alpha1.Provenance, envelope []byte, outputs []v1alpha1.OutputStatus) error {
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
		s.Envelope, s.Outputs = string(envelope), outputs
		n.condition(s, metav1.ConditionFalse, reason.Pending, "signed; being recorded in the log")
	})
}

// storeBundle is the last word of a seal. The bundle has the envelope in it.
func (n *Notary) storeBundle(ctx context.Context, p *v1alpha1.Provenance, bundle []byte, outputs []v1alpha1.OutputStatus) error {
	sealed := 0
	for _, o := range outputs {
		if o.SHA256 != "" {
			sealed++
		}
	}
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
		s.Bundle, s.Envelope, s.Claim, s.Outputs = string(bundle), "", nil, outputs
		n.condition(s, metav1.ConditionTrue, reason.Sealed, fmt.Sprintf("%d of %d outputs sealed", sealed, len(outputs)))
	})
}

// storeRefusal is the last word where there will be no seal, and nothing that the
// files of a directory could be compared with.
func (n *Notary) storeRefusal(ctx context.Context, p *v1alpha1.Provenance, why error, noted []v1alpha1.OutputStatus) error {
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
		s.Bundle, s.Envelope, s.Claim, s.Outputs = "", "", nil, fitting(noted, 0)
		n.condition(s, metav1.ConditionFalse, reason.Of(why), line(why))
	})
}

// storeDelay says since when and why a seal is late, and keeps what was signed, if
// anything was.
func (n *Notary) storeDelay(ctx context.Context, p *v1alpha1.Provenance, message string, signed *seal.Signed, outputs []v1alpha1.OutputStatus) error {
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
		if signed != nil {
			s.Envelope, s.Outputs = string(signed.Envelope()), outputs
		}
		n.condition(s, metav1.ConditionFalse, reason.Pending, message)
	})
}

// late says whether a record says already that its seal is late.
func (t *task) late() bool {
	c := meta.FindStatusCondition(t.record.Status.Conditions, v1alpha1.ConditionSealed)
	return c != nil && strings.HasPrefix(c.Message, latePrefix)
}

func (n *Notary) condition(s *v1alpha1.ProvenanceStatus, status metav1.ConditionStatus, code reason.Code, message string) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type:               v1alpha1.ConditionSealed,
		Status:             status,
		Reason:             string(code),
		Message:            message,
		LastTransitionTime: metav1.NewTime(n.Clock.Now()),
	})
}

// line is an error as one line of bounded length.
func line(err error) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, text.Cut(err.Error(), maxMessage))
}

// publishers bounds how many of a pod's ArtifactSeals are written at a time.
const publishers = 8

// publish writes the ArtifactSeal of every subject, from a statement that has
// verified. Those that an attempt before has put it leaves out: a pod may have more than
// one attempt has time for.
func (t *task) publish(ctx context.Context, st *provenance.Statement) error {
	seals, err := sealsOf(t.record, st)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(publishers)
	for _, s := range seals {
		if t.put.has(s.Name) {
			continue
		}
		g.Go(func() error {
			err := t.Notary.put(ctx, s)
			if err == nil {
				t.put.add(s.Name)
			}
			return err
		})
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
		if s.Form == content.FormFile {
			labels[v1alpha1.LabelSHA256] = artifact.DigestLabel(s.SHA256)
		}
		for _, i := range st.ImagesOf(s.Output) {
			labels[v1alpha1.LabelImagePrefix+artifact.DigestLabel(i.Digest)] = v1alpha1.ImageMeasured
		}
		maps.Copy(labels, p.Labels)
		seals = append(seals, &v1alpha1.ArtifactSeal{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p.Namespace,
				Name:      artifact.SealName(l, st.Step.Workflow.UID),
				Labels:    labels,
			},
			Spec: v1alpha1.ArtifactSealSpec{
				Location:   v1alpha1.Location{Scheme: string(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
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
				Images:     sealedImages(st.ImagesOf(s.Output)),
				Provenance: p.Name,
			},
		})
	}
	return seals, nil
}

// put writes an ArtifactSeal. One that is there already stays if its producer ran
// later than ours: the location holds what a later step put there. A directory
// without an archive is different, because what two steps store there lies side by
// side. So is an image, for which nobody asks by its place. Then the earlier seal stays,
// under another name.
func (n *Notary) put(ctx context.Context, s *v1alpha1.ArtifactSeal) error {
	err := n.API.Create(ctx, s.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return about(s, err)
	}
	// Many pods of a loop may write to one place at once: whoever comes second compares again.
	return retry.OnError(contention, apierrors.IsConflict, func() error { return n.beOneOf(ctx, s.DeepCopy()) })
}

// contention is how often, and how soon, a seal is compared again with one that has changed
// meanwhile: a second in all.
var contention = wait.Backoff{Steps: 8, Duration: 5 * time.Millisecond, Factor: 2, Jitter: 1}

// beOneOf puts an ArtifactSeal where there is one already.
func (n *Notary) beOneOf(ctx context.Context, s *v1alpha1.ArtifactSeal) error {
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
		return n.keepImages(ctx, s) // of two that nobody can tell apart, the one that is there: argoseal-verify compares it with what lies there
	}
	if err := n.keepImages(ctx, &there); err != nil {
		return err
	}
	s.ResourceVersion = there.ResourceVersion
	return about(s, n.API.Update(ctx, s))
}

// maxManifest is how large an image's manifest may be for a registry to take it, in bytes. A
// larger file is no image, however often it is stored over another.
const maxManifest = 4 << 20

// keepImages keeps a seal that does not count at its place any more, if an image may be proven
// by it. It is found by the digest alone: it has neither the place's label nor the workflow's, so
// that a file that a workflow stores over and over costs nobody who looks for those.
func (n *Notary) keepImages(ctx context.Context, s *v1alpha1.ArtifactSeal) error {
	labels := map[string]string{}
	for name, value := range s.Labels {
		if name == v1alpha1.LabelSHA256 && s.Spec.Size <= maxManifest || strings.HasPrefix(name, v1alpha1.LabelImagePrefix) {
			labels[name] = value
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return n.beside(ctx, s, labels, false)
}

// beside writes a seal under a name of its own, where it is not there yet.
func (n *Notary) beside(ctx context.Context, s *v1alpha1.ArtifactSeal, labels map[string]string, shared bool) error {
	l := s.Spec.Location
	at := artifact.Location{Scheme: artifact.Scheme(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
	beside := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Labels: labels,
			Name: artifact.SharedSealName(at, string(s.Spec.Workflow.UID), string(s.Spec.Producer.Pod.UID)),
		},
		Spec: s.Spec,
	}
	beside.Spec.Shared = shared
	if err := n.API.Create(ctx, beside); err != nil && !apierrors.IsAlreadyExists(err) {
		return about(beside, err)
	}
	return nil
}

// share writes a seal beside the one that is there, for one directory. The later
// step's seal has the location's name, the earlier one's a name of its own. That
// one is written first, so that neither is ever missing.
func (n *Notary) share(ctx context.Context, s, there *v1alpha1.ArtifactSeal, later bool) error {
	last, earlier := there, s
	if later {
		last, earlier = s, there
		last.ResourceVersion = there.ResourceVersion
	}
	if err := n.beside(ctx, earlier, earlier.Labels, true); err != nil {
		return err
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
