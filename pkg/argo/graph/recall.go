package graph

import (
	"regexp"
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

// recall is one way in which Argo may have a step's results from a cache: a
// template remembers its results under a key, and an earlier call of it was
// remembered under the same key. The template is the step's own, or one that calls
// the step.
type recall struct {
	template   Copy
	cache, key string
	// run: another run has another key, or another cache.
	run bool
	// below is the path of calls from that template down to the step. step is what
	// the last call calls.
	below string
	step  Copy
}

// Recalled are those of the outputs for which Argo may hand on what another node
// made, a node that ran this template. Then the outputs' own steps did not run: by
// the definition both nodes remember the same template's results, under one key of
// one cache. A key that depends on a report is left out, because whoever may report
// would choose whose results are handed on. elsewhere: the node was one of another
// run of this definition.
func (g *Graph) Recalled(outputs []Output, node, template string, elsewhere bool) []Output {
	if g == nil || g.spec == nil {
		return nil
	}
	outputs = slices.DeleteFunc(slices.Clone(outputs), func(o Output) bool { return len(o.recalls) == 0 || o.Template != template })
	if len(outputs) == 0 {
		return nil
	}
	f, err := g.find(node)
	if err != nil {
		return nil
	}
	made := (&expansion{graph: g, spent: &spent{}}).recalls(f, nil)
	return slices.DeleteFunc(outputs, func(o Output) bool {
		return !slices.ContainsFunc(made, func(r recall) bool { return slices.Contains(o.recalls, r) && (!r.run || !elsewhere) })
	})
}

// recalls are the recalls of the step that a frame calls, its own first, then those of
// the calls around it: a template hands its remembered results to its caller. They end
// at a call that the taker is a part of, too: in that call all steps ran.
func (e *expansion) recalls(f, taker *frame) []recall {
	if d := e.graph.spec.TemplateDefaults; d != nil && d.Memoize != nil {
		return nil // Argo puts these into what a template says itself, field by field
	}
	var found []recall
	step, below := e.graph.callee(f), ""
	for ; f != nil && !taker.within(f); f = f.caller {
		t, err := e.graph.template(f)
		if err != nil {
			return found
		}
		if t.Memoize != nil && !f.inlined() {
			key, run, known := e.remembered(t.Memoize.Key, f)
			cache, too, named := e.remembered(t.Memoize.Cache.ConfigMap.Name, f)
			if known && named {
				found = append(found, recall{e.graph.callee(f), cache, key, run || too, below, step})
			}
		}
		if f.call.Name == "" || len(f.callers) > 0 {
			return found // a hook, or one of several calls: what is above is not the only way
		}
		below = f.call.Name + "/" + below
	}
	return found
}

// within says whether a frame is another one, or called from there.
func (f *frame) within(other *frame) bool {
	for ; f != nil; f = f.caller {
		if f == other {
			return true
		}
	}
	return false
}

const (
	// maxMemo bounds the text of a key or a cache, in bytes.
	maxMemo = 4 << 10
	// maxRemembered bounds what becomes of that text: a ConfigMap takes no longer
	// one. The stand-in for a workflow's name may be longer.
	maxRemembered = 253
)

// rememberable is all that a key may have in it (Argo's cacheKeyRegex), or a ConfigMap's
// name.
var rememberable = regexp.MustCompile(`^[-.a-zA-Z0-9]*$`)

// remembered is what Argo makes of a key, or of a cache's name, in terms of a
// frame. It is only for comparing with what the same text makes elsewhere. A value
// that is the same in a whole run is written as its name, between bytes that occur
// nowhere else; run says that there is one. known is false if a value may be
// anything.
func (e *expansion) remembered(s string, f *frame) (made string, run, known bool) {
	if s == "" || len(s) > maxMemo {
		return "", false, false
	}
	pieces, tags := splitTags(s)
	var b strings.Builder
	for i, piece := range pieces {
		if i > 0 {
			switch tag := strings.TrimSpace(tags[i-1]); tag {
			case "workflow.name", "workflow.namespace", "workflow.uid":
				b.WriteString("\x00" + tag + "\x00")
				run = true
			default:
				value := e.text(opens+tag+closes, f)
				if len(value) != 1 || len(value[0]) > maxRemembered || !rememberable.MatchString(value[0]) {
					return "", false, false
				}
				b.WriteString(value[0])
			}
		}
		if b.WriteString(piece); b.Len() > 2*maxRemembered || !rememberable.MatchString(piece) {
			return "", false, false
		}
	}
	e.bytes += b.Len() // it is kept
	return b.String(), run, b.Len() > 0 && !e.exceeded()
}
