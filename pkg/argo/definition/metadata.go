package definition

import (
	"encoding/json"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// PodMetadata is what a template, or a workflow for all its templates, adds to the
// metadata of pods. Argo writes it over its own.
type PodMetadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// identifying are the keys by which Argo, the gate and the notary know which step a
// pod is. Users have others of Argo's: kill-cmd-*, progress, pod-gc-strategy.
var identifying = []string{
	layout.LabelWorkflow, layout.LabelCompleted, layout.LabelComponent, layout.Prefix + "controller-instanceid", layout.Prefix + "on-exit",
	layout.AnnotationNodeID, layout.AnnotationNodeName, layout.Prefix + "node-type", layout.Prefix + "template", layout.Prefix + "outputs",
}

// Check refuses metadata that gives a workflow's pods another identity than Argo
// does. What Argo gives them anyway changes nothing.
func (m PodMetadata) Check(where, workflow string) error {
	usual := map[string]string{layout.LabelWorkflow: workflow, layout.LabelCompleted: layout.Uncompleted}
	for _, key := range identifying {
		for _, given := range []map[string]string{m.Labels, m.Annotations} {
			value, found := given[key]
			if found && (value == "" || value != usual[key]) && (key != layout.LabelWorkflow || value != "{{workflow.name}}") {
				return reason.New(reason.MetadataReserved, "%s sets %s, by which Argo knows whose pod it is", where, key)
			}
		}
	}
	return nil
}

// CheckMetadata refuses a workflow that adds to its pods what Argo knows them by.
// awaited is the template that it refers to as a whole, where Argo has not stored
// its copy of that; nil elsewhere.
func (w *Workflow) CheckMetadata(awaited map[string]any) error {
	own, _ := w.object["spec"].(map[string]any)
	template, _ := awaited["spec"].(map[string]any)
	for _, spec := range []map[string]any{own, w.executed(), template} {
		given, found := spec["podMetadata"]
		if !found {
			continue
		}
		var m PodMetadata
		raw, err := marshal(given)
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		if err != nil {
			return reason.Wrap(reason.MetadataReserved, err, "podMetadata cannot be read: %v", err)
		}
		if err := m.Check("podMetadata", w.Name); err != nil {
			return err
		}
	}
	return nil
}
