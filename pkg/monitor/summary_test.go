package monitor_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/set"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/nodes"
	"github.com/argoseal/argoseal/pkg/monitor"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// record is a final Provenance: sealed if reason is "Sealed". An output is its name and
// its fate, "ok" or a reason.
func record(node, pod string, made int, reason string, outputs ...string) v1alpha1.Provenance {
	status := metav1.ConditionFalse
	if reason == "Sealed" {
		status = metav1.ConditionTrue
	}
	p := v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Name: pod},
		Spec: v1alpha1.ProvenanceSpec{
			NodeID: node, Pod: v1alpha1.ObjectRef{Name: pod, UID: types.UID(pod)}, PodCreatedAt: metav1.NewTime(noon.Add(time.Duration(made) * time.Second)),
		},
		Status: v1alpha1.ProvenanceStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: status, Reason: reason}}},
	}
	for i, fate := range outputs {
		o := v1alpha1.OutputStatus{Name: fmt.Sprint("o", i)}
		if fate == "ok" {
			o.SHA256 = "00"
		} else {
			o.Reason = fate
		}
		p.Status.Outputs = append(p.Status.Outputs, o)
	}
	return p
}

func pod(id, phase string, artifacts int) nodes.Node {
	return nodes.Node{ID: id, Name: "w." + id, Type: "Pod", Phase: phase, Template: "t", Artifacts: artifacts}
}

func ended(all ...nodes.Node) *nodes.Status {
	return &nodes.Status{Phase: "Succeeded", Ended: true, Nodes: all}
}

