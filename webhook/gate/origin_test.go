package gate

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

const reference = `"from":"{{steps.generate-artifact.outputs.artifacts.hello-art}}"`

// redefine replaces a text in the definition of the workflow.
func (w *world) redefine(t *testing.T, changes ...string) {
	t.Helper()
	object := argotest.Object(t)
	text, err := json.Marshal(object.Object)
	check(t, err)
	for ; len(changes) > 0; changes = changes[2:] {
		changed := strings.Replace(string(text), changes[0], changes[1], 1)
		if changed == string(text) {
			t.Fatalf("%s is not in %s", changes[0], text)
		}
		text = []byte(changed)
	}
	object.Object = nil
	check(t, json.Unmarshal(text, &object.Object))
	w.workflow, err = definition.Parse(object)
	check(t, err)
}

func TestAnInputIsWhatTheDefinitionTakesItFrom(t *testing.T) {
	raw := func(w *world, digest string) {
		in := &w.step.Inputs[0]
		*in = in.WithText(artifact.Digest(digest))
	}
	const declared = `"name":"message","path":"/tmp/message"`
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	sealed := func(t *testing.T, w *world, change func(*provenance.Facts)) { w.seal(t, w.produce, change) }
	tests := map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		// Each of these is sealed, in this workflow, under the location that the
		// pod consumes.
		"another step's output is refused": {func(t *testing.T, w *world) {
			sealed(t, w, func(f *provenance.Facts) { f.Step.NodeName = "artifact-passing[0].something-else" })
		}, reason.OriginMismatch, `output hello-art of node "artifact-passing[0].something-else", template hello-world-to-file, which ended at 2026-11-21T10:00:50Z, and the workflow's definition takes it from output hello-art of node "artifact-passing[0].generate-artifact", template hello-world-to-file. Two steps`},
		"another output of the step is refused": {func(t *testing.T, w *world) {
			sealed(t, w, func(f *provenance.Facts) { f.Subjects[0].Output = "bye-art" })
		}, reason.OriginMismatch, "it is output bye-art"},
		"another template's output is refused": {func(t *testing.T, w *world) {
			sealed(t, w, func(f *provenance.Facts) { f.Definition.Template = "another" })
		}, reason.OriginMismatch, ""},
		"a later attempt of the step is accepted": {func(t *testing.T, w *world) {
			sealed(t, w, func(f *provenance.Facts) { f.Step.NodeName += "(1)" })
		}, "", ""},
		"inline content instead of a step's output is refused": {func(_ *testing.T, w *world) {
			raw(w, hello)
		}, reason.OriginMismatch, "it comes from raw"},

		"where the definition gives a key, any step may have written it": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
			sealed(t, w, func(f *provenance.Facts) { f.Step.NodeName = "artifact-passing[0].something-else" })
		}, "", ""},
		"another key than the definition gives is refused": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"another"}`)
		}, reason.OriginMismatch, "from s3"},
		"inline content that the definition gives is accepted": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"raw":{"data":"hello"}`)
			raw(w, hello)
		}, "", ""},
		"other inline content is refused": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"raw":{"data":"bye"}`)
			raw(w, hello)
		}, reason.OriginMismatch, ""},
		"inline content with a parameter in it is accepted": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"raw":{"data":"{{workflow.name}}"}`)
			raw(w, hello)
		}, "", ""},
		"an input that the definition does not supply is refused": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"optional":true`)
		}, reason.OriginMismatch, "from nowhere"},

		"a producer that is only known at runtime is refused": {func(t *testing.T, w *world) {
			w.redefine(t, `"template":"hello-world-to-file"`, `"template":"{{workflow.parameters.t}}"`)
		}, reason.OriginUnknown, "only known when it runs"},
		"a template that Argo has not stored is waited for": {func(t *testing.T, w *world) {
			w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"t"}`)
		}, reason.DefinitionIncomplete, "WorkflowTemplate lib"},
		"a template that Argo has not stored is read": {func(t *testing.T, w *world) {
			w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"hello-world-to-file"}`)
			w.template = map[string]any{"spec": map[string]any{"templates": []any{map[string]any{"name": "hello-world-to-file"}}}}
		}, "", ""},
		"a template that is not in the one that is read is waited for": {func(t *testing.T, w *world) {
			w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"t"}`)
			w.template = map[string]any{"spec": map[string]any{}}
		}, reason.DefinitionIncomplete, ""},
		"a template that cannot be read is waited for": {func(t *testing.T, w *world) {
			w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"t"}`)
			w.definitions.template = func(context.Context, string, graph.Ref) (map[string]any, error) { return nil, errDown }
		}, reason.LookupFailed, ""},
		"content of the template, where a step may make nothing": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":true`, declared, declared+`,"raw":{"data":"hello"}`)
			raw(w, hello)
		}, "", ""},
		"and what the step made": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":true`, declared, declared+`,"raw":{"data":"hello"}`)
		}, "", ""},
		"other content than the template's is refused": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":true`, declared, declared+`,"raw":{"data":"bye"}`)
			raw(w, hello)
		}, reason.OriginMismatch, "it comes from raw"},
		"content with a tag, beside a step, is refused": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":true`, declared, declared+`,"raw":{"data":"{{workflow.name}}"}`)
			raw(w, hello)
		}, reason.OriginMismatch, "it comes from raw"},
		"content of the template, where a step has to make something, is refused": {func(t *testing.T, w *world) {
			w.redefine(t, declared, declared+`,"raw":{"data":"hello"}`)
			raw(w, hello)
		}, reason.OriginMismatch, "it comes from raw"},

		"an entrypoint that may be the controller's is waited for": {func(t *testing.T, w *world) {
			w.redefine(t, `"entrypoint":"artifact-example",`, ``)
		}, reason.DefinitionIncomplete, "may give it the controller's"},
		"not once Argo has stored the workflow without one": {func(t *testing.T, w *world) {
			w.redefine(t, `"entrypoint":"artifact-example",`, ``, `"kind":"Workflow",`, `"kind":"Workflow","status":{"phase":"Running"},`)
		}, reason.OriginUnknown, ""},
		"no workflow is refused": {func(_ *testing.T, w *world) { w.workflow = nil }, reason.OriginUnknown, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Allowed != (v.Refusal == nil) {
				t.Fatalf("verdict is %v, want %q", v.Refusal, c.want)
			}
			if !v.Allowed && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Errorf("refused with %v, want %s: %s", v.Refusal, c.want, c.says)
			}
		})
	}
}

