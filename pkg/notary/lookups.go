package notary

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/reason"
)

// WorkflowKind is how a Workflow is read: as it is stored, none of Argo's types.
var WorkflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// Bounds of what is remembered of Workflows: how many, and what they take in memory, in
// bytes, beside those that are in use.
const (
	maxWorkflows     = 1024
	maxWorkflowBytes = 40 << 20
)

// workflows remembers definitions by the Workflow's UID. A remembered definition
// was the Workflow's at some time. Whoever states something by it compares it with
// what admission saw, as they do with a live one. If that fails, they read the live
// one, because Argo may have stored more copies of templates since. Its zero value
// is ready.
type workflows struct {
	mu    sync.Mutex
	cache *lru.Cache
	size  int64
	// reading are those that are being read for the first time: a fan-out ends in many
	// pods of one Workflow at once.
	reading singleflight.Group
}

// readWorkflow is a definition, and when somebody asked for it.
type readWorkflow struct {
	*stored.Definition
	asked time.Time
}

// get gives what is remembered; nil if that is nothing.
func (w *workflows) get(step *argo.Step) *readWorkflow {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cache == nil {
		return nil
	}
	found, ok := w.cache.Get(step.WorkflowUID)
	if !ok {
		return nil
	}
	d := found.(*readWorkflow)
	if d.Workflow.Namespace != step.Namespace || d.Workflow.Name != step.Workflow {
		return nil
	}
	return d
}

// put remembers a definition, and forgets what was used least for it.
func (w *workflows) put(d *readWorkflow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cache == nil {
		w.cache = lru.NewWithEvictionFunc(maxWorkflows, func(_ lru.Key, value any) { w.size -= value.(*readWorkflow).Size })
	}
	w.cache.Remove(d.Workflow.UID) // it calls the function above, which Add does not for what it replaces
	if d.Size > maxWorkflowBytes/2 {
		return // it would push out many others
	}
	w.cache.Add(d.Workflow.UID, d)
	for w.size += d.Size; w.size > maxWorkflowBytes; {
		w.cache.RemoveOldest()
	}
}

// anyWorkflow is what is remembered of a step's Workflow, or else the live one; known says
// that it may have been read before the step ended. It has its room until the session of
// ctx ends.
func (t *task) anyWorkflow(ctx context.Context, step *argo.Step) (wf *definition.Workflow, known bool, err error) {
	if d := t.workflows.get(step); d != nil && d.Use(ctx) {
		return d.Workflow, true, nil
	}
	d, shared, err := t.withOthers(ctx, step)
	if err != nil {
		return nil, false, err
	}
	if d == nil || !d.Use(ctx) {
		return nil, false, reason.New(reason.Overloaded, "there is no room for Workflow %s", step.Workflow)
	}
	return d.Workflow, shared, nil
}

// withOthers reads a step's Workflow once for all that ask for it at a time.
func (t *task) withOthers(ctx context.Context, step *argo.Step) (d *stored.Definition, shared bool, err error) {
	read, err, shared := t.workflows.reading.Do(step.Namespace+"/"+step.Workflow+"/"+step.WorkflowUID, func() (any, error) { return t.workflow(ctx, step) })
	d, _ = read.(*stored.Definition)
	return d, shared, err
}

// incompleteWait is how long a Workflow is not read again that lacked what Argo stores. It
// does that at the end of a round, in which it may have made hundreds of pods.
const incompleteWait = time.Second

// lookAgain reads a Workflow that lacked something, for all pods that wait for that. It gives
// nil if it was read a moment ago, or there is no room for it.
func (t *task) lookAgain(ctx context.Context, step *argo.Step) (*definition.Workflow, error) {
	if d := t.workflows.get(step); d != nil && t.Clock.Since(d.asked) < incompleteWait {
		return nil, nil
	}
	d, _, err := t.withOthers(ctx, step)
	if err != nil || d == nil || !d.Use(ctx) {
		return nil, err
	}
	return d.Workflow, nil
}

// workflow reads the live Workflow that owns the pod, without what no statement needs: the
// status of its nodes, which is most of it, and who wrote which field. It remembers it.
func (t *task) workflow(ctx context.Context, step *argo.Step) (*stored.Definition, error) {
	asked := t.Clock.Now()
	essence, err := t.Stored.Essence(ctx, stored.Of(step.Namespace), step.Namespace, step.Workflow)
	switch {
	case apierrors.IsNotFound(err):
		return nil, reason.New(reason.WorkflowGone, "workflow %s does not exist any more", step.Workflow)
	case err != nil:
		return nil, fmt.Errorf("workflow: %w", err)
	}
	defer essence.Close()
	if uid := essence.Metadata.UID; uid != step.WorkflowUID {
		return nil, reason.New(reason.WorkflowGone, "workflow %s has UID %s, the pod's had %s", step.Workflow, uid, step.WorkflowUID)
	}
	d, err := essence.Parse(ctx)
	if err != nil {
		return nil, lastWord(fmt.Errorf("reading workflow %s: %w", step.Workflow, err))
	}
	t.workflows.put(&readWorkflow{d, asked})
	return d, nil
}

