//go:build e2e

package suite

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// recordGuard is the binding of the policy that lets only the notary write our
// records. No other test depends on it.
const recordGuard = "argoseal-records"

// victim is a workflow that ran honestly, and its evidence.
type victim struct {
	run        *lab.Run
	seal       v1alpha1.ArtifactSeal
	provenance v1alpha1.Provenance
}

// consumer is a workflow that waits to be resumed and then reads one object.
type consumer struct {
	ns, name string
	uid      types.UID
	location artifact.Location
}

// someone who may write our records, as far as RBAC goes.
func recordWriter(t *testing.T, ns string) client.Client {
	t.Helper()
	c, err := cluster(t).Tenant(t.Context(), ns, "forger", rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.Group},
		Resources: []string{"provenances", "provenances/status", "artifactseals"},
		Verbs:     []string{"create", "update", "patch", "delete", "get"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newVictim(t *testing.T, ns string) *victim {
	t.Helper()
	run, pod := genuine(t, ns)
	p, err := cluster(t).Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	seals, err := cluster(t).Seals(t.Context(), ns, run.UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want one seal of %s, got %d: %v", run, len(seals), err)
	}
	return &victim{run: run, seal: seals[0], provenance: *p}
}

// newConsumer submits a workflow that consumes a key and is suspended, so that
// its UID is known before its pod is asked for.
func newConsumer(t *testing.T, ns, name, key string, v *victim) *consumer {
	t.Helper()
	wf, err := lab.Workflow(fmt.Sprintf(`
metadata: {name: %s}
spec:
  suspend: true
  entrypoint: consume
  templates:
  - name: consume
    inputs:
      artifacts:
      - name: message
        path: /tmp/message
        s3: {key: %s}
    container:
      image: alpine:latest
      command: [cat, /tmp/message]
`, name, key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster(t).Submit(t.Context(), ns, wf); err != nil {
		t.Fatal(err)
	}
	// Argo has seen it: one that is resumed before that can be overlooked.
	run := until(t, ns, name, func(r *lab.Run) bool { return r.Phase != "" })
	at := v.seal.Spec.Location
	location, err := artifact.NewObject(at.Store, at.Bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	return &consumer{ns: ns, name: name, uid: types.UID(run.UID), location: location}
}

// pointer is the ArtifactSeal that the gate would look for, made from the
// victim's.
func (c *consumer) pointer(v *victim, provenance string) *v1alpha1.ArtifactSeal {
	s := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.ns, Name: artifact.SealName(c.location, string(c.uid)),
			// As the notary labels them: what has no label is not even looked at.
			Labels: map[string]string{"workflows.argoproj.io/workflow": c.name, v1alpha1.LabelLocation: artifact.LocationName(c.location)},
		},
		Spec: v.seal.Spec,
	}
	s.Spec.Location.Key = c.location.Key
	s.Spec.Workflow = v1alpha1.ObjectRef{Name: c.name, UID: c.uid}
	s.Spec.Provenance = provenance
	return s
}

// forgery is evidence that a tenant makes up for an object.
type forgery struct {
	code reason.Code
	// key is the object that is to be consumed.
	key func(v *victim) string
	// write stores the evidence.
	write func(ctx context.Context, who client.Client, c *consumer, v *victim) error
}

// byHand is an object that no step made.
func byHand(*victim) string { return "by-hand/message.tgz" }

var forgeries = map[string]forgery{
	"the object of another workflow, with its genuine bundle": {
		code: reason.WorkflowMismatch,
		key:  func(v *victim) string { return v.seal.Spec.Location.Key },
		write: func(ctx context.Context, who client.Client, c *consumer, v *victim) error {
			return who.Create(ctx, c.pointer(v, v.provenance.Name))
		},
	},
	"an object put there by hand, with a genuine bundle": {
		code: reason.SubjectMismatch,
		key:  byHand,
		write: func(ctx context.Context, who client.Client, c *consumer, v *victim) error {
			return who.Create(ctx, c.pointer(v, v.provenance.Name))
		},
	},
	"an object put there by hand, with a statement rewritten to fit": {
		code: reason.ProvenanceInvalid,
		key:  byHand,
		write: func(ctx context.Context, who client.Client, c *consumer, v *victim) error {
			const pod = "11111111-2222-4333-8444-555555555555"
			bundle, err := rewritten(v.provenance.Status.Bundle, strings.NewReplacer(
				string(v.provenance.Spec.Pod.UID), pod, v.run.UID, string(c.uid), v.seal.Spec.Location.Key, c.location.Key))
			if err != nil {
				return err
			}
			return createRecord(ctx, who, c, v, pod, bundle)
		},
	},
	"a genuine bundle under the name of another pod": {
		code: reason.ProvenanceInvalid,
		key:  func(v *victim) string { return v.seal.Spec.Location.Key },
		write: func(ctx context.Context, who client.Client, c *consumer, v *victim) error {
			return createRecord(ctx, who, c, v, "22222222-2222-4333-8444-555555555555", v.provenance.Status.Bundle)
		},
	},
}

// rewritten changes the signed payload of a bundle and leaves all else.
func rewritten(bundle string, change *strings.Replacer) (string, error) {
	var b map[string]any
	if err := json.Unmarshal([]byte(bundle), &b); err != nil {
		return "", err
	}
	envelope, ok := b["dsseEnvelope"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("the bundle has no envelope: %.200s", bundle)
	}
	encoded, _ := envelope["payload"].(string)
	payload, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	changed := change.Replace(string(payload))
	if changed == string(payload) {
		return "", fmt.Errorf("nothing to change in %s", payload)
	}
	envelope["payload"] = base64.StdEncoding.EncodeToString([]byte(changed))
	raw, err := json.Marshal(b)
	return string(raw), err
}

// createRecord stores a Provenance that says it is sealed, and points to it.
func createRecord(ctx context.Context, who client.Client, c *consumer, v *victim, pod, bundle string) error {
	p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: c.ns, Name: pod}, Spec: v.provenance.Spec}
	p.Spec.Pod.UID = types.UID(pod)
	if err := who.Create(ctx, p); err != nil {
		return err
	}
	// A patch and not an update: the notary may have written to the record by
	// now, and a forger does not stop at a conflict.
	before := p.DeepCopy()
	v.provenance.Status.DeepCopyInto(&p.Status)
	p.Status.Bundle = bundle
	if err := who.Status().Patch(ctx, p, client.MergeFrom(before)); err != nil {
		return err
	}
	return who.Create(ctx, c.pointer(v, pod))
}

func TestForgedRecordsAreNotStoredAndWouldNotCount(t *testing.T) {
	t.Parallel()
	l, ns := cluster(t), namespace(t, "records", v1alpha1.ModeEnforce)
	if err := l.Put(t.Context(), byHand(nil), lab.Tarball("message", "trust me\n")); err != nil {
		t.Fatal(err)
	}
	v, who := newVictim(t, ns), recordWriter(t, ns)
	consumers := map[string]*consumer{}
	for name, f := range forgeries {
		consumers[name] = newConsumer(t, ns, slug(name), f.key(v), v)
	}

	holdsRecords(t, who, v, func(t *testing.T, err error) { refused(t, err, "RecordGuarded") })
	for name, f := range forgeries {
		t.Run("not stored: "+name, func(t *testing.T) {
			refused(t, f.write(t.Context(), who, consumers[name], v), "RecordGuarded")
		})
	}

	putBack := unguard(t, who, ns)
	holdsRecords(t, who, v, func(t *testing.T, err error) {
		if err != nil {
			t.Fatalf("this attack is none: %v", err)
		}
	})
	for name, f := range forgeries {
		if err := f.write(t.Context(), who, consumers[name], v); err != nil {
			t.Fatalf("without the guard, %s: %v", name, err)
		}
	}
	putBack()

	for name, f := range forgeries {
		c := consumers[name]
		if err := l.Unsuspend(t.Context(), c.ns, c.name); err != nil {
			t.Fatal(err)
		}
		t.Run("not trusted: "+name, func(t *testing.T) {
			refused(t, refusal(finish(t, c.ns, c.name)), f.code)
		})
	}
}

// holdsRecords tries, as a dry run, what else can be done to records.
func holdsRecords(t *testing.T, who client.Client, v *victim, judge func(t *testing.T, err error)) {
	t.Helper()
	patch := func(text string) client.Patch {
		return client.RawPatch("application/merge-patch+json", []byte(text))
	}
	for name, try := range map[string]func(ctx context.Context) error{
		"a Provenance's bundle is replaced": func(ctx context.Context) error {
			return who.Status().Patch(ctx, v.provenance.DeepCopy(), patch(`{"status":{"bundle":"forged"}}`), &client.SubResourcePatchOptions{PatchOptions: client.PatchOptions{DryRun: []string{metav1.DryRunAll}}})
		},
		"an ArtifactSeal's digest is replaced": func(ctx context.Context) error {
			return who.Patch(ctx, v.seal.DeepCopy(), patch(`{"spec":{"sha256":"`+strings.Repeat("0", 64)+`"}}`), client.DryRunAll)
		},
		"a Provenance is deleted": func(ctx context.Context) error {
			return who.Delete(ctx, v.provenance.DeepCopy(), client.DryRunAll)
		},
		"an ArtifactSeal is deleted": func(ctx context.Context) error {
			return who.Delete(ctx, v.seal.DeepCopy(), client.DryRunAll)
		},
	} {
		t.Run(name, func(t *testing.T) { judge(t, try(t.Context())) })
	}
}

// unguard takes the guard of our records away until the returned function, or
// the end of the test, puts it back.
func unguard(t *testing.T, who client.Client, ns string) (putBack func()) {
	t.Helper()
	l := cluster(t)
	guard := &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := l.Client.Get(t.Context(), client.ObjectKey{Name: recordGuard}, guard); err != nil {
		t.Fatal(err)
	}
	if err := l.Client.Delete(t.Context(), guard.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	done := false
	putBack = func() {
		if done {
			return
		}
		done = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
		defer cancel()
		guard.ResourceVersion, guard.UID = "", ""
		if err := l.Client.Create(ctx, guard); err != nil {
			t.Fatalf("the guard of the records is NOT BACK: %v", err)
		}
		guarded(ctx, t, who, ns, true)
	}
	t.Cleanup(putBack)
	guarded(t.Context(), t, who, ns, false)
	return putBack
}

// guarded waits until the API server has noticed whether there is a guard.
func guarded(ctx context.Context, t *testing.T, who client.Client, ns string, want bool) {
	t.Helper()
	probe := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"},
		Spec: v1alpha1.ProvenanceSpec{
			Pod: v1alpha1.ObjectRef{Name: "probe", UID: "probe"}, Workflow: v1alpha1.ObjectRef{Name: "probe", UID: "probe"}, NodeID: "probe",
		},
	}
	err := lab.Eventually(ctx, 2*time.Minute, func(ctx context.Context) (bool, error) {
		err := who.Create(ctx, probe.DeepCopy(), client.DryRunAll)
		return (err != nil && refuses(err.Error(), "RecordGuarded")) == want, nil
	})
	if err != nil {
		t.Fatalf("the API server does not notice the guard (want %t): %v", want, err)
	}
}

// TestWithoutTheGateForgedRecordsAreNotEvenNeeded consumes the same objects
// where nobody asks for evidence.
func TestWithoutTheGateForgedRecordsAreNotEvenNeeded(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "records", plain)
	if err := cluster(t).Put(t.Context(), byHand(nil), lab.Tarball("message", "trust me\n")); err != nil {
		t.Fatal(err)
	}
	run, _ := genuine(t, ns)
	node, _ := run.Node(run.Name)
	v := &victim{run: run}
	v.seal.Spec.Location = v1alpha1.Location{Store: "store", Bucket: "bucket", Key: node.Key("message")}
	for name, f := range forgeries {
		t.Run(name, func(t *testing.T) {
			c := newConsumer(t, ns, slug(name), f.key(v), v)
			if err := cluster(t).Unsuspend(t.Context(), c.ns, c.name); err != nil {
				t.Fatal(err)
			}
			if err := refusal(finish(t, c.ns, c.name)); err != nil {
				t.Fatalf("this attack is none: %v", err)
			}
		})
	}
}
