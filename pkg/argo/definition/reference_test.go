package definition_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// referring is artifact-passing as a workflow that refers to the WorkflowTemplate
// build and has nothing of its own, once Argo has stored its copy; and the
// template in there that the pod produce ran.
func referring(t *testing.T) (*unstructured.Unstructured, object) {
	t.Helper()
	u := argotest.Object(t)
	spec := runtime.DeepCopyJSON(u.Object["spec"].(object))
	ref := object{"name": "build"}
	spec["workflowTemplateRef"] = ref
	u.Object["spec"] = object{"workflowTemplateRef": ref}
	u.Object["status"] = object{"storedWorkflowTemplateSpec": spec}
	return u, spec["templates"].(list)[1].(object)
}

// taking is artifact-passing as a workflow whose first step takes its template
// from the ClusterWorkflowTemplate lib.
func taking(t *testing.T) (*unstructured.Unstructured, object) {
	t.Helper()
	u := argotest.Object(t)
	templates := u.Object["spec"].(object)["templates"].(list)
	step := templates[0].(object)["steps"].(list)[0].(list)[0].(object)
	delete(step, "template")
	step["templateRef"] = object{"name": "lib", "template": "hello-world-to-file", "clusterScope": true}
	template := runtime.DeepCopyJSON(templates[1].(object))
	u.Object["status"] = object{"phase": "Running", "storedTemplates": object{"cluster/lib/hello-world-to-file": template, "namespaced/other/x": object{"name": "x"}}}
	return u, template
}

