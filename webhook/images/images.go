package images

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

const (
	// maxImages is how many different images of one pod are looked at.
	maxImages = 64
	// maxLists is how many lists of seals one pod may cost: one for each image that is in
	// no list of digests and each namespace where its producers may be.
	maxLists = 256
	// maxLooked is how many seals of one digest are verified at a time, the newest
	// first. If there are more, the client is told to come again, and then the next
	// ones are looked at. So others cannot hide a seal behind their own seals of
	// the same bytes.
	maxLooked = 128
	// maxPublished is how many statements of others are looked for where policies want
	// them, one for each seal, trust domain and kind of statement: an evaluation reads 256
	// of them (webhook/evidence).
	maxPublished = 64
	// rememberedLooks bounds the seals that are known not to count, in bytes.
	rememberedLooks = 4 << 20
	sizeOfLook      = 300
	// lookCounts is how long it is remembered that a seal does not count; policies may
	// change. It is longer than Argo takes to come again.
	lookCounts = 5 * time.Minute
)

// Looked remembers seals that do not count. It is only asked where there are more of one
// digest than can be looked at.
type Looked struct {
	known *memory.Memory[look, time.Time]
}

// look is at one seal, as it was, for an image in a namespace.
type look struct{ seal, version, image, namespace string }

// NewLooked remembers nothing yet.
func NewLooked() *Looked { return &Looked{memory.New[look, time.Time](rememberedLooks)} }

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
	// us: Argo's executors and our signer. They need no evidence, but may be revoked.
	Installed []string
	// Looked may be nil. Then some seals are never looked at, if there are too
	// many.
	Looked *Looked
	Clock  clock.PassiveClock
}

// Request is a pod that is made or changed.
type Request struct {
	// Old is nil for a pod that is made.
	Old, Pod *corev1.Pod
	// Mode of the namespace.
	Mode  v1alpha1.Mode
	Trust evidence.Trust
}

// Decide says why the pod may not have the images that it did not have before; nil
// admits them. It also says which policies and Revocations it went by; the zero
// value is none.
func (g *Gate) Decide(ctx context.Context, r Request) (*reason.Error, policy.Reading) {
	added := image.Added(r.Old, r.Pod)
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
	of := consumerOf(r.Pod)
	d := decision{
		gate: g, set: set,
		consumer: policy.Consumer{Namespace: r.Pod.Namespace, Mode: r.Mode, Cluster: g.Cluster},
		view:     evidence.NewView(g.Live, r.Trust, g.Verified, of), ofWorkflow: of.Workflow != "",
	}
	seen, judged := map[string]bool{}, 0
	for _, u := range added {
		if seen[u.Reference] {
			continue
		}
		seen[u.Reference] = true
		if slices.Contains(g.Installed, u.Reference) {
			if no := d.installed(u); no != nil {
				return no, set.Reading()
			}
			continue
		}
		if judged++; judged > maxImages {
			return reason.New(reason.UnsupportedPod, "it has more than %d images that a policy may be about", maxImages).Advise("Make it several pods"), set.Reading()
		}
		if no := d.use(ctx, u); no != nil {
			return no, set.Reading()
		}
	}
	return nil, set.Reading()
}

// consumerOf is whose evidence is looked for: the pod's workflow, if the pod names
// one. Only one thing depends on it: whether the client is told to come again.
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
	// ofWorkflow: a seal may be on its way in the pod's own workflow.
	ofWorkflow bool
	lists      int
}

// installed refuses one of the operator's images that is revoked, if a policy
// speaks of its name. This locks nobody out: nobody asks about the namespace of our
// own programs, and a Revocation can be taken back without us.
func (d *decision) installed(u image.Use) *reason.Error {
	i, err := image.Parse(u.Reference)
	if err != nil {
		return nil //nolint:nilerr // what the operator installed by such a name has no digest to be known by
	}
	if no := d.set.Image(i, d.consumer, d.gate.Clock.Now()).Refusal(); no != nil && no.Code == reason.Revoked {
		return about(u, no)
	}
	return nil
}

// use decides on one image.
func (d *decision) use(ctx context.Context, u image.Use) *reason.Error {
	i, err := image.Parse(u.Reference)
	if err != nil {
		return about(u, reason.Wrap(reason.ImageInvalid, err, "%v", err))
	}
	before := d.lists
	no := d.image(ctx, i)
	if no != nil && no.Code == reason.ImageUnproven && d.ofWorkflow {
		// Its seal may be on its way. Pods are read before seals: else a seal that
		// comes between the two reads would be missed.
		if later := d.view.Sealing(ctx, d.gate.Quick, d.gate.Clock.Now()); later != nil {
			return about(u, later)
		}
		d.lists = before // the same ones are read once more
		no = d.image(ctx, i)
	}
	if no == nil {
		return nil
	}
	return about(u, no)
}

