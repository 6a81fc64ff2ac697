package reproduce_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

type object = map[string]any

// digest is one of 64 times a digit.
func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

// wf is the first run's Workflow, with everything that a second run must not have.
const wf = `
spec:
  entrypoint: main
  serviceAccountName: admin
  onExit: bye
  hooks: {running: {template: bye, expression: "true"}}
  archiveLogs: true
  artifactRepositoryRef: {configMap: theirs}
  synchronization: {mutexes: [{name: m}]}
  volumes: [{name: scratch, emptyDir: {}}]
  securityContext: {runAsNonRoot: true}
  arguments: {parameters: [{name: greeting, value: hello}, {name: token, value: s3cret}, {name: other, value: unused}]}
  templateDefaults: {retryStrategy: {limit: 3}, serviceAccountName: admin, timeout: 1h, outputs: {artifacts: [{name: out, s3: {key: first}}]}}
  templates:
  - name: main
    serviceAccountName: admin
    archiveLocation: {s3: {endpoint: e, bucket: b, key: first}}
    memoize: {key: k, cache: {configMap: {name: c}}}
    retryStrategy: {limit: 2}
    synchronization: {mutexes: [{name: m}]}
    inputs: {parameters: [{name: greeting}, {name: usual, default: "as {{workflow.parameters.greeting}}"}]}
    outputs:
      artifacts:
      - {name: out, path: /tmp/out, globalName: published, archive: {none: {}}, optional: true, s3: {endpoint: e, bucket: b, key: first/out}}
      - {name: more, path: /tmp/more, gcs: {bucket: b, key: first/more}, artifactGC: {strategy: Never}}
      parameters: [{name: p, globalName: g, valueFrom: {path: /tmp/p}}]
    container:
      image: "repo/tool:latest"
      command: [make, "{{inputs.parameters.greeting}}", "{{ workflow.parameters.token }}"]
  - {name: bye, container: {image: bye}}
`

// read gives YAML as the API server would.
func read(t *testing.T, text string) object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(append([]byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow",`), raw[1:]...)); err != nil {
		t.Fatal(err)
	}
	return u.Object
}

var key = []byte(strings.Repeat("k", provenance.RedactionKeySize))

// stated is what a notary states of a node of a Workflow.
func stated(t *testing.T, workflow object, node string) *provenance.Statement {
	t.Helper()
	s := &provenance.Statement{Version: provenance.Version}
	s.Step = provenance.Step{Namespace: "ci", Workflow: provenance.Ref{Name: "wf", UID: "uid"}, Pod: provenance.Ref{Name: "wf-pod", UID: "pod"}, NodeID: "wf-1", NodeName: node}
	u := &unstructured.Unstructured{Object: maps.Clone(workflow)}
	u.Object["metadata"] = object{"namespace": "ci", "name": "wf", "uid": "uid"}
	w, err := definition.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.Definition("main")
	if err != nil {
		t.Fatal(err)
	}
	s.Definition.Spec, s.Definition.TemplateBody, s.Definition.Template = d.SpecDigest, digest("b"), "main"
	copies, err := w.Copies()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range copies {
		s.Definition.References = append(s.Definition.References, provenance.Reference{
			WorkflowTemplate: provenance.WorkflowTemplate{Name: c.Name, ClusterScope: c.ClusterScope}, Template: c.Template, SHA256: c.SHA256,
		})
	}
	for _, p := range d.Parameters {
		said, err := (provenance.Redaction{Quoted: []string{"greeting"}, Key: key}).Parameter("uid", p.Name, p.Value)
		if err != nil {
			t.Fatal(err)
		}
		s.Definition.Parameters = append(s.Definition.Parameters, said)
	}
	s.Images = []provenance.Image{{Container: "main", Ref: "repo/tool:latest", Repository: "docker.io/repo/tool", SHA256: digest("1")}}
	return s
}

// known are the options that leave nothing to ask for.
func known() reproduce.Options {
	return reproduce.Options{Namespace: "again", Parameters: map[string]string{"token": "s3cret"}, Key: key}
}

