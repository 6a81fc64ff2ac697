package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/webhook/store"
)

// records are those of a cluster in which there is nothing else than what is added.
func records(t *testing.T) *Records {
	t.Helper()
	r := NewRecords(down(t), room, room, clock.RealClock{})
	allListed(t, r.provenances, r.seals)
	return r
}

func TestARecordIsKeptWithoutWhatIsLargeInIt(t *testing.T) {
	r := records(t)
	large := strings.Repeat("x", 1000)
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", UID: "u", ResourceVersion: "1", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: large}}},
		Spec:       v1alpha1.ProvenanceSpec{Pod: v1alpha1.ObjectRef{Name: "pod", UID: "p"}},
		Status: v1alpha1.ProvenanceStatus{
			Bundle: "bundle", Envelope: large, Outputs: []v1alpha1.OutputStatus{{Name: "o", Files: large}},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed}},
		},
	}
	check(t, r.provenances.Add(p))
	if _, _, size := r.provenances.Size(); size >= len(large) {
		t.Errorf("it takes %d bytes", size)
	}
	got, err := r.Provenance(t.Context(), ns, "p")
	check(t, err)
	s := got.Status
	if s.Bundle != "bundle" || s.Envelope != "" || s.Outputs[0].Files != "" || got.Spec.Pod.Name != "pod" || got.ManagedFields != nil {
		t.Errorf("it is %+v", got)
	}
	// What comes later has another bundle, or none yet.
	p.ResourceVersion, p.Status.Bundle = "2", ""
	check(t, r.provenances.Update(p))
	if got, err = r.Provenance(t.Context(), ns, "p"); err != nil || got.Status.Bundle != "" {
		t.Errorf("it has the bundle of what it was before: %+v, %v", got, err)
	}
	check(t, r.provenances.Delete(p))
	if got, err := r.Provenance(t.Context(), ns, "p"); got != nil || err != nil {
		t.Errorf("one that is gone is %+v, %v", got, err)
	}
}

// What is at hand of a seal's record is told with its bundle, or not at all, and nobody is asked.
func TestWhatIsAtHandIsWhole(t *testing.T) {
	r := records(t) // its API server is down
	p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", UID: "u", ResourceVersion: "1"}, Status: v1alpha1.ProvenanceStatus{Bundle: "bundle"}}
	s := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, Spec: v1alpha1.ArtifactSealSpec{Provenance: "p"}}
	if got := r.Remembered(ns, "s"); got != nil {
		t.Errorf("where nothing is it is %+v", got)
	}
	check(t, r.seals.Add(s))
	if got := r.Remembered(ns, "s"); got != nil {
		t.Errorf("without its record it is %+v", got)
	}
	check(t, r.provenances.Add(p))
	if got := r.Remembered(ns, "s"); got == nil || got.Name != "p" || got.UID != "u" || got.ResourceVersion != "1" || got.Status.Bundle != "bundle" {
		t.Errorf("it is %+v", got)
	}
	if got := r.Remembered("other", "s"); got != nil {
		t.Errorf("in another namespace it is %+v", got)
	}
	p.ResourceVersion, p.Status.Bundle = "2", ""
	check(t, r.provenances.Update(p))
	if got := r.Remembered(ns, "s"); got != nil {
		t.Errorf("without a bundle it is %+v", got)
	}
}

// What is read of what is packed is what decisions read of the objects.
func TestWhatIsPackedIsWhatWasThere(t *testing.T) {
	const uid, other = "0d2f9a5c-2e5b-4f6a-9d3e-8c1b7a6f5e4d", "11111111-2222-4333-8444-555555555555"
	second := func(n int64) metav1.Time { return metav1.NewTime(time.Unix(n, 0)) }
	at := artifact.Location{Store: "minio:9000", Bucket: "b", Key: "k/ü", Kind: artifact.KindPrefix}
	plain := v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: artifact.SealName(at, uid)},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)},
			Workflow: v1alpha1.ObjectRef{Name: "w", UID: uid}, SHA256: strings.Repeat("a", 64), TreeDigest: strings.Repeat("0", 64), Provenance: other,
			Producer: v1alpha1.Producer{Pod: v1alpha1.ObjectRef{UID: other}, FinishedAt: second(30), PodCreatedAt: second(20), RecordedAt: second(40)},
		},
	}
	shared := *plain.DeepCopy()
	shared.Spec.Shared, shared.Name = true, artifact.SharedSealName(at, uid, other)
	gcs := *plain.DeepCopy()
	gcs.Spec.Location = v1alpha1.Location{Scheme: "gs", Bucket: "b", Key: "k", Kind: "object"}
	gcs.Name = artifact.SealName(artifact.Location{Scheme: "gs", Bucket: "b", Key: "k", Kind: artifact.KindObject}, uid)
	// What nobody but who gets round the guards writes.
	odd := v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "odd"}, Spec: v1alpha1.ArtifactSealSpec{
		SHA256: "ABCDEF", TreeDigest: "abc", Provenance: "0D2F9A5C-2e5b-4f6a-9d3e-8c1b7a6f5e4d", Workflow: v1alpha1.ObjectRef{UID: "0d2f9a5c2e5b4f6a9d3e8c1b7a6f5e4d----"},
		Producer: v1alpha1.Producer{Pod: v1alpha1.ObjectRef{UID: "\x00"}},
	}}
	for _, s := range []v1alpha1.ArtifactSeal{plain, shared, gcs, odd} {
		text, err := pack(packSeal(&s))
		check(t, err)
		kept, err := unpack[packedSeal](text)
		check(t, err)
		if diff := cmp.Diff(s, kept.seal(ns)); diff != "" {
			t.Errorf("%s: %s", s.Name, diff)
		}
	}
	pod := argotest.Pod(t, "produce")
	pod.UID, pod.Annotations[v1alpha1.AnnotationTag] = uid, "tag"
	kept, want := packPod(pod)
	text, err := pack(kept)
	check(t, err)
	kept, err = unpack[packedPod](text)
	check(t, err)
	if diff := cmp.Diff(want, kept.producer(pod.Namespace)); diff != "" || len(want.Outputs) == 0 {
		t.Errorf("a pod: %s", diff)
	}
}