func TestStatus(t *testing.T) {
	memoized, skipped, daemon := pod("m", "Succeeded", 1), pod("s", "Omitted", 0), pod("d", "Running", 0)
	memoized.Memoized, skipped.Type, daemon.Daemon = true, "Skipped", true
	for name, tt := range map[string]struct {
		seen    monitor.Seen
		state   v1alpha1.WorkflowState
		reason  string
		nodes   string // id:outcome, in order
		counts  v1alpha1.WorkflowCounts
		missing []string
	}{
		"all sealed": {
			seen: monitor.Seen{
				Workflow: ended(pod("a", "Succeeded", 2), pod("b", "Succeeded", 1), nodes.Node{ID: "w", Type: "Steps", Phase: "Succeeded"}),
				Records:  []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok", "ok"), record("b", "p2", 1, "Sealed", "ok", "OutputAbsent")},
			},
			state: v1alpha1.WorkflowSealed, reason: "Sealed", nodes: "a:Sealed b:Sealed ", counts: v1alpha1.WorkflowCounts{Sealed: 3, Records: 2, Pods: 2},
		},
		"nothing stored": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 0)), Records: []v1alpha1.Provenance{record("a", "p1", 0, "NothingToSeal")}},
			state: v1alpha1.WorkflowSealed, reason: "NothingToSeal", nodes: "a:NothingToSeal ", counts: v1alpha1.WorkflowCounts{Records: 1, Pods: 1},
		},
		"optional outputs that are absent": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 0)), Records: []v1alpha1.Provenance{record("a", "p1", 0, "OutputAbsent", "OutputAbsent")}},
			state: v1alpha1.WorkflowSealed, reason: "NothingToSeal", nodes: "a:NothingToSeal ", counts: v1alpha1.WorkflowCounts{Records: 1, Pods: 1},
		},
		"one output refused": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 2)), Records: []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok", "LocationInvalid")}},
			state: v1alpha1.WorkflowPartial, reason: "Partial", nodes: "a:Partial ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Unsealed: 1, Records: 1, Pods: 1},
		},
		"one pod refused": {
			seen: monitor.Seen{
				Workflow: ended(pod("a", "Succeeded", 1), pod("b", "Succeeded", 1)),
				Records:  []v1alpha1.Provenance{record("a", "p1", 0, "SidecarRestarted", "SidecarRestarted"), record("b", "p2", 0, "Sealed", "ok")},
			},
			state: v1alpha1.WorkflowPartial, reason: "Partial", nodes: "a:Refused b:Sealed ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Unsealed: 1, Records: 2, Pods: 2},
		},
		"none sealed": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 1)), Records: []v1alpha1.Provenance{record("a", "p1", 0, "SidecarRestarted")}},
			state: v1alpha1.WorkflowFailed, reason: "Failed", nodes: "a:Refused ", counts: v1alpha1.WorkflowCounts{Unsealed: 1, Records: 1, Pods: 1},
		},
		"stored without a record": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 2))},
			state: v1alpha1.WorkflowFailed, reason: "Failed", nodes: "a:NotRecorded ", counts: v1alpha1.WorkflowCounts{Unsealed: 2, Pods: 1}, missing: []string{"a"},
		},
		"the record is on its way": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 2)), Coming: set.New("a")},
			state: v1alpha1.WorkflowRunning, reason: "Running", nodes: "a:Pending ", counts: v1alpha1.WorkflowCounts{Pending: 1, Pods: 1}, missing: []string{"a"},
		},
		"the seal is on its way": {
			seen:  monitor.Seen{Workflow: ended(pod("a", "Succeeded", 1)), Records: []v1alpha1.Provenance{record("a", "p1", 0, "Pending")}},
			state: v1alpha1.WorkflowRunning, reason: "Running", nodes: "a:Pending ", counts: v1alpha1.WorkflowCounts{Pending: 1, Records: 1, Pods: 1},
		},
		"still running": {
			seen: monitor.Seen{
				Workflow: &nodes.Status{Phase: "Running", Nodes: []nodes.Node{pod("a", "Succeeded", 1), daemon, pod("e", "Pending", 0)}},
				Records:  []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok")},
			},
			state: v1alpha1.WorkflowRunning, reason: "Running", nodes: "a:Sealed d:Pending e:Pending ",
			counts: v1alpha1.WorkflowCounts{Sealed: 1, Pending: 2, Records: 1, Pods: 3},
		},
		"a failed attempt, and one that went well": {
			seen: monitor.Seen{
				Workflow: ended(pod("a0", "Failed", 1), pod("a1", "Succeeded", 1), nodes.Node{ID: "a", Type: "Retry", Phase: "Succeeded"}),
				Records:  []v1alpha1.Provenance{record("a0", "p1", 0, "MeasurementMissing", "MeasurementMissing"), record("a1", "p2", 1, "Sealed", "ok")},
			},
			state: v1alpha1.WorkflowSealed, reason: "Sealed", nodes: "a0:Refused a1:Sealed ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Records: 2, Pods: 2, Failed: 1},
		},
		"what did not run": {
			seen:  monitor.Seen{Workflow: ended(memoized, skipped)},
			state: v1alpha1.WorkflowSealed, reason: "NothingToSeal", nodes: "m:Memoized s:Skipped ", counts: v1alpha1.WorkflowCounts{Memoized: 1, Skipped: 1},
		},
		"retried as a whole: the later pod counts": {
			seen: monitor.Seen{
				Workflow: ended(pod("a", "Succeeded", 1)),
				Records:  []v1alpha1.Provenance{record("a", "p2", 9, "Sealed", "ok"), record("a", "p1", 0, "SidecarRestarted", "SidecarRestarted")},
			},
			state: v1alpha1.WorkflowSealed, reason: "Sealed", nodes: "a:Sealed ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Records: 2, Pods: 1},
		},
		"nodes in a database: what is on record": {
			seen:  monitor.Seen{Workflow: &nodes.Status{Phase: "Succeeded", Ended: true, Err: nodes.ErrOffloaded}, Records: []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok")}},
			state: v1alpha1.WorkflowSealed, reason: "Sealed", nodes: "a:Sealed ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Records: 1, Pods: 1},
		},
		"deleted: what was known, and what is on record": {
			seen: monitor.Seen{
				Before: &v1alpha1.WorkflowProvenanceStatus{Nodes: []v1alpha1.WorkflowNode{
					{ID: "a", Name: "w.a", Phase: "Succeeded", Outcome: v1alpha1.NodePending}, {ID: "m", Name: "w.m", Phase: "Succeeded", Outcome: v1alpha1.NodeMemoized},
				}},
				Records: []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok")},
			},
			state: v1alpha1.WorkflowSealed, reason: "Sealed", nodes: "a:Sealed m:Memoized ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Records: 1, Pods: 1, Memoized: 1},
		},
		"deleted before the record came": {
			seen: monitor.Seen{Before: &v1alpha1.WorkflowProvenanceStatus{Nodes: []v1alpha1.WorkflowNode{
				{ID: "a", Name: "w.a", Phase: "Succeeded", Outcome: v1alpha1.NodePending}, {ID: "b", Name: "w.b", Phase: "Running", Outcome: v1alpha1.NodePending},
			}}},
			state: v1alpha1.WorkflowFailed, reason: "Failed", nodes: "a:NotRecorded b:NothingToSeal ", counts: v1alpha1.WorkflowCounts{Unsealed: 1, Pods: 2},
		},
		"deleted, and pods are there, one of them another try": {
			seen: monitor.Seen{
				Before:  &v1alpha1.WorkflowProvenanceStatus{Nodes: []v1alpha1.WorkflowNode{{ID: "a", Name: "w.a", Phase: "Succeeded", Outcome: v1alpha1.NodeSealed}}},
				Records: []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok")}, Coming: set.New("a", "b"),
			},
			state: v1alpha1.WorkflowRunning, reason: "Running", nodes: "b:Pending a:Pending ", counts: v1alpha1.WorkflowCounts{Pending: 2, Records: 1, Pods: 2},
		},
		"nodes in a database, and a pod without a record": {
			seen: monitor.Seen{
				Workflow: &nodes.Status{Phase: "Succeeded", Ended: true, Err: nodes.ErrOffloaded},
				Records:  []v1alpha1.Provenance{record("a", "p1", 0, "Sealed", "ok")}, Coming: set.New("b"),
			},
			state: v1alpha1.WorkflowRunning, reason: "Running", nodes: "a:Sealed b:Pending ", counts: v1alpha1.WorkflowCounts{Sealed: 1, Pending: 1, Records: 1, Pods: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.seen.Status()
			if got.State != tt.state {
				t.Errorf("state %s, want %s", got.State, tt.state)
			}
			if c := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionSealed); c == nil || c.Reason != tt.reason {
				t.Errorf("condition %+v, want reason %s", c, tt.reason)
			}
			var line string
			for _, n := range got.Nodes {
				line += n.ID + ":" + string(n.Outcome) + " "
			}
			if line != tt.nodes {
				t.Errorf("nodes %q, want %q", line, tt.nodes)
			}
			if d := cmp.Diff(tt.counts, got.Counts); d != "" {
				t.Errorf("counts (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.missing, tt.seen.Missing()); d != "" {
				t.Errorf("missing (-want +got):\n%s", d)
			}
		})
	}
}

