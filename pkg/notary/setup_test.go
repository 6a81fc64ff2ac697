package notary

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestTheCacheKeepsOfUntaggedPodsOnlyThatTheyAreThere(t *testing.T) {
	tagged := producer(t).pod
	kept, err := slimPod(tagged.DeepCopy())
	must(t, err)
	if p := kept.(*corev1.Pod); len(p.Spec.Containers) == 0 || !Finished(p) || p.ManagedFields != nil {
		t.Error("a tagged pod was cut")
	}
	untagged := tagged.DeepCopy()
	delete(untagged.Annotations, v1alpha1.AnnotationTag)
	kept, err = slimPod(untagged)
	must(t, err)
	if p := kept.(*corev1.Pod); len(p.Spec.Containers) != 0 || p.UID != tagged.UID {
		t.Error("an untagged pod was kept, or lost its identity")
	}
}

func TestTheCacheKeepsOfRecordsWhoseTurnItIs(t *testing.T) {
	p := &v1alpha1.Provenance{Status: v1alpha1.ProvenanceStatus{
		Envelope: "e", Bundle: "b", Outputs: make([]v1alpha1.OutputStatus, 1), Claim: &v1alpha1.Claim{Holder: "a"},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue}},
	}}
	kept, err := slimRecord(p)
	must(t, err)
	if s := kept.(*v1alpha1.Provenance).Status; s.Envelope != "" || s.Bundle != "" || s.Outputs != nil || s.Claim == nil || !Final(p) {
		t.Errorf("kept %+v", s)
	}
}

func TestOnlyFinishedTaggedPodsDriveTheNotary(t *testing.T) {
	running := producer(t).pod
	running.Status.Phase = corev1.PodRunning
	untagged := producer(t).pod
	delete(untagged.Annotations, v1alpha1.AnnotationTag)
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{"finished and tagged": {producer(t).pod, true}, "running": {running, false}, "untagged": {untagged, false}} {
		t.Run(name, func(t *testing.T) {
			if got := ripe().Create(event.TypedCreateEvent[*corev1.Pod]{Object: c.pod}); got != c.want {
				t.Errorf("create passes: %t", got)
			}
			if got := ripe().Update(event.TypedUpdateEvent[*corev1.Pod]{ObjectNew: c.pod}); got != c.want {
				t.Errorf("update passes: %t", got)
			}
			if ripe().Delete(event.TypedDeleteEvent[*corev1.Pod]{Object: c.pod}) {
				t.Error("delete passes")
			}
		})
	}
}

func TestOnlyUnfinishedRecordsOfOthersDriveTheNotary(t *testing.T) {
	n := &Notary{Holder: "a", ClaimDuration: testClaim}
	record := func(holder string, code reason.Code) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{Status: v1alpha1.ProvenanceStatus{
			Claim:      &v1alpha1.Claim{Holder: holder},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionFalse, Reason: string(code)}},
		}}
	}
	for name, c := range map[string]struct {
		record          *v1alpha1.Provenance
		create, initial bool
	}{
		"another's":            {record("b", reason.Pending), true, true},
		"a released one":       {record("", reason.Pending), true, true},
		"our own":              {record("a", reason.Pending), false, true}, // after a restart
		"another's final one":  {record("b", reason.UploadFailed), false, false},
		"our own final record": {record("a", reason.UploadFailed), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := n.unfinished()
			if got := p.Create(event.TypedCreateEvent[*v1alpha1.Provenance]{Object: c.record}); got != c.create {
				t.Errorf("create passes: %t", got)
			}
			if got := p.Create(event.TypedCreateEvent[*v1alpha1.Provenance]{Object: c.record, IsInInitialList: true}); got != c.initial {
				t.Errorf("create in the first list passes: %t", got)
			}
			if got := p.Update(event.TypedUpdateEvent[*v1alpha1.Provenance]{ObjectNew: c.record}); got != c.create {
				t.Errorf("update passes: %t", got)
			}
		})
	}
}

func TestMetricsCountByClosedSets(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Metrics.count("SomethingATenantMadeUp")
	settle(t, n, w.key())
	for _, code := range []reason.Code{reason.Internal, reason.Sealed} {
		var m dto.Metric
		must(t, n.Metrics.ended[code].Write(&m))
		if got := m.GetCounter().GetValue(); got != 1 {
			t.Errorf("%s was counted %v times", code, got)
		}
	}
	if len(n.Metrics.ended) != len(reason.All()) {
		t.Errorf("%d reasons, want the table's %d", len(n.Metrics.ended), len(reason.All()))
	}
}
