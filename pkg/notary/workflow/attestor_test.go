package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/argo/stored/storedtest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// world is an API server and a log in memory, with a workflow of two steps that has
// ended.
type world struct {
	*testing.T
	client.Client
	log    *sealtest.Log
	notary *sealtest.Notary
	clock  *clocktesting.FakePassiveClock
	key    types.NamespacedName
}

var example = sealtest.Facts("s3://minio:9000/b/a", artifact.Digest(strings.Repeat("a", 64)))

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
	log := sealtest.NewLog(t)
	w := &world{
		T: t, log: log, notary: sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot}), clock: clocktesting.NewFakePassiveClock(example.FinishedAt.Add(time.Minute)),
		Client: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Provenance{}, &v1alpha1.WorkflowProvenance{}).Build(),
		key:    types.NamespacedName{Namespace: example.Step.Namespace, Name: example.Step.Workflow.UID},
	}
	wf := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Succeeded"}}}
	wf.SetGroupVersionKind(kind)
	wf.SetNamespace(w.key.Namespace)
	wf.SetName(example.Step.Workflow.Name)
	wf.SetUID(types.UID(w.key.Name))
	w.must(w.Create(t.Context(), wf))
	w.must(w.Create(t.Context(), &v1alpha1.WorkflowProvenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name},
		Spec:       v1alpha1.WorkflowProvenanceSpec{Workflow: v1alpha1.ObjectRef{Name: example.Step.Workflow.Name, UID: types.UID(w.key.Name)}},
	}))
	w.seen(v1alpha1.WorkflowSealed, 0)
	w.sealed("one", "s3://minio:9000/b/one", nil)
	w.sealed("two", "s3://minio:9000/b/two", nil)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) get() *v1alpha1.WorkflowProvenance {
	w.Helper()
	var p v1alpha1.WorkflowProvenance
	w.must(w.Get(w.Context(), w.key, &p))
	return &p
}

// seen is what the controller writes.
func (w *world) seen(state v1alpha1.WorkflowState, records int32) {
	w.Helper()
	p := w.get()
	p.Status.State, p.Status.Counts.Records = state, records
	w.must(w.Status().Update(w.Context(), p))
}

func (w *world) record(pod string, c metav1.Condition, bundle []byte) {
	w.Helper()
	r := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.key.Namespace, Name: pod, Labels: map[string]string{layout.LabelWorkflow: example.Step.Workflow.Name},
			CreationTimestamp: metav1.NewTime(example.StartedAt),
		},
		Spec: v1alpha1.ProvenanceSpec{
			Pod: v1alpha1.ObjectRef{Name: pod, UID: types.UID(pod)}, NodeID: pod, Workflow: v1alpha1.ObjectRef{Name: example.Step.Workflow.Name, UID: types.UID(w.key.Name)},
		},
	}
	w.must(w.Create(w.Context(), r))
	c.Type = v1alpha1.ConditionSealed
	r.Status = v1alpha1.ProvenanceStatus{Conditions: []metav1.Condition{c}, Bundle: string(bundle)}
	w.must(w.Status().Update(w.Context(), r))
	w.seen(v1alpha1.WorkflowSealed, w.get().Status.Counts.Records+1) // the controller sees it
}

// sealed adds a step with a seal.
func (w *world) sealed(pod, uri string, change func(*provenance.Facts)) {
	w.Helper()
	f := example
	f.Subjects = []provenance.Subject{example.Subjects[0]}
	f.Subjects[0].URI = uri
	f.Step.Pod = provenance.Ref{Name: pod, UID: pod}
	if change != nil {
		change(&f)
	}
	payload, err := provenance.Build(f)
	w.must(err)
	w.record(pod, metav1.Condition{Status: metav1.ConditionTrue, Reason: "Sealed"}, w.notary.Bundle(w.T, payload))
}

