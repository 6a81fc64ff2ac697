package notary

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// WorkflowKind is how a Workflow is read: as it is stored, none of Argo's types.
var WorkflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// facts reads all that the notary is told of a pod, and judges it.
func (t *task) facts(ctx context.Context, pod *corev1.Pod) (provenance.Facts, error) {
	w, err := t.witness(ctx, pod)
	if err != nil {
		return provenance.Facts{}, err
	}
	judged, err := t.rules().Judge(w)
	if err != nil {
		return provenance.Facts{}, lastWord(err)
	}
	m, err := t.measured(ctx, pod, judged)
	if err != nil {
		return provenance.Facts{}, err
	}
	facts, noted, err := judged.Facts(m)
	t.noted = noted
	return facts, lastWord(err)
}

// lastWord makes an error that has no code one that does not pass.
func lastWord(err error) error {
	var typed *reason.Error
	if err != nil && !errors.As(err, &typed) {
		return &factsError{err}
	}
	return err
}

// witness reads the pod's Workflow and kubelet, and since when the guards have held.
// Of a step without outputs nobody will state anything.
func (t *task) witness(ctx context.Context, pod *corev1.Pod) (Witness, error) {
	step, err := sidecar.StepOf(pod)
	if err != nil {
		return Witness{}, err
	}
	w := Witness{Pod: pod, Step: step}
	if len(step.Outputs) == 0 {
		return w, nil
	}
	if w.Workflow, err = t.workflow(ctx, step); err != nil {
		return Witness{}, err
	}
	if w.Kubelet, err = t.kubelets.version(ctx, t.API, t.Clock, pod.Spec.NodeName); err != nil {
		return Witness{}, err
	}
	t.noted = undecided(step.Outputs).noted
	// After all that could have been forged before the guards held.
	if w.Moment, err = t.Epochs(ctx, pod.Namespace); err != nil {
		return Witness{}, err
	}
	return w, t.refresh(ctx, pod)
}

// refresh reads the keys again if they do not open the pod's tag: it may be under
// one that is newer.
func (t *task) refresh(ctx context.Context, pod *corev1.Pod) error {
	_, err := t.keys.Tags.Open(pod.Annotations[v1alpha1.AnnotationTag])
	if reason.Of(err) != reason.TagInvalid {
		return nil // it opens, or Judge says why not
	}
	if err := t.Keyring.Load(ctx); err != nil {
		return err
	}
	t.keys = t.Keyring.Current()
	return nil
}

func (t *task) rules() Rules {
	return Rules{
		Tags:         t.keys.Tags,
		Identity:     t.Identity(),
		SignerImages: t.SignerImages,
		Redaction:    t.Redaction,
		Cluster:      t.Cluster,
		Version:      t.Version,
	}
}

// finished is the finished pod. The informer may be behind the record, so the
// API server has the word about a pod that is not there.
func (t *task) finished(ctx context.Context) (*corev1.Pod, error) {
	if t.pod != nil && Finished(t.pod) {
		return t.pod, nil
	}
	pod, err := podBy(ctx, t.API, t.key)
	switch {
	case err != nil:
		return nil, err
	case pod == nil:
		return nil, reason.New(reason.PodGone, "pod %s was deleted before its facts were stored", t.key.Pod)
	case !Finished(pod):
		return nil, fmt.Errorf("pod %s has not finished", t.key.Pod)
	}
	return pod, nil
}

// workflow reads the live Workflow that owns the pod.
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
	wf, err := definition.Parse(u)
	if err != nil {
		return nil, &factsError{fmt.Errorf("reading workflow %s: %w", step.Workflow, err)}
	}
	return wf, nil
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
	mu    sync.Mutex
	nodes map[string]kubeletVersion
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
	var n corev1.Node
	err := api.Get(ctx, client.ObjectKey{Name: node}, &n)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("node %s: %w", node, err)
	}
	version := n.Status.NodeInfo.KubeletVersion
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