// made is a plan that has to come off, and its two templates.
func made(t *testing.T, s *provenance.Statement, from reproduce.Source, o reproduce.Options) (plan *reproduce.Plan, spec, step object) {
	t.Helper()
	plan, err := reproduce.Make(s, from, o)
	if err != nil {
		t.Fatal(err)
	}
	spec, _ = plan.Workflow.Object["spec"].(object)
	templates, _ := spec["templates"].([]any)
	if len(templates) != 2 {
		t.Fatalf("templates %v", templates)
	}
	step, _ = templates[1].(object)
	return plan, spec, step
}

// same compares with YAML.
func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := yaml.YAMLToJSON([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(g, &a) != nil || json.Unmarshal(w, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s is\n%s\nwant\n%s", what, g, w)
	}
}

// refused wants a code, and a text in what is said.
func refused(t *testing.T, err error, code reason.Code, says string) {
	t.Helper()
	if reason.Of(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s that says %q", err, code, says)
	}
}

// From the Workflow alone: the template as it was defined, the first run's values, and
// nothing by which it would reach beyond itself, or be skipped, or store where the first
// run stored.
func TestAStepRunsAgainFromItsDefinition(t *testing.T) {
	workflow := read(t, wf)
	before, err := json.Marshal(workflow)
	if err != nil {
		t.Fatal(err)
	}
	plan, spec, _ := made(t, stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, known())
	same(t, "the spec", spec, `
entrypoint: reproduce
volumes: [{name: scratch, emptyDir: {}}]
securityContext: {runAsNonRoot: true}
arguments: {parameters: [{name: greeting, value: hello}, {name: token, value: s3cret}]}
templateDefaults: {timeout: 1h, outputs: {artifacts: [{name: out}]}}
templates:
- name: reproduce
  steps: [[{name: step, template: step, arguments: {parameters: [{name: greeting, value: "{{workflow.parameters.greeting}}"}]}}]]
- name: step
  inputs: {parameters: [{name: greeting}, {name: usual, default: "as {{workflow.parameters.greeting}}"}]}
  outputs:
    artifacts: [{name: out, path: /tmp/out, archive: {none: {}}, optional: true}, {name: more, path: /tmp/more}]
    parameters: [{name: p, valueFrom: {path: /tmp/p}}]
  container:
    image: "docker.io/repo/tool@sha256:`+string(digest("1"))+`"
    command: [make, "{{inputs.parameters.greeting}}", "{{ workflow.parameters.token }}"]
`)
	same(t, "the metadata", plan.Workflow.Object["metadata"], "{namespace: again, generateName: reproduce-}")
	if len(plan.Notes) != 0 {
		t.Errorf("notes %q", plan.Notes)
	}
	if after, err := json.Marshal(workflow); err != nil || string(after) != string(before) {
		t.Error("the Workflow that was read has changed")
	}
	o := known()
	o.ServiceAccount = "runner"
	if _, spec, _ := made(t, stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, o); spec["serviceAccountName"] != "runner" {
		t.Errorf("it runs as %v", spec["serviceAccountName"])
	}
}

// stepOf is a pod of Argo's, its template changed.
func stepOf(t *testing.T, name, old, by string) *argo.Step {
	t.Helper()
	pod := argotest.Pod(t, name)
	changed := false
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for j, e := range list[i].Env {
				if e.Name == "ARGO_TEMPLATE" {
					list[i].Env[j].Value = strings.Replace(e.Value, old, by, 1)
					changed = changed || list[i].Env[j].Value != e.Value
				}
			}
		}
	}
	step, err := argo.Parse(pod)
	if err != nil || changed != (old != by) {
		t.Fatalf("%s: changed %v, %v", name, changed, err)
	}
	return step
}

