package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// clusterOf is an API server that has these objects.
func clusterOf(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	workflows := newWorkflow().GroupVersionKind()
	scheme.AddKnownTypeWithName(workflows, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(workflows.GroupVersion().WithKind("WorkflowList"), &unstructured.UnstructuredList{})
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func TestReproduceSaysWhatItNeeds(t *testing.T) {
	file := func(text string) string { return write(t, []byte(text)) }
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nothing":                       {nil, "accepts 1 arg"},
		"no namespace":                  {[]string{"ci/x"}, "--in"},
		"another form":                  {[]string{"ci/x", "--in", "a", "-o", "yaml"}, "--output"},
		"no time":                       {[]string{"ci/x", "--in", "a", "--timeout", "0s"}, "--timeout"},
		"a value without a name":        {[]string{"ci/x", "--in", "a", "-p", "s3cret"}, "--parameter wants NAME=VALUE"},
		"a value twice":                 {[]string{"ci/x", "--in", "a", "-p", "x=s3cret", "-p", "x=s3cret"}, "twice"},
		"an input without a name":       {[]string{"ci/x", "--in", "a", "--input", "=s3cret"}, "--input wants NAME=VALUE"},
		"a file and a value":            {[]string{"ci/x", "--in", "a", "--parameter-file", file(`{"x": "s3cret"}`), "-p", "x=y"}, "twice"},
		"a file that is no object":      {[]string{"ci/x", "--in", "a", "--parameter-file", file("s3cret")}, "--parameter-file"},
		"a file with a number":          {[]string{"ci/x", "--in", "a", "--parameter-file", file("x: [s3cret]")}, "--parameter-file"},
		"a file that says nothing":      {[]string{"ci/x", "--in", "a", "--parameter-file", file("null"), "-p", "x=s3cret", "--trusted-root", "/nowhere"}, "/nowhere"},
		"an endless file":               {[]string{"ci/x", "--in", "a", "--parameter-file", file(strings.Repeat("#", maxParameter+1))}, "--parameter-file"},
		"no such file":                  {[]string{"ci/x", "--in", "a", "--parameter-file", "/nowhere"}, "/nowhere"},
		"a key of another size":         {[]string{"ci/x", "--in", "a", "--parameter-key", file("short")}, "--parameter-key"},
		"anybody, and somebody":         {[]string{"ci/x", "--in", "a", "--any-producer", "--namespace", "ci"}, "nobody"},
		"no trusted root":               {[]string{"ci/x", "--in", "a", "--trusted-root", "/nowhere"}, "/nowhere"},
		"a cluster that is not there":   {[]string{"ci/x", "--in", "a", "--kubeconfig", "/nowhere"}, ""},
		"what is neither file nor name": {[]string{"x", "--in", "a", "--any-producer", "--kubeconfig", "/nowhere"}, ""},
	} {
		code, out, errs := command(t, "", append([]string{"reproduce"}, c.args...)...)
		if code == 0 || c.says != "" && code != reason.UsageInvalid.ExitCode() || !strings.Contains(errs, c.says) || strings.Contains(out+errs, "s3cret") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	code, out, _ := command(t, "", "reproduce", "--help")
	for _, c := range []reason.Code{reason.NotReproduced, reason.NotComparable} {
		if code != 0 || c.ExitCode() == 1 || !strings.Contains(out, string(c)+": "+c.Meaning()) {
			t.Errorf("help has no %s with an exit code of its own:\n%s", c, out)
		}
	}
}

// A seal counts if it verifies, whatever names it; and a record only with that of its pod.
func TestASealIsVerifiedBeforeItIsReproduced(t *testing.T) {
	notary, other := sealtest.NewNotary(t), sealtest.NewNotary(t)
	facts := sealtest.Facts(location, digest)
	payload := sealtest.Payload(t, location, digest)
	ns, uid := facts.Step.Namespace, facts.Step.Pod.UID
	record := func(name, bundle string) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Status:     v1alpha1.ProvenanceStatus{Bundle: bundle, Outputs: []v1alpha1.OutputStatus{{Name: "hello-art", Files: "listed"}}},
		}
	}
	bundle := string(notary.Bundle(t, payload))
	api := clusterOf(t,
		record(uid, bundle), record("another", bundle), record("forged", string(other.Bundle(t, payload))), record("none", ""),
		&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "seal"}, Spec: v1alpha1.ArtifactSealSpec{Provenance: uid}},
		&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "astray"}, Spec: v1alpha1.ArtifactSealSpec{Provenance: "gone"}},
	)
	o := &reproduceOptions{}
	o.keys, o.trustedRoot, o.rules = []string{write(t, notary.Signer.PublicKeyPEM())}, write(t, notary.TrustedRoot()), configFile(v1alpha1.RulesKey)
	root, err := o.root()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]reason.Code{
		uid: "", "seal": "", "another": reason.ProducerMismatch, "forged": reason.SignatureInvalid, "none": reason.NotComparable,
		"astray": reason.UsageInvalid, "nowhere": reason.UsageInvalid,
	} {
		s, err := recorded(t.Context(), api, root, ns, name)
		if reason.Of(err) != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err == nil && (s.Step.Pod.UID != uid || s.files["hello-art"] != "listed") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s, err := o.sealWithLists(t.Context(), api, write(t, []byte(bundle))); err != nil || s.files["hello-art"] != "listed" {
		t.Errorf("a bundle in a file: %+v, %v", s, err)
	}
	if _, err := o.sealWithLists(t.Context(), api, write(t, other.Bundle(t, payload))); reason.Of(err) != reason.SignatureInvalid {
		t.Errorf("a forged bundle in a file: %v", err)
	}
}

