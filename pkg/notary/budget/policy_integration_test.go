//go:build integration

package budget

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const ours = "argoseal-system"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rendered picks the policy, its binding and the ConfigMap from what the chart renders to.
func rendered(t *testing.T) []client.Object {
	t.Helper()
	raw, err := os.ReadFile("../../../charts/testdata/default.golden.yaml")
	must(t, err)
	var all []client.Object
	for doc := range strings.SplitSeq(string(raw), "\n---\n") {
		var head metav1.PartialObjectMetadata
		must(t, yaml.Unmarshal([]byte(doc), &head))
		if head.Name != v1alpha1.ConfigMapBudget {
			continue
		}
		var o client.Object
		switch head.Kind {
		case "ValidatingAdmissionPolicy":
			o = &admission.ValidatingAdmissionPolicy{}
		case "ValidatingAdmissionPolicyBinding":
			o = &admission.ValidatingAdmissionPolicyBinding{}
		case "ConfigMap":
			o = &corev1.ConfigMap{}
		default:
			t.Fatalf("the chart has a %s of that name", head.Kind)
		}
		must(t, yaml.UnmarshalStrict([]byte(doc), o))
		all = append(all, o)
	}
	if len(all) != 3 {
		t.Fatalf("the chart has %d objects, want a policy, a binding and a ConfigMap", len(all))
	}
	return all
}

// TestAFullNamespaceBeginsNoStep: what a ledger counts keeps steps of that namespace, in mode
// enforce, from beginning, by the chart's policy on a real API server; and nothing else.
func TestAFullNamespaceBeginsNoStep(t *testing.T) {
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: os.Getenv("TEST_ASSET_KUBE_APISERVER")}, Etcd: &envtest.Etcd{Path: os.Getenv("TEST_ASSET_ETCD")},
	}}
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	api, err := client.New(config, client.Options{})
	must(t, err)
	for name, mode := range map[string]string{ours: "", "greedy": "enforce", "honest": "enforce", "warned": "warn", "audited": "audit", "typo": "enfroce", "nearly": "enforce"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if mode != "" {
			ns.Labels = map[string]string{v1alpha1.LabelMode: mode}
		}
		must(t, api.Create(t.Context(), ns))
	}
	for _, o := range rendered(t) {
		must(t, api.Create(t.Context(), o))
	}
	l := NewLedger(Size{Objects: 8})
	for _, full := range []string{"greedy", "warned", "audited", "typo"} {
		l.Change(full, Size{Objects: 8})
	}
	l.Complete()
	l.Change("nearly", Size{Objects: 7})
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: kubernetes.NewForConfigOrDie(config).EventsV1()})
	must(t, broadcaster.StartRecordingToSinkWithContext(t.Context()))
	t.Cleanup(broadcaster.Shutdown)
	board := &Board{
		API: api, Namespace: ours, Ledger: l, Log: logr.Discard(), Clock: clock.RealClock{},
		Events: broadcaster.NewRecorder(scheme.Scheme, "argoseal-notary"),
	}
	must(t, board.tell(t.Context()))

	n := 0
	begin := func(namespace string, tagged bool) error {
		n++
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("step-%d", n)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x"}}, AutomountServiceAccountToken: new(bool)},
		}
		if tagged {
			pod.Annotations = map[string]string{v1alpha1.AnnotationTag: "x"}
		}
		return api.Create(t.Context(), pod, client.DryRunAll)
	}
	const code = "BudgetExceeded: "
	refused := func(namespace string, want bool) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			err = begin(namespace, true)
			if (err != nil && strings.Contains(err.Error(), code)) == want {
				break
			}
		}
		switch {
		case want && (err == nil || !strings.Contains(err.Error(), code)):
			t.Errorf("a step begins in %s: %v", namespace, err)
		case !want && err != nil:
			t.Errorf("a step is refused in %s: %v", namespace, err)
		}
	}
	refused("greedy", true)
	refused("typo", true) // a mode that is none is enforce
	for _, namespace := range []string{"honest", "warned", "audited", "nearly"} {
		refused(namespace, false)
	}
	for namespace, want := range map[string]string{"greedy": "BudgetExceeded", "nearly": "BudgetNear", "honest": ""} {
		var said []string
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			var all corev1.EventList
			must(t, api.List(t.Context(), &all, client.InNamespace(namespace)))
			said = nil
			for _, e := range all.Items {
				said = append(said, e.Reason)
			}
			if want == "" || len(said) > 0 {
				break
			}
		}
		if strings.Join(said, " ") != want {
			t.Errorf("the events of %s are %q, want %q", namespace, said, want)
		}
	}
	if err := begin("greedy", false); err != nil {
		t.Errorf("a pod of which nothing is recorded is refused: %v", err)
	}
	l.Change("greedy", Size{Objects: -4})
	must(t, board.tell(t.Context()))
	refused("greedy", false)
	// Without the ConfigMap nobody is refused: it defends etcd, no evidence.
	must(t, api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapBudget}}))
	refused("typo", false)
}