// As long as the pod is there, every value is known, whatever the statement hides.
func TestAStepRunsAgainFromWhatItsPodRan(t *testing.T) {
	for _, name := range []string{"produce", "consume", "script", "container-set"} {
		step := stepOf(t, name, "", "")
		workflow := read(t, wf)
		s := stated(t, workflow, "wf")
		s.Definition.TemplateBody = step.TemplateDigest
		plan, spec, again := made(t, s, reproduce.Source{Workflow: workflow, Pod: step}, known0())
		var want object
		if err := json.Unmarshal([]byte(step.Node().Made), &want); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"archiveLocation", "metadata", "name", "retryStrategy"} {
			delete(want, field)
		}
		delete(again, "name")
		for _, kind := range []string{"container", "script"} {
			if c, ok := want[kind].(object); ok {
				c["image"] = "docker.io/repo/tool@sha256:" + string(digest("1"))
			}
		}
		for _, t := range []object{want, again} {
			delete(t, "containerSet") // TestImagesAreThoseThatRan
		}
		if !reflect.DeepEqual(again, want) {
			t.Errorf("%s: runs\n%v\nwant\n%v", name, again, want)
		}
		if spec["arguments"] != nil || spec["templateDefaults"] != nil || len(plan.Notes) != 0 {
			t.Errorf("%s: arguments %v, defaults %v, notes %q", name, spec["arguments"], spec["templateDefaults"], plan.Notes)
		}
		// A text that is not the one that is stated counts for nothing.
		forged := stepOf(t, name, `"image":"`, `"image":"evil/`)
		_, _, fallen := made(t, s, reproduce.Source{Workflow: workflow, Pod: forged}, known())
		if c, _ := fallen["container"].(object); strings.Contains(toText(t, fallen), "evil") || c["command"].([]any)[0] != "make" {
			t.Errorf("%s: a forged template runs: %v", name, fallen)
		}
	}
}

// What Argo left in double braces it would replace now: then the definition is taken.
func TestWhatArgoWouldReplaceNowIsNotRunAgain(t *testing.T) {
	workflow := read(t, wf)
	s := stated(t, workflow, "wf")
	for by, exact := range map[string]bool{`"image":"x","workingDir":"/`: true, `"image":"x","workingDir":"/{{item}}`: false} {
		step := stepOf(t, "produce", `"image":"`, by)
		s.Definition.TemplateBody = step.TemplateDigest
		_, _, again := made(t, s, reproduce.Source{Workflow: workflow, Pod: step}, known())
		if c, _ := again["container"].(object); (c["workingDir"] != nil) != exact {
			t.Errorf("%s: runs %v", by, again)
		}
	}
}

