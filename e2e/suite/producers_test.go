//go:build e2e

package suite

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// building is the spec of a workflow whose user gives a word, the key to store
// it under, and how it ends.
const building = `
  entrypoint: compile
  templates:
  - name: compile
    outputs: {artifacts: [{name: built, path: /tmp/built, s3: {key: "{{workflow.parameters.key}}"}}]}
    container:
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "echo {{workflow.parameters.word}} > /tmp/built; exit {{workflow.parameters.code}}"]
`

// trusted is the spec of a workflow that refers to the template build.
const trusted = "  workflowTemplateRef: {name: build}\n"

// build begins a workflow that stores a word under a key.
func build(t *testing.T, ns, name, key, word, code, spec string) {
	t.Helper()
	submit(t, ns, fmt.Sprintf("metadata: {name: %s}\nspec:\n  arguments: {parameters: [{name: key, value: %s}, {name: word, value: %s}, {name: code, value: %q}]}\n%s",
		name, key, word, code, spec))
}

// built waits until a workflow has ended and what it stored is sealed.
func built(t *testing.T, ns, name string) *lab.Run {
	t.Helper()
	run := finish(t, ns, name)
	node, _ := run.Node(name)
	if got := records(t, run, node)["built"]; got != reason.Sealed {
		t.Fatalf("the output of %s is %q", run, got)
	}
	return run
}

// TestConformanceProducersElsewhereCountWherePoliciesTrustThem: what another workflow has
// sealed is consumed where the cluster's administrators trust whoever made it,
// and then more can be asked of it.
func TestConformanceProducersElsewhereCountWherePoliciesTrustThem(t *testing.T) {
	t.Parallel()
	l, lib := cluster(t), namespace(t, "producers", v1alpha1.ModeEnforce)
	apply(t, lib, "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: build}\nspec:"+building)
	shared(t, lib, prefix+"build", building)
	for name, p := range map[string]struct{ code, spec string }{
		"trusted":   {"0", trusted},
		"untrusted": {"0", building},
		"shared":    {"0", "  workflowTemplateRef: {name: e2e-build, clusterScope: true}\n"},
		"patched":   {"0", trusted + "  podSpecPatch: '{\"terminationGracePeriodSeconds\": 20}'\n"},
		"failed":    {"3", trusted},
		"reached":   {"0", building + "  podSpecPatch: '{\"hostIPC\": true}'\n"},
		"twice":     {"0", trusted},
		"replaced":  {"0", trusted},
	} {
		build(t, lib, name, lib+"/"+name, name, p.code, p.spec)
	}
	built(t, lib, "twice")
	build(t, lib, "again", lib+"/twice", "again", "0", building)
	for _, name := range []string{"untrusted", "shared", "patched", "reached", "failed", "replaced", "again"} {
		built(t, lib, name)
	}
	if err := l.Put(t.Context(), lib+"/replaced", lab.Tarball("built", "byhand\n")); err != nil {
		t.Fatal(err)
	}
	version, log := stated(t, built(t, lib, "trusted"))
	byRules := strings.NewReplacer("LIB", lib, "VERSION", version, "LOG", log, "OTHER", strings.Repeat("a", 64))

	const (
		byTemplate = "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: build}}]}"
		byAnybody  = "allow: {producers: [{namespaces: [LIB], anyWorkflow: true}]}"
		byVersion  = "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: build, sha256: [VERSION]}, templates: [compile]}]}"
		byOther    = "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: build, sha256: [OTHER]}}]}"
		byShared   = "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: e2e-build, clusterScope: true}}]}"
		failures   = "allow: {failedProducers: true, producers: [{namespaces: [LIB], workflowTemplate: {name: build}}]}"
	)
	for name, c := range map[string]struct {
		cluster string // the rules of the cluster's administrators
		own     string // those of the tenant
		key     string
		code    reason.Code
	}{
		"without a policy":                      {key: "trusted", code: reason.NoProvenance},
		"trusted by the tenant alone":           {own: byAnybody, key: "trusted", code: reason.NoProvenance},
		"by another step of it":                 {cluster: "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: build}, templates: [test]}]}", key: "trusted", code: reason.WorkflowMismatch},
		"by another template":                   {cluster: "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: other}}]}", key: "trusted", code: reason.WorkflowMismatch},
		"by one step of a version of it":        {cluster: byVersion, key: "trusted"},
		"by another version":                    {cluster: byOther, key: "trusted", code: reason.WorkflowMismatch},
		"by a template of cluster scope":        {cluster: byShared, key: "shared"},
		"by one of cluster scope by its name":   {cluster: "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: e2e-build}}]}", key: "shared", code: reason.WorkflowMismatch},
		"by one of a namespace, as if it were":  {cluster: "allow: {producers: [{namespaces: [LIB], workflowTemplate: {name: build, clusterScope: true}}]}", key: "trusted", code: reason.WorkflowMismatch},
		"of a namespace that nobody trusts":     {cluster: "allow: {producers: [{namespaces: [default], anyWorkflow: true}]}", key: "trusted", code: reason.NoProvenance},
		"by a workflow with a spec of its own":  {cluster: byTemplate, key: "untrusted", code: reason.WorkflowMismatch},
		"by anybody":                            {cluster: byAnybody, key: "untrusted"},
		"by a template that is overridden":      {cluster: byTemplate, key: "patched", code: reason.WorkflowMismatch},
		"overwritten by a workflow":             {cluster: byTemplate, key: "twice", code: reason.WorkflowMismatch},
		"overwritten by hand":                   {cluster: byTemplate, key: "replaced", code: reason.InputAltered},
		"that the tenant does not want":         {cluster: byTemplate, own: "allow: {}", key: "trusted", code: reason.PolicyNarrowed},
		"that the tenant wants another version": {cluster: byTemplate, own: byOther, key: "trusted", code: reason.PolicyNarrowed},
		"by a step that failed":                 {cluster: byTemplate, key: "failed", code: reason.ProducerFailed},
		"by a step that may fail":               {cluster: failures, key: "failed"},
		"by a step that the tenant minds":       {cluster: failures, own: byTemplate, key: "failed", code: reason.PolicyNarrowed},
		"of a higher level":                     {cluster: byAnybody + ", require: {level: isolated}", key: "reached", code: reason.LevelTooLow},
		"of that level":                         {cluster: byTemplate + ", require: {level: isolated}", key: "trusted"},
		"of a level that nobody asks for":       {cluster: byAnybody, key: "reached"},
		"of an age":                             {cluster: byTemplate + ", require: {maxAge: 1s}", key: "trusted", code: reason.SealTooOld},
		"of another log":                        {cluster: byTemplate + ", require: {logs: [https://log.example.org]}", key: "trusted", code: reason.LogNotTrusted},
		"by a template, and as is asked for":    {cluster: byTemplate + ", require: {level: observed, maxAge: 1h, logs: [https://log.example.org, LOG]}", key: "trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("producers", name), v1alpha1.ModeEnforce)
			govern(t, ns, byRules.Replace(c.cluster), byRules.Replace(c.own))
			run := finish(t, ns, submit(t, ns, taking(slug(name), stored(lib, c.key, c.key))))
			ruled(t, run, c.code)
			if c.code == reason.InputAltered {
				mainNeverStarted(t, run, run.Name)
			}
		})
	}
	t.Run("all of it without the defence", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "producers", plain)
		judged(t, finish(t, ns, submit(t, ns, taking("all", stored(lib, "trusted", "trusted"), stored(lib, "untrusted", "untrusted"),
			stored(lib, "patched", "patched"), stored(lib, "failed", "failed"), stored(lib, "twice", "again"), stored(lib, "replaced", "byhand")))), "")
	})
	// The namespace is the same, the workflow is not.
	t.Run("in the same namespace", func(t *testing.T) {
		t.Parallel()
		refused(t, refusal(finish(t, lib, submit(t, lib, taking("same", stored(lib, "trusted", "trusted"))))), reason.NoProvenance)
		govern(t, lib, byRules.Replace(byTemplate), "")
		ruled(t, finish(t, lib, submit(t, lib, taking("same-trusted", stored(lib, "trusted", "trusted")))), "")
		govern(t, lib, "allow: {producers: [{sameNamespace: true, sameDefinition: true}]}", "")
		ruled(t, finish(t, lib, submit(t, lib, taking("same-other", stored(lib, "trusted", "trusted")))), reason.WorkflowMismatch)
		govern(t, lib, "allow: {producers: [{sameNamespace: true, anyWorkflow: true}]}", "")
		ruled(t, finish(t, lib, submit(t, lib, taking("same-any", stored(lib, "untrusted", "untrusted")))), "")
	})
}

