package definition

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Reference is what a reference to a (Cluster)WorkflowTemplate resolved to, by
// Argo's own copy in the Workflow's status.
type Reference struct {
	TemplateRef
	// Template is the one that was taken from it; empty for the whole spec that
	// Argo made of it, the Workflow's own fields and the controller's defaults.
	Template string
	// SHA256 is taken as the spec's digest is. For a whole spec it leaves out the
	// fields that the guard of Workflows lets users change.
	SHA256 artifact.Digest
}

// steering are the fields of a spec that may change while a workflow runs; the
// guard of Workflows has the same list. Argo merges its copy anew when some of
// them do.
var steering = []string{"activeDeadlineSeconds", "arguments", "parallelism", "podGC", "priority", "shutdown", "suspend", "ttlStrategy"}

// resolution is what the references on the way to a node came to.
type resolution struct {
	references []Reference
	// missing is the first of which Argo has not stored its copy.
	missing *graph.NotStoredError
	// complete says that there are no others than these.
	complete bool
}

// add notes what one reference resolved to. stored is Argo's copy of it, and part
// names that copy for digests.
func (r *resolution) add(ref graph.Ref, template string, stored map[string]any, d *digests, part string) error {
	if stored == nil {
		if r.missing == nil {
			r.missing = &graph.NotStoredError{Ref: ref}
		}
		return nil
	}
	digest, err := d.of(part, stored)
	r.references = append(r.references, Reference{TemplateRef{Name: ref.Name, ClusterScope: ref.ClusterScope}, template, digest})
	return err
}

// references lists what the references on the way to a node resolved to, as far as
// Argo has stored its copies. Where the definition does not say plainly which
// templates are on the way, they are left out.
func (w *Workflow) references(node string) (resolution, error) {
	var r resolution
	if ref := w.definition.TemplateRef; ref != nil {
		if err := r.add(graph.Ref{Name: ref.Name, ClusterScope: ref.ClusterScope}, "", w.effective(), w.digests, partEffective); err != nil {
			return resolution{}, err
		}
	}
	path, err := w.path(node)
	switch {
	case errors.As(err, &r.missing):
	case err != nil && !errors.Is(err, graph.ErrUnresolvable):
		return resolution{}, err
	}
	for _, c := range path.Copies {
		if err := r.add(c.Ref, c.Template, w.copied(c), w.digests, c.ID()); err != nil {
			return resolution{}, err
		}
	}
	r.complete = err == nil && path.Certain && r.missing == nil
	return r, nil
}

// Settled says whether Fingerprint is final for a node: everything that the node
// runs, and all on the way to it, is either in the Workflow or in Argo's stored
// copies.
func (w *Workflow) Settled(node string) bool {
	if w == nil {
		return false
	}
	r, err := w.references(node)
	return err == nil && r.missing == nil
}

// path follows the name of a node through what the Workflow has.
func (w *Workflow) path(node string) (graph.Path, error) {
	g, err := w.Graph()
	if err != nil {
		return graph.Path{}, err
	}
	return g.Path(node)
}

// executed is Argo's copy of the spec it executes; nil if there is none.
func (w *Workflow) executed() map[string]any {
	spec, _ := w.status()["storedWorkflowTemplateSpec"].(map[string]any)
	return spec
}

// effective is the spec that Argo executes, without the fields that may change
// while it runs.
func (w *Workflow) effective() map[string]any {
	spec := w.executed()
	if spec == nil {
		return nil
	}
	spec = maps.Clone(spec)
	for _, name := range steering {
		delete(spec, name)
	}
	return spec
}

// Made is the digest by which statements know what the Workflow runs, whatever its
// arguments. It is of Argo's copy, if the Workflow refers to a whole template, and
// else of its own spec. It is empty as long as Argo has not stored that copy.
func (w *Workflow) Made() (artifact.Digest, error) {
	switch {
	case w == nil:
		return "", nil
	case w.definition.TemplateRef == nil:
		return w.definition.SpecDigest, nil
	case w.effective() == nil:
		return "", nil
	}
	return w.digests.of(partEffective, w.effective())
}

// copied is Argo's copy of a template from elsewhere; nil if there is none.
func (w *Workflow) copied(c graph.Copy) map[string]any {
	templates, _ := w.status()["storedTemplates"].(map[string]any)
	template, _ := templates[c.ID()].(map[string]any)
	return template
}

func (w *Workflow) status() map[string]any {
	status, _ := w.object["status"].(map[string]any)
	return status
}

// Awaits names the template that the Workflow refers to as a whole, as long as
// Argo has not stored its copy of it. See Foresee.
func (w *Workflow) Awaits() (graph.Ref, bool) {
	if w == nil || w.definition.TemplateRef == nil || w.executed() != nil {
		return graph.Ref{}, false
	}
	return graph.Ref{Name: w.definition.TemplateRef.Name, ClusterScope: w.definition.TemplateRef.ClusterScope}, true
}

