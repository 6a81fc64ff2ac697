package evidence

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// batched is a store that answers for all inputs at once.
type batched struct{ *store }

func (batched) All(context.Context, string, string) ([]Producer, error) { return nil, nil }

func (b batched) SealsOf(context.Context, string, string) ([]v1alpha1.ArtifactSeal, bool, error) {
	var all []v1alpha1.ArtifactSeal
	for _, s := range b.seals {
		all = append(all, *s)
	}
	return all, true, nil
}

func (batched) SealsAt(context.Context, string, []string) ([]v1alpha1.ArtifactSeal, error) {
	return nil, nil
}

// together notes how many bundles are looked at, and how many of them at the same time. The
// first waits for a second.
type together struct {
	Verifier
	calls, now, most atomic.Int32
	panics           bool
}

func (c *together) InspectRecorded(bundle []byte, recorded time.Time) (*verify.Result, error) {
	if c.panics {
		panic("a fault")
	}
	c.calls.Add(1)
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	for until := time.Now().Add(5 * time.Second); c.most.Load() < 2 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	return c.Verifier.InspectRecorded(bundle, recorded)
}

const sealedInputs = 6

// stepOf is a step of six inputs, each with a seal of another pod, and who verifies them.
func stepOf(t *testing.T) (batched, []argo.Input, *together) {
	t.Helper()
	before := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	s := batched{&store{provenances: map[string]*v1alpha1.Provenance{}, seals: map[string]*v1alpha1.ArtifactSeal{}}}
	notary := sealtest.NewNotary(t)
	var inputs []argo.Input
	for i := range sealedInputs {
		at := artifact.Location{Scheme: artifact.SchemeS3, Store: "minio:9000", Bucket: "b", Key: fmt.Sprint("k", i), Kind: artifact.KindObject}
		digest := artifact.Digest(strings.Repeat("a", 64))
		facts := sealtest.Facts(at.URI(), digest)
		facts.Step.Pod.UID = fmt.Sprint("pod-", i)
		payload, err := provenance.Build(facts)
		check(t, err)
		record := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: facts.Step.Pod.UID, UID: types.UID(fmt.Sprint("u", i)), ResourceVersion: "1"}}
		record.Status.Bundle = string(notary.Bundle(t, payload))
		record.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed)}}
		s.provenances[record.Name] = record
		seal := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: artifact.SealName(at, "uid")}}
		seal.Spec.Provenance, seal.Spec.SHA256 = record.Name, string(digest)
		s.seals[seal.Name] = seal
		inputs = append(inputs, argo.Input{Name: fmt.Sprint("in", i), Source: argo.SourceStore}.StoredAt(at, content.ArchiveTar))
	}
	return s, inputs, &together{Verifier: notary.Root}
}

// A bundle takes a millisecond and a step may have a hundred: two processors are at them, each
// bundle is looked at once, and what does not hold is refused as before.
func TestBundlesOfAStepAreVerifiedAtOnce(t *testing.T) {
	s, inputs, root := stepOf(t)
	bad := s.provenances["pod-3"]
	bad.Status.Bundle = strings.Replace(bad.Status.Bundle, `"payload":"`, `"payload":"AAAA`, 1)
	v := NewView(s, Trust{Root: root}, NewVerified(1<<20), Consumer{Namespace: "demo", Workflow: "wf", WorkflowUID: "uid", Pod: "pod"})
	if no := v.Prepare(t.Context(), inputs); no != nil {
		t.Fatal(no)
	}
	if most := root.most.Load(); most != 2 {
		t.Errorf("%d bundles are looked at at a time, there are two processors", most)
	}
	for i, in := range inputs {
		seal, no := v.Seal(t.Context(), in.Location())
		if no != nil || seal == nil {
			t.Fatalf("the seal of %s: %v", in.Name, no)
		}
		sealed, no := v.Verify(t.Context(), "demo", seal, in.Location())
		if i == 3 {
			if no == nil || no.Code != reason.ProvenanceInvalid {
				t.Errorf("of a bundle that does not hold it says %v", no)
			}
			continue
		}
		if no != nil || sealed.Statement.Step.Pod.UID != fmt.Sprint("pod-", i) {
			t.Errorf("of %s it says %v", in.Name, no)
		}
	}
	if calls := root.calls.Load(); calls != sealedInputs {
		t.Errorf("%d bundles were verified %d times", sealedInputs, calls)
	}
}