// fromAPI is an API server with one record and one seal.
type fromAPI struct {
	client.Reader
	reads int
}

func (a *fromAPI) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	a.reads++
	if key.Name != "there" {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	into.SetName(key.Name)
	return nil
}

func (a *fromAPI) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	a.reads++
	if list, ok := into.(*v1alpha1.ArtifactSealList); ok {
		list.Items = []v1alpha1.ArtifactSeal{{ObjectMeta: metav1.ObjectMeta{Name: "there"}}}
	}
	return nil
}

// What has no room is asked of the API server: it is never taken for what does not exist.
func TestWhatIsLeftOutIsAskedFor(t *testing.T) {
	api := &fromAPI{}
	r := NewRecords(Live{API: api}, room, room, clock.RealClock{})
	r.provenances, r.seals = store.New("Provenance", 0, r.packProvenance, clock.RealClock{}), store.New("ArtifactSeal", 0, packArtifactSeal, clock.RealClock{})
	allListed(t, r.provenances, r.seals)
	of := labels.Set{v1alpha1.LabelLocation: "x"}
	look := func() (found int) {
		for _, name := range []string{"there", "missing"} {
			p, err := r.Provenance(t.Context(), ns, name)
			check(t, err)
			s, err := r.Seal(t.Context(), ns, name)
			check(t, err)
			if (p != nil) != (s != nil) {
				t.Errorf("%s: %v, %v", name, p, s)
			}
			if p != nil {
				found++
			}
		}
		all, err := r.Seals(t.Context(), ns, of, nil)
		check(t, err)
		return found + len(all)
	}
	if found := look(); found != 0 || api.reads != 0 {
		t.Errorf("of an empty namespace %d are found, in %d reads", found, api.reads)
	}
	check(t, r.provenances.Add(&v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "there"}}))
	check(t, r.seals.Add(&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "there", Labels: of}}))
	if found := look(); found != 2 || api.reads != 5 {
		t.Errorf("%d are found, in %d reads", found, api.reads)
	}
}

func TestSealsAreFoundByTheirPlaces(t *testing.T) {
	r := records(t)
	for name, of := range map[string]labels.Set{"a": {v1alpha1.LabelLocation: "x"}, "b": {v1alpha1.LabelLocation: "y"}, "c": {v1alpha1.LabelLocation: "x"}, "d": {}} {
		for _, namespace := range []string{ns, "other"} {
			check(t, r.seals.Add(&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: of}}))
		}
	}
	for place, want := range map[string][]string{"x": {"a", "c"}, "y": {"b"}, "z": nil} {
		found, err := r.Seals(t.Context(), ns, labels.Set{v1alpha1.LabelLocation: place}, nil)
		check(t, err)
		var got []string
		for _, s := range found {
			if s.Namespace != ns {
				t.Errorf("%s: one of namespace %s", place, s.Namespace)
			}
			got = append(got, s.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", place, got, want)
		}
	}
	if _, err := r.Seals(t.Context(), ns, labels.Set{layout.LabelWorkflow: "w"}, nil); err == nil {
		t.Error("those of a workflow are not asked of the API server")
	}
}

func TestBeforeTheRecordsAreListedThereIsNoAnswer(t *testing.T) {
	r := NewRecords(down(t), room, room, clock.RealClock{})
	_, one := r.Provenance(t.Context(), ns, "p")
	_, two := r.Seal(t.Context(), ns, "s")
	_, three := r.Seals(t.Context(), ns, labels.Set{v1alpha1.LabelLocation: "x"}, nil)
	if one == nil || two == nil || three == nil || r.Ready(nil) == nil {
		t.Errorf("%v, %v, %v", one, two, three)
	}
	allListed(t, r.provenances)
	if r.Ready(nil) == nil {
		t.Error("it is ready before the seals are listed")
	}
}