func parsed(t *testing.T, u *unstructured.Unstructured) *definition.Workflow {
	t.Helper()
	w, err := definition.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAReferenceIsStatedByWhatItResolvedTo(t *testing.T) {
	_, step := argotest.Parsed(t, "produce")
	container := func(template object) object { return template["container"].(object) }
	nothing := func(*unstructured.Unstructured, object) {}
	for form, c := range map[string]struct {
		workflow func(*testing.T) (*unstructured.Unstructured, object)
		want     definition.TemplateRef
		template string
	}{
		"a whole template": {referring, definition.TemplateRef{Name: "build"}, ""},
		"one of a step":    {taking, definition.TemplateRef{Name: "lib", ClusterScope: true}, "hello-world-to-file"},
	} {
		u, _ := c.workflow(t)
		first, err := parsed(t, u).DefinitionAt(parsed(t, u).Fingerprint(step.NodeName, nil), step.Node())
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if len(first.References) != 1 || first.References[0].TemplateRef != c.want || first.References[0].Template != c.template {
			t.Fatalf("%s: references are %+v", form, first.References)
		}
		if !first.Complete {
			t.Errorf("%s: there may be other references", form)
		}
		for name, c2 := range map[string]struct {
			// early: the pod was admitted before Argo stored its copies.
			early bool
			later func(u *unstructured.Unstructured, template object)
			code  reason.Code
			// same digest as before
			same bool
		}{
			"after nothing":                       {false, nothing, "", true},
			"if Argo stored it after the pod":     {true, nothing, "", true},
			"after empty fields came":             {false, func(_ *unstructured.Unstructured, t object) { t["sidecars"] = list{} }, "", true},
			"not if the copy changed":             {false, func(_ *unstructured.Unstructured, t object) { t["daemon"] = true }, reason.DefinitionChanged, false},
			"not before Argo stored it":           {true, func(u *unstructured.Unstructured, _ object) { delete(u.Object, "status") }, reason.DefinitionIncomplete, false},
			"not if the copy is gone":             {false, func(u *unstructured.Unstructured, _ object) { delete(u.Object, "status") }, reason.DefinitionIncomplete, false},
			"not if it ran another image":         {true, func(_ *unstructured.Unstructured, t object) { container(t)["image"] = "evil" }, reason.DefinitionChanged, false},
			"not if it ran another command":       {true, func(_ *unstructured.Unstructured, t object) { container(t)["command"] = list{"bash", "-c"} }, reason.DefinitionChanged, false},
			"not if it ran with other arguments":  {true, func(_ *unstructured.Unstructured, t object) { container(t)["args"] = list{"true"} }, reason.DefinitionChanged, false},
			"not if it ran with more arguments":   {true, func(_ *unstructured.Unstructured, t object) { container(t)["command"] = list{"sh"} }, reason.DefinitionChanged, false},
			"not if it ran elsewhere":             {true, func(_ *unstructured.Unstructured, t object) { container(t)["workingDir"] = "/evil" }, reason.DefinitionChanged, false},
			"not if it was a script":              {true, func(_ *unstructured.Unstructured, t object) { t["script"] = container(t); delete(t, "container") }, reason.DefinitionChanged, false},
			"not if the copy cannot be read":      {true, func(_ *unstructured.Unstructured, t object) { t["container"] = "x" }, reason.DefinitionChanged, false},
			"whatever its placeholders stood for": {true, func(_ *unstructured.Unstructured, t object) { container(t)["image"] = "{{inputs.parameters.x}}box" }, "", false},
			"not if nobody gave it":               {true, func(_ *unstructured.Unstructured, t object) { delete(container(t), "image") }, reason.DefinitionChanged, false},
			"not if it ran with a variable":       {true, func(_ *unstructured.Unstructured, t object) { container(t)["env"] = list{object{"name": "A"}} }, reason.DefinitionChanged, false},
			"not if it stored something else":     {true, func(_ *unstructured.Unstructured, t object) { t["outputs"] = object{} }, reason.DefinitionChanged, false},
			"with what templateDefaults give": {true, func(u *unstructured.Unstructured, t object) {
				delete(container(t), "image")
				defaults := object{"container": object{"image": "busybox"}}
				for _, spec := range []any{u.Object["spec"], u.Object["status"].(object)["storedWorkflowTemplateSpec"]} {
					if spec, ok := spec.(object); ok {
						spec["templateDefaults"] = defaults
					}
				}
			}, "", false},
		} {
			t.Run(form+": "+name, func(t *testing.T) {
				before, _ := c.workflow(t)
				if c2.early {
					delete(before.Object, "status")
				}
				after, template := c.workflow(t)
				c2.later(after, template)
				d, err := parsed(t, after).DefinitionAt(parsed(t, before).Fingerprint(step.NodeName, nil), step.Node())
				if got := reason.Of(err); got != c2.code || (err == nil) != (c2.code == "") {
					t.Fatalf("error is %v, want code %q", err, c2.code)
				}
				if err == nil && slices.Equal(d.References, first.References) != c2.same {
					t.Errorf("references are %+v, were %+v", d.References, first.References)
				}
			})
		}
	}
}

// What users steer a running workflow by is in Argo's copy of the spec too.
func TestSteeringAWorkflowDoesNotChangeWhatItRefersTo(t *testing.T) {
	_, step := argotest.Parsed(t, "produce")
	u, _ := referring(t)
	admitted := parsed(t, u).Fingerprint(step.NodeName, nil)
	spec := u.Object["status"].(object)["storedWorkflowTemplateSpec"].(object)
	steered := object{
		"activeDeadlineSeconds": int64(1), "arguments": object{}, "parallelism": int64(2),
		"podGC": object{"strategy": "x"}, "priority": int64(3), "shutdown": "Stop", "suspend": true, "ttlStrategy": object{"secondsAfterCompletion": int64(1)},
	}
	guard, err := os.ReadFile("../../../charts/argoseal/templates/guards/workflow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := "['" + strings.Join(slices.Sorted(maps.Keys(steered)), "', '") + "']"; !strings.Contains(string(guard), want) {
		t.Errorf("the guard of Workflows leaves other fields to users than %s", want)
	}
	maps.Copy(spec, steered)
	if _, err := parsed(t, u).DefinitionAt(admitted, step.Node()); err != nil {
		t.Errorf("steered: %v", err)
	}
	spec["podSpecPatch"] = "{}"
	if _, err := parsed(t, u).DefinitionAt(admitted, step.Node()); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("patched: %v", err)
	}
}

// Where the name of a template is only known when it runs, the rest is stated.
func TestAPathThatCannotBeReadIsNotStated(t *testing.T) {
	_, step := argotest.Parsed(t, "produce")
	u, _ := referring(t)
	templates := u.Object["status"].(object)["storedWorkflowTemplateSpec"].(object)["templates"].(list)
	templates[0].(object)["steps"].(list)[0].(list)[0].(object)["template"] = "{{workflow.name}}"
	w := parsed(t, u)
	d, err := w.DefinitionAt(w.Fingerprint(step.NodeName, nil), step.Node())
	if err != nil || len(d.References) != 1 || d.References[0].Template != "" {
		t.Errorf("%v, references are %+v", err, d.References)
	}
}