const (
	// kubeletVersionAge is how long a node's version is remembered: a kubelet
	// that is upgraded under its pods is rare, a read for every pod is not free.
	kubeletVersionAge = 5 * time.Minute
	// maxKubelets bounds the memory; beyond it, all is forgotten.
	maxKubelets = 10_000
	// unknownVersion stands for a node that is gone, as autoscaled ones are.
	unknownVersion = "unknown"
)

// kubelets remembers which version each node's kubelet has. Its zero value is
// empty and ready.
type kubelets struct {
	mu      sync.Mutex
	nodes   map[string]kubeletVersion
	reading singleflight.Group
}

type kubeletVersion struct {
	version string
	read    time.Time
}

func (k *kubelets) version(ctx context.Context, api client.Reader, c clock.PassiveClock, node string) (string, error) {
	k.mu.Lock()
	known, ok := k.nodes[node]
	k.mu.Unlock()
	if ok && c.Since(known.read) < kubeletVersionAge {
		return known.version, nil
	}
	read, err, _ := k.reading.Do(node, func() (any, error) {
		var n corev1.Node
		if err := api.Get(ctx, client.ObjectKey{Name: node}, &n); err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("node %s: %w", node, err)
		}
		return n.Status.NodeInfo.KubeletVersion, nil
	})
	if err != nil {
		return "", err
	}
	version, _ := read.(string)
	if version == "" {
		version = unknownVersion
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nodes == nil || len(k.nodes) >= maxKubelets {
		k.nodes = map[string]kubeletVersion{}
	}
	k.nodes[node] = kubeletVersion{version: version, read: c.Now()}
	return version, nil
}

const (
	// momentPause is the least pause between two questions about a namespace. A question
	// is four calls of the API server, and its answer is for all who waited for it.
	momentPause = 100 * time.Millisecond
	// momentShare is how many times as long as the last answer took the pause is, so that
	// questions leave a busy API server to others, and momentLongest what it is at most.
	momentShare   = 5
	momentLongest = time.Second
	// momentTimeout bounds one question.
	momentTimeout = 10 * time.Second
)

// moments asks once for several pods since when the guards have held. A pod's
// question has to come after everything else of the pod was read. So an answer is
// for those who asked before the question was put, never for later ones. Its zero
// value is ready.
type moments struct {
	mu     sync.Mutex
	spaces map[string]*questions
}

// questions are those about one namespace.
type questions struct {
	// next is not put yet.
	next *question
	// put is when the last one was, and pause how long after that the next one may be.
	put   time.Time
	pause time.Duration
}

type question struct {
	answered chan struct{}
	moment   epoch.Moment
	err      error
}

// of gives the answer to a question that is put after this call.
func (m *moments) of(ctx context.Context, namespace string, ask func(context.Context, string) (epoch.Moment, error)) (epoch.Moment, error) {
	m.mu.Lock()
	if m.spaces == nil {
		m.spaces = map[string]*questions{}
	}
	about := m.spaces[namespace]
	if about == nil {
		about = &questions{}
		m.spaces[namespace] = about
	}
	q := about.next
	if q == nil {
		q = &question{answered: make(chan struct{})}
		about.next = q
		time.AfterFunc(max(0, about.pause-time.Since(about.put)), func() { m.put(context.WithoutCancel(ctx), namespace, q, ask) })
	}
	m.mu.Unlock()
	select {
	case <-q.answered:
		return q.moment, q.err
	case <-ctx.Done():
		return epoch.Moment{}, ctx.Err()
	}
}

// put puts a question. Whoever asks from here on waits for the next one.
func (m *moments) put(ctx context.Context, namespace string, q *question, ask func(context.Context, string) (epoch.Moment, error)) {
	m.mu.Lock()
	about := m.spaces[namespace]
	about.next, about.put, about.pause = nil, time.Now(), max(about.pause, momentPause)
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, momentTimeout)
	defer cancel()
	began := time.Now()
	q.moment, q.err = ask(ctx, namespace)
	pause := pauseAfter(time.Since(began))
	m.mu.Lock()
	about.pause = pause
	m.mu.Unlock()
	close(q.answered)
	time.AfterFunc(pause, func() { m.forget(namespace) })
}

// pauseAfter is the pause after a question whose answer took so long.
func pauseAfter(took time.Duration) time.Duration {
	return min(max(momentPause, momentShare*took), momentLongest)
}

// forget forgets a namespace about which nobody asks any more.
func (m *moments) forget(namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if about := m.spaces[namespace]; about != nil && about.next == nil && time.Since(about.put) >= about.pause {
		delete(m.spaces, namespace)
	}
}