func TestTheTextOfWhatRanIsFound(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	pod.UID = "pod-uid"
	s := &provenance.Statement{}
	s.Step = provenance.Step{Namespace: pod.Namespace, Workflow: provenance.Ref{Name: "wf", UID: "w"}, Pod: provenance.Ref{Name: pod.Name, UID: "pod-uid"}}
	workflow := newWorkflow()
	workflow.SetNamespace(pod.Namespace)
	workflow.SetName("wf")
	workflow.Object["spec"] = map[string]any{"entrypoint": "main"}
	replaced := pod.DeepCopy()
	replaced.UID = "another"
	given := write(t, []byte("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: x-}\nspec: {entrypoint: given}\n"))
	for name, c := range map[string]struct {
		objects    []client.Object
		file       string
		want       reason.Code
		entrypoint string
		ofPod      bool
	}{
		"workflow and pod":     {[]client.Object{workflow, pod}, "", "", "main", true},
		"the pod is gone":      {[]client.Object{workflow}, "", "", "main", false},
		"another of that name": {[]client.Object{workflow, replaced}, "", "", "main", false},
		"the workflow is gone": {[]client.Object{pod}, "", reason.NotComparable, "", false},
		"from a file":          {[]client.Object{pod}, given, "", "given", true},
		"another kind":         {[]client.Object{pod}, write(t, []byte("apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nspec: {}\n")), reason.UsageInvalid, "", false},
		"no YAML":              {[]client.Object{pod}, write(t, []byte("{")), reason.UsageInvalid, "", false},
		"an endless file":      {[]client.Object{pod}, write(t, make([]byte, maxDefinition+1)), reason.UsageInvalid, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var copies []client.Object
			for _, o := range c.objects {
				copied, _ := o.DeepCopyObject().(client.Object)
				copies = append(copies, copied)
			}
			from, err := (&reproduceOptions{definition: c.file}).source(t.Context(), clusterOf(t, copies...), s)
			if reason.Of(err) != c.want {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			if entrypoint, _, _ := unstructured.NestedString(from.Workflow, "spec", "entrypoint"); entrypoint != c.entrypoint || (from.Pod != nil) != c.ofPod || c.ofPod && from.Pod.TemplateDigest != step.TemplateDigest {
				t.Errorf("entrypoint %q, pod %v", entrypoint, from.Pod)
			}
		})
	}
}