func TestNodesReadSaysWhy(t *testing.T) {
	for want, seen := range map[string]monitor.Seen{
		"Read":           {Workflow: ended()},
		"NodesOffloaded": {Workflow: &nodes.Status{Err: nodes.ErrOffloaded}},
		"NodesInvalid":   {Workflow: &nodes.Status{Err: fmt.Errorf("%w: x", nodes.ErrInvalid)}},
		"WorkflowGone":   {},
	} {
		c := meta.FindStatusCondition(seen.Status().Conditions, v1alpha1.ConditionNodesRead)
		if c == nil || c.Reason != want || (c.Status == metav1.ConditionTrue) != (want == "Read") {
			t.Errorf("%s: %+v", want, c)
		}
	}
}

// TestBlind: where nodes cannot be read, each pod of an ended workflow is looked at.
func TestBlind(t *testing.T) {
	for want, all := range map[bool][]monitor.Seen{
		true:  {{}, {Workflow: &nodes.Status{Ended: true, Err: nodes.ErrOffloaded}}},
		false: {{Workflow: ended()}, {Workflow: &nodes.Status{Err: nodes.ErrOffloaded}}},
	} {
		for i, seen := range all {
			if seen.Blind() != want {
				t.Errorf("number %d is not %v", i, want)
			}
		}
	}
}

// TestNodesThatDoNotFit: what went wrong is told first, and all is counted.
func TestNodesThatDoNotFit(t *testing.T) {
	var seen monitor.Seen
	var all []nodes.Node
	for i := range 3000 {
		id := fmt.Sprintf("%05d", i)
		all = append(all, pod(id, "Succeeded", 1))
		fate := "ok"
		if i == 2999 {
			fate = "LocationInvalid"
		}
		seen.Records = append(seen.Records, record(id, "p"+id, 0, "Sealed", fate))
	}
	seen.Workflow = ended(all...)
	got := seen.Status()
	if len(got.Nodes) != 1000 || got.NodesOmitted != 2000 || got.Counts.Sealed != 2999 || got.Counts.Unsealed != 1 {
		t.Errorf("%d nodes, %d omitted, counts %+v", len(got.Nodes), got.NodesOmitted, got.Counts)
	}
	if last := got.Nodes[len(got.Nodes)-1]; last.ID != "02999" || last.Outcome != v1alpha1.NodePartial {
		t.Errorf("the last node is %+v", last)
	}
}