// parsedLiteral is what the definition gives by such a place in S3.
func parsedLiteral(t *testing.T, place string) graph.Literal {
	t.Helper()
	w := newWorld(t)
	w.redefine(t, reference, `"s3":`+place)
	g, err := w.workflow.Graph()
	check(t, err)
	o, err := g.Origins(w.step.NodeName, w.step.Inputs[0].Name)
	check(t, err)
	if len(o.Literals) != 1 {
		t.Fatalf("literals: %v", o.Literals)
	}
	return o.Literals[0]
}

// Where an input may come from a step, that step's report may have been forged. What the
// definition leaves open would be the report's to say.
func TestBesideAnOutputOnlyWhatIsSpelledInFullIsLiteral(t *testing.T) {
	w := newWorld(t)
	stored := w.step.Inputs[0]
	at := stored.Location()
	raw := stored.WithText(artifact.DigestOfText("hello"))
	elsewhere := at
	elsewhere.Bucket = "elsewhere"
	outputs := []graph.Output{{Name: "out"}}
	for name, c := range map[string]struct {
		in           argo.Input
		l            graph.Literal
		alone, among bool
	}{
		"content in full":          {raw, graph.Literal{Store: "raw", Text: "hello"}, true, true},
		"other content":            {raw, graph.Literal{Store: "raw", Text: "bye"}, false, false},
		"content with a tag":       {raw, graph.Literal{Store: "raw", Text: "{{inputs.parameters.v}}"}, true, false},
		"a key in full":            {stored, graph.Literal{Store: "s3", Keyed: true, Text: at.Key}, true, true},
		"a key with a tag":         {stored, graph.Literal{Store: "s3", Keyed: true, Text: "{{inputs.parameters.v}}"}, true, false},
		"a key in another bucket":  {stored, graph.Literal{Store: "s3", Keyed: true, Text: at.Key, Bucket: elsewhere}, true, false},
		"a key in this bucket":     {stored, graph.Literal{Store: "s3", Keyed: true, Text: at.Key, Bucket: at}, true, true},
		"a key alone, as parsed":   {stored, parsedLiteral(t, `{"key":"`+at.Key+`"}`), true, true},
		"in a bucket, as parsed":   {stored, parsedLiteral(t, `{"bucket":"elsewhere","key":"`+at.Key+`"}`), true, false},
		"a key in another store":   {stored, graph.Literal{Store: "gcs", Keyed: true, Text: at.Key}, true, false},
		"git, where it is a store": {stored, graph.Literal{Store: "git"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isLiteral(graph.Origins{Literals: []graph.Literal{c.l}}, c.in); got != c.alone {
				t.Errorf("alone it is one: %t", got)
			}
			if got := isLiteral(graph.Origins{Outputs: outputs, Literals: []graph.Literal{c.l}}, c.in); got != c.among {
				t.Errorf("beside an output it is one: %t", got)
			}
		})
	}
}

