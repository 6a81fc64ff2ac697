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

	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

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
	// maxReaders bounds the logs that are read at a time, each of which can take
	// some MiB, or, at a kubelet that does not answer, all of its time.
	maxReaders = 16
	// maxReadersEach is how many of them one namespace can have: pods whose
	// kubelet does not answer hold up no other tenant's.
	maxReadersEach = maxReaders / 4
	// maxAnswered is how long a log is read again that does not have the
	// measurement, or that the kubelet does not find: it may still be writing it,
	// or have been restarted.
	maxAnswered = time.Minute
	// maxUnanswered is how long a log is waited for that cannot be reached. As
	// long, from the pod's end, its deletion is held back.
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

// enter says whether there is room for another log of that namespace, whose
// reader then has to leave.
func (r *readers) enter(namespace string) bool {
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

func (r *readers) leave(namespace string) {
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
	if !t.readers.enter(pod.Namespace) {
		return nil, errBusy
	}
	defer t.readers.leave(pod.Namespace)
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
	// Not since the record was made: the API server or this program may have been
	// down meanwhile, and one read in vain is not the last word.
	if t.Clock.Since(t.readers.failed(t.key, t.Clock.Now())) <= limit {
		return nil, err
	}
	return reason.Wrap(reason.MeasurementIncomplete, err, "it is in the log of %s, which could not be read for %s: %v", containerSigner, limit, err), nil
}