func (w *world) refused(pod string, code reason.Code) {
	w.Helper()
	w.record(pod, metav1.Condition{Status: metav1.ConditionFalse, Reason: string(code)}, nil)
}

// unsealed adds a step without a seal, whose outputs have these reasons.
func (w *world) unsealed(pod string, codes ...reason.Code) {
	w.Helper()
	w.refused(pod, codes[0])
	var p v1alpha1.Provenance
	w.must(w.Get(w.Context(), client.ObjectKey{Namespace: w.key.Namespace, Name: pod}, &p))
	for _, code := range codes {
		p.Status.Outputs = append(p.Status.Outputs, v1alpha1.OutputStatus{Name: string(code), Reason: string(code)})
	}
	w.must(w.Status().Update(w.Context(), &p))
}

func (w *world) attestor(holder string) *Attestor {
	return &Attestor{
		Cache: w.Client, API: w.Client, Stored: stored.NewReader(storedtest.From(w.Client)), Clock: w.clock, Holder: holder, Cluster: "test", Version: "v0.1.0",
		Keys: func() *keyring.Material { return &keyring.Material{Root: w.notary.Root, Sealer: w.notary.Sealer} },
	}
}

// stated is the condition, and what was stated and summed up.
func (w *world) stated() (*metav1.Condition, provenance.WorkflowFacts, provenance.SummaryFacts) {
	w.Helper()
	p := w.get()
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttested)
	if c == nil || c.Status != metav1.ConditionTrue {
		if p.Status.Bundle != "" || p.Status.Summary != "" {
			w.Errorf("a bundle beside the condition %+v", c)
		}
		return c, provenance.WorkflowFacts{}, provenance.SummaryFacts{}
	}
	signed, err := w.notary.Root.Payload([]byte(p.Status.Bundle))
	w.must(err)
	facts, err := provenance.ParseWorkflow(signed.Payload)
	w.must(err)
	summed, err := w.notary.Root.Payload([]byte(p.Status.Summary))
	w.must(err)
	summary, err := provenance.ParseSummary(summed.Payload)
	w.must(err)
	if summary.Statement != digestOf(signed.Payload) || p.Status.Claim != nil {
		w.Errorf("the summary is of another statement, or the claim %+v is held", p.Status.Claim)
	}
	return c, facts, summary
}

// The reason of a record is that of its first output.
func TestOutputsWithoutASealAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		codes []reason.Code
		says  string
	}{
		"none was made":                      {[]reason.Code{reason.OutputAbsent, reason.OutputAbsent}, ""},
		"one was made, and cannot be sealed": {[]reason.Code{reason.OutputAbsent, reason.ArchiveUnsupported}, "; 1 outputs have none"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.unsealed("three", c.codes...)
			_, err := w.attestor("a").Reconcile(t.Context(), w.key)
			w.must(err)
			if got, _, _ := w.stated(); got == nil || !strings.HasSuffix(got.Message, "steps with a seal"+c.says) {
				t.Errorf("it says %+v, want %q at its end", got, c.says)
			}
		})
	}
}

