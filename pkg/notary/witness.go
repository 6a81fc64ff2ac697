package notary

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// facts reads all that the notary is told of a pod, and judges it.
func (t *task) facts(ctx context.Context, pod *corev1.Pod) (provenance.Facts, error) {
	w, known, err := t.witness(ctx, pod)
	if err != nil {
		return provenance.Facts{}, err
	}
	facts, err := t.judged(ctx, w)
	var late lateError
	if err == nil || !known || errors.As(err, &late) {
		return facts, err
	}
	// What was read for an earlier pod may lack what Argo has stored since.
	if w.Workflow, err = t.workflow(ctx, w.Step); err != nil {
		return provenance.Facts{}, err
	}
	// And the guards may have gone before that was read.
	if w.Moment, err = t.moments.of(ctx, pod.Namespace, t.Epochs); err != nil {
		return provenance.Facts{}, err
	}
	return t.judged(ctx, w)
}

// judged is what can be stated of a pod by what the notary was told.
func (t *task) judged(ctx context.Context, w Witness) (provenance.Facts, error) {
	judged, err := t.rules().Judge(w)
	if err != nil {
		return provenance.Facts{}, lastWord(err)
	}
	m, err := t.measured(ctx, w.Pod, judged)
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
// Of a step without outputs nobody will state anything. known says that the Workflow
// was read before.
func (t *task) witness(ctx context.Context, pod *corev1.Pod) (w Witness, known bool, err error) {
	step, err := sidecar.StepOf(pod)
	if err != nil {
		return Witness{}, false, err
	}
	w = Witness{Pod: pod, Step: step}
	if len(step.Outputs) == 0 {
		return w, false, nil
	}
	if w.Workflow, known, err = t.anyWorkflow(ctx, step); err != nil {
		return Witness{}, false, err
	}
	if w.Kubelet, err = t.kubelets.version(ctx, t.API, t.Clock, pod.Spec.NodeName); err != nil {
		return Witness{}, false, err
	}
	t.noted = undecided(step.Outputs).noted
	// After all that could have been forged before the guards held.
	if w.Moment, err = t.moments.of(ctx, pod.Namespace, t.Epochs); err != nil {
		return Witness{}, false, err
	}
	return w, known, t.refresh(ctx, pod)
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

// finished is the finished pod: as it was kept, or else by the API server's word.
func (t *task) finished(ctx context.Context) (*corev1.Pod, error) {
	if t.pod != nil {
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
	t.pod = pod
	return pod, nil
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