// Foresee gives the Workflow as it will be with the template that it awaits. It is
// not certain that Argo takes this very template. So the template's default values
// are stated only if Argo's copy has them, too.
func (w *Workflow) Foresee(template map[string]any) *Workflow {
	spec, _ := template["spec"].(map[string]any)
	usual, err := argumentsOf(spec)
	if err != nil {
		return w
	}
	var all arguments
	for _, p := range usual.Parameters {
		if !slices.ContainsFunc(w.given, p.overridden) {
			all.Parameters = append(all.Parameters, p)
		}
	}
	for _, own := range w.given {
		at := slices.IndexFunc(usual.Parameters, func(p parameter) bool { return p.Name == own.Name })
		if own.Value != nil || at < 0 {
			all.Parameters = append(all.Parameters, own)
		}
	}
	foresees := *w
	foresees.foreseen = all.digest()
	return &foresees
}

// overridden says whether a parameter of the Workflow's takes the place of one
// of a template's.
func (p parameter) overridden(own parameter) bool { return own.Name == p.Name && own.Value != nil }

// argumentsOf reads the arguments of a spec.
func argumentsOf(spec map[string]any) (arguments, error) {
	var a arguments
	raw, err := marshal(spec["arguments"])
	if err != nil {
		return a, err
	}
	return a, graph.Decode(raw, &a)
}

// digest covers the parameters as they are stated, in any order.
func (a arguments) digest() artifact.Digest {
	list := a.stated()
	slices.SortFunc(list, func(a, b Parameter) int { return strings.Compare(a.Name, b.Name) })
	raw, err := json.Marshal(list)
	if err != nil {
		return ""
	}
	return artifact.DigestOfText(string(raw))
}

// arguments is the digest of the arguments that Argo executes, where the
// Workflow refers to a whole template and Argo has stored its copy; empty
// elsewhere.
func (w *Workflow) arguments() (artifact.Digest, error) {
	if spec := w.executed(); spec != nil && w.definition.TemplateRef != nil {
		return w.digests.of(partArguments, spec["arguments"])
	}
	return "", nil
}

// parametersAt gives the parameters that Argo executes, those of its copy, which
// have to be what was admitted. Where it had no copy then, they are only stated
// if they are what was foreseen; the Workflow's own are certain.
func (w *Workflow) parametersAt(f fingerprint, own []Parameter) ([]Parameter, error) {
	now, err := w.arguments()
	if err != nil || f.Arguments != "" && f.Arguments != now {
		return nil, reason.Wrap(reason.DefinitionChanged, err, "the arguments in Argo's copy of what it refers to are not those that were admitted")
	}
	copied, err := argumentsOf(w.executed())
	if err != nil {
		return nil, reason.Wrap(reason.DefinitionChanged, err, "the arguments in Argo's copy of what it refers to: %v", err)
	}
	if f.Arguments == "" && f.Foreseen != copied.digest() {
		return own, nil
	}
	return copied.stated(), nil
}

// ran says whether the step's template may be the one that its node is to run,
// by Argo's copies and the workflow's parameters. Argo makes a pod before it
// stores the copies. If storing fails it looks up anew, and may then store what
// another wrote meanwhile.
func (w *Workflow) ran(node Node, open []Parameter) error {
	g, err := w.Graph()
	if err == nil {
		_, err = g.Path(node.Name)
	}
	if errors.Is(err, graph.ErrUnresolvable) {
		return nil // what is on the path is not stated either
	}
	if g == nil {
		return reason.Wrap(reason.DefinitionChanged, err, "%v", err)
	}
	g = g.WithParameters(values(open))
	if err := g.Runs(node.Name, []byte(node.Made)); err != nil {
		return reason.Wrap(reason.DefinitionChanged, err, "it did not run template %.200q as the definition has it: %.300v", node.Template, err)
	}
	return nil
}

// values are those of parameters, by name.
func values(parameters []Parameter) map[string]string {
	all := make(map[string]string, len(parameters))
	for _, p := range parameters {
		all[p.Name] = p.Value
	}
	return all
}

// takesFrom says whether Argo's copies of templates take the step's inputs from where these
// came from by templates that the gate has read and not Argo. Where Argo has not stored
// everything to this day, some of the steps' outputs have to be the same; else, all.
func (w *Workflow) takesFrom(node Node, admitted fingerprint) error {
	was := admitted.Sources
	if was == nil {
		return nil
	}
	g, err := w.Graph()
	if err != nil {
		return reason.Wrap(reason.DefinitionChanged, err, "%v", err)
	}
	is, err := SourcesOf(g.WithParameters(values(admitted.Open)), node.Name, node.Inputs, true)
	if err != nil {
		return reason.Wrap(reason.DefinitionChanged, err, "where its inputs come from: %v", err)
	}
	among := func(d artifact.Digest) bool { return slices.Contains(is.Outputs, d) }
	known := within(was.Outputs, is.Outputs) || is.partial && slices.ContainsFunc(was.Outputs, among)
	if !known || !within(was.Literals, is.Literals) {
		return reason.New(reason.DefinitionChanged, "a template that it is defined by changed while its pod was made: Argo's copy takes an input from elsewhere")
	}
	return nil
}