func TestStates(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world)
		// code of the condition; empty: not yet.
		code     string
		subjects int
		passed   bool
	}{
		"all sealed":          {nil, "Attested", 2, true},
		"a step without seal": {func(w *world) { w.refused("three", reason.SidecarRestarted) }, "Attested", 2, true},
		"a record that the controller has not seen": {func(w *world) {
			w.refused("three", reason.NothingToSeal)
			w.seen(v1alpha1.WorkflowSealed, 2)
		}, "", 0, false},
		"steps that stored nothing": {func(w *world) {
			w.refused("three", reason.NothingToSeal)
			w.refused("four", reason.UploadFailed)
			w.refused("five", reason.OutputAbsent)
		}, "Attested", 2, true},
		"an output without seal": {func(w *world) {
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) {
				f.Unsealed = []provenance.Unsealed{{Output: "x", Reason: reason.LocationInvalid}}
			})
		}, "Attested", 3, true},
		"an optional output that is absent": {func(w *world) {
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) {
				f.Unsealed = []provenance.Unsealed{{Output: "x", Reason: reason.OutputAbsent}}
			})
		}, "Attested", 3, true},
		"a failed attempt": {func(w *world) {
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) {
				f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
				f.Unsealed = []provenance.Unsealed{{Output: "x", Reason: reason.MeasurementIncomplete}}
			})
		}, "Attested", 2, true},
		"audited alone": {func(w *world) {
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit })
		}, "Attested", 3, false},
		"a definition that was changed": {func(w *world) {
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) { f.Definition.Spec = digestOf(nil) })
		}, "DefinitionChanged", 0, false},
		"sealed under another cluster's name": {func(w *world) {
			w.drop()
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) { f.Builder.Cluster = "other" })
		}, "BuilderNotTrusted", 0, false},
		"nothing that leaves":                  {func(w *world) { w.drop(); w.refused("three", reason.NothingToSeal) }, "NothingToSeal", 0, false},
		"the workflow was deleted":             {func(w *world) { w.deleteWorkflow() }, "WorkflowGone", 0, false},
		"the workflow runs again":              {func(w *world) { w.running() }, "", 0, false},
		"a record that is not final":           {func(w *world) { w.refused("three", reason.Pending) }, "", 0, false},
		"a pod without a record":               {func(w *world) { w.pod("three") }, "", 0, false},
		"a pod that has its record":            {func(w *world) { w.pod("one") }, "Attested", 2, true},
		"the seal of another pod in a record":  {func(w *world) { w.swap() }, "", 0, false},
		"a bundle that does not hold":          {func(w *world) { w.spoil() }, "", 0, false},
		"records of another workflow's":        {func(w *world) { w.other() }, "Attested", 2, true},
		"the controller says that it runs yet": {func(w *world) { w.seen(v1alpha1.WorkflowRunning, 2) }, "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tt.change != nil {
				tt.change(w)
			}
			_, err := w.attestor("a").Reconcile(t.Context(), w.key)
			c, facts, summary := w.stated()
			if (c == nil) != (tt.code == "") || c != nil && c.Reason != tt.code {
				t.Fatalf("condition %+v, want %q (%v)", c, tt.code, err)
			}
			if len(facts.Subjects) != tt.subjects || summary.Passed != tt.passed {
				t.Errorf("%d subjects, passed: %v", len(facts.Subjects), summary.Passed)
			}
		})
	}
}

func (w *world) provenance(name string) *v1alpha1.Provenance {
	w.Helper()
	var p v1alpha1.Provenance
	w.must(w.Get(w.Context(), client.ObjectKey{Namespace: w.key.Namespace, Name: name}, &p))
	return &p
}

func (w *world) drop() {
	w.must(w.Delete(w.Context(), w.provenance("one")))
	w.must(w.Delete(w.Context(), w.provenance("two")))
	w.seen(v1alpha1.WorkflowSealed, 0)
}

func (w *world) workflow() *unstructured.Unstructured {
	w.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	w.must(w.Get(w.Context(), client.ObjectKey{Namespace: w.key.Namespace, Name: example.Step.Workflow.Name}, u))
	return u
}

func (w *world) deleteWorkflow() { w.must(w.Delete(w.Context(), w.workflow())) }

func (w *world) running() {
	u := w.workflow()
	u.Object["status"] = map[string]any{"phase": "Running", "finishedAt": "2026-11-21T10:00:08Z"} // anybody may write that
	w.must(w.Update(w.Context(), u))
}

func (w *world) pod(uid string) {
	controller := true
	w.must(w.Create(w.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.key.Namespace, Name: uid, UID: types.UID(uid), Labels: map[string]string{layout.LabelWorkflow: example.Step.Workflow.Name},
		Annotations:     map[string]string{v1alpha1.AnnotationTag: "t"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: layout.APIVersion, Kind: layout.Kind, Name: example.Step.Workflow.Name, UID: types.UID(w.key.Name), Controller: &controller}},
	}}))
}

