package notary

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
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

// annotationClaimedBy is the first claim. It is on the record from its creation
// on, where status cannot be: so a notary whose create succeeded but whose
// reply was lost, or that was restarted, knows its own record again.
const annotationClaimedBy = v1alpha1.Group + "/claimed-by"

// holdOf says who holds a record and until when. Clocks of two notaries may
// differ: that costs a second log entry at worst, because every write is a
// compare-and-swap.
func holdOf(p *v1alpha1.Provenance, duration time.Duration) (holder string, until time.Time) {
	if c := p.Status.Claim; c != nil {
		return c.Holder, c.RenewTime.Add(duration)
	}
	return p.Annotations[annotationClaimedBy], p.CreationTimestamp.Add(duration)
}

// claimWait is how long to leave a record to its holder: zero if it is ours,
// if its holder let it lapse, or if nobody holds it.
func (n *Notary) claimWait(p *v1alpha1.Provenance) time.Duration {
	holder, until := holdOf(p, n.ClaimDuration)
	if holder == n.Holder || holder == "" {
		return 0
	}
	return max(0, until.Sub(n.Clock.Now()))
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
	n.renew(&next.Status)
	change(&next.Status)
	if err := n.API.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("writing provenance %s/%s: %w", p.Namespace, p.Name, err)
	}
	*p = *next
	return nil
}

// storeEnvelope keeps what was signed before it is logged.
func (n *Notary) storeEnvelope(ctx context.Context, p *v1alpha1.Provenance, envelope []byte, noted []v1alpha1.OutputStatus) error {
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
		s.Envelope = string(envelope)
		if noted != nil {
			s.Outputs = fitting(noted, maxRecord-encoded(string(envelope)))
		}
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

// storeDelay says since when and why a seal is late.
func (n *Notary) storeDelay(ctx context.Context, p *v1alpha1.Provenance, message string) error {
	return n.write(ctx, p, func(s *v1alpha1.ProvenanceStatus) {
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
