//go:build integration

package notary

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/notary/budget"
)

// TestSoak keeps two notaries at work for as long as ARGOSEAL_SOAK says, beside a real API
// server, etcd and Rekor. It is what `make soak` runs; docs/performance.md has what it said.
//
// Before they start there are ARGOSEAL_SOAK_SEALS ArtifactSeals of other workflows and
// ARGOSEAL_SOAK_BACKLOG finished pods. Then ARGOSEAL_SOAK_RATE pods a second finish. A pod
// and its records are deleted a minute after its end, as pod garbage collection and
// retention do: what is left in memory then has no reason to be there.
func TestSoak(t *testing.T) {
	length := os.Getenv("ARGOSEAL_SOAK")
	if length == "" {
		t.Skip("ARGOSEAL_SOAK does not say how long: `make soak` does")
	}
	lasts, err := time.ParseDuration(length)
	must(t, err)
	backlog, rate := number(t, "ARGOSEAL_SOAK_BACKLOG", 1000), number(t, "ARGOSEAL_SOAK_RATE", 5)
	r := startRekor(t)
	w := newRealWorld(t, r)
	w.fill(t, number(t, "ARGOSEAL_SOAK_SEALS", 100_000))
	for i := range backlog - 1 {
		w.finish(t, w.step(t, fmt.Sprintf("[1].work(%d)", i)))
	}
	s := &soak{world: w, t: t}
	s.sample("before the notaries start")
	began := time.Now()
	for i := range 2 {
		n := w.replica(t, fmt.Sprintf("replica-%d", i))
		n.Budget = budget.NewLedger(budget.Size{Objects: 1 << 40})
		api := n.API
		n.Epochs = func(ctx context.Context, namespace string) (epoch.Moment, error) {
			return w.scene.moment, w.asTheKeeper(ctx, api, namespace)
		}
	}
	for w.unsealed(t) > 0 {
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("backlog of %d: %.1f seals a second", backlog, float64(backlog)/time.Since(began).Seconds())
	s.sample("the backlog is sealed")
	s.steady(lasts, rate)
	s.flat()
}

// soak is what is measured.
type soak struct {
	*world
	t *testing.T

	mu sync.Mutex
	// ended is when each pod ended whose seal is not seen yet.
	ended map[types.UID]time.Time
	took  []time.Duration
	// heaps are live bytes, a sample each.
	heaps  []int64
	sealed int
}

// sample collects garbage and says what is left, and what the programs beside have.
func (s *soak) sample(when string) {
	heap := liveHeap()
	s.mu.Lock()
	took := slices.Sorted(slices.Values(s.took))
	s.took = nil
	s.mu.Unlock()
	late := "none"
	if len(took) > 0 {
		late = fmt.Sprintf("p50 %s, p90 %s, most %s", took[len(took)/2].Round(time.Millisecond), took[len(took)*9/10].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	}
	s.t.Logf("%s: heap %d KiB, %d goroutines, resident %v KiB; seals %s", when, heap>>10, runtime.NumGoroutine(), residents(s.t), late)
	s.heaps = append(s.heaps, heap)
}

// steady has so many pods finish a second, for so long.
func (s *soak) steady(lasts time.Duration, rate int) {
	s.ended, s.heaps = map[types.UID]time.Time{}, nil
	ctx, stop := context.WithTimeout(s.t.Context(), lasts)
	defer stop()
	var made errgroup.Group
	made.SetLimit(16)
	var old []*corev1.Pod
	tick, look := time.NewTicker(time.Second/time.Duration(rate)), time.NewTicker(lasts/12)
	defer tick.Stop()
	defer look.Stop()
	watching := make(chan error, 1)
	go func() { watching <- s.watch(ctx) }()
	for i := 0; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-look.C:
			s.sample(fmt.Sprintf("%d pods", i))
		case <-tick.C:
			pod := s.step(s.t, fmt.Sprintf("[2].steady(%d)", i))
			i++
			made.Go(func() error {
				s.finish(s.t, pod)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.ended[pod.UID] = time.Now()
				old = append(old, pod)
				return nil
			})
			made.Go(func() error { return s.collect(&old) })
		}
	}
	must(s.t, made.Wait())
	must(s.t, <-watching)
}

// collected is how long pods and records stay.
const collected = time.Minute

// collect deletes a pod that ended long enough ago, and its records.
func (s *soak) collect(old *[]*corev1.Pod) error {
	s.mu.Lock()
	if len(*old) == 0 || time.Since(podEnd((*old)[0])) < collected {
		s.mu.Unlock()
		return nil
	}
	pod := (*old)[0]
	*old = (*old)[1:]
	s.mu.Unlock()
	ctx := context.Background()
	var p v1alpha1.Provenance
	if err := s.api.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: string(pod.UID)}, &p); err != nil {
		return err
	}
	if !Final(&p) {
		return fmt.Errorf("pod %s has no final record a minute after its end", pod.Name)
	}
	for _, o := range p.Status.Outputs {
		l, err := artifact.ParseLocation(o.Location)
		if err != nil {
			return err
		}
		seal := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: artifact.SealName(l, string(p.Spec.Workflow.UID))}}
		if err := s.api.Delete(ctx, seal); err != nil {
			return err
		}
	}
	if err := s.api.Delete(ctx, pod, client.GracePeriodSeconds(0)); err != nil {
		return err
	}
	return s.api.Delete(ctx, &p)
}