func (w *world) swap() {
	p := w.provenance("one")
	p.Status.Bundle = w.provenance("two").Status.Bundle
	w.must(w.Status().Update(w.Context(), p))
}

func (w *world) spoil() {
	p := w.provenance("one")
	p.Status.Bundle = strings.Replace(p.Status.Bundle, `"sig":"M`, `"sig":"N`, 1)
	w.must(w.Status().Update(w.Context(), p))
}

// other is a record of a workflow that had the same name before.
func (w *world) other() {
	r := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: "old", Labels: map[string]string{layout.LabelWorkflow: example.Step.Workflow.Name}},
		Spec:       v1alpha1.ProvenanceSpec{Pod: v1alpha1.ObjectRef{Name: "old", UID: "old"}, Workflow: v1alpha1.ObjectRef{Name: example.Step.Workflow.Name, UID: "old"}},
	}
	w.must(w.Create(w.Context(), r))
}

// TestWhatFitsNowhereIsNotLogged: what cannot be stored would be logged again and again.
func TestWhatFitsNowhereIsNotLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		nodes, subjects   int
		attested, summary bool
	}{
		"few nodes":                         {10, 1, true, true},
		"as many as there may be":           {1000, 1, true, true},
		"many, and a statement of its size": {1000, 550, false, false},
		"a statement of that size":          {10, 550, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sealed("three", "s3://minio:9000/b/three", func(f *provenance.Facts) {
				f.Subjects = nil
				for n := range tt.subjects {
					s := example.Subjects[0]
					s.URI, s.Output = fmt.Sprintf("s3://minio:9000/b/%s%d", strings.Repeat("k", 500), n), fmt.Sprintf("o%d", n)
					f.Subjects = append(f.Subjects, s)
				}
			})
			p := w.get()
			for n := range tt.nodes {
				p.Status.Nodes = append(p.Status.Nodes, v1alpha1.WorkflowNode{
					ID: fmt.Sprintf("%s%d", strings.Repeat("i", 500), n), Name: strings.Repeat("n", 253), Template: strings.Repeat("t", 250), Outcome: v1alpha1.NodeSkipped,
				})
			}
			w.must(w.Status().Update(t.Context(), p))
			before := w.log.Size()
			if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
				t.Fatal(err)
			}
			is := w.get()
			c := meta.FindStatusCondition(is.Status.Conditions, v1alpha1.ConditionAttested)
			if c == nil || (c.Status == metav1.ConditionTrue) != tt.attested || (is.Status.Summary != "") != tt.summary {
				t.Fatalf("condition %+v, a summary of %d bytes", c, len(is.Status.Summary))
			}
			want := 0
			for _, made := range []string{is.Status.Bundle, is.Status.Summary} {
				if made != "" {
					want++
				}
			}
			if added := w.log.Size() - before; added != want {
				t.Errorf("%d entries in the log, want %d", added, want)
			}
			if raw, err := json.Marshal(is); err != nil || len(raw) > 3<<19 {
				t.Errorf("the record has %d bytes (%v), and etcd takes 1.5 MiB", len(raw), err)
			}
			if Due(is) {
				t.Error("it is due again")
			}
		})
	}
}

