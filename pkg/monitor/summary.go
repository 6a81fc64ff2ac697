package monitor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/set"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/nodes"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// Bounds of what a status has, as in v1alpha1, in bytes and nodes.
const (
	maxNodes   = 1000
	maxID      = 512
	maxName    = 253
	maxWord    = 64
	maxMessage = 1024
	// maxBytes bounds what the nodes take in etcd, which stores 1.5 MiB at most: the
	// notary's bundles are beside them, of 900 KiB. A usual node takes 400 bytes.
	maxBytes = 512 << 10
	// fieldNames is what the API server keeps of a node beside it and its id
	// (metadata.managedFields).
	fieldNames = 128
)

// PhaseGone stands for the phase of a Workflow that does not exist any more.
const PhaseGone = "Gone"

// Reasons of the conditions of a WorkflowProvenance, beside those of package reason.
const (
	reasonRunning   = "Running"        // the workflow has not ended, or a seal is on its way
	reasonPartial   = "Partial"        // some of what its steps stored is sealed, and some will never be
	reasonFailed    = "Failed"         // nothing of what its steps stored is sealed, or will be
	reasonRead      = "Read"           // the status of its nodes was read
	reasonOffloaded = "NodesOffloaded" // Argo keeps the status of its nodes in a database, which is not read
	reasonInvalid   = "NodesInvalid"   // the status of its nodes cannot be read
	reasonGone      = string(reason.WorkflowGone)
)

// Seen is what is known of one workflow.
type Seen struct {
	// Workflow is its status; nil if it does not exist any more.
	Workflow *nodes.Status
	// Before is what was told when it still did; may be nil.
	Before *v1alpha1.WorkflowProvenanceStatus
	// Records are the Provenances of its pods.
	Records []v1alpha1.Provenance
	// Coming has the ids of nodes whose pods are there, tagged and without a record.
	Coming set.Set[string]
}

// Blind says that the nodes of a workflow that has ended cannot be read: any tagged pod
// of it may have stored something.
func (s Seen) Blind() bool {
	return s.Workflow == nil || (s.Workflow.Ended && s.Workflow.Err != nil)
}