// What a template says that Argo has not stored may not be what Argo had read of it. The tag
// keeps what the gate went by.
func TestAFingerprintHasWhereInputsComeFromByWhatArgoHasNotStored(t *testing.T) {
	w := newWorld(t)
	w.step.Outputs = append(w.step.Outputs, argo.Output{})
	settled := w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil)
	if strings.Contains(settled, "sources") {
		t.Errorf("Argo has stored everything, and it is %s", settled)
	}
	const printer, byReference = `"template":"print-message-from-file"`, `"templateRef":{"name":"lib","template":"print-message-from-file"}`
	w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"hello-world-to-file"}`, printer, byReference)
	templates := []any{map[string]any{"name": "hello-world-to-file"}, map[string]any{"name": "print-message-from-file"}}
	w.template = map[string]any{"spec": map[string]any{"templates": templates}}
	one := w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil)
	if !strings.Contains(one, `"sources":{`) || one != w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil) {
		t.Fatalf("it is %s", one)
	}
	w.redefine(t, reference, `"raw":{"data":"hello"}`, printer, byReference)
	_, before, _ := strings.Cut(one, `"sources":{`)
	if _, other, has := strings.Cut(w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil), `"sources":{`); !has || other == before {
		t.Errorf("with an input from elsewhere they are %s, before they were %s", other, before)
	}
	w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"hello-world-to-file"}`, printer, byReference)
	w.template = nil
	if none := w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil); strings.Contains(none, "sources") {
		t.Errorf("without the template it is %s", none)
	}
}

