package argo

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// image is what an executor container of the pod runs.
type image struct{ container, image string }

// Genuine says whether the step was made by Argo for this live Workflow.
// creator is the user name of the admission request.
func (s *Step) Genuine(creator string, wf *definition.Workflow, id Identity) error {
	if !id.madeByArgo(creator) {
		return reason.New(reason.CreatorNotArgo, "it was made by %.200q", creator)
	}
	if err := s.checkOwner(wf); err != nil {
		return err
	}
	if err := wf.CheckMetadata(nil); err != nil {
		return err
	}
	if err := s.checkNames(); err != nil {
		return err
	}
	return s.checkImages(id)
}

// checkOwner wants owner, label and Workflow to be one.
func (s *Step) checkOwner(wf *definition.Workflow) error {
	if len(s.owners) != 1 {
		return reason.New(reason.OwnerMismatch, "it has %d owners, want its Workflow alone", len(s.owners))
	}
	owner := s.owners[0]
	switch {
	case owner.APIVersion != layout.APIVersion || owner.Kind != layout.Kind || owner.Controller == nil || !*owner.Controller:
		return reason.New(reason.OwnerMismatch, "its owner is not a controlling %s %s", layout.APIVersion, layout.Kind)
	case wf == nil || wf.UID == "":
		return reason.New(reason.OwnerMismatch, "Workflow %.253s does not exist", owner.Name)
	case wf.Namespace != s.Namespace || s.Namespace == "":
		return reason.New(reason.OwnerMismatch, "its Workflow lies in another namespace")
	case wf.Name != owner.Name:
		return reason.New(reason.OwnerMismatch, "its owner's name is not the Workflow's")
	case wf.UID != string(owner.UID):
		return reason.New(reason.OwnerMismatch, "its owner's UID is not that of Workflow %s", wf.Name)
	case s.label != wf.Name:
		return reason.New(reason.OwnerMismatch, "its label %s is not the Workflow's name", layout.LabelWorkflow)
	}
	return nil
}

// checkNames wants pod name, node name and node id to belong together.
func (s *Step) checkNames() error {
	if s.NodeName == "" || s.NodeID != nodeID(s.Workflow, s.NodeName) {
		return reason.New(reason.NodeMismatch, "its node id is not that of its node name")
	}
	if s.Pod != s.NodeID && s.Pod != podName(s.Workflow, s.NodeName, s.Template) {
		return reason.New(reason.NodeMismatch, "its name is not that of its node and template")
	}
	return nil
}

// checkImages wants Argo's own containers to run one configured image.
func (s *Step) checkImages(id Identity) error {
	for _, i := range s.images {
		if !slices.Contains(id.ExecutorImages, i.image) {
			return reason.New(reason.ExecutorImageNotAllowed, "%s runs %.300q", i.container, i.image)
		}
		if i.image != s.images[0].image {
			return reason.New(reason.ExecutorImageNotAllowed, "%s and %s run different images", s.images[0].container, i.container)
		}
	}
	return nil
}

// nodeID is Argo's id of a node (Workflow.NodeID).
func nodeID(workflow, nodeName string) string {
	if nodeName == workflow {
		return workflow
	}
	return fmt.Sprintf("%s-%d", workflow, hash(nodeName))
}

// podName is Argo's name of a node's pod (util.GeneratePodName, v2). In v1 it
// is the node's id.
func podName(workflow, nodeName, template string) string {
	// 253, less the hash, less the dash.
	const maxPrefix = 253 - 10 - 1
	if workflow == nodeName {
		return workflow
	}
	p := workflow
	if template != "" {
		p += "-" + template
	}
	if len(p) > maxPrefix {
		p = p[:maxPrefix]
	}
	return fmt.Sprintf("%s-%d", p, hash(nodeName))
}

func hash(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}
