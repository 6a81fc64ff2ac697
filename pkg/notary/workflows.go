package notary

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// WorkflowKind is how a Workflow is read: as it is stored, none of Argo's types.
var WorkflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// Bounds of what is remembered of Workflows: how many, and their definitions in bytes
// of JSON, of which a decoded one takes some five times as many.
const (
	maxWorkflows     = 1024
	maxWorkflowBytes = 8 << 20
)

// workflows remembers definitions by the Workflow's UID. One that is remembered was
// the Workflow's at some time: whoever states something by it compares it with what
// admission saw, as with a live one, and asks for the live one if that fails, because
// Argo may have stored more copies of templates since. Its zero value is ready.
type workflows struct {
	mu    sync.Mutex
	known *lru.Cache
	size  int
	// reading are those that are being read for the first time: a fan-out ends in many
	// pods of one Workflow at once.
	reading singleflight.Group
}

// remembered is a definition, and its size in bytes of JSON.
type remembered struct {
	workflow *definition.Workflow
	size     int
}

// get gives what is remembered; nil if that is nothing.
func (w *workflows) get(step *argo.Step) *definition.Workflow {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		return nil
	}
	found, ok := w.known.Get(step.WorkflowUID)
	if !ok {
		return nil
	}
	wf := found.(remembered).workflow
	if wf.Namespace != step.Namespace || wf.Name != step.Workflow {
		return nil
	}
	return wf
}

// put remembers a definition, and forgets what was used least for it.
func (w *workflows) put(wf *definition.Workflow, size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = lru.NewWithEvictionFunc(maxWorkflows, func(_ lru.Key, value any) { w.size -= value.(remembered).size })
	}
	w.known.Remove(wf.UID) // it calls the function above, which Add does not for what it replaces
	if size > maxWorkflowBytes/8 {
		return // it would push out many others
	}
	w.known.Add(wf.UID, remembered{wf, size})
	for w.size += size; w.size > maxWorkflowBytes; {
		w.known.RemoveOldest()
	}
}

// anyWorkflow is what is remembered of a step's Workflow, or else the live one; known says
// that it may have been read before the step ended.
func (t *task) anyWorkflow(ctx context.Context, step *argo.Step) (wf *definition.Workflow, known bool, err error) {
	if wf := t.workflows.get(step); wf != nil {
		return wf, true, nil
	}
	read, err, shared := t.workflows.reading.Do(step.Namespace+"/"+step.Workflow+"/"+step.WorkflowUID, func() (any, error) { return t.workflow(ctx, step) })
	if err != nil {
		return nil, false, err
	}
	wf, _ = read.(*definition.Workflow)
	return wf, shared, nil
}

// workflow reads the live Workflow that owns the pod, and remembers it.
func (t *task) workflow(ctx context.Context, step *argo.Step) (*definition.Workflow, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(WorkflowKind)
	err := t.API.Get(ctx, client.ObjectKey{Namespace: step.Namespace, Name: step.Workflow}, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, reason.New(reason.WorkflowGone, "workflow %s does not exist any more", step.Workflow)
	case err != nil:
		return nil, fmt.Errorf("workflow: %w", err)
	case string(u.GetUID()) != step.WorkflowUID:
		return nil, reason.New(reason.WorkflowGone, "workflow %s has UID %s, the pod's had %s", step.Workflow, u.GetUID(), step.WorkflowUID)
	}
	size := bare(u)
	wf, err := definition.Parse(u)
	if err != nil {
		return nil, &factsError{fmt.Errorf("reading workflow %s: %w", step.Workflow, err)}
	}
	t.workflows.put(wf, size)
	return wf, nil
}

// bare takes out of a Workflow what nothing is stated by: what became of its nodes,
// which is most of it, and who wrote which field. It gives the size of what is left.
func bare(u *unstructured.Unstructured) int {
	u.SetManagedFields(nil)
	if status, ok := u.Object["status"].(map[string]any); ok {
		copies := map[string]any{}
		for _, field := range []string{"storedTemplates", "storedWorkflowTemplateSpec"} {
			if stored, there := status[field]; there {
				copies[field] = stored
			}
		}
		u.Object["status"] = copies
	}
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return maxWorkflowBytes
	}
	return len(raw)
}
