package images

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

const (
	// maxImages is how many different images of one pod are looked at.
	maxImages = 64
	// maxLooked is how many seals of one digest are verified, the newest first.
	maxLooked = 128
)

// Policies are those that apply in a namespace, and whether one of them speaks of images.
// An error is a *reason.Error.
type Policies interface {
	Images(ctx context.Context, namespace string) (applies policy.Set, about bool, err error)
}

// Gate decides. Its fields are set once; it is safe for concurrent use.
type Gate struct {
	Policies Policies
	// Quick may lag behind the API server; Live is the API server.
	Quick, Live evidence.Source
	Verified    *evidence.Verified
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Installed are the images, as pods name them, that the operator gave to Argo and to
	// us: Argo's executors and our signer. They need no evidence.
	Installed []string
	Clock     clock.PassiveClock
}

// Request is a pod that is made or changed.
type Request struct {
	// Old is nil for a pod that is made.
	Old, Pod *corev1.Pod
	// Mode of the namespace.
	Mode  v1alpha1.Mode
	Trust evidence.Trust
}

// Decide says why the pod may not have the images that it is to have now, and had not
// before: nil admits them. It says, too, by which policies and Revocations it went: the
// zero value is by none.
func (g *Gate) Decide(ctx context.Context, r Request) (*reason.Error, policy.Reading) {
	added := slices.DeleteFunc(image.Added(r.Old, r.Pod), func(u image.Use) bool { return slices.Contains(g.Installed, u.Reference) })
	if len(added) == 0 {
		return nil, policy.Reading{}
	}
	set, about, err := g.Policies.Images(ctx, r.Pod.Namespace)
	switch {
	case err != nil:
		return reason.From(err), policy.Reading{}
	case !about:
		return nil, policy.Reading{}
	case set.Reading().At.IsZero():
		return reason.New(reason.PolicyNotSynced, "nobody knows when the policies and revocations were read"), policy.Reading{}
	}
	d := decision{
		gate: g, set: set,
		consumer: policy.Consumer{Namespace: r.Pod.Namespace, Mode: r.Mode, Cluster: g.Cluster},
		view:     evidence.NewView(g.Live, r.Trust, g.Verified, consumerOf(r.Pod)),
	}
	seen := map[string]bool{}
	for _, u := range added {
		if seen[u.Reference] {
			continue
		}
		seen[u.Reference] = true
		if len(seen) > maxImages {
			return reason.New(reason.UnsupportedPod, "it has more than %d images that a policy may be about", maxImages).Advise("Make it several pods"), set.Reading()
		}
		if no := d.use(ctx, u); no != nil {
			return no, set.Reading()
		}
	}
	return nil, set.Reading()
}

// consumerOf is whose evidence is looked for: the pod's workflow, if it says to be of one.
// All that depends on it is whether somebody is told to come again.
func consumerOf(pod *corev1.Pod) evidence.Consumer {
	c := evidence.Consumer{Namespace: pod.Namespace, Pod: pod.Name}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && owner.Kind == layout.Kind && owner.APIVersion == layout.APIVersion {
		c.Workflow, c.WorkflowUID = owner.Name, string(owner.UID)
	}
	return c
}

// decision is one about a pod.
type decision struct {
	gate     *Gate
	set      policy.Set
	consumer policy.Consumer
	view     *evidence.View
}

// use decides on one image.
func (d *decision) use(ctx context.Context, u image.Use) *reason.Error {
	i, err := image.Parse(u.Reference)
	if err != nil {
		return about(u, reason.Wrap(reason.ImageInvalid, err, "%v", err))
	}
	no := d.image(ctx, i)
	if no != nil && no.Code == reason.ImageUnproven {
		// Its seal may be on its way. What pods say is read before what seals say, or one
		// that comes between the two reads would be missed.
		if later := d.view.Sealing(ctx, d.gate.Quick, d.gate.Clock.Now()); later != nil {
			return about(u, later)
		}
		no = d.image(ctx, i)
	}
	if no == nil {
		return nil
	}
	return about(u, no)
}

// image decides on one that is named, by the seals that there are now.
func (d *decision) image(ctx context.Context, i image.Image) *reason.Error {
	k := d.set.Image(i, d.consumer, d.gate.Clock.Now())
	looked := 0
	for _, namespace := range k.Namespaces() {
		if k.Settled() {
			break
		}
		seals, no := d.view.SealsOfDigest(ctx, namespace, i.Digest)
		switch {
		case no != nil && no.Code.Retryable():
			return no
		case no != nil: // there are too many
			k.Reject(no)
		}
		for n := range seals {
			s := &seals[n]
			if k.Settled() || looked == maxLooked {
				break
			}
			if k.Wants(s.Spec.Producer.Output) {
				looked++
				d.show(ctx, k, namespace, s)
			}
		}
	}
	return k.Refusal()
}

// show verifies a seal and shows it to the case.
func (d *decision) show(ctx context.Context, k *policy.ImageCase, namespace string, s *v1alpha1.ArtifactSeal) {
	sealed, no := d.view.Verify(ctx, namespace, s, evidence.LocationOf(s))
	if no != nil {
		k.Reject(no)
		return
	}
	if sealed.Statement.Step.Namespace != namespace {
		k.Reject(reason.New(reason.ProvenanceInvalid, "Provenance %s of namespace %s carries a statement of namespace %s", s.Spec.Provenance, namespace, sealed.Statement.Step.Namespace))
		return
	}
	k.Show(policy.ImageSeal{Statement: sealed.Statement, Subject: sealed.Subject, LogURL: sealed.LogURL, KeyHint: sealed.KeyHint})
}

// maxNamed bounds what of a reference a refusal quotes, in bytes.
const maxNamed = 200

// about says which image a refusal is about.
func about(u image.Use, no *reason.Error) *reason.Error {
	c := *no
	c.Detail = fmt.Sprintf("%.80s, image %.*q: %s", u.Where, maxNamed, u.Reference, no.Detail)
	return &c
}
