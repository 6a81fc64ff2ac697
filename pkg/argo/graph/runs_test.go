package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// library is a workflow whose only step takes its template from elsewhere.
const library = `
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: reviewed}, {name: late, value: "{{workflow.name}}"}, {name: map, valueFrom: {configMapKeyRef: {name: m, key: k}}}]}
  templates:
  - name: main
    steps:
    - - name: a
        templateRef: {name: lib, template: build}
        arguments:
          parameters: [{name: given, value: "by {{workflow.parameters.who}}"}, {name: item, value: "{{item}}"}]
          artifacts: [{name: handed, raw: {data: x}}]
status:
  storedTemplates:
    namespaced/lib/build:
      name: build
      inputs:
        parameters: [{name: given}, {name: item}, {name: usual, default: "usual {{workflow.parameters.who}}"}]
        artifacts: [{name: handed, path: /handed, mode: 420}, {name: own, path: /own, raw: {data: "own {{inputs.parameters.given}}"}}]
      outputs: {artifacts: [{name: out, path: "/out/{{inputs.parameters.given}}", archive: {none: {}}}]}
      metadata: {labels: {a: b}}
      volumes: [{name: v, emptyDir: {}}]
      initContainers: [{name: i, image: i, command: [i]}]
      podSpecPatch: '{"hostname":"{{inputs.parameters.item}}"}'
      activeDeadlineSeconds: 60
      securityContext: {runAsNonRoot: true}
      container:
        name: ""
        image: "repo/{{inputs.parameters.given}}:1"
        command: [sh, -c]
        args: ["{{inputs.parameters.given}}, {{inputs.parameters.usual}}", "", "{{inputs.parameters.item}} {{pod.name}}"]
        env: [{name: A, value: "{{ workflow.parameters.who }}"}, {name: B, value: b}]
        volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /v/longer, subPath: s}]
        resources: {}
`

// built is what Argo makes of it for the first step.
const built = `
name: build
inputs:
  artifacts: [{name: handed, path: /handed, mode: 420, raw: {data: x}}, {name: own, path: /own, raw: {data: own by reviewed}}]
outputs: {artifacts: [{name: out, path: /out/by reviewed, archive: {none: {}}}]}
metadata: {labels: {a: b}}
volumes: [{name: v, emptyDir: {}}]
initContainers: [{name: i, image: i, command: [i]}]
podSpecPatch: '{"hostname":"1"}'
activeDeadlineSeconds: 60
securityContext: {runAsNonRoot: true}
archiveLocation: {archiveLogs: false, s3: {endpoint: e, bucket: b, key: k}}
container:
  name: ""
  image: repo/by reviewed:1
  command: [sh, -c]
  args: ["by reviewed, usual reviewed", "", "1 wf-build-1"]
  env: [{name: A, value: reviewed}, {name: B, value: b}]
  volumeMounts: [{name: v, mountPath: /v/longer, subPath: s}, {name: v, mountPath: /v}]
  resources: {}
`

// replaced is text with the first old replaced, of which there has to be one.
func replaced(t *testing.T, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q", old)
	}
	return strings.Replace(text, old, by, 1)
}

func runs(t *testing.T, workflow, node, made string) error {
	t.Helper()
	g, err := parse(t, workflow)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON([]byte(made))
	if err != nil {
		t.Fatal(err)
	}
	return g.Runs(node, raw)
}

