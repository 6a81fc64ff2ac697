package definition

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/argo/graph"
)

// inlineCopies is how Argo files a template that was given inline in one from
// elsewhere: behind the resource's name, before that of the call.
const inlineCopies = "inline/"

// Copy is a copy of a template from elsewhere in a Workflow's status.
type Copy struct {
	Reference
	// Call is the name of the call whose template was given inline; Template is
	// empty then, as it is for a whole spec.
	Call string

	body map[string]any
}

// Ref names the resource that it is a copy of.
func (c Copy) Ref() graph.Ref { return graph.Ref{Name: c.Name, ClusterScope: c.ClusterScope} }

// Whole says whether it is of the spec that the Workflow refers to.
func (c Copy) Whole() bool { return c.Template == "" && c.Call == "" }

func (c Copy) String() string {
	switch {
	case c.Whole():
		return c.Ref().String()
	case c.Call != "":
		return fmt.Sprintf("what %s gives inline in %.200q", c.Ref(), c.Call)
	}
	return fmt.Sprintf("template %.200q of %s", c.Template, c.Ref())
}

// Copies lists all copies that the Workflow has, the whole spec first. It fails
// for what Argo does not make.
func (w *Workflow) Copies() ([]Copy, error) {
	var list []Copy
	status := w.status()
	if spec, given := status["storedWorkflowTemplateSpec"]; given {
		body, object := spec.(map[string]any)
		if !object || w.definition.TemplateRef == nil {
			return nil, fmt.Errorf("it has a copy of a whole spec and refers to none")
		}
		digest, err := digestOf(w.effective())
		if err != nil {
			return nil, err
		}
		list = append(list, Copy{Reference: Reference{TemplateRef: *w.definition.TemplateRef, SHA256: digest}, body: body})
	}
	templates, given := status["storedTemplates"]
	stored, object := templates.(map[string]any)
	if given && !object {
		return nil, fmt.Errorf("its copies of templates are no object")
	}
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		c, err := copyOf(id, stored[id])
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// copyOf reads one copy, filed as SCOPE/NAME/TEMPLATE or SCOPE/NAME/inline/CALL.
func copyOf(id string, stored any) (Copy, error) {
	scope, rest, _ := strings.Cut(id, "/")
	name, template, _ := strings.Cut(rest, "/")
	body, object := stored.(map[string]any)
	if !object || name == "" || template == "" || scope != "cluster" && scope != "namespaced" {
		return Copy{}, fmt.Errorf("%.200q is no copy of a template", id)
	}
	digest, err := digestOf(body)
	if err != nil {
		return Copy{}, err
	}
	c := Copy{Reference: Reference{TemplateRef: TemplateRef{Name: name, ClusterScope: scope == "cluster"}, SHA256: digest}, body: body}
	if call, inline := strings.CutPrefix(template, inlineCopies); inline {
		c.Call = call
	} else {
		c.Template = template
	}
	return c, nil
}

// CopiedFrom says whether a copy is what Argo makes of the resource that is live.
// What it spells otherwise than people do, such as quantities, is not recognized.
func (w *Workflow) CopiedFrom(c Copy, live map[string]any) bool {
	spec, _ := live["spec"].(map[string]any)
	if c.Whole() {
		return w.joined(spec)
	}
	templates, _ := spec["templates"].([]any)
	if c.Call != "" {
		return slices.ContainsFunc(templates, func(t any) bool { return givesInline(t, c, 0) })
	}
	return slices.ContainsFunc(templates, func(t any) bool {
		template, _ := t.(map[string]any)
		return template["name"] == c.Template && c.is(withMetadata(template, spec["podMetadata"]))
	})
}

// Gives says whether another copy, of the same resource, gives this one inline.
func (c Copy) Gives(other Copy) bool {
	return other.Call != "" && c.Ref() == other.Ref() && givesInline(c.body, other, 0)
}

// is says whether the copy has this content.
func (c Copy) is(v any) bool {
	digest, err := digestOf(v)
	return err == nil && digest == c.SHA256
}

// givesInline says whether a template, or one that it gives inline, gives the copy
// in a call of that name.
func givesInline(template any, c Copy, depth int) bool {
	if depth > maxSpecDepth {
		return false
	}
	for _, call := range callsOf(template) {
		inline, given := call["inline"]
		if given && (call["name"] == c.Call && c.is(inline) || c.iterates(call) || givesInline(inline, c, depth+1)) {
			return true
		}
	}
	return false
}

// iteration is how Argo files the template of a call that is a loop, for each of its items
// (expandStep, generateNodeName): behind the call's name, its number and the item, without
// parentheses.
var iteration = regexp.MustCompile(`^([^()]+)\(([0-9]{1,9}):([^()]*)\)$`)

// itemTag is where an item is put in.
var itemTag = regexp.MustCompile(`\{\{\s*item(\.[^{}]*?)?\s*\}\}`)

// iterates says whether the copy is what a loop gives inline, with one of its items put in:
// the one that the loop lists, or that the name of its nodes has. Other tags have to be there
// as they were: a step may run anything in their place (graph.Runs), so nobody may choose it.
func (c Copy) iterates(call map[string]any) bool {
	name := iteration.FindStringSubmatch(c.Call)
	loops := call["withItems"] != nil || call["withParam"] != nil || call["withSequence"] != nil
	if name == nil || !loops || call["name"] != name[1] {
		return false
	}
	var item any = name[3]
	list, _ := call["withItems"].([]any)
	if at, err := strconv.Atoi(name[2]); err == nil && at < len(list) {
		if text, isText := list[at].(string); !isText || (graph.Literal{Text: text}).Fixed() {
			item = list[at]
		}
	}
	inline, known := withItem(call["inline"], item, 0)
	return known && c.is(inline)
}

// withItem is a value with an item put into its texts; false if it is not known how Argo
// spells that.
func withItem(v, item any, depth int) (any, bool) {
	known := depth <= maxSpecDepth
	switch v := v.(type) {
	case string:
		made := itemTag.ReplaceAllStringFunc(v, func(tag string) string {
			of := item
			if field := itemTag.FindStringSubmatch(tag)[1]; field != "" {
				fields, _ := item.(map[string]any)
				of = fields[field[1:]]
			}
			switch of := of.(type) {
			case string:
				return of
			case bool, int64:
				return fmt.Sprint(of)
			case float64:
				if of == float64(int32(of)) {
					return fmt.Sprint(int32(of))
				}
			}
			known = false
			return tag
		})
		return made, known
	case map[string]any:
		made := make(map[string]any, len(v))
		for name, child := range v {
			var ok bool
			made[name], ok = withItem(child, item, depth+1)
			known = known && ok
		}
		return made, known
	case []any:
		made := make([]any, len(v))
		for i, child := range v {
			var ok bool
			made[i], ok = withItem(child, item, depth+1)
			known = known && ok
		}
		return made, known
	}
	return v, known
}

// callsOf lists the steps and tasks of a template.
func callsOf(template any) []map[string]any {
	t, _ := template.(map[string]any)
	dag, _ := t["dag"].(map[string]any)
	tasks, _ := dag["tasks"].([]any)
	groups, _ := t["steps"].([]any)
	for _, g := range groups {
		group, _ := g.([]any)
		tasks = append(tasks[:len(tasks):len(tasks)], group...)
	}
	var calls []map[string]any
	for _, task := range tasks {
		if c, object := task.(map[string]any); object {
			calls = append(calls, c)
		}
	}
	return calls
}

// withMetadata is a template with what its resource gives all pods, where it says
// nothing itself (Context.addPodMetadata).
func withMetadata(template map[string]any, all any) map[string]any {
	common, _ := all.(map[string]any)
	if len(common) == 0 {
		return template
	}
	template = maps.Clone(template)
	own, _ := template["metadata"].(map[string]any)
	metadata := maps.Clone(own)
	if metadata == nil {
		metadata = map[string]any{}
	}
	for _, kind := range []string{"annotations", "labels"} {
		given, _ := common[kind].(map[string]any)
		merged := maps.Clone(given)
		if merged == nil {
			merged = map[string]any{}
		}
		said, _ := metadata[kind].(map[string]any)
		maps.Copy(merged, said)
		metadata[kind] = merged
	}
	template["metadata"] = metadata
	return template
}

// joined says whether the copy of the whole spec is the live one with the
// Workflow's own fields above it. Fields that both have and that are not single
// values, which Argo merges, and the controller's defaults are not recognized.
func (w *Workflow) joined(live map[string]any) bool {
	own, _ := w.object["spec"].(map[string]any)
	made := w.executed()
	if live == nil || made == nil {
		return false
	}
	fields := maps.Clone(made)
	maps.Copy(fields, live)
	maps.Copy(fields, own)
	for name := range fields {
		if slices.Contains(steering, name) {
			continue
		}
		want := live[name]
		if said, given := own[name]; given {
			if _, both := live[name]; both && !single(said) {
				return false
			}
			want = said
		}
		a, errA := digestOf(made[name])
		b, errB := digestOf(want)
		if errA != nil || errB != nil || a != b {
			return false
		}
	}
	return true
}

// single says whether a value is neither a list nor an object.
func single(v any) bool {
	switch v.(type) {
	case string, bool, int64, float64:
		return true
	}
	return false
}
