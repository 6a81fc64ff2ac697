package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// retried is a Workflow as Argo's server creates it for an archived one (v3.7:
// RetryArchivedWorkflow): with the copies of the run that is retried.
const retried = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: artifact-passing, namespace: team-a, uid: 77777777-0000-4000-8000-000000000001}
spec:
  workflowTemplateRef: {name: build}
  arguments: {parameters: [{name: p, value: v}]}
status:
  phase: Running
  storedWorkflowTemplateSpec:
    workflowTemplateRef: {name: build}
    arguments: {parameters: [{name: p, value: v}]}
    entrypoint: main
    templates:
    - name: main
      inputs: {}
      metadata: {}
      steps: [[{name: a, arguments: {}, templateRef: {name: lib, template: make, clusterScope: true}}]]
  storedTemplates:
    cluster/lib/make:
      name: make
      inputs: {}
      metadata: {labels: {team: a, own: b}}
      steps: [[{name: in, arguments: {}, inline: {container: {image: busybox, resources: {}}}}]]
    cluster/lib/inline/in: {container: {image: busybox, resources: {}}}
`

// The resources as people wrote them.
const (
	liveBuild = `
spec:
  entrypoint: main
  arguments: {parameters: [{name: p, value: usual}]}
  templates:
  - {name: main, steps: [[{name: a, templateRef: {name: lib, template: make, clusterScope: true}}]]}
`
	liveLib = `
spec:
  podMetadata: {labels: {team: a, own: other}}
  templates:
  - {name: make, metadata: {labels: {own: b}}, steps: [[{name: in, inline: {container: {image: busybox}}}]]}