// The second run's record is that of the pod which the Workflow owns, and nobody's who
// only has its label.
func TestTheSecondRunIsWaitedFor(t *testing.T) {
	workflow := func(phase, message string) *unstructured.Unstructured {
		u := newWorkflow()
		u.SetNamespace("again")
		u.SetName("reproduce-x")
		u.SetUID("w")
		u.Object["status"] = map[string]any{"phase": phase, "nodes": map[string]any{"n": map[string]any{"type": "Pod", "message": message}}}
		return u
	}
	pod := func(uid, owner types.UID) *corev1.Pod {
		yes := true
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "again", Name: "pod-" + string(uid), UID: uid, Labels: map[string]string{"workflows.argoproj.io/workflow": "reproduce-x"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "reproduce-x", UID: owner, Controller: &yes}},
		}}
	}
	record := func(name string, status metav1.ConditionStatus, why reason.Code, bundle string) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "again", Name: name}, Status: v1alpha1.ProvenanceStatus{
			Bundle: bundle, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: status, Reason: string(why), Message: "said so"}},
		}}
	}
	for name, c := range map[string]struct {
		objects []client.Object
		found   bool
		want    reason.Code
		says    string
	}{
		"just begun":             {[]client.Object{workflow("", "")}, false, "", ""},
		"it runs":                {[]client.Object{workflow("Running", ""), pod("p", "w")}, false, "", ""},
		"on its way":             {[]client.Object{workflow("Succeeded", ""), pod("p", "w"), record("p", metav1.ConditionFalse, reason.Pending, "")}, false, "", ""},
		"sealed":                 {[]client.Object{workflow("Succeeded", ""), pod("p", "w"), record("p", metav1.ConditionTrue, reason.Sealed, "b")}, true, "", ""},
		"sealed in part":         {[]client.Object{workflow("Succeeded", ""), pod("p", "w"), record("p", metav1.ConditionFalse, reason.OutputUnreadable, "b")}, true, "", ""},
		"not sealed":             {[]client.Object{workflow("Succeeded", ""), pod("p", "w"), record("p", metav1.ConditionFalse, reason.GuardsNotHeld, "")}, false, reason.NotComparable, "GuardsNotHeld: said so"},
		"refused":                {[]client.Object{workflow("Failed", "NoProvenance: in")}, false, reason.NotComparable, "NoProvenance: in"},
		"another's pod":          {[]client.Object{workflow("Running", ""), pod("f", "foe"), record("f", metav1.ConditionTrue, reason.Sealed, "b")}, false, "", ""},
		"another's pod, refused": {[]client.Object{workflow("Error", "no"), pod("f", "foe"), record("f", metav1.ConditionTrue, reason.Sealed, "b")}, false, reason.NotComparable, "no"},
		"deleted":                {[]client.Object{pod("p", "w")}, false, reason.LookupFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &second{api: clusterOf(t, c.objects...), workflow: workflow("", ""), progress: t.Logf}
			p, err := s.look(t.Context())
			if (p != nil) != c.found || reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	s := &second{api: clusterOf(t, workflow("Running", "")), workflow: workflow("", ""), progress: t.Logf}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.wait(short); reason.Of(err) != reason.NotComparable || !strings.Contains(err.Error(), "Running") {
		t.Errorf("out of time: %v", err)
	}
}

func TestOnlyALabelledNamespaceWillDo(t *testing.T) {
	api := clusterOf(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "plain"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sealed", Labels: map[string]string{v1alpha1.LabelMode: "audit"}}},
	)
	for name, want := range map[string]reason.Code{"sealed": "", "plain": reason.UsageInvalid, "nowhere": reason.UsageInvalid} {
		if err := checkLabelled(t.Context(), api, name); reason.Of(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAResultIsToldAndJudged(t *testing.T) {
	r := reproduced{
		First: &reproducedRun{Namespace: "ci", Workflow: "a", Provenance: "p1"}, Second: &reproducedRun{Namespace: "again", Workflow: "b", Provenance: "p2"},
		Result: &reproduce.Result{Verdict: reproduce.Differs, Notes: []string{"nobody knows"}, Outputs: []reproduce.Output{
			{Name: "x", Verdict: reproduce.Same, First: "aa", Second: "aa"},
			{Name: "y", Verdict: reproduce.Differs, First: "bb", Second: "cc", Files: []reproduce.File{{Path: "a\nSame: b", Change: reproduce.Changed}}},
			{Name: "z", Verdict: reproduce.Differs, First: "bb", Second: "cc"},
		}},
	}
	var out bytes.Buffer
	if err := r.text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Not reproduced", "ci/a", "again/b", `changed: a\nSame: b`, "which files differ is not on record", "nobody knows"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
	for verdict, want := range map[reproduce.Verdict]reason.Code{
		reproduce.Same: "", reproduce.Differs: reason.NotReproduced, reproduce.NotComparable: reason.NotComparable, "": reason.NotComparable,
	} {
		if got := reason.Of(judged(&reproduce.Result{Verdict: verdict})); got != want {
			t.Errorf("%q is %q, want %q", verdict, got, want)
		}
	}
}

// What is looked at before it runs looks as it is, and is what would run.
func TestAPlanIsShownAsItIs(t *testing.T) {
	for name, text := range map[string]string{
		"usual":                     "make all",
		"a script":                  "#!/bin/sh\nset -e\n\tmake \"$1\" # 100%: {a, [b]}\n\n  done\n",
		"other letters":             "größe 大きさ 🙂",
		"text turned around":        "rm -rf /\u202e \u2066# harmless\u2069",
		"of several lines":          "ok\n\u202egnihton\n",
		"nothing to see":            "a\u200bb\u00adc\ufeffd\u00a0e\u3164",
		"beyond the first plane":    "a\U000e0041b\U000f0000",
		"a terminal's orders":       "\x1b[2K\r\x00\b",
		"what looks like an escape": `\u202e \\x1b "`,
	} {
		t.Run(name, func(t *testing.T) {
			u := newWorkflow()
			u.Object["metadata"] = map[string]any{"namespace": "again", "labels": map[string]any{text: text}}
			u.Object["spec"] = map[string]any{"templates": []any{map[string]any{"script": map[string]any{"source": text, "args": []any{text, int64(1), true, nil, "1", "true"}}}}}
			var out bytes.Buffer
			if err := printPlan(&out, &reproduce.Plan{Workflow: u, Notes: []string{"input " + text}}); err != nil {
				t.Fatal(err)
			}
			for _, r := range out.String() {
				if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
					t.Errorf("%U stands in\n%s", r, out.String())
				}
			}
			for n, line := range strings.Split(out.String(), "\n") {
				if comment := strings.HasPrefix(line, "#"); comment != (n == 0) {
					t.Errorf("line %d: %s", n, line)
				}
			}
			again, err := workflowIn(out.Bytes())
			if err != nil {
				t.Fatalf("%v of\n%s", err, out.String())
			}
			if d := cmp.Diff(u.Object, again); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
