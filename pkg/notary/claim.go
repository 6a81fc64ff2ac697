package notary

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

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
