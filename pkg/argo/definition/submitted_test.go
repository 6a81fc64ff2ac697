package definition_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/reason"
)

// respelled is a spec as people write it. What Argo makes of it is argos.
const respelled = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf, namespace: demo, uid: u-1}
spec:
  entrypoint: main
  arguments:
    parameters: [{name: count, value: 3}]
  volumes: [{name: scratch, emptyDir: {sizeLimit: 1024Ki}}]
  templates:
  - name: main
    container:
      image: busybox
      args: ["{{workflow.parameters.count}}"]
      resources: {limits: {cpu: 1}, requests: {cpu: "0.5"}}
`

// argos does to a spec what Argo's controller does before it stores it, with a controller
// whose workflowDefaults give a deadline, a parameter, and defaults of templates.
func argos(spec object) {
	spec["activeDeadlineSeconds"] = int64(600)
	spec["arguments"] = object{"parameters": list{object{"name": "region", "value": "eu"}, object{"name": "count", "value": "3"}}}
	spec["templateDefaults"] = object{"container": object{"env": list{object{"name": "REGION", "value": "eu"}}}}
	spec["volumes"] = list{object{"name": "scratch", "emptyDir": object{"sizeLimit": "1Mi"}}}
	template := spec["templates"].(list)[0].(object)
	template["inputs"], template["outputs"], template["metadata"] = object{}, object{}, object{}
	container := template["container"].(object)
	container["name"], container["resources"] = "", object{"limits": object{"cpu": "1"}, "requests": object{"cpu": "500m"}}
}

// madeBy is what Argo made of the template that argos has, for the pod.
const madeBy = `{"name":"main","inputs":{},"outputs":{},"metadata":{},
	"container":{"name":"","image":"busybox","args":["3"],"env":[{"name":"REGION","value":"eu"}],"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"500m"}}}}`

func respelledStep() definition.Node {
	return definition.Node{Name: "wf", Template: "main", Made: madeBy}
}

// A workflow's first pods are made before Argo has stored it. What it does to a spec then is
// no change, and is stated beside what was admitted: later pods are admitted with that.
func TestWhatArgoMakesOfASpecIsStated(t *testing.T) {
	first := workflowFrom(t, respelled, func(object) {})
	later := storedFrom(t, respelled, argos)
	early, err := later.DefinitionAt(first.Fingerprint("wf", nil), respelledStep())
	if err != nil {
		t.Fatal(err)
	}
	late, err := later.DefinitionAt(later.Fingerprint("wf", nil), respelledStep())
	if err != nil {
		t.Fatal(err)
	}
	if early.SpecDigest == late.SpecDigest || early.StoredDigest != late.SpecDigest || late.StoredDigest != "" {
		t.Errorf("the first step has %s, stored as %q, a later one %s, stored as %q", early.SpecDigest, early.StoredDigest, late.SpecDigest, late.StoredDigest)
	}
	// The parameters of the controller are stated where Argo had stored them.
	if fmt.Sprint(early.Parameters) != "[{count 3}]" || fmt.Sprint(late.Parameters) != "[{region eu} {count 3}]" {
		t.Errorf("parameters are %v, and later %v", early.Parameters, late.Parameters)
	}
	// Argo spells nothing anew that is spelled so already.
	again := workflowFrom(t, respelled, argos)
	if d, err := later.DefinitionAt(again.Fingerprint("wf", nil), respelledStep()); err != nil || d.StoredDigest != "" {
		t.Errorf("of one that is spelled so: %+v, %v", d, err)
	}
}

func TestAnEntrypointMayBeTheControllers(t *testing.T) {
	without := func(s object) { delete(s, "entrypoint") }
	first := workflowFrom(t, respelled, without)
	if !first.AwaitsEntrypoint() || storedFrom(t, respelled, without).AwaitsEntrypoint() || workflowFrom(t, respelled, argos).AwaitsEntrypoint() {
		t.Error("it waits for another")
	}
	d, err := storedFrom(t, respelled, argos).DefinitionAt(first.Fingerprint("wf", nil), respelledStep())
	if err != nil || d.Entrypoint != "main" || d.StoredDigest == "" {
		t.Errorf("%+v, %v", d, err)
	}
	// Of one that had one, or that Argo had stored, nobody but an attacker changes it.
	for name, before := range map[string]*definition.Workflow{
		"it had another": workflowFrom(t, respelled, func(s object) { s["entrypoint"] = "other" }),
		"it was stored":  storedFrom(t, respelled, without),
	} {
		if _, err := storedFrom(t, respelled, argos).DefinitionAt(before.Fingerprint("wf", nil), respelledStep()); reason.Of(err) != reason.DefinitionChanged {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Argo stores a Workflow at the end of the round in which it makes the first pods. A pod that
// ends before that is waited with.
func TestASpecIsNotStatedBeforeArgoHasStoredIt(t *testing.T) {
	first := workflowFrom(t, respelled, func(object) {})
	admitted := first.Fingerprint("wf", nil)
	for phase, code := range map[string]reason.Code{"": reason.DefinitionIncomplete, "Pending": reason.DefinitionIncomplete, "Running": "", "Succeeded": "", "Error": ""} {
		now := workflowFrom(t, respelled+"\nstatus: {phase: \""+phase+"\"}\n", argos)
		_, err := now.DefinitionAt(admitted, respelledStep())
		if reason.Of(err) != code || (err == nil) != (code == "") {
			t.Errorf("in phase %q: %v", phase, err)
		}
		if code != "" && !reason.Of(err).Retryable() {
			t.Errorf("in phase %q nobody looks again", phase)
		}
	}
}

// TestWhatOthersAddIsNotTakenForArgos: the guard of Workflows leaves parameters, the phase and
// nodes to whoever may write Workflows.
func TestWhatOthersAddIsNotTakenForArgos(t *testing.T) {
	more := func(name, value string) func(object) {
		return func(s object) {
			argos(s)
			a := s["arguments"].(object)
			a["parameters"] = append(a["parameters"].(list), object{"name": name, "value": value})
		}
	}
	first := workflowFrom(t, respelled, func(object) {})
	// One that came since is not stated of a step that was there before.
	d, err := storedFrom(t, respelled, more("signed-off-by", "nobody")).DefinitionAt(first.Fingerprint("wf", nil), respelledStep())
	if err != nil || fmt.Sprint(d.Parameters) != "[{count 3}]" {
		t.Errorf("parameters are %v, %v", d.Parameters, err)
	}
	// Nor is one that somebody takes away for the moments of admission, and puts back. Argo goes
	// by the copy that it has read: the step ran with it. So it is said which ones are missing.
	less := workflowFrom(t, respelled, func(s object) { delete(s, "arguments") })
	back := storedFrom(t, respelled, func(s object) {
		argos(s)
		s["arguments"].(object)["parameters"].(list)[1].(object)["value"] = "4"
	})
	evil := respelledStep()
	evil.Made = strings.Replace(madeBy, `"3"`, `"4"`, 1)
	d, err = back.DefinitionAt(less.Fingerprint("wf", nil), evil)
	if err != nil || len(d.Parameters) != 0 || fmt.Sprint(d.Unstated) != "[count region]" {
		t.Errorf("%v are stated, and %v are not; %v", d.Parameters, d.Unstated, err)
	}
	// The twin: once Argo has stored it, all are stated.
	if d, err := back.DefinitionAt(back.Fingerprint("wf", nil), evil); err != nil || len(d.Parameters) != 2 || len(d.Unstated) != 0 {
		t.Errorf("%v are stated, and %v are not; %v", d.Parameters, d.Unstated, err)
	}
	many := func(s object) {
		var all list
		for i := range 300 {
			all = append(all, object{"name": fmt.Sprintf("parameter-number-%03d", i), "value": "x"})
		}
		all = append(all, object{"name": "count", "value": "3"})
		s["arguments"] = object{"parameters": all}
	}
	for name, c := range map[string]struct{ before, now *definition.Workflow }{
		"another value": {first, storedFrom(t, respelled, func(s object) {
			argos(s)
			s["arguments"] = object{"parameters": list{object{"name": "count", "value": "4"}}}
		})},
		"a second one of the name":          {first, storedFrom(t, respelled, more("count", "4"))},
		"one is gone":                       {first, storedFrom(t, respelled, func(s object) { argos(s); delete(s, "arguments") })},
		"one more, once Argo has stored it": {storedFrom(t, respelled, argos), storedFrom(t, respelled, more("more", "x"))},
		"one more than a tag has room for": {workflowFrom(t, respelled, many), storedFrom(t, respelled, func(s object) {
			many(s)
			a := s["arguments"].(object)
			a["parameters"] = append(a["parameters"].(list), object{"name": "more", "value": "x"})
		})},
	} {
		fingerprint := c.before.Fingerprint("wf", nil)
		if _, err := c.now.DefinitionAt(fingerprint, respelledStep()); reason.Of(err) != reason.DefinitionChanged {
			t.Errorf("%s: %v", name, err)
		}
		if len(fingerprint) > 8<<10 {
			t.Errorf("%s: the fingerprint has %d bytes", name, len(fingerprint))
		}
	}
}

// TestASpecIsNotStatedAsItWasNotRun: whoever may write a Workflow, but for its spec, can keep
// Argo from storing what it made a pod of (conflicts), and have it make something else of the
// same spec the next time. Then the stored spec may be anybody's, and is not stated.
func TestASpecIsNotStatedAsItWasNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		submitted, stored func(object)
		made              string
	}{
		"a value from an annotation": {
			submitted: func(s object) { s["podSpecPatch"] = "{{workflow.annotations.patch}}" },
			stored:    func(s object) { s["podSpecPatch"] = "{}" },
		},
		"an expression": {
			submitted: func(s object) { s["volumes"].(list)[0].(object)["name"] = "{{=workflow.annotations.name}}" },
		},
		"a value as the name of a field": {
			submitted: func(s object) { s["nodeSelector"] = object{"{{workflow.annotations.name}}": "x"} },
			stored:    func(s object) { s["nodeSelector"] = object{"pool": "x"} },
		},
		"braces that an argument does not close": {
			submitted: func(s object) {
				s["arguments"].(object)["parameters"].(list)[0].(object)["description"] = "{{workflow.parameters.x"
			},
		},
		"a field that is one to some readers of JSON": {
			submitted: func(s object) { s["TemplateDefaults"] = object{"container": object{"image": "evil"}} },
		},
		"the same in a volume": {
			submitted: func(s object) {
				s["volumes"] = list{object{"name": "scripts", "configMap": object{"name": "good"}, "configmap": object{"name": "evil"}}}
			},
			stored: func(s object) { s["volumes"] = list{object{"name": "scripts", "configMap": object{"name": "good"}}} },
		},
		"another template than it ran": {
			stored: func(s object) { s["templates"].(list)[0].(object)["container"].(object)["image"] = "other" },
		},
		"other defaults than it ran with": {
			stored: func(s object) { s["templateDefaults"].(object)["container"].(object)["command"] = list{"evil"} },
		},
		"nothing of a step that is none of its": {made: "{"},
	} {
		change := func(f func(object)) func(object) {
			return func(s object) {
				if f != nil {
					f(s)
				}
			}
		}
		first := workflowFrom(t, respelled, change(c.submitted))
		now := storedFrom(t, respelled, func(s object) { argos(s); change(c.stored)(s) })
		step := respelledStep()
		if c.made != "" {
			step.Made = c.made
		}
		d, err := now.DefinitionAt(first.Fingerprint("wf", nil), step)
		if d.StoredDigest != "" || err != nil && reason.Of(err) != reason.DefinitionChanged {
			t.Errorf("%s: it is stored as %q, %v", name, d.StoredDigest, err)
		}
	}
	// Tags that end where they begin reach nowhere.
	first := workflowFrom(t, strings.Replace(respelled, "value: 3", "value: \"{{workflow.name}}\"", 1), func(object) {})
	now := storedFrom(t, respelled, func(s object) {
		argos(s)
		s["arguments"].(object)["parameters"].(list)[1].(object)["value"] = "wf"
	})
	step := respelledStep()
	step.Made = strings.Replace(madeBy, `"3"`, `"wf"`, 1)
	if d, err := now.DefinitionAt(first.Fingerprint("wf", nil), step); err != nil || d.StoredDigest == "" {
		t.Errorf("with a value in an argument: it is stored as %q, %v", d.StoredDigest, err)
	}
}

// specFields are those of a Workflow's spec in Argo v3.7.18 and v4.0.2.
const specFields = `activeDeadlineSeconds affinity archiveLogs arguments artifactGC artifactRepositoryRef automountServiceAccountToken dnsConfig dnsPolicy
	entrypoint executor hooks hostAliases hostNetwork imagePullSecrets metrics nodeSelector onExit parallelism podDisruptionBudget podGC podMetadata
	podPriorityClassName podSpecPatch priority retryStrategy schedulerName securityContext serviceAccountName shutdown suspend synchronization
	templateDefaults templates tolerations ttlStrategy volumeClaimGC volumeClaimTemplates volumes workflowMetadata workflowTemplateRef`

func TestEveryFieldOfASpecHasOneSpelling(t *testing.T) {
	states := func(change func(object)) bool {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(respelled), &u.Object); err != nil {
			t.Fatal(err)
		}
		change(u.Object["spec"].(object))
		first, err := definition.Parse(u)
		if err != nil {
			return false // nor is anything else of it
		}
		d, err := storedFrom(t, respelled, argos).DefinitionAt(first.Fingerprint("wf", nil), respelledStep())
		if err != nil {
			t.Fatal(err)
		}
		return d.StoredDigest != ""
	}
	if !states(func(object) {}) || !states(func(s object) { s["typo"] = "x" }) {
		t.Fatal("an honest one is not stated")
	}
	for _, field := range strings.Fields(specFields) {
		for _, other := range []string{strings.ToUpper(field[:1]) + field[1:], strings.ToUpper(field)} {
			if states(func(s object) { s[other] = object{"a": "b"} }) {
				t.Errorf("%s may be %s", other, field)
			}
		}
	}
}

// Tags of releases before say nothing of it, and notaries of before read the tags of this one.
func TestTagsOfBeforeCompareWhatWasSubmitted(t *testing.T) {
	first := workflowFrom(t, respelled, func(object) {})
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(first.Fingerprint("wf", nil)), &fields); err != nil {
		t.Fatal(err)
	}
	if _, said := fields["submitted"]; !said {
		t.Fatal("it does not say that Argo had not stored it")
	}
	delete(fields, "submitted")
	before, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	// Whatever the phase is: such a notary never waited for it.
	for _, now := range []*definition.Workflow{first, storedFrom(t, respelled, func(object) {})} {
		if d, err := now.DefinitionAt(string(before), respelledStep()); err != nil || d.StoredDigest != "" {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if _, err := storedFrom(t, respelled, argos).DefinitionAt(string(before), respelledStep()); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("a parameter more: %v", err)
	}
}

// Templates of the Workflow's own are compared in full with what Argo made of them, once it
// has stored them: so what it made of honest ones, in both versions, has to be the same.
func TestArgosOwnSpellingIsComparedInFull(t *testing.T) {
	steps := 0
	for _, version := range argotest.ContractVersions() {
		for _, name := range []string{"own", "library", "whole"} {
			pods, wf := argotest.Contract(t, version, name)
			g, err := wf.Graph()
			if err != nil {
				t.Fatal(err)
			}
			for _, pod := range pods {
				step, err := argo.Parse(pod)
				if err != nil {
					t.Fatal(err)
				}
				node := step.Node()
				if err := g.RunsWhole(node.Name, []byte(node.Made)); err != nil {
					t.Errorf("%s, %s: node %s: %v", version, name, node.Name, err)
				}
				steps++
			}
		}
	}
	for name, run := range argotest.Runs(t) {
		g, err := graph.Parse("wf", run.Workflow)
		if err != nil {
			t.Fatal(err)
		}
		for node, made := range run.Made {
			if err := g.RunsWhole(node, made); err != nil {
				t.Errorf("%s: %s: %v", name, node, err)
			}
			if err := g.RunsWhole(node, slices.Concat([]byte(`{"hostAliases":[{"ip":"1.1.1.1"}],`), made[1:])); err == nil {
				t.Errorf("%s: %s may have had a host more", name, node)
			}
			steps++
		}
	}
	if steps < 40 {
		t.Errorf("only %d steps were compared", steps)
	}
}

// A second run takes the spec in either spelling.
func TestASpecIsKnownInEitherSpelling(t *testing.T) {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(respelled), &u.Object); err != nil {
		t.Fatal(err)
	}
	first := parsed(t, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(u.Object)})
	stored := storedFrom(t, respelled, argos)
	d, err := stored.DefinitionAt(first.Fingerprint("wf", nil), respelledStep())
	if err != nil {
		t.Fatal(err)
	}
	says := definition.Stated{Spec: d.SpecDigest, Stored: d.StoredDigest}
	for name, w := range map[string]*definition.Workflow{"as it was submitted": first, "as Argo stored it": stored} {
		if _, err := w.SpecAs(says); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := stored.SpecAs(definition.Stated{Spec: d.SpecDigest}); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("one that is not stated: %v", err)
	}
	if _, err := stored.SpecAs(definition.Stated{}); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("where nothing is stated: %v", err)
	}
}
