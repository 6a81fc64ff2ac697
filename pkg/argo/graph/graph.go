package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	stores "github.com/argoseal/argoseal/pkg/artifact"
)

// ErrUnresolvable says that the definition does not say plainly where an input
// comes from.
var ErrUnresolvable = errors.New("the workflow's definition does not say where it comes from")

// NotStoredError says that the Workflow does not have its copy of a template
// yet: Argo creates a pod before it stores what it looked up for it. A graph that
// has learned what the WorkflowTemplate says knows it: see Graph.Learn.
type NotStoredError struct{ Ref Ref }

func (e *NotStoredError) Error() string {
	return "the Workflow does not have its copy of " + e.Ref.String() + " yet"
}

// Ref names a WorkflowTemplate of the workflow's namespace or, with
// ClusterScope, a ClusterWorkflowTemplate.
type Ref struct {
	Name         string `json:"name"`
	ClusterScope bool   `json:"clusterScope"`
}

func (r Ref) String() string {
	if r.ClusterScope {
		return "ClusterWorkflowTemplate " + r.Name
	}
	return "WorkflowTemplate " + r.Name
}

// scope is how Argo's own copies are filed.
func (r Ref) scope() string {
	if r.ClusterScope {
		return "cluster/" + r.Name
	}
	return "namespaced/" + r.Name
}

func unresolvable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnresolvable, fmt.Sprintf(format, args...))
}

// Graph is one workflow's definition. It never changes, and is safe for concurrent
// use: what learns is a copy, which shares with it all that it does not learn.
type Graph struct {
	workflow string
	// spec is the one that is executed; nil as long as it is not known.
	spec *spec
	// own is the Workflow's own spec.
	own spec
	// stored are Argo's copies of referenced templates: SCOPE/NAME/TEMPLATE.
	stored map[string]*template

	// executed and copies are what spec and stored were read from, without what
	// was learned.
	executed object
	copies   object
}

type object = map[string]any

// Origins is everything that may be behind one input. The zero value is
// nothing: such an input was not supplied.
type Origins struct {
	Outputs  []Output
	Literals []Literal
	// Partial: some ways led to templates that Argo has not stored, and were left out.
	Partial bool
}

// Inline stands for the name of a template that was given inline without one,
// here as in statements. Argo allows no template of that name.
const Inline = "(inline)"

// Output is an output artifact of a step.
type Output struct {
	// Name of the output artifact.
	Name string
	// Template is the name of the producing template, or Inline.
	Template string
	// Optional says that the producing template calls it optional. Argo hands that
	// mark on to whoever is given the output.
	Optional bool

	node *regexp.Regexp
	// place is the name of its node for people, without marks of loops and retries.
	place string
	// part is the subPath that the definition adds to the output's key; empty
	// for the whole output.
	part string
	// recalls are the ways in which Argo may have it without running its step.
	recalls []recall
	// declared is where a global output is declared; nil for all others.
	declared *declaration
}

// Hands says whether the definition takes that part of the output, a path
// relative to it; empty for all of it.
func (o Output) Hands(part string) bool {
	want := Literal{Text: strings.Trim(o.part, "/")}
	if want.Fixed() {
		// As Argo's path.Join does to it, behind the output's key.
		if want.Text = path.Clean(want.Text); want.Text == "." {
			want.Text = ""
		}
	}
	return want.Fits(part)
}

// By says whether a node of that name, running that template, is the step.
func (o Output) By(node, template string) bool {
	return o.node != nil && o.Template == template && o.node.MatchString(node) && (o.declared == nil || o.declared.leads(node, template))
}

// spelled is the output in a way that does not depend on how Argo spells a definition.
func (o Output) spelled() string {
	return fmt.Sprintf("output %q %q %q %q %q", o.Name, o.Template, o.node, o.part, fmt.Sprintf("%+v", o.recalls))
}

// String names the output for people.
func (o Output) String() string {
	name := o.Name
	if o.part != "" {
		name += "/" + strings.Trim(o.part, "/")
	}
	return fmt.Sprintf("%.200s of node %.200q, template %.200s", name, o.place, o.Template)
}