// Where nobody waits any more, or nothing can be read, no bundle is looked at ahead; and a fault ends no more than the
// request that meets it.
func TestNothingIsVerifiedAheadInVain(t *testing.T) {
	s, inputs, root := stepOf(t)
	of := Consumer{Namespace: "demo", Workflow: "wf", WorkflowUID: "uid", Pod: "pod"}
	over, end := context.WithCancel(t.Context())
	end()
	v := NewView(s, Trust{Root: root}, NewVerified(1<<20), of)
	_ = v.Prepare(over, inputs)
	if calls := root.calls.Load(); calls != 0 {
		t.Errorf("%d bundles were looked at for nobody", calls)
	}
	s.fail = errors.New("connection refused")
	_ = NewView(s, Trust{Root: root}, NewVerified(1<<20), of).Prepare(t.Context(), inputs)
	if calls := root.calls.Load(); calls != 0 || s.reads != 1 {
		t.Errorf("of an API server that fails %d records were read, and %d bundles looked at", s.reads, calls)
	}
	s.fail, root.panics = nil, true
	v = NewView(s, Trust{Root: root}, NewVerified(1<<20), of)
	if no := v.Prepare(t.Context(), inputs); no != nil || len(v.verdicts) != 0 {
		t.Errorf("after a fault it says %v, with %d verdicts", no, len(v.verdicts))
	}
}

// remembering is a store that watches, and has these records at hand.
type remembering struct {
	*store
	atHand map[string]bool
}

func (r remembering) Remembered(_, seal string) *v1alpha1.Provenance {
	s := r.seals[seal]
	if s == nil || !r.atHand[s.Spec.Provenance] {
		return nil
	}
	return r.provenances[s.Spec.Provenance].DeepCopy()
}

// So it is where the webhook watches: what it has at hand is verified at once and once, what it
// has not when it is asked for, and a record that is another one meanwhile is looked at itself.
func TestBundlesAtHandAreVerifiedAtOnce(t *testing.T) {
	s, inputs, root := stepOf(t)
	source := remembering{s.store, map[string]bool{}}
	for i := range sealedInputs - 1 {
		source.atHand[fmt.Sprint("pod-", i)] = true
	}
	v := NewView(source, Trust{Root: root}, NewVerified(1<<20), Consumer{Namespace: "demo", Workflow: "wf", WorkflowUID: "uid", Pod: "pod"})
	if no := v.Prepare(t.Context(), inputs); no != nil {
		t.Fatal(no)
	}
	if most, calls := root.most.Load(), root.calls.Load(); most != 2 || calls != sealedInputs-1 {
		t.Errorf("%d bundles are looked at, %d at a time; %d are at hand, for two processors", calls, most, sealedInputs-1)
	}
	if s.reads != 0 {
		t.Errorf("%d records were read ahead", s.reads)
	}
	changed := s.provenances["pod-2"]
	changed.ResourceVersion, changed.Status.Bundle = "2", strings.Replace(changed.Status.Bundle, `"payload":"`, `"payload":"AAAA`, 1)
	for i, in := range inputs {
		seal, no := v.Seal(t.Context(), in.Location())
		if no != nil || seal == nil {
			t.Fatalf("the seal of %s: %v", in.Name, no)
		}
		_, no = v.Verify(t.Context(), "demo", seal, in.Location())
		if want := i == 2; (no != nil) != want || want && no.Code != reason.ProvenanceInvalid {
			t.Errorf("of %s it says %v", in.Name, no)
		}
	}
	if calls := root.calls.Load(); calls != sealedInputs+1 {
		t.Errorf("%d bundles, of which one changed, were verified %d times", sealedInputs, calls)
	}
}