func TestTheDocumentedScriptGivesTheDigestsOfAWorkflow(t *testing.T) {
	page, err := os.ReadFile("../../../docs/buildtypes/argo-step-v2.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```bash\n(# usage: sh workflow-digests.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the page has no script")
	}
	for id, workflow := range map[string]func(*testing.T) (*unstructured.Unstructured, object){
		"the whole": referring, "cluster/lib/hello-world-to-file": taking,
	} {
		u, template := workflow(t)
		template["volumes"], template["daemon"], template["annotations"] = list{"", object{}, object{"a": "", "<&>": 1.5}}, false, object{"é": nil}
		raw, err := json.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		u.Object["spec"].(object)["suspend"] = false
		var admitted struct {
			Spec       artifact.Digest
			References []definition.Reference
		}
		if err := json.Unmarshal([]byte(parsed(t, u).Fingerprint("artifact-passing[0].generate-artifact", nil)), &admitted); err != nil || len(admitted.References) != 1 {
			t.Fatalf("%v, references are %+v", err, admitted.References)
		}
		script := exec.CommandContext(t.Context(), "sh", "-c", string(block[1]))
		script.Stdin = bytes.NewReader(raw)
		out, err := script.CombinedOutput()
		found := map[string]artifact.Digest{}
		for line := range strings.Lines(string(out)) {
			digest, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			found[name] = artifact.Digest(digest)
		}
		want := map[string]artifact.Digest{"workflow": admitted.Spec, id: admitted.References[0].SHA256}
		delete(found, "namespaced/other/x") // which no reference of the step leads to
		if diff := cmp.Diff(want, found); err != nil || diff != "" {
			t.Errorf("%s: %v, the script says (-want +got):\n%s\n%s", id, err, diff, out)
		}
	}
}

// One webhook may have read a template that the other has not.
func TestWhatWasLearnedDoesNotChangeAFingerprint(t *testing.T) {
	u := argotest.Object(t)
	step := func(name, ref string) object {
		return object{"name": name, "templateRef": object{"name": ref, "template": "t"}}
	}
	u.Object["spec"] = object{"entrypoint": "main", "templates": list{object{"name": "main", "steps": list{list{step("a", "lib")}}}}}
	u.Object["status"] = object{"storedTemplates": object{"namespaced/lib/t": object{"name": "t", "steps": list{list{step("b", "org")}}}}}
	w := parsed(t, u)
	const node = "artifact-passing[0].a[0].b[0].c"
	before := w.Fingerprint(node, nil)
	g, err := w.Graph()
	if err != nil {
		t.Fatal(err)
	}
	learned := object{"spec": object{"templates": list{object{"name": "t", "steps": list{list{step("c", "far")}}}}}}
	if g, err = g.Learn(graph.Ref{Name: "org"}, learned); err != nil {
		t.Fatal(err)
	}
	if path, err := g.Path(node); err != nil || len(path.Copies) != 3 {
		t.Fatalf("%v, the path is %+v", err, path)
	}
	if after := w.Fingerprint(node, nil); after != before || before == "" {
		t.Errorf("the fingerprint was %s, now it is %s", before, after)
	}
}

// copied is a workflow that refers to a WorkflowTemplate whose copy has what a
// pod ran, as if nothing had been put into it.
func copied(t *testing.T, pod *corev1.Pod, step *argo.Step) (u *unstructured.Unstructured, template object) {
	t.Helper()
	for _, e := range pod.Spec.InitContainers[0].Env {
		if e.Name == "ARGO_TEMPLATE" {
			if err := json.Unmarshal([]byte(e.Value), &template); err != nil {
				t.Fatal(err)
			}
		}
	}
	delete(template, "archiveLocation")
	u = argotest.Object(t)
	u.SetName(step.Workflow)
	ref := object{"name": "build"}
	u.Object["spec"] = object{"workflowTemplateRef": ref}
	u.Object["status"] = object{"storedWorkflowTemplateSpec": object{
		"workflowTemplateRef": ref, "entrypoint": step.Template, "onExit": step.Template, "templates": list{template},
	}}
	return u, template
}

func TestEveryKindOfStepMayRunByReference(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			u, template := copied(t, pod, step)
			if inputs := template["inputs"].(object); name == "consume" {
				inputs["artifacts"].(list)[0].(object)["s3"] = object{"key": "{{inputs.parameters.key}}"}
			}
			step.NodeName = step.Workflow // whose entrypoint it is here
			w := parsed(t, u)
			if _, err := w.DefinitionAt(w.Fingerprint(step.NodeName, nil), step.Node()); err != nil {
				t.Error(err)
			}
			template["hostAliases"] = list{object{"ip": "1.1.1.1"}}
			w = parsed(t, u)
			if _, err := w.DefinitionAt(w.Fingerprint(step.NodeName, nil), step.Node()); reason.Of(err) != reason.DefinitionChanged {
				t.Errorf("with a host more: %v", err)
			}
		})
	}
}