// Literal is an artifact whose place or content the definition gives itself.
type Literal struct {
	// Store is the field that gives it: s3, raw, git, http …
	Store string
	// Keyed says that Text is a key in a kind of store that we know.
	Keyed bool
	// Text is the content of raw, too, and else empty.
	Text string
	// Bucket has the key; the zero value if the definition does not say which.
	Bucket stores.Location

	// expanded: the definition's parameters were put into Text.
	expanded bool
}

// Gives says whether the definition itself, and nothing that is substituted, gives that
// place, as far as it says: the kind of store and the key, and the bucket if it names one.
func (l Literal) Gives(at stores.Location) bool {
	if !l.Keyed || !l.Fixed() || at.Scheme.Kind().Name != l.Store {
		return false
	}
	return (l.Bucket.Store == "" || l.Bucket.Store == at.Store) && (l.Bucket.Bucket == "" || l.Bucket.Bucket == at.Bucket)
}

// spelled is the kind of literal, and what it says in full. What has a tag Argo may have
// substituted in by the time that it is spelled again.
func (l Literal) spelled() string {
	if !l.Fixed() || l.expanded {
		return fmt.Sprintf("literal %q %t", l.Store, l.Keyed)
	}
	return fmt.Sprintf("literal %q %t %q %q", l.Store, l.Keyed, l.Text, l.Bucket)
}

// Spelled has one text for each origin, which is the same whichever way Argo spells the
// definition: of outputs, and of literals. They are sorted, and none is there twice. Global
// outputs are left out: which templates have one of a name is known in the end alone, and
// whoever is said to have made one has to have run the very template that declares it.
func (o Origins) Spelled() (outputs, literals []string) {
	for _, out := range o.Outputs {
		if out.declared == nil {
			outputs = append(outputs, out.spelled())
		}
	}
	for _, l := range o.Literals {
		literals = append(literals, l.spelled())
	}
	slices.Sort(outputs)
	slices.Sort(literals)
	return slices.Compact(outputs), slices.Compact(literals)
}

// Fits says whether Argo may have made text of the literal's, by substituting
// what stands in double braces.
func (l Literal) Fits(text string) bool {
	pieces, _ := splitTags(l.Text)
	return pieces.fits(text)
}

// Fixed says whether nothing in the literal is substituted.
func (l Literal) Fixed() bool { return !tagged(l.Text) }

// Parse reads the definition of a Workflow: its spec and, in its status, Argo's
// copies of the templates it refers to.
func Parse(name string, workflow map[string]any) (*Graph, error) {
	status, _ := workflow["status"].(map[string]any)
	var is struct {
		Spec   spec                 `json:"spec"`
		Stored map[string]*template `json:"stored"`
		Copy   *spec                `json:"copy"`
	}
	err := convert(map[string]any{
		"spec": workflow["spec"], "stored": status["storedTemplates"], "copy": status["storedWorkflowTemplateSpec"],
	}, &is)
	if err != nil {
		return nil, unresolvable("Workflow %s: %v", name, err)
	}
	for id, t := range is.Stored {
		if t == nil { // null in JSON: a copy that says nothing, and is one
			is.Stored[id] = &template{}
		}
	}
	g := &Graph{workflow: name, own: is.Spec, spec: &is.Spec, stored: is.Stored}
	g.executed, _ = workflow["spec"].(object)
	g.copies, _ = status["storedTemplates"].(object)
	if is.Spec.WorkflowTemplateRef != nil {
		g.spec = is.Copy
		g.executed, _ = status["storedWorkflowTemplateSpec"].(object)
	}
	return g, nil
}

// Learn gives a graph that also knows what a WorkflowTemplate says, for what the
// Workflow has no copy of.
func (g *Graph) Learn(ref Ref, workflowTemplate map[string]any) (*Graph, error) {
	var is struct {
		Spec spec `json:"spec"`
	}
	if err := convert(workflowTemplate, &is); err != nil {
		return nil, unresolvable("%s: %v", ref, err)
	}
	learned := *g
	learned.stored = make(map[string]*template, len(g.stored)+len(is.Spec.Templates))
	maps.Copy(learned.stored, g.stored)
	for i := range is.Spec.Templates {
		t := &is.Spec.Templates[i]
		id := ref.scope() + "/" + t.Name
		if learned.stored[id] == nil {
			learned.stored[id] = t
		}
	}
	if g.spec == nil && g.own.WorkflowTemplateRef != nil && *g.own.WorkflowTemplateRef == ref {
		learned.spec = join(g.own, is.Spec)
	}
	return &learned, nil
}

