package notary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// facts reads all that the notary is told of a pod, and judges it.
func (t *task) facts(ctx context.Context, pod *corev1.Pod) (provenance.Facts, error) {
	// What is read of Workflows has its room until the facts are there.
	ctx, end := stored.Begin(ctx)
	defer end()
	w, known, err := t.witness(ctx, pod)
	if err != nil {
		return provenance.Facts{}, err
	}
	facts, err := t.judged(ctx, w)
	if err == nil || !known || !aboutWorkflow(err) {
		return facts, err
	}
	// What was read for an earlier pod may lack what Argo has stored since.
	if reason.Of(err) == reason.DefinitionIncomplete {
		again, failed := t.lookAgain(ctx, w.Step)
		switch {
		case failed != nil:
			return provenance.Facts{}, failed
		case again == nil:
			return facts, err // the next try goes by what is there by then
		}
		w.Workflow = again
	} else {
		live, err := t.workflow(ctx, w.Step)
		if err != nil {
			return provenance.Facts{}, err
		}
		w.Workflow = live.Workflow
	}
	// And the guards may have gone before that was read.
	if w.Moment, err = t.moments.of(ctx, pod.Namespace, t.Epochs); err != nil {
		return provenance.Facts{}, err
	}
	return t.judged(ctx, w)
}

// aboutWorkflow says whether the Workflow may be why a pod is refused. What passes by itself
// is no reason to read it again: if it is gone by then, that would be the last word.
func aboutWorkflow(err error) bool {
	var late lateError
	var refusal *reason.Error
	if errors.As(err, &late) {
		return false
	}
	return !errors.As(err, &refusal) || !refusal.Code.Retryable() || refusal.Code == reason.DefinitionIncomplete
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

// lastWord makes an error without a code a final one.
func lastWord(err error) error {
	var typed *reason.Error
	if err != nil && !errors.As(err, &typed) {
		return &factsError{err}
	}
	return err
}

// witness reads the pod's Workflow and kubelet, and since when the guards have
// held. For a step without outputs it reads less, because nobody will state
// anything. known says that the Workflow was read before.
func (t *task) witness(ctx context.Context, pod *corev1.Pod) (w Witness, known bool, err error) {
	step, err := sidecar.StepOf(pod)
	if err != nil {
		return Witness{}, false, err
	}
	w = Witness{Pod: pod, Step: step}
	if len(step.Outputs) == 0 {
		return w, false, nil
	}
	if err := t.refresh(ctx, pod); err != nil {
		return Witness{}, false, err
	}
	w.Workflow, known, err = t.anyWorkflow(ctx, step) // remembered, in case that what follows passes
	if why := t.rules().leftToOthers(pod, step); why != nil {
		return Witness{}, false, why
	}
	if err != nil {
		return Witness{}, false, err
	}
	if w.Kubelet, err = t.kubelets.version(ctx, t.API, t.Clock, pod.Spec.NodeName); err != nil {
		return Witness{}, false, err
	}
	t.noted = undecided(step.Outputs).noted
	// The last read, after everything that somebody could have forged before the
	// guards held.
	if w.Moment, err = t.moments.of(ctx, pod.Namespace, t.Epochs); err != nil {
		return Witness{}, false, err
	}
	return w, known, nil
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
	if err := t.roomToRead(ctx); err != nil {
		return nil, err
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
	if err := t.roomAsRead(ctx, pod); err != nil {
		return nil, err
	}
	t.pod = pod
	return pod, nil
}

// ContainerLogs reads what a container of a pod wrote, from the beginning and no more than
// limit bytes. Its errors are those of the API server.
type ContainerLogs interface {
	Read(ctx context.Context, namespace, pod, container string, limit int64) (io.ReadCloser, error)
}

// PodLogs reads logs from the kubelets, through the API server.
type PodLogs struct{ Pods corev1client.PodsGetter }

// Read implements ContainerLogs.
func (l PodLogs) Read(ctx context.Context, namespace, pod, container string, limit int64) (io.ReadCloser, error) {
	return l.Pods.Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, LimitBytes: &limit}).Stream(ctx)
}

