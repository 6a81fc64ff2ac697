package reproduce

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

func usage(format string, args ...any) *reason.Error {
	return reason.New(reason.UsageInvalid, format, args...)
}

// tag is what Argo replaces.
var tag = regexp.MustCompile(`(?s)\{\{\s*(.*?)\s*\}\}`)

// fixed begin the names in double braces that mean the same in a second run: the
// step's inputs, and its own paths.
var fixed = []string{"inputs.", "outputs.", "workflow.parameters."}

// varying begin the names in double braces that mean something else in another run.
var varying = []string{"workflow.", "pod.name", "node.name"}

// parameters are the arguments of the new Workflow: of the first run's, only those
// that something in it names.
func (m *making) parameters(arguments []any) ([]any, error) {
	wanted, all, err := m.referenced(arguments)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.options.Parameters)) {
		if !slices.ContainsFunc(m.statement.Definition.Parameters, func(p provenance.Parameter) bool { return p.Name == name }) {
			return nil, reason.New(reason.ValueMismatch, "the statement has no parameter %.80q", name)
		}
	}
	var list []any
	var missing []string
	for _, p := range m.statement.Definition.Parameters {
		given, said := m.options.Parameters[p.Name]
		// What is given is checked, whether it is needed or not.
		if said {
			if err := m.check(p, given); err != nil {
				return nil, err
			}
		}
		if !all && !wanted[p.Name] {
			continue
		}
		value := p.Value
		if hidden := p.HMAC != "" || p.SHA256 != ""; hidden {
			if !said {
				missing = append(missing, p.Name)
				continue
			}
			value = given
		}
		list = append(list, map[string]any{"name": p.Name, "value": value})
	}
	if len(missing) > 0 {
		return nil, usage("the statement does not show the value of %d parameters that the step uses, the first is %.80q: give it (--parameter %s=VALUE, or --parameter-file) with the notary's key to check it by (--parameter-key)", len(missing), missing[0], missing[0])
	}
	return list, nil
}

// check holds a value to what the statement says of it.
func (m *making) check(p provenance.Parameter, value string) error {
	if p.HMAC != "" && len(m.options.Key) == 0 {
		if !m.options.Unchecked {
			return usage("only the notary's key can tell whether parameter %.80q has this value: give it (--parameter-key), or take the value as it is (--unchecked-parameters)", p.Name)
		}
		m.note("parameter %.80q has the value that you gave: nobody has checked it", p.Name)
		return nil
	}
	same, err := p.Confirms(m.options.Key, m.statement.Step.Workflow.UID, value)
	switch {
	case err != nil:
		return usage("--parameter-key: %v", err)
	case !same:
		return reason.New(reason.ValueMismatch, "parameter %.80q has another value", p.Name)
	}
	return nil
}

// referenced are the workflow's parameters that anything in the new Workflow names. all
// says that it could name any.
func (m *making) referenced(arguments []any) (wanted map[string]bool, all bool, err error) {
	wanted = map[string]bool{}
	texts(map[string]any{"step": m.step, "spec": m.spec, "arguments": arguments}, func(s string) {
		for _, found := range tag.FindAllStringSubmatch(s, -1) {
			name, parameter := strings.CutPrefix(found[1], "workflow.parameters.")
			begins := func(prefix string) bool { return strings.HasPrefix(found[1], prefix) }
			switch {
			case strings.HasPrefix(found[1], "="):
				all = all || strings.Contains(found[1], "workflow")
			case found[1] == "workflow.parameters", parameter && name == "json":
				all = true
			case parameter:
				wanted[name] = true
			case slices.ContainsFunc(fixed, begins):
			case slices.ContainsFunc(varying, begins):
				m.note("the template names {{%.80s}}, which is another one in each run", found[1])
			case err == nil:
				err = incomparable(nil, "its template names {{%.80s}}, which only the first run had", found[1])
			}
		}
	})
	return wanted, all, err
}

// texts visits every text in a value, in an order that is always the same.
func texts(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, child := range v {
			texts(child, visit)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			visit(name)
			texts(v[name], visit)
		}
	}
}