func TestAScriptIsTheOneOfArgosCopy(t *testing.T) {
	pod, step := argotest.Parsed(t, "script")
	for name, c := range map[string]struct {
		source string
		code   reason.Code
	}{
		"as it is":               {"echo \"it is $(date), pid $$\" > /tmp/out\n", ""},
		"with a value put in":    {"echo \"it is $(date), {{workflow.name}} $$\" > /tmp/out\n", ""},
		"with a line more":       {"echo \"it is $(date), pid $$\" > /tmp/out\nevil\n", reason.DefinitionChanged},
		"with another line":      {"evil\n", reason.DefinitionChanged},
		"with a value elsewhere": {"{{x}}evil\n", reason.DefinitionChanged},
		"with none":              {"", reason.DefinitionChanged},
	} {
		t.Run(name, func(t *testing.T) {
			u, template := copied(t, pod, step)
			template["script"].(object)["source"] = c.source
			w := parsed(t, u)
			_, err := w.DefinitionAt(w.Fingerprint(step.NodeName, nil), step.Node())
			if got := reason.Of(err); got != c.code || (err == nil) != (c.code == "") {
				t.Errorf("error is %v, want code %q", err, c.code)
			}
		})
	}
}

// The kubelet is to replace $(NAME) in main, and not in what init and wait have.
func TestReferencesToVariablesAreTheDefinitions(t *testing.T) {
	for name, c := range map[string]struct {
		made, word string
		code       reason.Code
	}{
		"as they are":       {"$(ARGO_NODE_ID)", "$(ARGO_NODE_ID)", ""},
		"with dollars":      {"$$(ARGO_NODE_ID)", "$$(ARGO_NODE_ID)", ""},
		"others":            {"$(ARGO_NODE_ID)", "$(ARGO_WORKFLOW_UID)", reason.DefinitionChanged},
		"with a dollar off": {"$(ARGO_NODE_ID)", "$$(ARGO_NODE_ID)", reason.DefinitionChanged},
		"with a dollar on":  {"$$(ARGO_NODE_ID)", "$(ARGO_NODE_ID)", reason.DefinitionChanged},
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "produce")
			env := pod.Spec.InitContainers[0].Env
			at := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "ARGO_TEMPLATE" })
			plain := env[at].Value
			if env[at].Value = strings.Replace(plain, "hello world", c.made, 1); env[at].Value == plain {
				t.Fatal("the template has other words")
			}
			literal := argo.Literal(pod)
			step, err := argo.Parse(literal)
			if err != nil {
				t.Fatal(err)
			}
			if c.made[1] != '$' && literal.Spec.InitContainers[0].Env[at].Value == env[at].Value {
				t.Fatal("nothing was written otherwise")
			}
			env[at].Value = strings.Replace(plain, "hello world", c.word, 1)
			u, _ := copied(t, pod, step)
			step.NodeName = step.Workflow // whose entrypoint it is here
			w := parsed(t, u)
			if _, err := w.DefinitionAt(w.Fingerprint(step.NodeName, nil), step.Node()); reason.Of(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("error is %v, want code %q", err, c.code)
			}
		})
	}
}