// withImages has 32 images in each of some outputs of a step, with locations of some length.
func withImages(outputs, length int) func(*provenance.Facts) {
	return func(f *provenance.Facts) {
		f.Subjects, f.Measured = nil, nil
		for n := range outputs {
			s := example.Subjects[0]
			s.URI, s.Output = fmt.Sprintf("s3://minio:9000/b/%s%d", strings.Repeat("k", length), n), fmt.Sprintf("o%d", n)
			f.Subjects = append(f.Subjects, s)
			for i := range 32 {
				if len(f.Measured) < 128 {
					f.Measured = append(f.Measured, provenance.Measured{Output: s.Output, Image: oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", i+1)), Kind: oci.KindManifest}})
				}
			}
		}
	}
}

// TestImagesThatLeaveAreStated, and summed up. Where there is no room for them, they cost
// the outputs neither.
func TestImagesThatLeaveAreStated(t *testing.T) {
	for name, tt := range map[string]struct{ outputs, length, images int }{
		"a few":               {1, 10, 32},
		"as many as may be":   {4, 10, 128},
		"with long locations": {300, 700, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sealed("three", "s3://minio:9000/b/three", withImages(tt.outputs, tt.length))
			if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
				t.Fatal(err)
			}
			c, facts, summary := w.stated()
			if c == nil || len(facts.Subjects) != tt.outputs+2 || len(summary.Subjects) != tt.outputs+2 {
				t.Fatalf("condition %+v, %d and %d subjects", c, len(facts.Subjects), len(summary.Subjects))
			}
			for _, of := range [][]provenance.WorkflowSubject{facts.Subjects, summary.Subjects} {
				images := 0
				for _, s := range of {
					images += len(s.Images)
				}
				if images != tt.images {
					t.Errorf("%d images are stated, want %d", images, tt.images)
				}
			}
		})
	}
}

// TestAFanOutMayLeaveSoMuch: the outputs of many steps, which no step takes, are each stated.
// More than there is room for is no fault of ours.
func TestAFanOutMayLeaveSoMuch(t *testing.T) {
	for outputs, want := range map[int]string{provenance.MaxSubjects - 2: reasonAttested, provenance.MaxSubjects - 1: string(reason.WorkflowTooLarge)} {
		w := newWorld(t) // with two outputs of two steps
		w.sealed("three", "", func(f *provenance.Facts) {
			withImages(outputs, 1)(f)
			f.Measured = nil
		})
		if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
			t.Fatal(err)
		}
		if c, facts, _ := w.stated(); c == nil || c.Reason != want || want == reasonAttested && len(facts.Subjects) != provenance.MaxSubjects {
			t.Errorf("%d more: condition %+v, %d subjects", outputs, c, len(facts.Subjects))
		}
	}
}

// TestTheLastStepAtAPlaceIsStated: the record says when the API server made its pod, which
// decides where the clock of its node says that it ran before.
func TestTheLastStepAtAPlaceIsStated(t *testing.T) {
	w := newWorld(t)
	other := digestOf([]byte("other"))
	w.sealed("over", "s3://minio:9000/b/one", func(f *provenance.Facts) {
		f.Subjects[0].SHA256, f.FinishedAt = other, f.StartedAt
	})
	over := w.provenance("over")
	over.Spec.PodCreatedAt = metav1.NewTime(example.FinishedAt)
	w.must(w.Update(t.Context(), over))
	_, err := w.attestor("a").Reconcile(t.Context(), w.key)
	w.must(err)
	_, facts, summary := w.stated()
	for _, of := range [][]provenance.WorkflowSubject{facts.Subjects, summary.Subjects} {
		if len(of) != 2 || of[0].SHA256 != other || of[0].URI != "s3://minio:9000/b/one" {
			t.Errorf("stated: %+v", of)
		}
	}
}

// TestWhatIsReadOfAWorkflowIsBounded: all statements of its steps are in memory at once.
func TestWhatIsReadOfAWorkflowIsBounded(t *testing.T) {
	w := newWorld(t)
	keys := w.attestor("a").Keys()
	one, two := w.provenance("one"), w.provenance("two")
	f := found{room: maxStatements}
	w.must(errors.Join(f.add(one, keys), f.add(two, keys)))
	f = found{room: 2*(maxStatements-f.room)/3 + 1} // room for one of both
	if err := f.add(one, keys); err != nil {
		t.Fatal(err)
	}
	if err := f.add(two, keys); !errors.Is(err, errTooMuch) {
		t.Errorf("it was read all the same: %v", err)
	}
}