// Missing are the nodes of an ended workflow that say that they stored artifacts
// but have no record. Their pods may still be there.
func (s Seen) Missing() []string {
	if s.Workflow == nil || !s.Workflow.Ended {
		return nil
	}
	recorded := latest(s.Records)
	var ids []string
	for _, n := range s.Workflow.Nodes {
		if _, ok := recorded[text.Prefix(n.ID, maxID)]; !ok && stored(n) {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// stored says whether a node that has no record says that its pod stored artifacts.
func stored(n nodes.Node) bool {
	return n.Type == nodes.TypePod && !n.Memoized && !n.Skipped() && !n.Failed() && n.Artifacts > 0
}

// Status is what is known, told: all of a WorkflowProvenance's status but the version
// of the Workflow. Conditions are without times.
func (s Seen) Status() v1alpha1.WorkflowProvenanceStatus {
	recorded := latest(s.Records)
	var all []v1alpha1.WorkflowNode
	var counts v1alpha1.WorkflowCounts
	counts.Records = int32(len(s.Records))
	ended := s.Workflow == nil || s.Workflow.Ended
	known := set.New[string]()
	double := 0
	for _, n := range s.nodes() {
		id := text.Prefix(n.ID, maxID)
		record, found := recorded[id]
		switch {
		case !n.Pod() && !found:
		case known.Has(id):
			// A list has an id once, and Argo gives no two nodes ids that begin alike for
			// so long. What it stored counts; the record is that of the first.
			if n.Pod() {
				s.node(n, nil, &counts)
				double++
			}
		default:
			known.Insert(id)
			all = append(all, s.node(n, record, &counts))
		}
	}
	// Argo has lost these, or they cannot be read.
	unknown := set.New[string]()
	for id := range recorded {
		unknown.Insert(id)
	}
	for id := range s.Coming {
		unknown.Insert(text.Prefix(id, maxID))
	}
	for id := range unknown.Difference(known) {
		all = append(all, s.node(nodes.Node{ID: id, Type: nodes.TypePod}, recorded[id], &counts))
	}
	slices.SortFunc(all, func(a, b v1alpha1.WorkflowNode) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	out := v1alpha1.WorkflowProvenanceStatus{
		State:         stateOf(counts, ended),
		WorkflowPhase: PhaseGone,
		Counts:        counts,
	}
	if s.Workflow != nil {
		out.WorkflowPhase = text.Prefix(s.Workflow.Phase, maxWord)
	}
	out.Nodes = fitting(all)
	out.NodesOmitted = int32(double + len(all) - len(out.Nodes))
	meta.SetStatusCondition(&out.Conditions, sealedCondition(out.State, counts))
	meta.SetStatusCondition(&out.Conditions, s.nodesRead())
	return out
}

// nodes are those that the Workflow has, or had when it was last seen.
func (s Seen) nodes() []nodes.Node {
	if s.Workflow != nil {
		return s.Workflow.Nodes
	}
	if s.Before == nil {
		return nil
	}
	var all []nodes.Node
	for _, n := range s.Before.Nodes {
		was := nodes.Node{
			ID: n.ID, Name: n.Name, Type: nodes.TypePod, Phase: n.Phase, Template: n.Template, Daemon: n.Daemon,
			Memoized: n.Outcome == v1alpha1.NodeMemoized, Artifacts: int(n.Unsealed),
		}
		if was.Ended() && n.Outcome == v1alpha1.NodePending {
			// It waited for a seal, of something: how many outputs is not kept.
			was.Artifacts = max(1, was.Artifacts)
		}
		all = append(all, was)
	}
	return all
}

// latest has for each node the record of the pod that was made last: a workflow that
// is retried gives a node's id to another pod.
func latest(records []v1alpha1.Provenance) map[string]*v1alpha1.Provenance {
	last := make(map[string]*v1alpha1.Provenance, len(records))
	for i := range records {
		r := &records[i]
		before := last[r.Spec.NodeID]
		if before == nil || before.Spec.PodCreatedAt.Before(&r.Spec.PodCreatedAt) ||
			(before.Spec.PodCreatedAt.Equal(&r.Spec.PodCreatedAt) && before.CreationTimestamp.Before(&r.CreationTimestamp)) {
			last[r.Spec.NodeID] = r
		}
	}
	return last
}

// node tells one node, and counts it.
func (s Seen) node(n nodes.Node, record *v1alpha1.Provenance, counts *v1alpha1.WorkflowCounts) v1alpha1.WorkflowNode {
	out := v1alpha1.WorkflowNode{
		ID:       text.Prefix(n.ID, maxID),
		Name:     text.Prefix(n.Name, maxName),
		Template: text.Prefix(n.Template, maxName),
		Phase:    text.Prefix(n.Phase, maxWord),
		Daemon:   n.Daemon,
	}
	failed := n.Failed()
	if failed {
		counts.Failed++
	}
	if record != nil && !s.Coming.Has(n.ID) {
		counts.Pods++
		recordOf(&out, record, failed)
	} else {
		s.unrecorded(&out, n, counts)
	}
	counts.Sealed += out.Sealed
	counts.Unsealed += out.Unsealed
	if out.Outcome == v1alpha1.NodePending {
		counts.Pending++
	}
	return out
}

// recordOf describes a node by its record. What a failed step did not store counts
// as nothing, because Argo gives it to nobody.
func recordOf(out *v1alpha1.WorkflowNode, record *v1alpha1.Provenance, failed bool) {
	out.Provenance = record.Name
	c := meta.FindStatusCondition(record.Status.Conditions, v1alpha1.ConditionSealed)
	if c == nil || (c.Status != metav1.ConditionTrue && c.Reason == string(reason.Pending)) {
		out.Outcome = v1alpha1.NodePending
		return
	}
	if c.Reason == string(reason.NothingToSeal) {
		out.Outcome = v1alpha1.NodeNothing
		return
	}
	for _, o := range record.Status.Outputs {
		switch {
		case o.SHA256 != "":
			out.Sealed++
		case !failed && o.Reason != string(reason.OutputAbsent):
			out.Unsealed++
			if out.Reason == "" {
				out.Reason = text.Prefix(o.Reason, maxWord)
			}
		}
	}
	switch {
	case c.Status != metav1.ConditionTrue && c.Reason == string(reason.OutputAbsent) && out.Unsealed == 0:
		out.Outcome = v1alpha1.NodeNothing // optional outputs that it did not make
	case c.Status != metav1.ConditionTrue:
		out.Outcome, out.Reason, out.Sealed = v1alpha1.NodeRefused, text.Prefix(c.Reason, maxWord), 0
		if !failed {
			out.Unsealed = max(1, out.Unsealed)
		}
	case out.Unsealed > 0:
		out.Outcome = v1alpha1.NodePartial
	default:
		out.Outcome = v1alpha1.NodeSealed
	}
}

// unrecorded tells a node of which there is no record.
func (s Seen) unrecorded(out *v1alpha1.WorkflowNode, n nodes.Node, counts *v1alpha1.WorkflowCounts) {
	switch {
	case n.Memoized:
		out.Outcome = v1alpha1.NodeMemoized
		counts.Memoized++
		return
	case n.Skipped():
		out.Outcome = v1alpha1.NodeSkipped
		counts.Skipped++
		return
	}
	counts.Pods++
	ended := s.Workflow == nil || s.Workflow.Ended
	switch {
	case s.Coming.Has(n.ID):
		out.Outcome = v1alpha1.NodePending
	case stored(n) && ended:
		out.Outcome, out.Unsealed = v1alpha1.NodeNotRecorded, int32(n.Artifacts)
	case stored(n) || (!n.Ended() && !ended):
		out.Outcome = v1alpha1.NodePending
	default:
		out.Outcome = v1alpha1.NodeNothing
	}
}

func stateOf(c v1alpha1.WorkflowCounts, ended bool) v1alpha1.WorkflowState {
	switch {
	case !ended || c.Pending > 0:
		return v1alpha1.WorkflowRunning
	case c.Unsealed == 0:
		return v1alpha1.WorkflowSealed
	case c.Sealed > 0:
		return v1alpha1.WorkflowPartial
	default:
		return v1alpha1.WorkflowFailed
	}
}

func sealedCondition(state v1alpha1.WorkflowState, c v1alpha1.WorkflowCounts) metav1.Condition {
	out := metav1.Condition{
		Type:    v1alpha1.ConditionSealed,
		Message: fmt.Sprintf("%d outputs sealed, %d not, %d steps on their way", c.Sealed, c.Unsealed, c.Pending),
	}
	switch state {
	case v1alpha1.WorkflowSealed:
		out.Status, out.Reason = metav1.ConditionTrue, string(reason.Sealed)
		if c.Sealed == 0 {
			out.Reason, out.Message = string(reason.NothingToSeal), "no step stored an artifact"
		}
	case v1alpha1.WorkflowPartial:
		out.Status, out.Reason = metav1.ConditionFalse, reasonPartial
	case v1alpha1.WorkflowFailed:
		out.Status, out.Reason = metav1.ConditionFalse, reasonFailed
	case v1alpha1.WorkflowRunning:
		out.Status, out.Reason = metav1.ConditionUnknown, reasonRunning
	}
	return out
}

// nodesRead says whether the nodes could be read.
func (s Seen) nodesRead() metav1.Condition {
	out := metav1.Condition{Type: v1alpha1.ConditionNodesRead, Status: metav1.ConditionFalse}
	switch {
	case s.Workflow == nil:
		out.Reason, out.Message = reasonGone, "the workflow was deleted; steps are known that were known before, or have a record or a pod"
	case s.Workflow.Err == nil:
		out.Status, out.Reason = metav1.ConditionTrue, reasonRead
	default:
		out.Reason, out.Message = reasonInvalid, text.Cut(s.Workflow.Err.Error(), maxMessage)
		if errors.Is(s.Workflow.Err, nodes.ErrOffloaded) {
			out.Reason = reasonOffloaded
		}
	}
	return out
}

// fitting leaves out nodes beyond what a status has room for: those without anything
// to tell first, then those that are sealed.
func fitting(all []v1alpha1.WorkflowNode) []v1alpha1.WorkflowNode {
	rank := func(n v1alpha1.WorkflowNode) int {
		switch n.Outcome {
		case v1alpha1.NodeRefused, v1alpha1.NodePartial, v1alpha1.NodeNotRecorded:
			return 0
		case v1alpha1.NodePending:
			return 1
		case v1alpha1.NodeSealed:
			return 2
		case v1alpha1.NodeMemoized, v1alpha1.NodeNothing, v1alpha1.NodeSkipped:
			return 3
		}
		return 0
	}
	kept := slices.Clone(all)
	slices.SortStableFunc(kept, func(a, b v1alpha1.WorkflowNode) int { return cmp.Compare(rank(a), rank(b)) })
	kept = kept[:min(len(kept), maxNodes)]
	left := maxBytes
	for i, n := range kept {
		if left -= takes(n); left < 0 {
			kept = kept[:i]
			break
		}
	}
	slices.SortFunc(kept, func(a, b v1alpha1.WorkflowNode) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return kept
}

// takes is how many bytes of JSON a node is in etcd: itself, and once more its id, as
// the text of a key in metadata.managedFields. A byte of it may become six, and seven.
func takes(n v1alpha1.WorkflowNode) int {
	whole, err := json.Marshal(n)
	id, errID := json.Marshal(n.ID)
	again, errAgain := json.Marshal(string(id))
	if errors.Join(err, errID, errAgain) != nil {
		return maxBytes + 1 // it cannot be stored
	}
	return len(whole) + len(again) + fieldNames
}