// Nothing counts but by the statement's digests.
func TestADefinitionThatIsNotStatedIsRefused(t *testing.T) {
	workflow := read(t, wf)
	s := stated(t, workflow, "wf")
	for name, c := range map[string]struct{ old, by string }{
		"another command":         {"[make,", "[evil,"},
		"another volume":          {"emptyDir: {}", "hostPath: {path: /}"},
		"another security":        {"runAsNonRoot: true", "runAsNonRoot: false"},
		"another template's part": {"image: bye", "image: evil"},
	} {
		if !strings.Contains(wf, c.old) {
			t.Fatalf("there is no %q", c.old)
		}
		t.Log(name)
		_, err := reproduce.Make(s, reproduce.Source{Workflow: read(t, strings.Replace(wf, c.old, c.by, 1))}, known())
		refused(t, err, reason.NotComparable, "the statement names sha256:"+string(s.Definition.Spec))
	}
	for name, source := range map[string]object{"nothing": nil, "no spec": {"spec": "x"}, "an empty one": {"spec": object{}}} {
		if _, err := reproduce.Make(s, reproduce.Source{Workflow: source}, known()); reason.Of(err) != reason.NotComparable {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Its arguments are no part of its digest: they count as the statement has them.
	changed := read(t, strings.Replace(wf, "value: hello", "value: evil", 1))
	if _, spec, _ := made(t, s, reproduce.Source{Workflow: changed}, known()); !strings.Contains(toText(t, spec), `"hello"`) || strings.Contains(toText(t, spec), "evil") {
		t.Errorf("it runs with %s", toText(t, spec["arguments"]))
	}
}

func toText(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// library refers to a template from elsewhere.
const library = `
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: a, templateRef: {name: lib, template: build}}]]
status:
  storedTemplates:
    namespaced/lib/build: {name: build, outputs: {artifacts: [{name: out, path: /out}]}, container: {image: tool, command: [make]}}
`

// whole refers to a WorkflowTemplate as a whole.
const whole = `
spec: {workflowTemplateRef: {name: lib}}
status:
  storedWorkflowTemplateSpec:
    entrypoint: main
    securityContext: {runAsUser: 7}
    templates: [{name: main, outputs: {artifacts: [{name: out, path: /out}]}, container: {image: tool, command: [make]}}]
    workflowTemplateRef: {name: lib}
`

func TestArgosCopiesCountIfTheyAreStated(t *testing.T) {
	for node, text := range map[string]string{"wf[0].a": library, "wf": whole} {
		workflow := read(t, text)
		s := stated(t, workflow, node)
		if len(s.Definition.References) != 1 {
			t.Fatalf("references %v", s.Definition.References)
		}
		_, spec, step := made(t, s, reproduce.Source{Workflow: workflow}, known0())
		if c, _ := step["container"].(object); !slices.Equal(c["command"].([]any), []any{"make"}) {
			t.Errorf("%s runs %v", node, step)
		}
		if node == "wf" {
			same(t, "its security context", spec["securityContext"], "{runAsUser: 7}")
		}
		_, err := reproduce.Make(s, reproduce.Source{Workflow: read(t, strings.Replace(text, "[make]", "[evil]", 1))}, known0())
		refused(t, err, reason.NotComparable, "Argo's copy")
		s.Definition.References = nil
		_, err = reproduce.Make(s, reproduce.Source{Workflow: workflow}, known0())
		refused(t, err, reason.NotComparable, "Argo's copy")
	}
}

// known0 are options for a workflow without parameters.
func known0() reproduce.Options { return reproduce.Options{Namespace: "again"} }

func TestHiddenParametersAreAskedForAndChecked(t *testing.T) {
	workflow := read(t, wf)
	s := stated(t, workflow, "wf")
	for name, c := range map[string]struct {
		change func(o *reproduce.Options)
		code   reason.Code
		says   string
	}{
		"the value":            {func(*reproduce.Options) {}, "", ""},
		"no value":             {func(o *reproduce.Options) { o.Parameters = nil }, reason.UsageInvalid, `"token"`},
		"another value":        {func(o *reproduce.Options) { o.Parameters["token"] = "S3cret" }, reason.ValueMismatch, `"token"`},
		"a line end":           {func(o *reproduce.Options) { o.Parameters["token"] = "s3cret\n" }, reason.ValueMismatch, `"token"`},
		"another key":          {func(o *reproduce.Options) { o.Key = []byte(strings.Repeat("K", len(key))) }, reason.ValueMismatch, `"token"`},
		"a part of the key":    {func(o *reproduce.Options) { o.Key = key[1:] }, reason.UsageInvalid, "--parameter-key"},
		"no key":               {func(o *reproduce.Options) { o.Key = nil }, reason.UsageInvalid, "--parameter-key"},
		"another, quoted one":  {func(o *reproduce.Options) { o.Parameters["greeting"] = "bye" }, reason.ValueMismatch, `"greeting"`},
		"the quoted one":       {func(o *reproduce.Options) { o.Parameters["greeting"] = "hello" }, "", ""},
		"a wrong, unused one":  {func(o *reproduce.Options) { o.Parameters["other"] = "x" }, reason.ValueMismatch, `"other"`},
		"one of another name":  {func(o *reproduce.Options) { o.Parameters["tokem"] = "x" }, reason.ValueMismatch, `"tokem"`},
		"wrong, unchecked":     {func(o *reproduce.Options) { o.Unchecked, o.Parameters["token"] = true, "S3cret" }, reason.ValueMismatch, `"token"`},
		"a quoted one, no key": {func(o *reproduce.Options) { o.Key, o.Unchecked, o.Parameters["greeting"] = nil, true, "bye" }, reason.ValueMismatch, `"greeting"`},
	} {
		o := known()
		c.change(&o)
		_, err := reproduce.Make(s, reproduce.Source{Workflow: workflow}, o)
		if c.code != "" {
			refused(t, err, c.code, c.says)
			if strings.Contains(err.Error(), "3cret") {
				t.Errorf("%s: the value is told: %v", name, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := known()
	o.Key, o.Unchecked = nil, true
	plan, spec, _ := made(t, s, reproduce.Source{Workflow: workflow}, o)
	if !strings.Contains(toText(t, spec["arguments"]), "s3cret") || len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], `"token"`) {
		t.Errorf("arguments %v, notes %q", spec["arguments"], plan.Notes)
	}
}

// Whatever could name a parameter has it asked for.
func TestEveryNameOfAParameterIsFound(t *testing.T) {
	for text, c := range map[string]struct {
		asks bool
		note string
		code reason.Code
	}{
		"plain":                                                   {},
		"{{workflow.parameters.token}}":                           {asks: true},
		"{{ workflow.parameters.token }}":                         {asks: true},
		"{{workflow.parameters}}":                                 {asks: true},
		"{{workflow.parameters.json}}":                            {asks: true},
		"{{=workflow.parameters.token}}":                          {asks: true},
		"{{=\n workflow['parameters'].token}}":                    {asks: true},
		"{{=1+1}}":                                                {},
		"{{workflow.parameters.other}}":                           {asks: true},
		"{{inputs.artifacts.in.path}} {{outputs.artifacts.path}}": {},
		"{{workflow.name}}":                                       {note: "workflow.name"},
		"{{pod.name}}":                                            {note: "pod.name"},
		"{{item}}":                                                {code: reason.NotComparable},
		"{{retries}}":                                             {code: reason.NotComparable},
		"{{steps.a.outputs.result}}":                              {code: reason.NotComparable},
	} {
		for _, at := range []string{"template", "spec"} {
			template := object{"name": "main", "container": object{"image": "x", "args": []any{"a"}}}
			spec := object{"entrypoint": "main", "templates": []any{template}, "arguments": object{"parameters": []any{
				object{"name": "token", "value": "s3cret"}, object{"name": "other", "value": "x"},
			}}}
			if at == "spec" {
				spec["nodeSelector"] = object{"a": text}
			} else {
				template["container"].(object)["args"] = []any{text}
			}
			workflow := object{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}
			plan, err := reproduce.Make(stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, reproduce.Options{Namespace: "again", Key: key})
			switch {
			case c.code != "":
				refused(t, err, c.code, "only the first run had")
			case c.asks:
				refused(t, err, reason.UsageInvalid, "--parameter")
			case err != nil:
				t.Errorf("%s in the %s: %v", text, at, err)
			case (len(plan.Notes) > 0) != (c.note != "") || c.note != "" && !strings.Contains(plan.Notes[0], c.note):
				t.Errorf("%s in the %s: notes %q", text, at, plan.Notes)
			}
		}
	}
}

// handed is a workflow whose second step gets parameters and artifacts from the first.
const handed = `
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: a, template: use, arguments: {parameters: [{name: word, value: x}], artifacts: [{name: in, raw: {data: x}}]}}]]
  - name: use
    inputs:
      parameters: [{name: word, default: usual}]
      artifacts: [{name: in, path: /in, mode: 420}, {name: zip, path: /zip}, {name: file, path: /file}, {name: perhaps, path: /perhaps, optional: true}, {name: own, path: /own, raw: {data: x}}]
    container: {image: tool, args: ["{{inputs.parameters.word}}"]}
`

func TestInputsLieWhereTheyWereSealed(t *testing.T) {
	workflow := read(t, handed)
	s := stated(t, workflow, "wf[0].a")
	s.Inputs = []provenance.Input{
		{Name: "in", URI: "s3://minio:9000/artifacts/a/in%20it/", SHA256: digest("2"), Tree: digest("2"), Archive: content.ArchiveNone},
		{Name: "zip", URI: "gs://bucket/a/b.zip", SHA256: digest("3"), Tree: digest("4"), Archive: content.ArchiveZip},
		{Name: "file", URI: "azure://acc.blob.core.windows.net/box/a.tgz", SHA256: digest("5"), Tree: digest("6"), Archive: content.ArchiveTar},
	}
	o := known0()
	o.Inputs = map[string]string{"word": "given"}
	plan, _, step := made(t, s, reproduce.Source{Workflow: workflow}, o)
	same(t, "the inputs", step["inputs"], `
parameters: [{name: word, default: usual}]
artifacts:
- {name: in, path: /in, mode: 420, s3: {key: a/in it}, archive: {none: {}}}
- {name: zip, path: /zip, gcs: {key: a/b.zip}, archive: {zip: {}}}
- {name: file, path: /file, azure: {blob: a.tgz}}
- {name: own, path: /own, raw: {data: x}}
`)
	templates := plan.Workflow.Object["spec"].(object)["templates"].([]any)
	same(t, "the call", templates[0], `{name: reproduce, steps: [[{name: step, template: step, arguments: {parameters: [{name: word, value: given}]}}]]}`)
	if len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], `"word"`) {
		t.Errorf("notes %q", plan.Notes)
	}
	for name, c := range map[string]struct {
		change func(s *provenance.Statement, o *reproduce.Options)
		code   reason.Code
		says   string
	}{
		"a parameter that nobody gave": {func(_ *provenance.Statement, o *reproduce.Options) { o.Inputs = nil }, reason.UsageInvalid, "--input word=VALUE"},
		"one that Argo would replace":  {func(_ *provenance.Statement, o *reproduce.Options) { o.Inputs["word"] = "{{workflow.name}}" }, reason.UsageInvalid, "double braces"},
		"an input that is not stated":  {func(s *provenance.Statement, _ *reproduce.Options) { s.Inputs = s.Inputs[1:] }, reason.NotComparable, `"in"`},
		"one in parts":                 {func(s *provenance.Statement, _ *reproduce.Options) { s.Inputs[0].Name = "in/part" }, reason.NotComparable, "several parts"},
		"one that is in no store":      {func(s *provenance.Statement, _ *reproduce.Options) { s.Inputs[0].URI = "https://example.com/x" }, reason.NotComparable, "no place"},
	} {
		s, o := *s, o
		s.Inputs, o.Inputs = slices.Clone(s.Inputs), maps.Clone(o.Inputs)
		c.change(&s, &o)
		_, err := reproduce.Make(&s, reproduce.Source{Workflow: workflow}, o)
		t.Log(name)
		refused(t, err, c.code, c.says)
	}
}

func TestImagesAreThoseThatRan(t *testing.T) {
	workflow := read(t, `
spec:
  entrypoint: main
  templates:
  - name: main
    initContainers: [{name: prepare, image: "prep:1"}]
    sidecars: [{name: helper, image: "help:1"}, {name: unknown, image: "some:1"}]
    containerSet: {containers: [{name: a, image: "a:1"}, {name: main, image: "m:1"}]}
`)
	s := stated(t, workflow, "wf")
	s.Images = []provenance.Image{
		{Container: "main", Ref: "m:1", Repository: "docker.io/library/m", SHA256: digest("1")},
		{Container: "a", Ref: "a:1", Repository: "docker.io/library/a", SHA256: digest("2"), DigestOf: provenance.DigestOfID},
		{Container: "prepare", Ref: "prep:1", Repository: "docker.io/library/prep", SHA256: digest("3")},
		{Container: "helper", Ref: "help:1", Repository: "docker.io/library/help", SHA256: digest("4")},
	}
	_, _, step := made(t, s, reproduce.Source{Workflow: workflow}, known0())
	delete(step, "name")
	same(t, "the step", step, `
initContainers: [{name: prepare, image: "docker.io/library/prep@sha256:`+string(digest("3"))+`"}]
sidecars: [{name: helper, image: "docker.io/library/help@sha256:`+string(digest("4"))+`"}, {name: unknown, image: "some:1"}]
containerSet: {containers: [{name: a, image: "a:1"}, {name: main, image: "docker.io/library/m@sha256:`+string(digest("1"))+`"}]}
`)
}

func TestWhatIsNoStepIsNotRunAgain(t *testing.T) {
	for _, template := range []string{
		"steps: [[{name: a, template: main}]]", "resource: {action: get}", "suspend: {}", "http: {url: https://example.com}", "{}",
		"{container: {image: x}, script: {image: x}}",
	} {
		workflow := read(t, "spec: {entrypoint: main, templates: [{name: main}]}")
		var more object
		if err := yaml.Unmarshal([]byte(template), &more); err != nil {
			t.Fatal(err)
		}
		maps.Copy(workflow["spec"].(object)["templates"].([]any)[0].(object), more)
		_, err := reproduce.Make(stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, known0())
		refused(t, err, reason.NotComparable, "neither a container")
	}
}

// The seal of the second run is the one of the Workflow that was submitted, as it was.
func TestOnlyTheRunThatWasSubmittedCounts(t *testing.T) {
	workflow := read(t, wf)
	plan, _, _ := made(t, stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, known())
	created := plan.Workflow.DeepCopy()
	created.SetName("reproduce-x")
	created.SetUID("u2")
	w, err := definition.Parse(created)
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.Definition("step")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(s *provenance.Statement)
		ok     bool
	}{
		"it":                   {func(*provenance.Statement) {}, true},
		"another Workflow":     {func(s *provenance.Statement) { s.Step.Workflow.Name = "other" }, false},
		"another of that name": {func(s *provenance.Statement) { s.Step.Workflow.UID = "u3" }, false},
		"one in another place": {func(s *provenance.Statement) { s.Step.Namespace = "ci" }, false},
		"another spec":         {func(s *provenance.Statement) { s.Definition.Spec = digest("9") }, false},
		"another template":     {func(s *provenance.Statement) { s.Definition.Template = "reproduce" }, false},
		"one from a template":  {func(s *provenance.Statement) { s.Definition.WorkflowTemplate = &provenance.WorkflowTemplate{Name: "x"} }, false},
	} {
		s := &provenance.Statement{}
		s.Step.Namespace, s.Step.Workflow = "again", provenance.Ref{Name: "reproduce-x", UID: "u2"}
		s.Definition.Spec, s.Definition.Template = d.SpecDigest, "step"
		c.change(s)
		if err := reproduce.Owns(created, s); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		} else if err != nil {
			refused(t, err, reason.NotComparable, "")
		}
	}
}

// Whoever wrote the Workflow does not say as whom it runs in another namespace.
func TestAPatchDoesNotSayAsWhomItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		patch   string
		refused bool
	}{
		"another ServiceAccount":  {`{"serviceAccountName": "admin"}`, true},
		"by its old name":         {`serviceAccount: admin`, true},
		"in another spelling":     {`{"SERVICEACCOUNTNAME": "admin"}`, true},
		"in letters of another":   {`{"\u017ferviceAccountName": "admin"}`, true},
		"with a value":            {`{"priority": {{workflow.parameters.greeting}}}`, true},
		"with a value as a name":  {`{"{{workflow.parameters.greeting}}": "admin"}`, true},
		"that cannot be read":     {`{"serviceAccountName"`, true},
		"of something else":       {`{"terminationGracePeriodSeconds": 7}`, false},
		"of a container's memory": {"containers:\n- {name: main, resources: {limits: {memory: 1Gi}}}", false},
		"none":                    {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, where := range []string{"spec", "defaults", "template"} {
				workflow := read(t, wf)
				spec := workflow["spec"].(object)
				switch where {
				case "spec":
					spec["podSpecPatch"] = c.patch
				case "defaults":
					spec["templateDefaults"].(object)["podSpecPatch"] = c.patch
				default:
					spec["templates"].([]any)[0].(object)["podSpecPatch"] = c.patch
				}
				_, err := reproduce.Make(stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, known())
				if c.refused != (reason.Of(err) == reason.NotComparable) || !c.refused && err != nil {
					t.Errorf("of the %s: %v", where, err)
				}
			}
		})
	}
}

