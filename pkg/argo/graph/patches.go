package graph

import (
	"slices"
	"strings"
)

// Patch is the podSpecPatch of the whole workflow, as the definition has it;
// empty for none.
func (g *Graph) Patch() string {
	text, _ := g.executed["podSpecPatch"].(string)
	return text
}

// Patches are the podSpecPatches that a node's template may have, as the definition
// has them. It fails as Path does.
func (g *Graph) Patches(node string) ([]string, error) {
	if _, err := g.Path(node); err != nil {
		return nil, err
	}
	f, err := g.find(node)
	if err != nil {
		return nil, err
	}
	if _, err := g.template(f); err != nil {
		return nil, err
	}
	from := []any{g.executed["templateDefaults"]}
	for _, body := range g.bodies(f) {
		from = append(from, body)
	}
	var texts []string
	for _, v := range from {
		if text, _ := of(v, "podSpecPatch").(string); text != "" {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// Open says whether any podSpecPatch of the definition takes a part of its text from
// elsewhere, such as a parameter.
func (g *Graph) Open() bool { return open(g.executed) || open(g.copies) }

func open(v any) bool {
	switch v := v.(type) {
	case object:
		for key, value := range v {
			if text, ok := value.(string); ok && key == "podSpecPatch" && strings.Contains(text, "{{") || open(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, open)
	}
	return false
}

// Volumes are those that the definition gives to the whole workflow, and the
// claims that Argo makes for it, as the definition has them.
func (g *Graph) Volumes() (volumes, claims []any) {
	volumes, _ = g.executed["volumes"].([]any)
	claims, _ = g.executed["volumeClaimTemplates"].([]any)
	return volumes, claims
}

// SecurityContext is what the definition gives to all pods; nil for nothing.
func (g *Graph) SecurityContext() any { return g.executed["securityContext"] }

// Names are the fields of the executed spec that say what names of hosts mean. A
// pod's spec has them under the same names.
func (g *Graph) Names() map[string]any {
	names := map[string]any{}
	for _, field := range []string{"hostAliases", "dnsPolicy", "dnsConfig"} {
		if value, found := g.executed[field]; found {
			names[field] = value
		}
	}
	return names
}