`
)

// A loop over a template that is given inline, as its author wrote it, and its copies: of
// the call, and of its first item.
const (
	looped = "steps: [[{name: in, withItems: [one, two], inline: {container: {image: busybox, args: ['{{item}}', fixed]}}}]]"
	ofLoop = `cluster/lib/inline/in: {container: {image: busybox, args: ['{{item}}', fixed], resources: {}}}
    cluster/lib/inline/in(0:one): {container: {image: busybox, args: [one, fixed], resources: {}}}`
)

// looping is retried, or a resource, with that loop.
func looping(text string) string {
	return strings.NewReplacer(
		"steps: [[{name: in, arguments: {}, inline: {container: {image: busybox, resources: {}}}}]]", looped,
		"steps: [[{name: in, inline: {container: {image: busybox}}}]]", looped,
		"cluster/lib/inline/in: {container: {image: busybox, resources: {}}}", ofLoop,
	).Replace(text)
}

// iterating is retried with the copy of that iteration, with that item.
func iterating(mark, item string) string {
	return strings.Replace(looping(retried), "in(0:one): {container: {image: busybox, args: [one,", "in"+mark+": {container: {image: busybox, args: ["+item+",", 1)
}

func parsedYAML(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	check(t, yaml.Unmarshal([]byte(text), &o))
	return o
}

// submission is a Workflow that is created as this text, where these resources are
// live.
func (w *world) submission(t *testing.T, text, build, lib string) Submission {
	t.Helper()
	w.definitions.template = func(_ context.Context, namespace string, ref graph.Ref) (map[string]any, error) {
		switch {
		case namespace != "team-a":
			return nil, fmt.Errorf("asked in %s", namespace)
		case ref == graph.Ref{Name: "build"} && build != "":
			return parsedYAML(t, build), nil
		case ref == graph.Ref{Name: "lib", ClusterScope: true} && lib != "":
			return parsedYAML(t, lib), nil
		}
		return nil, nil
	}
	wf, err := definition.Parse(&unstructured.Unstructured{Object: parsedYAML(t, text)})
	check(t, err)
	return Submission{Workflow: wf, Mode: v1alpha1.ModeEnforce, Trust: w.trust}
}

// stating seals a step of an earlier run that came by the copies of this text.
func (w *world) stating(t *testing.T, text string, change func(*provenance.Facts)) {
	t.Helper()
	wf, err := definition.Parse(&unstructured.Unstructured{Object: parsedYAML(t, text)})
	check(t, err)
	copies, err := wf.Copies()
	check(t, err)
	w.seal(t, w.produce, func(f *provenance.Facts) {
		f.Definition.WorkflowTemplate, f.Definition.Entrypoint = &provenance.WorkflowTemplate{Name: "build"}, ""
		for _, c := range copies {
			if c.Call == "" {
				f.Definition.References = append(f.Definition.References, provenance.Reference{
					WorkflowTemplate: provenance.WorkflowTemplate{Name: c.Name, ClusterScope: c.ClusterScope}, Template: c.Template, SHA256: c.SHA256,
				})
			}
		}
		if change != nil {
			change(f)
		}
	})
}

func TestCopiesThatAWorkflowIsCreatedWith(t *testing.T) {
	with := func(old, by string) string {
		if strings.Count(retried, old) == 0 {
			t.Fatalf("there is no %q", old)
		}
		return strings.Replace(retried, old, by, 1)
	}
	patched := with("workflowTemplateRef: {name: build}\n    arguments", "workflowTemplateRef: {name: build}\n    podSpecPatch: evil\n    arguments")
	forged := with("image: busybox", "image: evil")
	for name, c := range map[string]struct {
		text, build, lib string
		// stated are the copies of an earlier run, of which there is a seal.
		stated string
		seal   func(*provenance.Facts)
		spoil  func(*world)
		want   reason.Code
	}{
		"as they are live": {text: retried, build: liveBuild, lib: liveLib},
		"as they were, by a seal": {
			text: retried, stated: retried,
		},
		// Argo's mainContainer, webhooks and patches change pods, and no copy.
		"by a seal of a step whose pod had more": {
			text: retried, stated: retried, seal: func(f *provenance.Facts) {
				f.Definition.Overrides = []provenance.Override{{Field: argo.PodOverride + "containers.main.env", SHA256: artifact.Digest(strings.Repeat("e", 64))}}
			},
		},
		"one as it is live, one by a seal": {
			text: retried, build: liveBuild, stated: retried,
		},
		"a field of its own": {
			text:  strings.Replace(with("spec:\n", "spec:\n  serviceAccountName: mine\n"), "    entrypoint: main", "    serviceAccountName: mine\n    entrypoint: main", 1),
			build: liveBuild, lib: liveLib,
		},
		"a field of its own that the copy has not": {
			text: with("spec:\n", "spec:\n  serviceAccountName: mine\n"), build: liveBuild, lib: liveLib, want: reason.CopyUnknown,
		},
		"parameters of its own": {
			text: strings.ReplaceAll(retried, "value: v}", "value: w}"), build: liveBuild, lib: liveLib,
		},

		"a template that is another":         {text: forged, build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
		"a template that no seal states":     {text: forged, stated: retried, want: reason.CopyUnknown},
		"one that is gone, and has no seal":  {text: retried, build: liveBuild, want: reason.CopyUnknown},
		"an inline template that is another": {text: with("cluster/lib/inline/in: {container: {image: busybox", "cluster/lib/inline/in: {container: {image: evil"), stated: retried, want: reason.CopyUnknown},
		"an inline template of another call": {text: with("cluster/lib/inline/in:", "cluster/lib/inline/other:"), build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
		"a step more in the whole":           {text: with("clusterScope: true}}]]", "clusterScope: true}}, {name: b, template: x}]]"), build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
		"a field more in the whole":          {text: patched, build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
		"a field less in the whole":          {text: retried, build: strings.Replace(liveBuild, "spec:\n", "spec:\n  securityContext: {runAsNonRoot: true}\n", 1), lib: liveLib, want: reason.CopyUnknown},
		"a whole of one that it does not refer to": {
			text: with("spec:\n  workflowTemplateRef: {name: build}", "spec:\n  entrypoint: main"), build: liveBuild, lib: liveLib, want: reason.CopyUnknown,
		},
		// Argo files what a loop gives inline for each item, with the item put in.
		"an iteration of a loop":                                  {text: looping(retried), build: liveBuild, lib: looping(liveLib)},
		"an iteration of a loop, by a seal":                       {text: looping(retried), stated: looping(retried)},
		"an iteration of another item":                            {text: iterating("(1:two)", "two"), build: liveBuild, lib: looping(liveLib)},
		"an iteration of a computed list":                         {text: strings.ReplaceAll(iterating("(7:a/b:c)", "'a/b:c'"), "withItems: [one, two]", "withParam: '{{x}}'"), build: liveBuild, lib: strings.Replace(looping(liveLib), "withItems: [one, two]", "withParam: '{{x}}'", 1)},
		"an iteration of a list of objects":                       {text: strings.NewReplacer("withItems: [one, two]", "withItems: [{k: a, nr: 1}]", "'{{item}}', fixed", "'{{item.k}}{{ item.nr }}', fixed").Replace(iterating("(0:k:a,nr:1)", "a1")), build: liveBuild, lib: strings.NewReplacer("withItems: [one, two]", "withItems: [{k: a, nr: 1}]", "'{{item}}', fixed", "'{{item.k}}{{ item.nr }}', fixed").Replace(looping(liveLib))},
		"an iteration of an item that the loop does not list":     {text: iterating("(0:evil)", "evil"), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},
		"an iteration with another item than its name has":        {text: strings.ReplaceAll(iterating("(7:one)", "evil"), "withItems: [one, two]", "withParam: '{{x}}'"), build: liveBuild, lib: strings.Replace(looping(liveLib), "withItems: [one, two]", "withParam: '{{x}}'", 1), want: reason.CopyUnknown},
		"an iteration with a value for another tag than its item": {text: strings.Replace(iterating("(0:one)", "one"), "'{{item}}', fixed", "'{{item}}', '{{workflow.name}}'", 2), build: liveBuild, lib: strings.Replace(looping(liveLib), "fixed", "'{{workflow.name}}'", 1), want: reason.CopyUnknown},
		"an iteration that runs another image":                    {text: strings.Replace(looping(retried), "(0:one): {container: {image: busybox", "(0:one): {container: {image: evil", 1), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},
		"an iteration with other arguments":                       {text: strings.Replace(looping(retried), "[one, fixed]", "[one, evil]", 1), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},
		"an iteration with a field more":                          {text: strings.Replace(looping(retried), "args: [one, fixed]", "args: [one, fixed], workingDir: /evil", 1), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},
		"an iteration, not by a seal of what gives another": {
			text: strings.Replace(looping(retried), "[one, fixed]", "[one, evil]", 1), stated: looping(retried), want: reason.CopyUnknown,
		},
		"an iteration of what is no loop": {
			text: strings.Replace(looping(retried), "withItems: [one, two], ", "", 1), build: liveBuild, lib: strings.Replace(looping(liveLib), "withItems: [one, two], ", "", 1), want: reason.CopyUnknown,
		},
		"an iteration of another call": {text: strings.Replace(looping(retried), "in(0:one)", "other(0:x)", 1), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},
		"an item where no loop put it": {text: strings.Replace(looping(retried), "inline/in: {container: {image: busybox, args: ['{{item}}'", "inline/in: {container: {image: busybox, args: [evil", 1), build: liveBuild, lib: looping(liveLib), want: reason.CopyUnknown},

		"what is no copy": {text: with("cluster/lib/make:", "local/lib/make:"), build: liveBuild, lib: liveLib, want: reason.CopyUnknown},

		// The whole has a patch of that run's own Workflow in it, of which this one
		// would say nothing.
		"another workflow's override, by a seal": {
			text: patched, stated: patched, want: reason.CopyUnknown,
			seal: func(f *provenance.Facts) {
				f.Definition.Overrides = []provenance.Override{{Field: "podSpecPatch", SHA256: artifact.Digest(strings.Repeat("e", 64))}}
			},
		},
		"another workflow's entrypoint, by a seal": {
			text: retried, stated: retried, want: reason.CopyUnknown, seal: func(f *provenance.Facts) { f.Definition.Entrypoint = "other" },
		},
		"a seal of another namespace":     {text: retried, stated: retried, want: reason.CopyUnknown, seal: func(f *provenance.Facts) { f.Step.Namespace = "team-b" }},
		"a seal of another cluster":       {text: retried, stated: retried, want: reason.CopyUnknown, seal: func(f *provenance.Facts) { f.Builder.Cluster = "other" }},
		"a seal from a laxer mode":        {text: retried, stated: retried, want: reason.CopyUnknown, seal: func(f *provenance.Facts) { f.Mode = v1alpha1.ModeWarn }},
		"a seal that does not verify":     {text: retried, stated: retried, want: reason.CopyUnknown, spoil: func(w *world) { w.evidence.provenances[string(w.produce.UID)].Status.Bundle = "{}" }},
		"a seal that is on its way":       {text: retried, stated: retried, want: reason.CopyUnknown, spoil: func(w *world) { w.evidence.provenances[string(w.produce.UID)].Status.Conditions = nil }},
		"seals that cannot be listed":     {text: retried, stated: retried, want: reason.LookupFailed, spoil: func(w *world) { w.evidence.failWorkflowSeals = errDown }},
		"a record that cannot be read":    {text: retried, stated: retried, want: reason.LookupFailed, spoil: func(w *world) { w.evidence.failProvenance = errDown }},
		"resources that cannot be read":   {text: retried, stated: retried, want: reason.LookupFailed, spoil: func(w *world) { w.definitions.template = unread }},
		"no root to verify a seal under":  {text: retried, stated: retried, want: reason.TrustedRootNotReady, spoil: func(w *world) { w.trust.Root = nil }},
		"more copies than can be judged":  {text: retried + moreCopies(maxCopies), build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
		"of more than the resources read": {text: retried + moreCopies(maxResources), build: liveBuild, lib: liveLib, want: reason.CopyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			clear(w.evidence.seals)
			s := w.submission(t, c.text, c.build, c.lib)
			if c.stated != "" {
				w.stating(t, c.stated, c.seal)
			}
			if c.spoil != nil {
				c.spoil(w)
			}
			s.Trust = w.trust
			d := w.gate.Copies(t.Context(), s)
			switch {
			case d.Allowed != (c.want == ""):
				t.Fatalf("it is %v, %v, want %q", d.Allowed, d.Refusal, c.want)
			case !d.Allowed && (d.Refusal.Code != c.want || !d.Always):
				t.Errorf("refused, always %v, with %v, want %s", d.Always, d.Refusal, c.want)
			}
		})
	}
	if d := (&Gate{}).Copies(t.Context(), Submission{}); d.Allowed || d.Refusal == nil {
		t.Errorf("nothing gets %+v", d)
	}
}

func unread(context.Context, string, graph.Ref) (map[string]any, error) { return nil, errDown }

// moreCopies are more copies, each of a resource of its own that is not there.
func moreCopies(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "    namespaced/more-%d/t: {name: t}\n", i)
	}
	return b.String()
}