// TestConformanceMoreCanBeAskedOfTheWorkflowsOwnSeals: what is required holds for all
// seals, and whoever requires it, and a step may use what a failed one left
// where the cluster's administrators say so.
func TestConformanceMoreCanBeAskedOfTheWorkflowsOwnSeals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cluster, own string
		path         string
		code         reason.Code
	}{
		"a level, by the tenant": {own: "require: {level: isolated}", path: "flow/reached.yaml", code: reason.LevelTooLow},
		"a level that it has":    {own: "require: {level: isolated}", path: "flow/later.yaml"},
		"an age":                 {cluster: "require: {maxAge: 1s}", path: "flow/later.yaml", code: reason.SealTooOld},
		"a log":                  {cluster: "require: {logs: [https://log.example.org]}", path: "flow/later.yaml", code: reason.LogNotTrusted},
		"no success":             {cluster: "allow: {failedProducers: true}", path: "refused/failed.yaml"},
		"success, by the tenant": {cluster: "allow: {failedProducers: true}", own: "allow: {}", path: "refused/failed.yaml", code: reason.PolicyNarrowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("asked", name), v1alpha1.ModeEnforce)
			govern(t, ns, c.cluster, c.own)
			run := finish(t, ns, begin(t, c.path, ns, slug("asked", name)))
			use, _ := run.Node("use")
			switch {
			case c.code == "" && use.Phase != "Succeeded":
				t.Error(run)
			case c.code != "" && !refuses(use.Message, c.code):
				t.Errorf("want %s: %s", c.code, run)
			}
		})
	}
}

// stored is an input that names a key below a folder.
func stored(folder, key, word string) taken {
	return taken{"s3: {key: " + folder + "/" + key + "}", word}
}

// stated is the version of the template that a workflow's seal states, and the
// log that it is in.
func stated(t *testing.T, run *lab.Run) (version, log string) {
	t.Helper()
	l := cluster(t)
	seals, err := l.Seals(t.Context(), run.Namespace, run.UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want one seal of %s, got %d: %v", run, len(seals), err)
	}
	root, err := l.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var p v1alpha1.Provenance
	if err := l.Client.Get(t.Context(), client.ObjectKey{Namespace: run.Namespace, Name: seals[0].Spec.Provenance}, &p); err != nil {
		t.Fatal(err)
	}
	result, err := root.Inspect([]byte(p.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	return string(result.Statement.Definition.Effective()), result.LogURL
}