// Argo may read a Workflow so that the case of letters does not count. Whoever wrote the
// first one does not get past us by it.
func TestAnotherSpellingDoesNotSayAsWhomItRuns(t *testing.T) {
	in := func(of object, side, list string) object {
		return of[side].(object)[list].([]any)[0].(object)
	}
	for name, c := range map[string]struct {
		change  func(template object)
		refused bool
	}{
		"a ServiceAccount":           {func(t object) { t["ServiceAccountName"] = "admin" }, true},
		"in letters of another":      {func(t object) { t["\u017ferviceAccountName"] = "admin" }, true},
		"the executor's":             {func(t object) { t["Executor"] = object{"serviceAccountName": "admin"} }, true},
		"a patch of the pod":         {func(t object) { t["podspecpatch"] = `{"serviceAccountName":"admin"}` }, true},
		"where the first run stored": {func(t object) { t["ArchiveLocation"] = object{} }, true},
		"a field that nobody knows":  {func(t object) { t["runsAs"] = "admin" }, true},
		"all outputs":                {func(t object) { t["outputs"].(object)["Artifacts"] = []any{object{"name": "x", "s3": object{}}} }, true},
		"a global output":            {func(t object) { in(t, "outputs", "parameters")["GlobalName"] = "g" }, true},
		"where an input comes from":  {func(t object) { t["inputs"].(object)["artifacts"] = []any{object{"name": "x", "S3": object{}}} }, true},
		"the inputs":                 {func(t object) { t["inputs"].(object)["Parameters"] = []any{} }, true},
		"as Argo writes it":          {func(t object) { t["serviceAccountName"] = "admin" }, false},
		"all that Argo has of a pod's": {func(t object) {
			t["priorityClassName"], t["hostAliases"], t["activeDeadlineSeconds"] = "p", []any{}, int64(1)
		}, false},
		"an annotation that asks for an identity": {func(t object) {
			t["metadata"] = object{"annotations": object{"iam.amazonaws.com/role": "admin"}, "labels": object{"azure.workload.identity/use": "admin"}}
		}, false},
		"a label of any spelling":        {func(t object) { t["metadata"] = object{"labels": object{"ServiceAccountName": "x"}} }, false},
		"a variable of any spelling":     {func(t object) { t["securityContext"] = object{"Executor": "x"} }, false},
		"what an output is not asked of": {func(t object) { in(t, "outputs", "parameters")["Description"] = "x" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, where := range []string{"defaults", "template"} {
				workflow := read(t, wf)
				spec := workflow["spec"].(object)
				of := spec["templates"].([]any)[0].(object)
				if where == "defaults" {
					defaults := object{}
					for _, side := range []string{"inputs", "outputs"} {
						defaults[side] = of[side]
					}
					of = read(t, "spec: "+toText(t, defaults))["spec"].(object)
					spec["templateDefaults"] = of
				}
				c.change(of)
				plan, err := reproduce.Make(stated(t, workflow, "wf"), reproduce.Source{Workflow: workflow}, known())
				if c.refused != (reason.Of(err) == reason.NotComparable) || !c.refused && err != nil {
					t.Errorf("of the %s: %v", where, err)
				}
				if err == nil && strings.Contains(toText(t, plan.Workflow.Object), "admin") {
					t.Errorf("of the %s: %v", where, plan.Workflow.Object)
				}
			}
		})
	}
}