func TestAStepRanWhatItsTemplateSays(t *testing.T) {
	for name, c := range map[string]struct{ old, by string }{
		"as it is":                     {"", ""},
		"with another item":            {"1 wf-build-1", "2 wf-build-7"},
		"without what was not needed":  {"archiveLocation: {archiveLogs: false, s3: {endpoint: e, bucket: b, key: k}}\n", ""},
		"with another repository":      {"bucket: b", "bucket: c"},
		"with mounts in another order": {"[{name: v, mountPath: /v/longer, subPath: s}, {name: v, mountPath: /v}]", "[{name: v, mountPath: /v}, {name: v, mountPath: /v/longer, subPath: s}]"},
		"with what it was handed":      {"raw: {data: x}", "s3: {key: k}"},
		"without empty structs":        {"  resources: {}\n", ""},
	} {
		if err := runs(t, library, "wf[0].a", replaced(t, built, c.old, c.by)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStepThatRanAnythingElseDidNot(t *testing.T) {
	for name, c := range map[string]struct{ old, by, at string }{
		"another image":                  {"repo/by reviewed:1", "evil/by reviewed:1", "container.image"},
		"another command":                {"[sh, -c]", "[bash, -c]", "container.command[0]"},
		"a word more":                    {"[sh, -c]", "[sh, -c, x]", "container.command"},
		"another argument":               {`"", "1 wf`, `"x", "1 wf`, "container.args[1]"},
		"a parameter of somebody else's": {"by reviewed, usual", "by evil, usual", "container.args[0]"},
		"another default value":          {"usual reviewed", "usual evil", "container.args[0]"},
		"a parameter in another place":   {"path: /out/by reviewed", "path: /out/evil", "outputs.artifacts[0].path"},
		"another variable":               {"value: reviewed", "value: evil", "container.env[0].value"},
		"a variable more":                {"{name: B, value: b}", "{name: B, value: b}, {name: LD_PRELOAD, value: x}", "container.env"},
		"a variable less":                {", {name: B, value: b}", "", "container.env"},
		"a variable from elsewhere":      {"{name: B, value: b}", "{name: B, value: b, valueFrom: {secretKeyRef: {name: s, key: k}}}", "container.env[1].valueFrom"},
		"another mount":                  {"mountPath: /v}", "mountPath: /w}", "container.volumeMounts[1]"},
		"the same mount twice":           {"mountPath: /v/longer, subPath: s", "mountPath: /v", "container.volumeMounts[1]"},
		"another volume":                 {"emptyDir: {}", "hostPath: {path: /}", "volumes[0].emptyDir"},
		"a volume that is also another":  {"emptyDir: {}", "emptyDir: {}, nfs: {server: s}", "volumes[0].nfs"},
		"a volume that is none":          {"emptyDir: {}", "", "volumes[0].emptyDir"},
		"another init container":         {"image: i,", "image: j,", "initContainers[0].image"},
		"an init container more":         {"command: [i]}]", "command: [i]}, {name: j, image: j}]", "initContainers"},
		"a sidecar":                      {"volumes:", "sidecars: [{name: s}]\nvolumes:", "sidecars"},
		"another patch":                  {`{"hostname":"1"}`, `{"hostname":"1","x":1}x`, "podSpecPatch"},
		"no patch":                       {`podSpecPatch: '{"hostname":"1"}'`, "", "podSpecPatch"},
		"another user":                   {"runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0", "securityContext.runAsUser"},
		"other rights":                   {"runAsNonRoot: true", "runAsNonRoot: false", "securityContext.runAsNonRoot"},
		"for longer":                     {"activeDeadlineSeconds: 60", "activeDeadlineSeconds: 61", "activeDeadlineSeconds"},
		"as a daemon":                    {"volumes:", "daemon: true\nvolumes:", "daemon"},
		"as somebody else":               {"volumes:", "serviceAccountName: s\nvolumes:", "serviceAccountName"},
		"as a script":                    {"container:", "script:", "container"},
		"with other labels":              {"{a: b}", "{a: c}", "metadata.labels.a"},
		"with annotations":               {"{a: b}", "{a: b}, annotations: {c: d}", "metadata.annotations"},
		"an input at another path":       {"path: /handed", "path: /x", "inputs.artifacts[0].path"},
		"an input with another mode":     {"mode: 420", "mode: 493", "inputs.artifacts[0].mode"},
		"an input with another content":  {"own by reviewed", "own by evil", "inputs.artifacts[1].raw.data"},
		"an input more":                  {"[{name: handed", "[{name: x, path: /x, raw: {data: x}}, {name: handed", "inputs.artifacts"},
		"an input less":                  {", {name: own, path: /own, raw: {data: own by reviewed}}", "", "inputs.artifacts"},
		"no inputs":                      {"inputs:", "ignored:", "ignored"},
		"an output more":                 {"[{name: out", "[{name: x, path: /x}, {name: out", "outputs.artifacts"},
		"an output in another archive":   {"archive: {none: {}}", "archive: {zip: {}}", "outputs.artifacts[0].archive.none"},
		"an output in the usual archive": {", archive: {none: {}}", "", "outputs.artifacts[0].archive"},
		"an output elsewhere":            {"archive: {none: {}}", "archive: {none: {}}, s3: {key: k}", "outputs.artifacts[0].s3"},
		"another template":               {"name: build", "name: other", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			err := runs(t, library, "wf[0].a", replaced(t, built, c.old, c.by))
			var different *DifferentError
			if !errors.As(err, &different) || different.At != c.at {
				t.Errorf("%v, want a difference at %s", err, c.at)
			}
		})
	}
}

// A template that is written anew between a pod and Argo's copy of it can say
// the same of itself and be called with something else.
func TestWhatATemplateIsHandedIsFollowedUpTheCalls(t *testing.T) {
	const workflow = `
spec:
  workflowTemplateRef: {name: build}
status:
  storedWorkflowTemplateSpec:
    workflowTemplateRef: {name: build}
    entrypoint: main
    onExit: bye
    hooks: {running: {template: leaf, arguments: {parameters: [{name: x, value: "hook {{workflow.parameters.p}}"}]}}}
    arguments: {parameters: [{name: p, value: good}, {name: num, value: 7}, {name: x, value: exit}]}
    templates:
    - name: main
      inputs: {parameters: [{name: p}, {name: q, default: none}]}
      dag:
        tasks:
        - {name: a, template: middle, arguments: {parameters: [{name: x, value: "{{inputs.parameters.p}}/{{inputs.parameters.q}}"}]}}
        - {name: b, template: leaf, onExit: bye, hooks: {exit: {template: leaf}}, arguments: {parameters: [{name: x, value: "{{tasks.a.outputs.result}}-{{workflow.parameters.num}}"}]}}
        - {name: c, template: leaf, hooks: {exit: {template: leaf, arguments: {parameters: [{name: x, value: "from {{inputs.parameters.p}}"}]}}}}
        - {name: d, template: leaf, hooks: {exit: {template: leaf}}, arguments: {parameters: [{name: x, valueFrom: {expression: "1"}}]}}
        - {name: e, template: leaf, arguments: {parameters: [{name: x, value: "{{=inputs.parameters.p}}!"}]}}
        - {name: f, template: leaf, arguments: {parameters: [{name: x, value: "{{inputs.parameters.unknown}}!"}]}}
        - {name: g, inline: {inputs: {parameters: [{name: p, default: mine}]}, script: {source: "a {{inputs.parameters.p}}"}}}
    - name: middle
      inputs: {parameters: [{name: x}]}
      steps: [[{name: z, template: leaf, arguments: {parameters: [{name: x, value: "<{{inputs.parameters.x}}>"}]}}]]
    - {name: leaf, inputs: {parameters: [{name: x, default: "default {{workflow.parameters.p}}"}]}, script: {source: "a {{inputs.parameters.x}}"}}
    - {name: bye, inputs: {parameters: [{name: p}, {name: x}]}, script: {source: "a {{inputs.parameters.p}} {{inputs.parameters.x}}"}}
`
	for node, c := range map[string]struct{ name, source, not string }{
		"wf.a[0].z":        {"leaf", "a <good/none>", "a <evil/none>"},
		"wf.a[0].z(1)":     {"leaf", "a <good/none>", "a <good/evil>"},
		"wf.b":             {"leaf", "a whatever-7", "a whatever-8"},
		"wf.b.onExit":      {"bye", "a good exit", "a evil exit"},
		"wf.c":             {"leaf", "a default good", "a default evil"},
		"wf.c.onExit":      {"leaf", "a from good", "a from evil"},
		"wf.d":             {"leaf", "a whatever", "b"},
		"wf.d.onExit":      {"leaf", "a exit", "a default good"},
		"wf.e":             {"leaf", "a whatever!", "a whatever"},
		"wf.f":             {"leaf", "a whatever!", "a whatever"},
		"wf.g":             {"", "a whatever", "b"},
		"wf.onExit":        {"bye", "a good exit", "a good evil"},
		"wf.hooks.running": {"leaf", "a hook good", "a hook evil"},
	} {
		made := func(source string) string { return fmt.Sprintf("{name: %q, script: {source: %q}}", c.name, source) }
		if err := runs(t, workflow, node, made(c.source)); err != nil {
			t.Errorf("%s: %v", node, err)
		}
		if err := runs(t, workflow, node, made(c.not)); err == nil {
			t.Errorf("%s may have run %q", node, c.not)
		}
	}
}

// Where a template and templateDefaults both say something, the template does.
// Of lists in both, Argo may mix the items.
func TestTemplateDefaultsMaySayWhatATemplateDoesNot(t *testing.T) {
	workflow := replaced(t, library, "spec:\n", `spec:
  podMetadata: {annotations: {pod: x}}
  templateDefaults:
    timeout: 1h
    metadata: {labels: {c: d}}
    inputs: {parameters: [{name: usual, value: x}], artifacts: [{name: more, path: /more, optional: true}]}
    container: {image: default, workingDir: "/{{inputs.parameters.given}}", env: [{name: D, value: "{{workflow.parameters.who}}"}], securityContext: {runAsUser: 1}}
`)
	with := func(t *testing.T, made string) string {
		made = replaced(t, made, "  image:", "  workingDir: /by reviewed\n  securityContext: {runAsUser: 1}\n  image:")
		made = replaced(t, made, "labels: {a: b}", "labels: {a: b, c: d}, annotations: {pod: x}")
		made = replaced(t, made, "[{name: handed", "[{name: more, path: /more, optional: true}, {name: handed")
		return replaced(t, made, "env: [", "timeout: null\n  env: [{name: D, value: reviewed}, ") + "\ntimeout: 1h\n"
	}
	for name, c := range map[string]struct {
		old, by string
		ok      bool
	}{
		"as it is":                      {"", "", true},
		"without them":                  {"\ntimeout: 1h\n", "", true},
		"in another order":              {"{name: A, value: reviewed}, {name: B, value: b}", "{name: B, value: b}, {name: A, value: reviewed}", true},
		"with a default mixed in":       {"{name: B, value: b}", "{name: B, value: reviewed}", true},
		"with a default that is given":  {"usual reviewed", "usual whatever", true},
		"with another default":          {"runAsUser: 1", "runAsUser: 2", false},
		"with another text":             {"workingDir: /by reviewed", "workingDir: /evil", false},
		"with another item":             {"{name: D, value: reviewed}", "{name: D, value: evil}", false},
		"with an item more":             {"{name: D, value: reviewed}", "{name: D, value: reviewed}, {name: X, value: evil}", false},
		"with a field more in an item":  {"{name: B, value: b}", "{name: B, value: b, valueFrom: {secretKeyRef: {name: s, key: k}}}", false},
		"with the default, not its own": {"repo/by reviewed:1", "default", false},
		"with another input":            {"path: /more", "path: /x", false},
		"with an input of nobody's":     {"[{name: more", "[{name: x, path: /x}, {name: more", false},
		"with a label of nobody's":      {"c: d}", "c: d, e: f}", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := runs(t, workflow, "wf[0].a", replaced(t, with(t, built), c.old, c.by)); (err == nil) != c.ok {
				t.Error(err)
			}
		})
	}
}

// Argo runs an iteration of a loop by a copy of its own. What it was to run is what the loop
// gives, and not that.
func TestTheCopyOfAnIterationSaysNothing(t *testing.T) {
	const workflow = `
spec: {entrypoint: main, templates: [{name: main, steps: [[{name: s, templateRef: {name: lib, template: t}}]]}]}
status:
  storedTemplates:
    namespaced/lib/t: {name: t, steps: [[{name: b, withItems: [one, two], inline: {container: {image: busybox, args: ["{{item}}", fixed]}}}]]}
    namespaced/lib/inline/b: {container: {image: busybox, args: ["{{item}}", fixed]}}
    namespaced/lib/inline/b(0:one): {container: {image: evil, args: [one, evil]}}
`
	for made, ok := range map[string]bool{
		"{container: {image: busybox, args: [one, fixed]}}": true,
		"{container: {image: busybox, args: [one, evil]}}":  false,
		"{container: {image: evil, args: [one, evil]}}":     false,
	} {
		if err := runs(t, workflow, "wf[0].s[0].b(0:one)", made); (err == nil) != ok {
			t.Errorf("%s: %v", made, err)
		}
	}
}

// The Workflow's own templates are spelled as their author did, and guarded.
// But for its parameters, which its users may change at any time.
func TestOfTheWorkflowsOwnTemplatesOnlyValuesAreCompared(t *testing.T) {
	const workflow = `
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: reviewed}, {name: num, value: 5}, {name: id, value: "{{=1}}"}]}
  templates:
  - name: main
    typo: x
    container:
      image: busybox
      args: ["by {{workflow.parameters.who}}", plain, "{{workflow.parameters.num}}"]
      env: [{name: A, value: "{{workflow.parameters.id}}"}]
      resources: {limits: {cpu: "0.5"}}
`
	made := `{name: main, container: {image: busybox, args: [by reviewed, plain, "5"], env: [{name: A, value: x}], resources: {limits: {cpu: 500m}}}, metadata: {labels: {a: b}}}`
	for name, c := range map[string]struct {
		old, by string
		ok      bool
	}{
		"as it is":                       {"", "", true},
		"spelled otherwise":              {"500m", "0.5", true},
		"with more from templateDefault": {"[by reviewed", "[more, by reviewed", true},
		"with something else":            {"plain", "other", true},
		"with another parameter":         {"by reviewed", "by evil", false},
		"with another number":            {`"5"`, `"6"`, false},
	} {
		if err := runs(t, workflow, "wf", replaced(t, made, c.old, c.by)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Argo writes the results of expressions into the spec, once.
	g, err := parse(t, replaced(t, workflow, "{{=1}}", "y"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON([]byte(made))
	if err != nil {
		t.Fatal(err)
	}
	var different *DifferentError
	if err := g.Runs("wf", raw); !errors.As(err, &different) || different.At != "container.env[0].value" {
		t.Error(err)
	}
	if err := g.WithParameters(map[string]string{"id": "{{=1}}"}).Runs("wf", raw); err != nil {
		t.Error(err)
	}
	if err := g.Runs("wf", raw); !errors.As(err, &different) {
		t.Errorf("its copy's parameter is its own: %v", err)
	}
}

// Argo keeps one copy of what is given inline under the name of its call.
func TestATemplateGivenInlineIsItsCallersOrTheFirstOfThatName(t *testing.T) {
	const workflow = `
spec: {entrypoint: main, templates: [{name: main, steps: [[{name: a, templateRef: {name: lib, template: build}}]]}]}
status:
  storedTemplates:
    namespaced/lib/build: {name: build, dag: {tasks: [{name: x, template: build}, {name: given, inline: {container: {image: "one:{{inputs.parameters.v}}"}}}]}}
    namespaced/lib/inline/given: {container: {image: two}}
`
	for image, ok := range map[string]bool{"one:1": true, "two": true, "three": false} {
		if err := runs(t, workflow, "wf[0].a.given", "container: {image: '"+image+"'}"); (err == nil) != ok {
			t.Errorf("image %s: %v", image, err)
		}
	}
	// Which of the two it ran is not in the names of the copies.
	for _, c := range []struct {
		workflow string
		certain  bool
	}{{workflow, false}, {replaced(t, workflow, "image: two", `image: "one:{{inputs.parameters.v}}"`), true}} {
		g, err := parse(t, c.workflow)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := g.Path("wf[0].a.given"); err != nil || p.Certain != c.certain {
			t.Errorf("the path is %+v, %v", p, err)
		}
	}
}

// What the API server adds when it stores a copy is not in the pod's template.
func TestWhatTheAPIServerFillsInIsNoDifference(t *testing.T) {
	workflow := replaced(t, library, "        resources: {}", "        resources: {}\n        ports: [{containerPort: 80, protocol: TCP}]")
	made := built + "  ports: [{containerPort: 80}]\n"
	if err := runs(t, workflow, "wf[0].a", made); err != nil {
		t.Error(err)
	}
	if err := runs(t, replaced(t, workflow, "TCP", "UDP"), "wf[0].a", made); err == nil {
		t.Error("another protocol is no difference")
	}
}

func TestAnArchiveLocationThatIsGivenIsKept(t *testing.T) {
	for store, place := range map[string]string{
		"S3":    "{s3: {endpoint: e, bucket: b, key: 'KEY'}}",
		"GCS":   "{gcs: {bucket: b, key: 'KEY'}}",
		"Azure": "{azure: {endpoint: e, container: c, blob: 'KEY'}}",
	} {
		at := func(key string) string { return strings.Replace(place, "KEY", key, 1) }
		workflow := replaced(t, library, "      metadata:", "      archiveLocation: "+at("k/{{workflow.parameters.who}}")+"\n      metadata:")
		made := replaced(t, built, "{archiveLogs: false, s3: {endpoint: e, bucket: b, key: k}}", at("k/reviewed"))
		if err := runs(t, workflow, "wf[0].a", made); err != nil {
			t.Errorf("%s: %v", store, err)
		}
		if err := runs(t, workflow, "wf[0].a", replaced(t, made, "k/reviewed", "k/evil")); err == nil {
			t.Errorf("%s: another is no difference", store)
		}
	}
}

func TestWhatCannotBeComparedIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ workflow, node, made string }{
		"no JSON":                {library, "wf[0].a", "x"},
		"a node of nobody's":     {library, "wf[0].b", built},
		"a workflow of no node":  {library, "other", built},
		"a copy that is missing": {replaced(t, library, "namespaced/lib/build", "namespaced/lib/other"), "wf[0].a", built},
	} {
		if err := runs(t, c.workflow, c.node, c.made); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (*Graph)(nil).Runs("wf", nil); !errors.Is(err, ErrUnresolvable) {
		t.Errorf("no graph: %v", err)
	}
}

// Its author can make a definition that takes for ever to compare with.
func TestTheWorkIsBounded(t *testing.T) {
	who := func(n int) string { return strings.Repeat("{{workflow.parameters.who}}", n) }
	variables := func(n int) string { return strings.Repeat(", {name: B, value: b}", n) }
	for name, c := range map[string]struct{ workflow, made string }{
		"values that grow": {
			replaced(t, replaced(t, library, "value: reviewed", "value: "+strings.Repeat("x", maxBytes/8)), `"", "{{inputs`, `"`+who(10)+`", "{{inputs`),
			strings.ReplaceAll(built, "reviewed", strings.Repeat("x", maxBytes/8)),
		},
		"very many tags": {
			replaced(t, library, `"", "{{inputs`, `"`+strings.Repeat("{{a}}", maxTags+1)+`", "{{inputs`), built,
		},
		"very many choices": {
			replaced(t, library, "spec:\n", "spec:\n  templateDefaults: {container: {env: [{name: x, value: x}"+strings.Repeat(", {name: x, value: x}", 2000)+"]}}\n"),
			replaced(t, built, "{name: B, value: b}", "{name: B, value: b}"+variables(2000)),
		},
	} {
		if err := runs(t, c.workflow, "wf[0].a", c.made); !errors.Is(err, errTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRuns(f *testing.F) {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(library), &object); err != nil {
		f.Fatal(err)
	}
	made, err := yaml.YAMLToJSON([]byte(built))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("wf[0].a", string(made), "by {{workflow.parameters.who}}")
	f.Fuzz(func(t *testing.T, node, made, value string) {
		g, err := Parse("wf", object)
		if err != nil {
			t.Fatal(err)
		}
		g.spec.Templates[0].Steps[0][0].Arguments.Parameters[0].Value = new(AnyString(value))
		if g.Runs(node, []byte(made)) != nil {
			return
		}
		var was struct{ Container struct{ Command []string } }
		if err := json.Unmarshal([]byte(made), &was); err != nil || strings.Join(was.Container.Command, " ") != "sh -c" {
			t.Errorf("%s may have been made: %v", made, err)
		}
	})
}
