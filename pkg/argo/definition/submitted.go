package definition

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// submitted is what a fingerprint keeps of a Workflow that Argo had not stored yet. When
// it does, it spells the spec anew and adds the controller's defaults (workflowDefaults).
type submitted struct {
	// Parameters are the names of the Workflow's own, in their order. Argo adds those of
	// the controller to them.
	Parameters []string `json:"parameters,omitempty"`
	// Unlisted: there are too many to be named, so none may come.
	Unlisted bool `json:"unlisted,omitempty"`
	// NoEntrypoint: it had none, so it gets the controller's.
	NoEntrypoint bool `json:"noEntrypoint,omitempty"`
	// Plain: what Argo makes of the spec, apart from arguments, is the same each time.
	Plain bool `json:"plain,omitempty"`
}

// submission is what a fingerprint keeps of the Workflow; nil if Argo has stored it.
func (w *Workflow) submission() *submitted {
	if w.stored {
		return nil
	}
	own := w.definition.TemplateRef == nil
	s := &submitted{NoEntrypoint: own && w.definition.Entrypoint == "", Plain: w.plain}
	size := 0
	for _, p := range w.definition.Parameters {
		s.Parameters = append(s.Parameters, p.Name)
		size += len(p.Name)
	}
	if !own || size > maxOpen {
		s.Parameters, s.Unlisted = nil, true
	}
	return s
}

// before is a definition without what Argo has added since. Others may have added
// parameters, too, which the guard of Workflows leaves free, or may have taken one away while
// the pod was admitted, with which Argo had made it: so of those only the names are stated.
func (s *submitted) before(d Definition) Definition {
	if !s.Unlisted {
		came := func(p Parameter) bool { return !slices.Contains(s.Parameters, p.Name) }
		for _, p := range d.Parameters {
			if came(p) {
				d.Unstated = append(d.Unstated, p.Name)
			}
		}
		slices.Sort(d.Unstated)
		d.Unstated = slices.Compact(d.Unstated)
		if d.Parameters = slices.DeleteFunc(slices.Clone(d.Parameters), came); len(d.Parameters) == 0 {
			d.Parameters = nil // as one that never had any, to the digest
		}
	}
	if s.NoEntrypoint {
		d.Entrypoint = ""
	}
	return d
}

// asAdmitted is the definition that was admitted, by the Workflow as it is now, as far as
// a digest of it has to be the same.
func (w *Workflow) asAdmitted(f fingerprint, now Definition) (Definition, error) {
	switch {
	case f.Submitted == nil:
		return now, nil
	case !w.stored:
		return Definition{}, reason.New(reason.DefinitionIncomplete, "Argo has not stored Workflow %s yet", w.Name)
	}
	return f.Submitted.before(now), nil
}

// storedAs is the digest of the spec as Argo stored it, for a step that it made before; it is
// empty where that is what was admitted, or says nothing of what the step ran.
//
// Nobody but Argo changes a spec, by the guard of Workflows. But whoever may write the rest
// of a Workflow can have it fail to store what it made a pod of, by conflicts, and make
// something else the next time. So what it makes must not depend on what others may write
// (plain), and the step has to have run, in full, what Argo stored.
func (w *Workflow) storedAs(f fingerprint, node Node, stored artifact.Digest) artifact.Digest {
	if f.Submitted == nil || !f.Submitted.Plain || stored == f.Spec {
		return ""
	}
	g, err := w.Graph()
	if err != nil || g.WithParameters(values(f.Open)).RunsWhole(node.Name, []byte(node.Made)) != nil {
		return "" // then it is stated as it was admitted, and compared by that
	}
	return stored
}

// plain says whether Argo makes the same of a Workflow's own spec each time, apart from
// arguments. For that it has to read it in one way, and put no values into it.
//
// It replaces what stands in double braces in the JSON of the whole spec without templates
// (substituteGlobalVariables): so braces that an argument opens and does not close reach into
// other fields. Where the Workflow refers to a whole template, that is done to a copy.
func plain(spec map[string]any, refers bool) bool {
	raw, err := marshal(spec)
	if err != nil || graph.Decode(raw, &shape{}) != nil {
		return false
	}
	for name, value := range spec {
		ok := bare
		switch {
		case misspelled(name):
			return false
		case refers || name == "templates":
			continue
		case name == "arguments":
			ok = closed
		}
		if !each(value, ok, 0) {
			return false
		}
	}
	return true
}

// shape has the fields of a spec that shape pods by Kubernetes' own types, so that
// graph.Decode refuses other spellings in them. What is in templates and their defaults is
// compared with what the step ran, and other fields of Argo's own do not change that.
type shape struct {
	Affinity             *corev1.Affinity               `json:"affinity"`
	DNSConfig            *corev1.PodDNSConfig           `json:"dnsConfig"`
	HostAliases          []corev1.HostAlias             `json:"hostAliases"`
	ImagePullSecrets     []corev1.LocalObjectReference  `json:"imagePullSecrets"`
	SecurityContext      *corev1.PodSecurityContext     `json:"securityContext"`
	Tolerations          []corev1.Toleration            `json:"tolerations"`
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates"`
	Volumes              []corev1.Volume                `json:"volumes"`
}

// fieldsOfSpec are all of a spec's (v3.7.18 and v4.0.2, WorkflowSpec).
var fieldsOfSpec = []string{
	"activeDeadlineSeconds", "affinity", "archiveLogs", "arguments", "artifactGC", "artifactRepositoryRef", "automountServiceAccountToken",
	"dnsConfig", "dnsPolicy", "entrypoint", "executor", "hooks", "hostAliases", "hostNetwork", "imagePullSecrets", "metrics", "nodeSelector",
	"onExit", "parallelism", "podDisruptionBudget", "podGC", "podMetadata", "podPriorityClassName", "podSpecPatch", "priority", "retryStrategy",
	"schedulerName", "securityContext", "serviceAccountName", "shutdown", "suspend", "synchronization", "templateDefaults", "templates",
	"tolerations", "ttlStrategy", "volumeClaimGC", "volumeClaimTemplates", "volumes", "workflowMetadata", "workflowTemplateRef",
}

// misspelled says whether a field is one of a spec's to some readers of JSON, and not to others.
func misspelled(name string) bool {
	return slices.ContainsFunc(fieldsOfSpec, func(field string) bool { return name != field && strings.EqualFold(name, field) })
}

// each says whether all texts in a value, and names of fields, are like that.
func each(v any, ok func(string) bool, depth int) bool {
	if depth > maxSpecDepth {
		return false
	}
	switch v := v.(type) {
	case string:
		return ok(v)
	case map[string]any:
		for name, child := range v {
			if !ok(name) || !each(child, ok, depth+1) {
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !each(child, ok, depth+1) {
				return false
			}
		}
	}
	return true
}

func bare(s string) bool { return !strings.Contains(s, "{{") }

// closed says whether all tags in a text end in it, as Argo reads them: from braces to the
// next that close.
func closed(s string) bool {
	for {
		_, tag, opens := strings.Cut(s, "{{")
		if !opens {
			return true
		}
		_, rest, closes := strings.Cut(tag, "}}")
		if !closes {
			return false
		}
		s = rest
	}
}