// What a workflow runs with is in Argo's copy, the template's default values
// included.
func TestTheArgumentsAreThoseThatArgoExecutes(t *testing.T) {
	pod, step := argotest.Parsed(t, "script")
	parameters := func(values ...string) object {
		var l list
		for i := 0; i < len(values); i += 2 {
			l = append(l, object{"name": values[i], "value": values[i+1]})
		}
		return object{"parameters": l}
	}
	usual := parameters("source", "reviewed", "own", "mine")
	artifacts := func(key string) object {
		a := parameters("source", "reviewed", "own", "mine")
		a["artifacts"] = list{object{"name": "in", "s3": object{"key": key}}}
		return a
	}
	live := func(arguments object) object { return object{"spec": object{"arguments": arguments}} }
	all := []definition.Parameter{{Name: "source", Value: "reviewed"}, {Name: "own", Value: "mine"}}
	own := all[1:]
	for name, c := range map[string]struct {
		// before and now are the arguments in Argo's copy at admission, nil if
		// there was none, and later.
		before, now object
		// live is the template at admission.
		live object
		want []definition.Parameter
		code reason.Code
	}{
		"that were there":               {usual, usual, nil, all, ""},
		"not with another default":      {usual, parameters("source", "evil", "own", "mine"), nil, nil, reason.DefinitionChanged},
		"not with one more":             {usual, parameters("source", "reviewed", "own", "mine", "more", "x"), nil, nil, reason.DefinitionChanged},
		"not with one less":             {usual, parameters("own", "mine"), nil, nil, reason.DefinitionChanged},
		"not with another artifact":     {artifacts("a"), artifacts("b"), nil, nil, reason.DefinitionChanged},
		"not if they cannot be read":    {nil, object{"parameters": "x"}, nil, nil, reason.DefinitionChanged},
		"not if it ran with another":    {nil, parameters("source", "evil", "own", "mine"), nil, nil, reason.DefinitionChanged},
		"that the template says":        {nil, usual, live(parameters("source", "reviewed", "own", "x")), all, ""},
		"or the Workflow's own":         {nil, usual, nil, own, ""},
		"of a template that is another": {nil, usual, live(parameters("source", "other")), own, ""},
		"of one that has less":          {nil, usual, live(object{}), own, ""},
		"of one that cannot be read":    {nil, usual, live(object{"parameters": "x"}), own, ""},
		"of a copy that is another":     {nil, parameters("source", "reviewed", "own", "evil"), live(parameters("source", "reviewed")), own, ""},
		"of a copy that has more":       {nil, parameters("source", "reviewed", "own", "mine", "more", "x"), live(parameters("source", "reviewed")), own, ""},
	} {
		t.Run(name, func(t *testing.T) {
			workflow := func(arguments object) *unstructured.Unstructured {
				u, template := copied(t, pod, step)
				u.Object["spec"].(object)["arguments"] = parameters("own", "mine")
				u.Object["status"].(object)["storedWorkflowTemplateSpec"].(object)["arguments"] = arguments
				template["script"].(object)["image"] = "{{workflow.parameters.source}}"
				return u
			}
			pod := pod.DeepCopy()
			for i := range pod.Spec.InitContainers {
				for j := range pod.Spec.InitContainers[i].Env {
					e := &pod.Spec.InitContainers[i].Env[j]
					e.Value = strings.Replace(e.Value, `"image":"busybox"`, `"image":"reviewed"`, 1)
				}
			}
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			u := workflow(c.before)
			if c.before == nil {
				delete(u.Object, "status")
			}
			before := parsed(t, u)
			unforeseen := before.Fingerprint(step.NodeName, nil)
			if ref, awaits := before.Awaits(); awaits != (c.before == nil) || awaits && ref != (graph.Ref{Name: "build"}) {
				t.Errorf("it awaits %v: %v", ref, awaits)
			}
			if c.live != nil {
				foreseen := before.Foresee(c.live)
				if before.Fingerprint(step.NodeName, nil) != unforeseen {
					t.Error("what a copy foresees changed its fingerprint")
				}
				before = foreseen
			}
			d, err := parsed(t, workflow(c.now)).DefinitionAt(before.Fingerprint(step.NodeName, nil), step.Node())
			if got := reason.Of(err); got != c.code || (err == nil) != (c.code == "") {
				t.Fatalf("error is %v, want code %q", err, c.code)
			}
			if !slices.Equal(d.Parameters, c.want) {
				t.Errorf("parameters are %+v, want %+v", d.Parameters, c.want)
			}
		})
	}
}

// Nothing that Argo made of honest workflows is refused; and the words of its
// templates that are known beforehand are held to.
func TestWhatArgoMadeIsWhatTheDefinitionSays(t *testing.T) {
	for name, run := range argotest.Runs(t) {
		g, err := graph.Parse("wf", run.Workflow)
		if err != nil {
			t.Fatal(err)
		}
		for node, made := range run.Made {
			if err := g.Runs(node, made); err != nil {
				t.Errorf("%s: %s: %v", name, node, err)
			}
			if name == "own" {
				continue
			}
			if err := g.Runs(node, bytes.Replace(made, []byte("{"), []byte(`{"hostAliases":[{"ip":"1.1.1.1"}],`), 1)); err == nil {
				t.Errorf("%s: %s may have had a host more", name, node)
			}
		}
	}
}

// A list of references that is empty because nobody knows them is none that a
// policy may take for the whole.
func TestReferencesThatOnlyTheRunKnowsAreNotComplete(t *testing.T) {
	_, step := argotest.Parsed(t, "produce")
	u, _ := taking(t)
	templates := u.Object["spec"].(object)["templates"].(list)
	call := templates[0].(object)["steps"].(list)[0].(list)[0].(object)
	call["templateRef"].(object)["name"] = "{{workflow.parameters.lib}}"
	d, err := parsed(t, u).DefinitionAt(parsed(t, u).Fingerprint(step.NodeName, nil), step.Node())
	if err != nil || len(d.References) != 0 || d.Complete {
		t.Errorf("it is %+v, %v", d, err)
	}
}
