package believed

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

const ours = "argoseal-system"

var begin = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)

func said(executor, signer string, env ...string) Installation {
	return Installation{
		Identity: argo.Identity{Controllers: []string{"c"}, ExecutorImages: []string{executor}, ExecutorEnv: env},
		Signers:  []string{signer},
	}
}

func TestWhatWasSaidBeforeCountsForAMonth(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	say := func(now Installation, after time.Duration) Installation {
		t.Helper()
		all, err := Remember(t.Context(), c, ours, now, begin.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	want := func(got Installation, executors, env, signers []string) {
		t.Helper()
		have := [][]string{got.Identity.Controllers, got.Identity.ExecutorImages, got.Identity.ExecutorEnv, got.Signers}
		if diff := cmp.Diff([][]string{{"c"}, executors, env, signers}, have); diff != "" {
			t.Errorf("believed (-want +got):\n%s", diff)
		}
	}
	const day = 24 * time.Hour
	want(say(said("exec:1", "signer:1", "A=1"), 0), []string{"exec:1"}, []string{"A=1"}, []string{"signer:1"})
	// It was said for long: it counts from when it is not any more.
	want(say(said("exec:2", "signer:1"), 99*day), []string{"exec:1", "exec:2"}, []string{"A=1"}, []string{"signer:1"})
	want(say(said("exec:2", "signer:2"), 120*day), []string{"exec:1", "exec:2"}, []string{"A=1"}, []string{"signer:1", "signer:2"})
	want(say(said("exec:2", "signer:2"), 130*day), []string{"exec:2"}, nil, []string{"signer:1", "signer:2"})
	// What was rolled back is remembered like anything else, and is said again.
	want(say(said("exec:1", "signer:1"), 131*day), []string{"exec:1", "exec:2"}, nil, []string{"signer:1", "signer:2"})
}

func TestReplicasThatStartTogetherForgetNothing(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() {
			_, err := Remember(t.Context(), c, ours, said("exec:1", string(rune('a'+i))), begin)
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	all, err := Remember(t.Context(), c, ours, said("exec:1", "z"), begin)
	if err != nil || len(all.Signers) != 9 {
		t.Errorf("signers are %q, %v", all.Signers, err)
	}
}

func TestAMemoryOfSomebodyElsesIsNotBelieved(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"nothing":     nil,
		"no JSON":     {v1alpha1.BelievedKey: "x"},
		"a list":      {v1alpha1.BelievedKey: `{"signers":["evil"]}`},
		"another key": {"x": "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapBelieved}, Data: data}
			c := fake.NewClientBuilder().WithObjects(m).Build()
			all, err := Remember(t.Context(), c, ours, said("exec:1", "signer:1"), begin)
			var refusal *reason.Error
			if !errors.As(err, &refusal) || len(all.Signers) > 0 {
				t.Errorf("got %+v, %v", all, err)
			}
		})
	}
	// A time that is none is long ago.
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapBelieved},
		Data: map[string]string{v1alpha1.BelievedKey: `{"signers":{"old":"yesterday"}}`}}
	c := fake.NewClientBuilder().WithObjects(m).Build()
	all, err := Remember(t.Context(), c, ours, said("exec:1", "signer:1"), begin)
	if err != nil || slices.Contains(all.Signers, "old") {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil || m.Data[v1alpha1.BelievedKey] == "" {
		t.Errorf("it is not written: %+v, %v", m.Data, err)
	}
}
