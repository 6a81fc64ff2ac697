package reproduce

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Names in the Workflow that runs a step again.
const (
	outer = "reproduce"
	inner = "step"
)

// Source is the text of what ran. Anybody may have written it: only what the
// statement has digests of counts.
type Source struct {
	// Workflow is what the step was one of, as the API server has it or as it was submitted.
	Workflow map[string]any
	// Pod is what the step's pod says, nil if it is gone: every value that the step was given
	// stands in its template.
	Pod *argo.Step
}

// Options are what the user says.
type Options struct {
	// Namespace is where it runs, and ServiceAccount as whom: nothing of that is taken
	// from the first run.
	Namespace, ServiceAccount string
	// Parameters are values of the workflow's parameters, for those that the statement hides.
	Parameters map[string]string
	// Inputs are values of the step's own input parameters, which no statement has.
	Inputs map[string]string
	// Key is the notary's key of parameters. Without it nobody can check values
	// that a statement hides; Unchecked says to take them all the same.
	Key       []byte
	Unchecked bool
}

// Plan is how the step is run again.
type Plan struct {
	Workflow *unstructured.Unstructured
	// Notes say what of it no digest of the statement covers.
	Notes []string
}

// making is a Plan on its way.
type making struct {
	statement *provenance.Statement
	options   Options
	// step is the template. exact: it is what Argo made, with all values in it.
	step  map[string]any
	exact bool
	// spec are the fields that the new Workflow's spec has beside templates and arguments.
	spec  map[string]any
	notes []string
}

// Make plans to run a step again. The statement has to be verified, and everything else
// is held to it. Its errors are NotComparable where the step cannot be run as it ran,
// UsageInvalid where the user has to say more, ValueMismatch where what they say is not
// what the statement hides.
func Make(s *provenance.Statement, from Source, o Options) (*Plan, error) {
	m := &making{statement: s, options: o}
	if err := m.read(from); err != nil {
		return nil, err
	}
	if err := m.template(); err != nil {
		return nil, err
	}
	arguments, err := m.inputs()
	if err != nil {
		return nil, err
	}
	parameters, err := m.parameters(arguments)
	if err != nil {
		return nil, err
	}
	m.step["name"] = inner
	call := map[string]any{"name": inner, "template": inner}
	if len(arguments) > 0 {
		call["arguments"] = map[string]any{"parameters": arguments}
	}
	m.spec["entrypoint"] = outer
	m.spec["templates"] = []any{map[string]any{"name": outer, "steps": []any{[]any{call}}}, m.step}
	if len(parameters) > 0 {
		m.spec["arguments"] = map[string]any{"parameters": parameters}
	}
	if o.ServiceAccount != "" {
		m.spec["serviceAccountName"] = o.ServiceAccount
	}
	return &Plan{Notes: m.notes, Workflow: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": layout.APIVersion, "kind": layout.Kind,
		"metadata": map[string]any{"namespace": o.Namespace, "generateName": outer + "-"},
		"spec":     m.spec,
	}}}, nil
}

// Owns says whether the second statement is of the planned Workflow, as it was
// created, and not of another one that somebody ran under its name.
func Owns(created *unstructured.Unstructured, second *provenance.Statement) error {
	w, err := definition.Parse(created)
	if err != nil {
		return incomparable(err, "the Workflow that was submitted: %v", err)
	}
	d, err := w.Definition(inner)
	if err != nil {
		return incomparable(err, "the Workflow that was submitted: %v", err)
	}
	step := second.Step
	switch {
	case step.Namespace != w.Namespace || step.Workflow != (provenance.Ref{Name: w.Name, UID: w.UID}):
		return incomparable(nil, "the seal is of Workflow %s/%s, and %s/%s was submitted", step.Namespace, step.Workflow.Name, w.Namespace, w.Name)
	case second.Definition.Spec != d.SpecDigest || second.Definition.Template != inner || second.Definition.WorkflowTemplate != nil:
		return incomparable(nil, "Workflow %s/%s was changed after it was submitted", w.Namespace, w.Name)
	}
	return nil
}

func incomparable(err error, format string, args ...any) *reason.Error {
	return reason.Wrap(reason.NotComparable, err, format, args...)
}

// undefined is the error for a definition that is not the stated one.
func undefined(err error) *reason.Error {
	detail := err.Error()
	var e *reason.Error
	if errors.As(err, &e) {
		detail = e.Detail
	}
	return incomparable(err, "%s", detail).Advise("Give the Workflow as it was when it had run, or as it was submitted (--definition): Argo spells some of it anew, such as quantities")
}

// note says what nothing checks.
func (m *making) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(m.notes, n) {
		m.notes = append(m.notes, n)
	}
}

// podFields are the fields of a spec that shape every pod of a workflow. All others steer
// the workflow as a whole, or say as whom it runs.
var podFields = []string{
	"affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "hostAliases", "hostNetwork", "imagePullSecrets", "nodeSelector",
	"podSpecPatch", "schedulerName", "securityContext", "tolerations", "volumeClaimTemplates", "volumes",
}

// read takes the text of what ran, as far as the statement has its digests.
func (m *making) read(from Source) error {
	s := m.statement
	stated := definition.Stated{Spec: s.Definition.Spec, Stored: s.Definition.Stored}
	for _, r := range s.Definition.References {
		stated.References = append(stated.References, definition.Reference{
			TemplateRef: definition.TemplateRef{Name: r.Name, ClusterScope: r.ClusterScope}, Template: r.Template, SHA256: r.SHA256,
		})
	}
	// Its name and UID do not count, and a Workflow that was not submitted yet has
	// no UID, and maybe no name. The digest decides.
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": layout.APIVersion, "kind": layout.Kind, "spec": from.Workflow["spec"], "status": from.Workflow["status"],
		"metadata": map[string]any{"namespace": s.Step.Namespace, "name": s.Step.Workflow.Name, "uid": s.Step.Workflow.UID},
	}}
	w, err := definition.Parse(u)
	if err != nil {
		return undefined(err)
	}
	spec, err := w.SpecAs(stated)
	if err != nil {
		return undefined(err)
	}
	m.spec = map[string]any{}
	for _, name := range podFields {
		if v, given := spec[name]; given {
			m.spec[name] = runtime.DeepCopyJSONValue(v)
		}
	}
	if m.made(from.Pod) {
		return nil
	}
	body, err := w.TemplateAs(stated, s.Step.NodeName)
	if err != nil {
		return undefined(err)
	}
	m.step = runtime.DeepCopyJSON(body)
	if defaults, _ := spec["templateDefaults"].(map[string]any); len(defaults) > 0 {
		defaults = runtime.DeepCopyJSON(defaults)
		if err := strip(defaults); err != nil {
			return err
		}
		m.spec["templateDefaults"] = defaults
	}
	return nil
}

// made takes the template that Argo made for the pod, if it is that.
func (m *making) made(pod *argo.Step) bool {
	// The digest is of the text as the kubelet changes it ($$ becomes $). The
	// kubelet is going to do so again.
	if pod == nil || pod.TemplateDigest != m.statement.Definition.TemplateBody {
		return false
	}
	text := pod.Node().Made
	// Double braces that are still there Argo has left as they are. It would
	// replace them in a second run.
	if strings.Contains(text, "{{") || json.Unmarshal([]byte(text), &m.step) != nil || m.step == nil {
		m.step = nil
		return false
	}
	m.exact = true
	return true
}
