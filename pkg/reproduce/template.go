package reproduce

import (
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// notAgain are the fields of a template that would keep a second run from being one
// pod of its own. The step might be skipped (memoize), wait for others, have
// several pods, or run as somebody: where clouds and vaults give out identities, labels and
// annotations ask for one. archiveLocation says where the first run's artifacts lie.
var notAgain = []string{
	"archiveLocation", "daemon", "executor", "memoize", "metadata", "metrics", "parallelism", "retryStrategy", "serviceAccountName", "synchronization",
}

// outputFields are an output's fields without its place, which is always one of the
// new run's own.
var outputFields = []string{"archive", "mode", "name", "optional", "path", "recurseMode"}

// strip takes out of a template, or of templateDefaults, what is not for a second run.
func strip(t map[string]any) error {
	if err := spelled(t); err != nil {
		return err
	}
	for _, name := range notAgain {
		delete(t, name)
	}
	outputs, _ := t["outputs"].(map[string]any)
	artifacts, _ := outputs["artifacts"].([]any)
	for i, a := range artifacts {
		given, _ := a.(map[string]any)
		kept := map[string]any{}
		for _, name := range outputFields {
			if v, there := given[name]; there {
				kept[name] = v
			}
		}
		artifacts[i] = kept
	}
	parameters, _ := outputs["parameters"].([]any)
	for _, p := range parameters {
		if given, object := p.(map[string]any); object {
			delete(given, "globalName")
		}
	}
	return nil
}

// spelled refuses a template in which something that is taken out, changed or looked for
// here may stand under another name. Argo reads a Workflow with encoding/json where it
// cannot otherwise (a parameter's value that is a number is enough), and then the case
// of letters does not count: ServiceAccountName is serviceAccountName. The first run's
// author decides that.
func spelled(t map[string]any) error {
	for name := range t {
		if !argo.TemplateField(name) {
			return incomparable(nil, "field %.80q of its template is not one of Argo v3.7 in exactly this spelling, so what it means is not known", name)
		}
	}
	for _, side := range []string{"inputs", "outputs"} {
		of, _ := t[side].(map[string]any)
		if err := asWritten(side, of, "artifacts", "parameters"); err != nil {
			return err
		}
		artifacts, _ := of["artifacts"].([]any)
		for _, a := range artifacts {
			given, _ := a.(map[string]any)
			if err := asWritten(side, given, artifactFields...); err != nil {
				return err
			}
		}
		parameters, _ := of["parameters"].([]any)
		for _, p := range parameters {
			given, _ := p.(map[string]any)
			if err := asWritten(side, given, "default", "globalName", "name", "value"); err != nil {
				return err
			}
		}
	}
	return nil
}

// asWritten refuses names that differ from one of those given in the case of letters
// alone, as encoding/json sees it.
func asWritten(side string, of map[string]any, names ...string) error {
	for given := range of {
		for _, name := range names {
			if given != name && strings.EqualFold(given, name) {
				return incomparable(nil, "in the %s of its template %.80q stands for %s, and Argo may read it so or not", side, given, name)
			}
		}
	}
	return nil
}

// template makes the step's template one that can be run again.
func (m *making) template() error {
	if err := strip(m.step); err != nil {
		return err
	}
	defaults, _ := m.spec["templateDefaults"].(map[string]any)
	for _, of := range []map[string]any{m.spec, defaults, m.step} {
		if err := asNobody(of); err != nil {
			return err
		}
	}
	kinds := 0
	for _, kind := range []string{"container", "containerSet", "script"} {
		if m.step[kind] != nil {
			kinds++
		}
	}
	if kinds != 1 {
		return incomparable(nil, "its template is neither a container nor a script nor a container set")
	}
	for _, name := range []string{"container", "script"} {
		if c, object := m.step[name].(map[string]any); object {
			m.pin(c, layout.ContainerMain)
		}
	}
	set, _ := m.step["containerSet"].(map[string]any)
	for _, list := range []any{set["containers"], m.step["initContainers"], m.step["sidecars"]} {
		containers, _ := list.([]any)
		for _, c := range containers {
			if container, object := c.(map[string]any); object {
				name, _ := container["name"].(string)
				m.pin(container, name)
			}
		}
	}
	return nil
}

// asNobody refuses a patch of the pod that says as whom it runs, or may say so: nothing of
// that is taken from the first run. Argo reads such names whatever the case of their
// letters, and puts values into the text before it reads it.
func asNobody(of map[string]any) error {
	patch, _ := of["podSpecPatch"].(string)
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(patch), &fields); err != nil {
		return incomparable(err, "a podSpecPatch of it cannot be read: %v", err)
	}
	if strings.Contains(patch, "{{") {
		return incomparable(nil, "a podSpecPatch of it has values that Argo puts in later, and may say as whom the step runs")
	}
	for name := range fields {
		if strings.EqualFold(name, "serviceAccountName") || strings.EqualFold(name, "serviceAccount") {
			return incomparable(nil, "a podSpecPatch of it says as whom the step runs (%s), which is not taken from the first run", name)
		}
	}
	return nil
}

