package server

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

var bundle = strings.Repeat("b", 6000)

// sealed is what the notary leaves of a pod's output: its record and the seal, as long as
// they are in practice.
func sealed(namespace string, i int) (*v1alpha1.Provenance, *v1alpha1.ArtifactSeal) {
	pod, workflow := uid(1, i), uid(2, i/20)
	name := fmt.Sprintf("nightly-training-%d", i/20)
	l := artifact.Location{
		Store: "minio.storage.svc:9000", Bucket: "artifacts", Kind: artifact.KindObject,
		Key: fmt.Sprintf("%s/%s/%s-train-%d/model.tgz", namespace, name, name, i),
	}
	digest := string(artifact.DigestOfText(l.Key))
	made := metav1.NewTime(time.Unix(1_800_000_000+int64(i), 0))
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: pod, UID: types.UID(uid(3, i)), ResourceVersion: fmt.Sprint(10_000_000 + i), CreationTimestamp: made,
			Labels: map[string]string{layout.LabelWorkflow: name},
		},
		Spec: v1alpha1.ProvenanceSpec{
			Pod: v1alpha1.ObjectRef{Name: fmt.Sprintf("%s-train-%d", name, i), UID: types.UID(pod)}, Workflow: v1alpha1.ObjectRef{Name: name, UID: types.UID(workflow)},
			NodeID: fmt.Sprintf("%s-%d", name, i), PodCreatedAt: made,
		},
		Status: v1alpha1.ProvenanceStatus{
			Bundle:     bundle,
			Outputs:    []v1alpha1.OutputStatus{{Name: "model", Location: l.URI(), SHA256: digest}},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed), Message: "1 of 1 outputs sealed", LastTransitionTime: made}},
		},
	}
	s := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: artifact.SealName(l, workflow), UID: types.UID(uid(4, i)), ResourceVersion: p.ResourceVersion, CreationTimestamp: made,
			Labels: map[string]string{layout.LabelWorkflow: name, v1alpha1.LabelLocation: artifact.LocationName(l)},
		},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)}, Workflow: p.Spec.Workflow,
			SHA256: digest, TreeDigest: digest, Size: 1000, Provenance: pod,
			Producer: v1alpha1.Producer{Pod: p.Spec.Pod, NodeID: p.Spec.NodeID, Template: "train", Output: "model", FinishedAt: made, PodCreatedAt: made, RecordedAt: made},
		},
	}
	return p, s
}

func uid(kind, i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, i) }

// flood has the watches see so many seals and their records, in as many namespaces as are
// named.
func flood(t testing.TB, w Watched, n int, namespaces ...string) {
	t.Helper()
	for i := range n {
		p, s := sealed(namespaces[i%len(namespaces)], i)
		check(t, w.Records.provenances.Add(p))
		check(t, w.Records.seals.Add(s))
	}
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A hundred thousand seals and twenty thousand live pods leave more than half of 200 MiB to
// the program, to requests and to garbage.
func TestManySealsTakeLittleMemory(t *testing.T) {
	const seals, pods, most = 100_000, 20_000, 100 << 20
	before := heapInUse()
	w := NewWatched(Live{}, DefaultRoom, clock.RealClock{})
	allListed(t, w.stores()...)
	var namespaces []string
	for i := range 20 {
		namespaces = append(namespaces, fmt.Sprintf("team-%d", i))
	}
	flood(t, w, seals, namespaces...)
	w.Records.bundles = nil // they have a bound of their own
	after := heapInUse()
	pod := argotest.Pod(t, "produce")
	pod.Annotations[v1alpha1.AnnotationTag] = strings.Repeat("t", 700)
	for i := range pods {
		pod.Namespace, pod.Name, pod.UID = namespaces[i%20], fmt.Sprintf("nightly-training-%d-train-%d", i/20, i), types.UID(uid(1, i))
		check(t, w.Pods.pods.Add(pod))
	}
	total := heapInUse() - before
	for _, s := range w.stores() {
		kept, left, bytes := s.Size()
		t.Logf("%d are kept, %d left out, %d bytes each", kept, left, bytes/kept)
	}
	t.Logf("%d bytes for a seal with its record, %d for a pod, %d MiB together", (after-before)/seals, (total-after+before)/pods, total>>20)
	if total > most {
		t.Errorf("%d MiB, want at most %d", total>>20, most>>20)
	}
	runtime.KeepAlive(w)
}

// A namespace that makes as many seals as it can takes no more than the room there is, and
// slows down itself alone: whatever was left out is asked of the API server.
func TestAFloodOfSealsTakesNobodysRoom(t *testing.T) {
	const n = 200_000
	for name, c := range map[string]struct {
		flooded string
		live    bool
	}{
		"its own namespace": {ns, true},
		"another namespace": {"flood", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newScene(t, 2)
			w.seal(t)
			before := heapInUse()
			flood(t, w.watched, n, c.flooded)
			for _, s := range w.watched.stores()[1:] {
				kept, left, bytes := s.Size()
				if bytes > room || left < n/2 || kept == 0 {
					t.Errorf("%d are kept, %d left out, %d bytes", kept, left, bytes)
				}
			}
			if used := heapInUse() - before; used > 2*room+2*recentBundles {
				t.Errorf("%d KiB are used", used>>10)
			}
			calls := w.calls()
			raw := encoded(t, w.consumer)
			first := post(t, w.mux, PathMutate, creation(t, raw))
			if r := post(t, w.mux, PathValidate, creation(t, patched(t, raw, first.Patch))); !r.Allowed {
				t.Errorf("the honest consumer: %+v", r.Result)
			}
			if asked := w.calls() - calls; c.live != (asked > 10) {
				t.Errorf("%d requests were made", asked)
			}

			missing := newScene(t, 2)
			flood(t, missing.watched, n/10, c.flooded)
			r := post(t, missing.mux, PathMutate, creation(t, raw))
			if r.Allowed || !strings.HasPrefix(r.Result.Message, string(reason.NoProvenance)) {
				t.Errorf("what nobody sealed: %+v", r.Result)
			}
		})
	}
}
