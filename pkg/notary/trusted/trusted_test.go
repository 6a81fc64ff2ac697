package trusted

import (
	"encoding/json"
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
			t.Errorf("trusted (-want +got):\n%s", diff)
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

func TestAdditionsAreRememberedToo(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	say := func(after time.Duration, texts ...string) []string {
		t.Helper()
		now := said("exec:1", "signer:1")
		var err error
		if now.Identity.Additions, err = argo.ParseAdditions(texts); err != nil {
			t.Fatal(err)
		}
		all, err := Remember(t.Context(), c, ours, now, begin.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return all.Identity.Additions.Texts()
	}
	const one, two, day = "mount:vault:/vault:ro", "variable:A=1", 24 * time.Hour
	for _, c := range []struct {
		after time.Duration
		now   []string
		want  []string
	}{{0, []string{one}, []string{one}}, {day, []string{two}, []string{one, two}}, {40 * day, []string{two}, []string{two}}} {
		if got := say(c.after, c.now...); !slices.Equal(got, c.want) {
			t.Errorf("trusted are %q, want %q", got, c.want)
		}
	}
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

func TestAMemoryOfSomebodyElsesIsNotTrusted(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"nothing":     nil,
		"no JSON":     {v1alpha1.TrustedKey: "x"},
		"a list":      {v1alpha1.TrustedKey: `{"signers":["evil"]}`},
		"another key": {"x": "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapTrusted}, Data: data}
			c := fake.NewClientBuilder().WithObjects(m).Build()
			all, err := Remember(t.Context(), c, ours, said("exec:1", "signer:1"), begin)
			var refusal *reason.Error
			if !errors.As(err, &refusal) || len(all.Signers) > 0 {
				t.Errorf("got %+v, %v", all, err)
			}
		})
	}
	// A time that is none is long ago.
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapTrusted},
		Data: map[string]string{v1alpha1.TrustedKey: `{"signers":{"old":"yesterday"}}`}}
	c := fake.NewClientBuilder().WithObjects(m).Build()
	all, err := Remember(t.Context(), c, ours, said("exec:1", "signer:1"), begin)
	if err != nil || slices.Contains(all.Signers, "old") {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil || m.Data[v1alpha1.TrustedKey] == "" {
		t.Errorf("it is not written: %+v, %v", m.Data, err)
	}
}

// An upgrade goes on with what the release before remembered, and one that is rolled
// back with what this release did.
func TestTheReleaseBeforeKeepsItsMemory(t *testing.T) {
	before := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapBelieved},
		Data:       map[string]string{v1alpha1.BelievedKey: `{"controllers":{"c":""},"signers":{"signer:1":"","old":"` + begin.Add(-time.Hour).Format(time.RFC3339) + `"}}`},
	}
	c := fake.NewClientBuilder().WithObjects(before).Build()
	remembered := func(signer string) []string {
		t.Helper()
		all, err := Remember(t.Context(), c, ours, said("exec:1", signer), begin)
		if err != nil {
			t.Fatal(err)
		}
		return all.Signers
	}
	if got, want := remembered("signer:2"), []string{"old", "signer:1", "signer:2"}; !slices.Equal(got, want) {
		t.Errorf("after the upgrade it is %q, want %q", got, want)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(before), before); err != nil {
		t.Fatal(err)
	}
	var m memory
	if err := json.Unmarshal([]byte(before.Data[v1alpha1.BelievedKey]), &m); err != nil || len(m.Signers) != 3 {
		t.Errorf("the release before would know %q, %v", m.Signers, err)
	}
	// It was rolled back for a while, and another signer was said then.
	before.Data[v1alpha1.BelievedKey] = `{"signers":{"signer:3":""}}`
	if err := c.Update(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if got := remembered("signer:2"); !slices.Contains(got, "signer:3") || !slices.Contains(got, "signer:1") {
		t.Errorf("after a rollback it is %q", got)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(before), before); err != nil {
		t.Fatal(err)
	}
	before.Data[v1alpha1.BelievedKey] = "x"
	if err := c.Update(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if _, err := Remember(t.Context(), c, ours, said("exec:1", "signer:2"), begin); reason.Of(err) != reason.KeyMismatch {
		t.Errorf("a memory of somebody else's: %v", err)
	}
}

func TestWhoBeginsWithThisReleaseHasOneMemory(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	if _, err := Remember(t.Context(), c, ours, said("exec:1", "signer:1"), begin); err != nil {
		t.Fatal(err)
	}
	var all corev1.ConfigMapList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 1 || all.Items[0].Name != v1alpha1.ConfigMapTrusted {
		t.Errorf("there are %+v, %v", all.Items, err)
	}
}