// pin names a container's image by the digest that the statement has. If that is
// only the id that a node's runtime uses, no registry knows it. Then the image
// keeps its name, and Compare sees whether it was the same.
func (m *making) pin(container map[string]any, name string) {
	for _, i := range m.statement.Images {
		if i.Container == name && i.SHA256 != "" && i.DigestOf == "" {
			container["image"] = i.Repository + "@sha256:" + string(i.SHA256)
			return
		}
	}
}

// inputs gives the step its inputs: artifacts at the places where they were sealed, and
// the arguments that it is called with.
func (m *making) inputs() (arguments []any, err error) {
	inputs, _ := m.step["inputs"].(map[string]any)
	if m.exact {
		delete(inputs, "parameters") // their values stand in the template
		return nil, nil
	}
	declared, _ := inputs["artifacts"].([]any)
	kept := make([]any, 0, len(declared))
	for _, d := range declared {
		a, object := d.(map[string]any)
		if !object {
			return nil, incomparable(nil, "an input of its template is no object")
		}
		if placed(a) {
			kept = append(kept, a)
			continue
		}
		there, err := m.place(a)
		if err != nil {
			return nil, err
		}
		if there {
			kept = append(kept, a)
		}
	}
	if len(declared) > 0 {
		inputs["artifacts"] = kept
	}
	parameters, _ := inputs["parameters"].([]any)
	for _, p := range parameters {
		given, _ := p.(map[string]any)
		name, _ := given["name"].(string)
		value, from, err := m.argument(name, given)
		if err != nil {
			return nil, err
		}
		if from {
			arguments = append(arguments, map[string]any{"name": name, "value": value})
		}
	}
	return arguments, nil
}

// places are the fields of an input by which it says itself where it comes from.
var places = func() []string {
	names := []string{"git", "http", "raw", "artifactory", "hdfs", "oss"}
	for _, k := range artifact.StoreKinds() {
		names = append(names, k.Name)
	}
	return names
}()

// artifactFields are the fields of an input or an output that are looked at here.
var artifactFields = slices.Concat(outputFields, places)

// placed says whether an input says itself where it comes from.
func placed(a map[string]any) bool {
	return slices.ContainsFunc(places, func(name string) bool { return a[name] != nil })
}

// place says where an input that was handed to the step lies, by the statement.
func (m *making) place(a map[string]any) (there bool, err error) {
	name, _ := a["name"].(string)
	optional, _ := a["optional"].(bool)
	var found *provenance.Input
	for i, in := range m.statement.Inputs {
		if in.Name == name {
			found = &m.statement.Inputs[i]
		} else if strings.HasPrefix(in.Name, name+"/") {
			return false, incomparable(nil, "input %.80q has several parts, and only the step's pod says where they lie", name)
		}
	}
	if found == nil {
		if !optional {
			return false, incomparable(nil, "the statement does not say where input %.80q lay", name)
		}
		return false, nil
	}
	l, err := artifact.ParseLocation(found.URI)
	if err != nil {
		return false, incomparable(err, "input %.80q comes from %.200q, which is no place in a store", name, artifact.Shown(found.URI))
	}
	kind := l.Scheme.Kind()
	a[kind.Name] = map[string]any{kind.Fields[len(kind.Fields)-1]: strings.TrimSuffix(l.Key, "/")}
	switch found.Archive {
	case content.ArchiveNone:
		a["archive"] = map[string]any{"none": map[string]any{}}
	case content.ArchiveZip:
		a["archive"] = map[string]any{"zip": map[string]any{}}
	case content.ArchiveTar, content.ArchiveDetect: // what Argo does by itself
	}
	return true, nil
}

// argument is the value of one of the step's input parameters. A statement does not
// have these values. It has only the digest of the template that was made with
// them.
func (m *making) argument(name string, declared map[string]any) (value string, given bool, err error) {
	if value, given = m.options.Inputs[name]; given {
		if strings.Contains(value, "{{") {
			return "", false, usage("input parameter %.80q has double braces, which Argo would replace", name)
		}
		m.note("input parameter %.80q has the value that you gave: the statement has none", name)
		return value, true, nil
	}
	if entry := m.statement.Step.NodeName == m.statement.Step.Workflow.Name; !entry {
		return "", false, usage("the pod is gone, and the step had input parameter %.80q, of which the statement has no value: give it (--input %s=VALUE)", name, name)
	}
	// The entrypoint has the workflow's own parameter of that name.
	for _, p := range m.statement.Definition.Parameters {
		if p.Name == name {
			return "{{workflow.parameters." + name + "}}", true, nil
		}
	}
	if declared["value"] == nil && declared["default"] == nil {
		return "", false, usage("nothing says which value input parameter %.80q had: give it (--input %s=VALUE)", name, name)
	}
	return "", false, nil
}
