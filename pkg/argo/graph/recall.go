package graph

import (
	"slices"
	"strings"
)

// memo is what a template says of the cache that remembers its results (memoize).
type memo struct {
	Key   string `json:"key"`
	Cache struct {
		ConfigMap struct {
			Name string `json:"name"`
		} `json:"configMap"`
	} `json:"cache"`
}

// recall is one way in which Argo may have a step's results: the template of the step,
// or one that calls it, remembers its results under a key, and another call of it has
// been remembered under the same.
type recall struct {
	template   Copy
	cache, key string
	// below are the names of the calls from that template to the step, as a path.
	below string
}

// Recalled says whether Argo may hand on what a node made, which ran that template, as
// this output: its step did not run, because the definition has both remember the same
// template's results under one key of one cache. Where a report has a part in a key, it
// may not: whoever may report would choose whose results are handed on.
func (g *Graph) Recalled(o Output, node, template string) bool {
	if len(o.recalls) == 0 || o.Template != template || g == nil || g.spec == nil {
		return false
	}
	f, err := g.find(node)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(g.recalls(f), func(r recall) bool { return slices.Contains(o.recalls, r) })
}

// sameInAll spells, so that nobody else can, what is the same in every key of a run.
var sameInAll = strings.NewReplacer("{{workflow.name}}", "\x00name", "{{workflow.namespace}}", "\x00namespace", "{{workflow.uid}}", "\x00uid")

// recalls are those of the step that a frame calls.
func (g *Graph) recalls(f *frame) []recall {
	if d := g.spec.TemplateDefaults; d != nil && d.Memoize != nil {
		return nil // Argo puts these into what a template says itself, field by field
	}
	var found []recall
	below := ""
	for ; f != nil && !f.anybody; f = f.caller {
		t, err := g.template(f)
		if err != nil {
			return found
		}
		if r := (recall{template: g.callee(f), below: below}); t.Memoize != nil && r.template.Template != "" {
			e := &expansion{graph: g}
			key, cache := e.text(sameInAll.Replace(t.Memoize.Key), f), e.text(t.Memoize.Cache.ConfigMap.Name, f)
			if r.key, r.cache = key[0], cache[0]; len(key) == 1 && len(cache) == 1 && r.key != "" && r.cache != "" && !e.exceeded() {
				found = append(found, r)
			}
		}
		if f.call.Name == "" || len(f.callers) > 0 {
			return found // a hook, or one of several calls: what is above is not the only way
		}
		below = f.call.Name + "/" + below
	}
	return found
}