const (
	// maxReaders bounds how many logs are read at a time. Each can take some MiB,
	// or, if its kubelet does not answer, all of its time.
	maxReaders = 16
	// maxReadersEach is how many of them one namespace can have: pods whose
	// kubelet does not answer hold up no other tenant's.
	maxReadersEach = maxReaders / 4
	// maxAnswered is how long a log is read again if it does not have the
	// measurement, or if the kubelet does not find it. The kubelet may still be
	// writing it, or have been restarted.
	maxAnswered = time.Minute
	// maxUnanswered is how long to wait for a log that cannot be reached. The pod's
	// deletion is held back for as long, from the pod's end.
	maxUnanswered = 10 * time.Minute
)

// readers are the logs that are being read, and those that could not be. Its
// zero value is ready.
type readers struct {
	mu      sync.Mutex
	all     int
	each    map[string]int
	failing map[Key]time.Time
}

// acquire says whether there is room for another log of that namespace, whose
// reader then has to release it.
func (r *readers) acquire(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= maxReaders || r.each[namespace] >= maxReadersEach {
		return false
	}
	if r.each == nil {
		r.each = map[string]int{}
	}
	r.all++
	r.each[namespace]++
	return true
}

func (r *readers) release(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.each[namespace]--; r.each[namespace] == 0 {
		delete(r.each, namespace)
	}
}

// failed notes that a pod's log was read in vain, and gives when it was first.
func (r *readers) failed(key Key, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, known := r.failing[key]; known {
		return first
	}
	if r.failing == nil {
		r.failing = map[Key]time.Time{}
	}
	r.failing[key] = now
	return now
}

// forget forgets a pod that is done with.
func (r *readers) forget(key Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failing, key)
}

// measured is the whole measurement of a pod's sidecar. What its message has no room
// for is read in its log. A log that will never have it is a refusal, unless the
// message has all digests: then only the files of directories are unknown.
func (t *task) measured(ctx context.Context, pod *corev1.Pod, judged Judged) (measurement.Measurement, error) {
	m, logged, err := judged.Message()
	if err != nil || logged == nil {
		return m, err
	}
	whole, err := t.readLog(ctx, pod, logged)
	if err == nil {
		return whole, nil
	}
	why, err := t.lost(ctx, err)
	if err != nil {
		return nil, lateError{fmt.Errorf("reading the log of %s: %w", containerSigner, err)}
	}
	log.FromContext(ctx).Info("No measurement in the log", "why", why.Error())
	if m == nil {
		return nil, why
	}
	return m, nil
}

// errBusy says that too many logs are being read.
var errBusy = errors.New("too many logs are being read at once")

func (t *task) readLog(ctx context.Context, pod *corev1.Pod, logged *measurement.Logged) (measurement.Measurement, error) {
	if !t.readers.acquire(pod.Namespace) {
		return nil, errBusy
	}
	defer t.readers.release(pod.Namespace)
	// What is left of the claim is for signing and recording.
	ctx, cancel := context.WithTimeout(ctx, t.ClaimDuration/3)
	defer cancel()
	stream, err := t.ContainerLogs.Read(ctx, pod.Namespace, pod.Name, containerSigner, measurement.MaxLog+1)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return logged.Find(stream)
}

// lost says why an error of reading a log is the last word on it, or gives the
// error back if it may pass.
func (t *task) lost(ctx context.Context, err error) (*reason.Error, error) {
	var refusal *reason.Error
	if errors.As(err, &refusal) {
		return refusal, nil
	}
	if errors.Is(err, errBusy) {
		return nil, err // that says nothing of the log
	}
	if apierrors.IsNotFound(err) {
		// The pod is gone, or the node, or the kubelet does not know the pod yet.
		pod, failed := podBy(ctx, t.API, t.key)
		switch {
		case failed != nil:
			return nil, failed
		case pod == nil:
			return reason.New(reason.PodGone, "pod %s was deleted before the log of %s was read", t.key.Pod, containerSigner), nil
		}
	}
	limit := maxUnanswered
	if errors.Is(err, measurement.ErrLogShort) || apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		limit = maxAnswered
	}
	// The time counts from the first failed read, not from the record: the API
	// server or this program may have been down, and one failed read must not be
	// final.
	if t.Clock.Since(t.readers.failed(t.key, t.Clock.Now())) <= limit {
		return nil, err
	}
	return reason.Wrap(reason.MeasurementIncomplete, err, "it is in the log of %s, which could not be read for %s: %v", containerSigner, limit, err), nil
}
