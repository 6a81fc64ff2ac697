package graph

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThePathToANodeNamesWhatIsTakenFromElsewhere(t *testing.T) {
	lib := func(template string) Copy { return Copy{Ref{Name: "lib"}, template} }
	org := func(template string) Copy { return Copy{Ref{Name: "org", ClusterScope: true}, template} }
	const workflow = `
spec:
  entrypoint: main
  onExit: bye
  templates:
  - name: main
    steps:
    - - {name: own, template: leaf}
      - {name: far, templateRef: {name: lib, template: build}}
      - {name: here, inline: {container: {image: x}}}
      - {name: which, templateRef: {name: lib, template: "{{item}}"}}
  - {name: leaf, container: {image: x}}
  - {name: bye, container: {image: x}}
status:
  storedTemplates:
    namespaced/lib/build:
      name: build
      dag:
        tasks:
        - {name: compile, template: compile}
        - {name: again, template: build}
        - {name: up, templateRef: {name: org, template: sign, clusterScope: true}}
        - {name: here, inline: {container: {image: x}}}
        - {name: lost, templateRef: {name: gone, template: x}}
`
	g, err := parse(t, workflow)
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]Path{
		"wf":                              {Last: Copy{Template: "main"}},
		"wf[0].own":                       {Last: Copy{Template: "leaf"}},
		"wf[0].own(1)":                    {Last: Copy{Template: "leaf"}},
		"wf.onExit":                       {Last: Copy{Template: "bye"}},
		"wf[0].here":                      {},
		"wf[0].far":                       {Copies: []Copy{lib("build")}, Last: lib("build")},
		"wf[0].far.compile(0)":            {Copies: []Copy{lib("build"), lib("compile")}, Last: lib("compile")},
		"wf[0].far.again.again.up(0:a)":   {Copies: []Copy{lib("build"), org("sign")}, Last: org("sign")},
		"wf[0].far.here":                  {Copies: []Copy{lib("build")}, Last: Copy{Ref: Ref{Name: "lib"}}},
		"wf[0].far.again.compile(0:a)(1)": {Copies: []Copy{lib("build"), lib("compile")}, Last: lib("compile")},
	} {
		want.Certain = true
		got, err := g.Path(node)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", node, err, diff)
		}
	}
	if id := org("sign").ID(); id != "cluster/org/sign" {
		t.Errorf("it is filed as %q", id)
	}
	for _, node := range []string{"wf[0].which(0:build)", "wf[0].nobody", "other"} {
		if _, err := g.Path(node); !errors.Is(err, ErrUnresolvable) {
			t.Errorf("%s: %v", node, err)
		}
	}
	var missing *NotStoredError
	if _, err := g.Path("wf[0].far.lost.deeper"); !errors.As(err, &missing) || missing.Ref.Name != "gone" {
		t.Errorf("a template that is not stored: %v", err)
	}
	unknown, err := parse(t, "spec: {workflowTemplateRef: {name: lib}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unknown.Path("wf"); !errors.As(err, &missing) || missing.Ref.Name != "lib" {
		t.Errorf("a spec that is not stored: %v", err)
	}
	if _, err := (*Graph)(nil).Path("wf"); !errors.Is(err, ErrUnresolvable) {
		t.Errorf("no graph: %v", err)
	}
}