// TestWhatIsLateIsLookedAtLessOften: each look reads all records of the workflow.
func TestWhatIsLateIsLookedAtLessOften(t *testing.T) {
	made := time.Unix(1_800_000_000, 0)
	p := &v1alpha1.WorkflowProvenance{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(made.Add(-time.Hour))}}
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, LastTransitionTime: metav1.NewTime(made)}}
	for after, want := range map[time.Duration]time.Duration{
		-time.Minute: again, 0: again, time.Minute: again, 10 * time.Minute: time.Minute, 24 * time.Hour: later,
	} {
		if got := wait(p, made.Add(after)); got != want {
			t.Errorf("after %s: in %s, want %s", after, got, want)
		}
	}
}

// TestOneOfTwo: a replica leaves a workflow to the one that has it, until that is silent,
// and what is stated is stated once.
func TestOneOfTwo(t *testing.T) {
	w := newWorld(t)
	p := w.get()
	p.Status.Claim = &v1alpha1.Claim{Holder: "a", RenewTime: metav1.NewMicroTime(w.clock.Now())}
	w.must(w.Status().Update(t.Context(), p))
	b := w.attestor("b")
	result, err := b.Reconcile(t.Context(), w.key)
	if c, _, _ := w.stated(); err != nil || c != nil || result.RequeueAfter != patience {
		t.Fatalf("%+v, %v, %v", c, result, err)
	}
	w.clock.SetTime(w.clock.Now().Add(patience + time.Second))
	if _, err := b.Reconcile(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	w.stated()
	before := w.get().ResourceVersion
	for _, holder := range []string{"a", "b"} {
		if _, err := w.attestor(holder).Reconcile(t.Context(), w.key); err != nil {
			t.Fatal(err)
		}
	}
	if now := w.get().ResourceVersion; now != before {
		t.Error("it was written again")
	}
}

// TestClocksApart: whoever's clock was ahead when it stopped does not keep a workflow until that
// time comes; one that is at work keeps it.
func TestClocksApart(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Minute, 2 * time.Hour} {
		w := newWorld(t)
		b, p := w.attestor("b"), w.get()
		p.Status.Claim = &v1alpha1.Claim{Holder: "a", RenewTime: metav1.NewMicroTime(w.clock.Now().Add(ahead))}
		if got := b.held(p); got != patience {
			t.Errorf("%s ahead: it is left to it for %s, want %s", ahead, got, patience)
		}
		w.clock.SetTime(w.clock.Now().Add(patience))
		if got := b.held(p); got != 0 {
			t.Errorf("%s ahead: nobody renewed it, and it is left to it for %s more", ahead, got)
		}
		p.Status.Claim.RenewTime = metav1.NewMicroTime(w.clock.Now().Add(ahead))
		if got := b.held(p); got != patience {
			t.Errorf("%s ahead: it was renewed, and is left to it for %s, want %s", ahead, got, patience)
		}
	}
}

// TestRetried: a workflow that has more records since gets another statement.
func TestRetried(t *testing.T) {
	w := newWorld(t)
	if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	w.sealed("three", "s3://minio:9000/b/three", nil)
	if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	if _, facts, _ := w.stated(); facts.StepCount != 3 {
		t.Errorf("%d steps", facts.StepCount)
	}
}

// TestDeletedAfterwards: what was stated of a workflow stays when it is gone.
func TestDeletedAfterwards(t *testing.T) {
	w := newWorld(t)
	if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	w.deleteWorkflow()
	w.refused("late", reason.PodGone)
	if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
		t.Fatal(err)
	}
	if c, facts, _ := w.stated(); c.Status != metav1.ConditionTrue || len(facts.Subjects) != 2 || Due(w.get()) {
		t.Errorf("%+v, %d subjects", c, len(facts.Subjects))
	}
}