// image decides on one that is named, by the seals that there are now.
func (d *decision) image(ctx context.Context, i image.Image) *reason.Error {
	now := d.gate.Clock.Now()
	k := d.set.Image(i, d.consumer, now)
	for _, namespace := range k.Namespaces() {
		d.lists += len(d.listsOf(k, namespace))
	}
	if d.lists > maxLists {
		return reason.New(reason.UnsupportedPod, "its images and the namespaces where policies trust producers of them come to more than %d lists of seals", maxLists).Advise("Make it several pods, or list the images by digest")
	}
	unknown := func(seals []v1alpha1.ArtifactSeal) []v1alpha1.ArtifactSeal {
		return slices.DeleteFunc(seals, func(s v1alpha1.ArtifactSeal) bool { return d.gate.Looked.knows(lookAt(&s, i, d.consumer), now) })
	}
	most := maxLooked
	if n := k.Asked(); n > 0 {
		most = max(1, maxPublished/n)
	}
	var seals []v1alpha1.ArtifactSeal
	others, more := 0, 0
	wanted := func(s *v1alpha1.ArtifactSeal) bool {
		if !k.Wants(s.Spec.Producer.Output) {
			return false
		}
		from := k.From(s.Namespace, s.Spec.Producer)
		if !from {
			others++
		}
		return from
	}
	for _, namespace := range k.Namespaces() {
		if k.Settled() {
			break
		}
		for _, list := range d.listsOf(k, namespace) {
			found, no := list(ctx, namespace, i.Digest, wanted)
			switch {
			case no != nil && no.Code.Retryable():
				return no
			case no != nil: // there are too many
				k.Reject(no)
			}
			// No more are kept of one list than are looked at.
			if len(found) > most {
				found = unknown(found)
				more += max(0, len(found)-most)
			}
			seals = append(seals, found[:min(len(found), most)]...)
		}
	}
	if others > 0 && len(seals) == 0 {
		k.Reject(reason.New(reason.WorkflowMismatch, "%d seals of it say to be of outputs or templates that no policy trusts there", others))
	}
	if len(seals)+more > most {
		seals = unknown(seals)
	}
	many := len(seals)+more > most
	for n := range seals[:min(len(seals), most)] {
		s := &seals[n]
		if k.Settled() {
			break
		}
		if counts := d.show(ctx, k, s.Namespace, s); !counts && many {
			d.gate.Looked.add(lookAt(s, i, d.consumer), now)
		}
	}
	if many && !k.Settled() {
		k.Reject(reason.New(reason.Overloaded, "%d seals of that digest were looked at, and there are %d more", most, len(seals)+more-most))
	}
	return k.Refusal()
}

// list are the seals of a namespace that a digest may be proven by.
type list func(context.Context, string, artifact.Digest, func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, *reason.Error)

// listsOf are the lists of a namespace that are worth reading.
func (d *decision) listsOf(k *policy.ImageCase, namespace string) []list {
	var lists []list
	if k.WantsIn(namespace, false) {
		lists = append(lists, d.view.SealsOfDigest)
	}
	if k.WantsIn(namespace, true) {
		lists = append(lists, d.view.SealsOfLayouts)
	}
	return lists
}

func lookAt(s *v1alpha1.ArtifactSeal, i image.Image, c policy.Consumer) look {
	return look{string(s.UID), s.ResourceVersion, i.String(), c.Namespace}
}

func (l *Looked) knows(at look, now time.Time) bool {
	if l == nil || at.seal == "" || at.version == "" {
		return false
	}
	when, known := l.known.Get(at)
	return known && now.Sub(when) < lookCounts
}

func (l *Looked) add(at look, now time.Time) {
	if l != nil && at.seal != "" && at.version != "" {
		l.known.Add(at, now, sizeOfLook+len(at.image))
	}
}

// show verifies a seal and shows it to the case. It is false for one that does not count,
// and will not.
func (d *decision) show(ctx context.Context, k *policy.ImageCase, namespace string, s *v1alpha1.ArtifactSeal) bool {
	sealed, no := d.view.Verify(ctx, namespace, s, evidence.LocationOf(s))
	if no != nil {
		k.Reject(no)
		return no.Code.Retryable()
	}
	if sealed.Statement.Step.Namespace != namespace {
		k.Reject(reason.New(reason.ProvenanceInvalid, "Provenance %s of namespace %s carries a statement of namespace %s", s.Spec.Provenance, namespace, sealed.Statement.Step.Namespace))
		return false
	}
	unread := false
	counts := k.Show(policy.ImageSeal{
		Statement: sealed.Statement, Subject: sealed.Subject, Logs: sealed.Logs, KeyHint: sealed.KeyHint,
		Others: policy.Others{
			Remade: func(c *policy.ReproductionCase) *reason.Error {
				no := d.view.Reproduced(ctx, sealed, false, c)
				unread = unread || no != nil // nobody looked
				return no
			},
			Described: func(c *policy.SBOMCase) *reason.Error {
				no := d.view.Described(ctx, sealed.Namespace, k.Digest(), []provenance.DigestKind{provenance.OfImage}, c)
				unread = unread || no != nil
				return no
			},
		},
	})
	return counts || unread
}

// maxNamed bounds what of a reference a refusal quotes, in bytes.
const maxNamed = 200

// about says which image a refusal is about.
func about(u image.Use, no *reason.Error) *reason.Error {
	c := *no
	c.Detail = fmt.Sprintf("%.80s, image %.*q: %s", u.Where, maxNamed, u.Reference, no.Detail)
	return &c
}