// join is what Argo executes where a Workflow refers to a whole
// WorkflowTemplate: what the Workflow says itself comes first.
func join(own, referenced spec) *spec {
	s := referenced
	s.Templates = append(slices.Clone(own.Templates), referenced.Templates...)
	s.Arguments.Artifacts = append(slices.Clone(own.Arguments.Artifacts), referenced.Arguments.Artifacts...)
	s.Arguments.Parameters = append(slices.Clone(own.Arguments.Parameters), referenced.Arguments.Parameters...)
	s.Hooks = maps.Clone(referenced.Hooks)
	if s.Hooks == nil {
		s.Hooks = hooks{}
	}
	maps.Copy(s.Hooks, own.Hooks)
	if own.Entrypoint != "" {
		s.Entrypoint = own.Entrypoint
	}
	if own.OnExit != "" {
		s.OnExit = own.OnExit
	}
	if own.TemplateDefaults != nil {
		s.TemplateDefaults = own.TemplateDefaults
	}
	return &s
}

// convert reads an object of the API server's into a struct.
func convert(object map[string]any, into any) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return Decode(raw, into)
}

// WithParameters gives a graph in which these parameters of the workflow, by name,
// have the values from before Argo put anything into them. What Argo makes of them
// need not be the same everywhere: a value can be the result of an expression.
func (g *Graph) WithParameters(values map[string]string) *Graph {
	if g.spec == nil || len(values) == 0 {
		return g
	}
	executed := *g.spec
	executed.Arguments.Parameters = slices.Clone(g.spec.Arguments.Parameters)
	for i := range executed.Arguments.Parameters {
		p := &executed.Arguments.Parameters[i]
		if value, given := values[p.Name]; given {
			p.Value = new(AnyString(value))
		}
	}
	with := *g
	with.spec = &executed
	return &with
}

// Origins says where the named input of a node comes from. It fails with a
// *NotStoredError or ErrUnresolvable.
func (g *Graph) Origins(node, input string) (Origins, error) {
	return g.OriginsAmong(&Patterns{}, node, input)
}

// OriginsAmong is Origins for one of several inputs of a node. The inputs share a
// bound of compiled patterns. What comes from the same steps counts once.
func (g *Graph) OriginsAmong(p *Patterns, node, input string) (Origins, error) {
	r, _, err := g.resolve(node, input)
	if err != nil {
		return Origins{}, err
	}
	return r.origins(p)
}

// OriginsStored is OriginsAmong by what Argo has stored, and it leaves out the ways to what
// it has not: of a step whose condition is false it never stores any copy.
func (g *Graph) OriginsStored(p *Patterns, node, input string) (Origins, error) {
	r, _, err := g.resolving(node, input, true)
	if err != nil {
		return Origins{}, err
	}
	return r.origins(p)
}

// resolve follows an input of a node's to all that may be behind it, and gives the
// frame of that node.
func (g *Graph) resolve(node, input string) (*resolution, *frame, error) {
	return g.resolving(node, input, false)
}

func (g *Graph) resolving(node, input string, stored bool) (*resolution, *frame, error) {
	switch {
	case g == nil || g.workflow == "":
		return nil, nil, unresolvable("there is no definition")
	case g.spec == nil:
		return nil, nil, &NotStoredError{*g.own.WorkflowTemplateRef}
	}
	f, err := g.find(node)
	if err != nil {
		return nil, nil, err
	}
	r := &resolution{graph: g, stored: stored, taker: f, seen: map[visit]bool{}, children: map[child]*frame{}}
	if err := r.input(f, input, "", 0); err != nil {
		return nil, nil, err
	}
	return r, f, nil
}