// podEnd is when the pod was made: they end at once.
func podEnd(pod *corev1.Pod) time.Time { return pod.CreationTimestamp.Time }

// watch notes when seals come.
func (s *soak) watch(ctx context.Context) error {
	w, err := s.api.Watch(ctx, &v1alpha1.ProvenanceList{}, client.InNamespace(s.scene.pod.Namespace))
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-w.ResultChan():
			if !open {
				if w, err = s.api.Watch(ctx, &v1alpha1.ProvenanceList{}, client.InNamespace(s.scene.pod.Namespace)); err != nil {
					return client.IgnoreNotFound(err)
				}
				continue
			}
			p, ok := e.Object.(*v1alpha1.Provenance)
			if !ok || !Final(p) {
				continue
			}
			s.mu.Lock()
			if at, waits := s.ended[types.UID(p.Name)]; waits {
				delete(s.ended, types.UID(p.Name))
				s.took = append(s.took, time.Since(at))
				s.sealed++
			}
			s.mu.Unlock()
		}
	}
}

// flat fails if memory grows: the last third of the samples has, on average, at most a
// tenth and 4 MiB more than the third before it.
func (s *soak) flat() {
	n := len(s.heaps) / 3
	if n == 0 {
		s.t.Fatal("too short for samples")
	}
	mean := func(some []int64) (m int64) {
		for _, h := range some {
			m += h / int64(len(some))
		}
		return m
	}
	before, after := mean(s.heaps[n:2*n]), mean(s.heaps[2*n:])
	s.t.Logf("%d sealed; heap %d KiB in the second third, %d KiB in the last", s.sealed, before>>10, after>>10)
	if after > before+before/10+4<<20 {
		s.t.Errorf("memory grows: %d KiB, then %d KiB", before>>10, after>>10)
	}
	if s.sealed == 0 {
		s.t.Error("nothing was sealed")
	}
}

// fill makes ArtifactSeals of other workflows, as they lie in a cluster that has been used
// for long.
func (w *world) fill(t *testing.T, seals int) {
	began := time.Now()
	var g errgroup.Group
	g.SetLimit(32)
	for i := range seals {
		g.Go(func() error {
			l := artifact.Location{Store: "s3.argo.svc:7070", Bucket: "artifacts", Key: fmt.Sprintf("workflow-%d/step-%d/model.tgz", i/50, i), Kind: artifact.KindObject}
			workflow := v1alpha1.ObjectRef{Name: fmt.Sprintf("workflow-%d", i/50), UID: types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i/50))}
			pod := types.UID(fmt.Sprintf("11111111-0000-0000-0000-%012d", i))
			at := metav1.NewTime(time.Now())
			return w.api.Create(t.Context(), &v1alpha1.ArtifactSeal{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: w.scene.pod.Namespace, Name: artifact.SealName(l, string(workflow.UID)),
					Labels: map[string]string{v1alpha1.LabelLocation: artifact.LocationName(l), "workflows.argoproj.io/workflow": workflow.Name},
				},
				Spec: v1alpha1.ArtifactSealSpec{
					Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)}, Workflow: workflow,
					SHA256: strings.Repeat("ab", 32), TreeDigest: strings.Repeat("cd", 32), Size: 1 << 20, Provenance: string(pod),
					Producer: v1alpha1.Producer{Pod: v1alpha1.ObjectRef{Name: fmt.Sprintf("workflow-%d-step-%d", i/50, i), UID: pod}, NodeID: fmt.Sprintf("workflow-%d-%d", i/50, i), Template: "work", Output: "model", FinishedAt: at, PodCreatedAt: at, RecordedAt: at},
				},
			})
		})
	}
	must(t, g.Wait())
	t.Logf("%d ArtifactSeals are there after %s", seals, time.Since(began).Round(time.Second))
}

// residents is what each process has in memory, in KiB, by its name.
func residents(tb testing.TB) map[string]int64 {
	tb.Helper()
	all := map[string]int64{}
	children, err := filepath.Glob("/proc/[0-9]*/status")
	must(tb, err)
	for _, path := range children {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(raw)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
		self := fields["Pid"] == strconv.Itoa(os.Getpid())
		if !self && fields["PPid"] != strconv.Itoa(os.Getpid()) {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(fields["VmRSS"], " kB"), 10, 64)
		if err != nil {
			continue
		}
		name := fields["Name"]
		if self {
			name = "notaries and test"
		}
		all[name] += kib
	}
	return all
}