// TestNodesWithOneID: whoever may write Workflows gives nodes the ids that he likes, of
// any length. A list has an id once, and what a node without an id of its own stored is
// nobody's record.
func TestNodesWithOneID(t *testing.T) {
	long := strings.Repeat("x", 512)
	for name, c := range map[string]struct {
		nodes          []nodes.Node
		records        []v1alpha1.Provenance
		listed         int
		omitted        int32
		sealed, missed int32
		state          v1alpha1.WorkflowState
	}{
		"two that begin alike":     {[]nodes.Node{pod(long+"a", "Succeeded", 1), pod(long+"b", "Succeeded", 1)}, []v1alpha1.Provenance{record(long, "p", 0, "Sealed", "ok")}, 1, 1, 1, 1, v1alpha1.WorkflowPartial},
		"the same, without record": {[]nodes.Node{pod(long+"a", "Failed", 0), pod(long+"b", "Failed", 0)}, nil, 1, 1, 0, 0, v1alpha1.WorkflowSealed},
		"one, and its record":      {[]nodes.Node{pod(long+"a", "Succeeded", 1)}, []v1alpha1.Provenance{record(long, "p", 0, "Sealed", "ok")}, 1, 0, 1, 0, v1alpha1.WorkflowSealed},
		"two of their own":         {[]nodes.Node{pod("a", "Succeeded", 1), pod("b", "Succeeded", 1)}, []v1alpha1.Provenance{record("a", "p", 0, "Sealed", "ok"), record("b", "q", 0, "Sealed", "ok")}, 2, 0, 2, 0, v1alpha1.WorkflowSealed},
	} {
		t.Run(name, func(t *testing.T) {
			seen := monitor.Seen{Workflow: ended(c.nodes...), Records: c.records}
			got := seen.Status()
			ids := set.New[string]()
			for _, n := range got.Nodes {
				if ids.Has(n.ID) {
					t.Errorf("id %.20s… is there twice", n.ID)
				}
				ids.Insert(n.ID)
			}
			if len(got.Nodes) != c.listed || got.NodesOmitted != c.omitted || got.Counts.Sealed != c.sealed || got.Counts.Unsealed != c.missed || got.State != c.state {
				t.Errorf("%d nodes, %d omitted, counts %+v, state %s", len(got.Nodes), got.NodesOmitted, got.Counts, got.State)
			}
			if missing := seen.Missing(); c.records != nil && len(missing) != 0 {
				t.Errorf("%d are missing that have a record", len(missing))
			}
		})
	}
}

// TestNodesFitIntoEtcd: however long they are, a status is one that can be stored; usual
// ones are all there.
func TestNodesFitIntoEtcd(t *testing.T) {
	for name, c := range map[string]struct {
		fill string
		all  bool
	}{
		"usual":           {strings.Repeat("x", 30), true},
		"long":            {strings.Repeat("x", 500), false},
		"that are quoted": {strings.Repeat("\x01", 500), false},
	} {
		t.Run(name, func(t *testing.T) {
			var all []nodes.Node
			for i := range 1000 {
				n := pod(fmt.Sprintf("%04d%s", i, c.fill), "Succeeded", 1)
				n.Name, n.Template = n.ID, c.fill
				all = append(all, n)
			}
			got := monitor.Seen{Workflow: ended(all...)}.Status()
			raw, err := json.Marshal(got)
			if err != nil || len(raw) > 530<<10 {
				t.Errorf("the status takes %d bytes, %v", len(raw), err)
			}
			if len(got.Nodes)+int(got.NodesOmitted) != 1000 || (got.NodesOmitted == 0) != c.all || len(got.Nodes) < 20 || got.Counts.Unsealed != 1000 {
				t.Errorf("%d nodes, %d omitted, counts %+v", len(got.Nodes), got.NodesOmitted, got.Counts)
			}
		})
	}
}