// Who toggles a template within one request shall not have the tag say another origin than
// the verdict went by, or none: of a tag without sources the notary compares nothing.
func TestATagHasTheOriginsThatItsVerdictWentBy(t *testing.T) {
	const maker, makerByReference = `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"hello-world-to-file"}`
	const printer, byReference = `"template":"print-message-from-file"`, `"templateRef":{"name":"lib","template":"print-message-from-file"}`
	lib := map[string]any{"spec": map[string]any{"templates": []any{map[string]any{"name": "hello-world-to-file"}, map[string]any{"name": "print-message-from-file"}}}}
	reads := func(w *world, answers ...map[string]any) {
		w.definitions.template = func(context.Context, string, graph.Ref) (map[string]any, error) {
			answer := answers[0]
			if len(answers) > 1 {
				answers = answers[1:]
			}
			return answer, nil
		}
	}
	scene := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		w.redefine(t, maker, makerByReference, printer, byReference)
		// One that is not sealed: our containers are those of a step without outputs.
		w.step.Outputs = []argo.Output{argo.Output{}.Refused(reason.New(reason.ArchiveUnsupported, "it is no archive"))}
		return w
	}
	t.Run("the mutating webhook's", func(t *testing.T) {
		w := scene(t)
		reads(w, lib)
		honest := w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil)
		reads(w, lib, nil)
		v := w.evaluate(t)
		if !v.Allowed || v.Learned == nil {
			t.Fatalf("the verdict is %+v", v)
		}
		if text := w.gate.Fingerprint(t.Context(), w.step, w.workflow, v.Learned); text != honest || !strings.Contains(text, `"sources":{`) {
			t.Errorf("the template was deleted after the verdict, and the tag says %s, want %s", text, honest)
		}
	})
	for title, c := range map[string]struct {
		answers []map[string]any
		code    reason.Code
	}{
		"an honest one": {[]map[string]any{lib}, ""},
		"one that is not there while the tag is read": {[]map[string]any{nil, lib}, reason.LookupFailed},
	} {
		t.Run(title, func(t *testing.T) {
			w := scene(t)
			reads(w, lib)
			a := w.injected(t, w.consume, w.step, w.evaluate(t).Pins)
			reads(w, c.answers...)
			retag(t, &a, func(g *tag.Tag) { g.Definition = w.gate.Fingerprint(t.Context(), w.step, w.workflow, nil) })
			reads(w, c.answers...)
			opened, err := w.gate.OpenTag(a.Pod.Annotations[v1alpha1.AnnotationTag], a)
			check(t, err)
			d := w.gate.step(t.Context(), a, w.step, w.workflow, opened, true)
			if got := d.Refusal; d.Allowed != (c.code == "") || got != nil && got.Code != c.code {
				t.Errorf("allowed %t, %v", d.Allowed, got)
			}
		})
	}
}

// A decision is made on what was read for it, and teaches the Workflow nothing.
func TestWhatOneDecisionLearnedNoOtherKnows(t *testing.T) {
	w := newWorld(t)
	w.redefine(t, `"template":"hello-world-to-file"`, `"templateRef":{"name":"lib","template":"hello-world-to-file"}`)
	w.template = map[string]any{"spec": map[string]any{"templates": []any{map[string]any{"name": "hello-world-to-file"}}}}
	if v := w.evaluate(t); !v.Allowed {
		t.Fatal(v.Refusal)
	}
	w.template = nil
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.DefinitionIncomplete {
		t.Errorf("without the template the verdict is %v", v.Refusal)
	}
}

// Nothing that is read for it stops a pod.
func TestAFingerprintHasWhatATemplateIsGoingToGive(t *testing.T) {
	source := func(value string) map[string]any {
		parameters := []any{map[string]any{"name": "source", "value": value}}
		return map[string]any{"spec": map[string]any{"arguments": map[string]any{"parameters": parameters}}}
	}
	fingerprint := func(pod string, template map[string]any, err error) string {
		w := newWorld(t)
		asked := false
		w.definitions.template = func(_ context.Context, namespace string, ref graph.Ref) (map[string]any, error) {
			asked = namespace == "team-a" && ref == graph.Ref{Name: "build", ClusterScope: true}
			return template, err
		}
		u := argotest.Object(t)
		u.Object["spec"] = map[string]any{"workflowTemplateRef": map[string]any{"name": "build", "clusterScope": true}}
		wf, err := definition.Parse(u)
		check(t, err)
		_, step := argotest.Parsed(t, pod)
		text := w.gate.Fingerprint(t.Context(), step, wf, nil)
		if asked != (len(step.Outputs) > 0) || text == "" {
			t.Errorf("%s: asked %v, the fingerprint is %q", pod, asked, text)
		}
		return text
	}
	reviewed, none := fingerprint("produce", source("reviewed"), nil), fingerprint("produce", nil, nil)
	if reviewed == none || reviewed == fingerprint("produce", source("other"), nil) || reviewed != fingerprint("produce", source("reviewed"), nil) {
		t.Errorf("it is %s", reviewed)
	}
	if down := fingerprint("produce", nil, errDown); down != none {
		t.Errorf("it is %s, without an API server %s", none, down)
	}
	fingerprint("consume", nil, errDown)
}
