//go:build integration

package followed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admission "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// rendered is what the chart makes where the namespaces argo and argo-two are named.
const rendered = "../../charts/testdata/followed.golden.yaml"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// guards are the policies that are tried here: the first two ask for Argo's controllers.
var guards = []string{"argoseal-pod-tag", "argoseal-pod-adoption", "argoseal-pod-status"}

// start gives an API server, with some guards of the chart, that has these namespaces.
func start(t *testing.T, namespaces ...string) (*rest.Config, client.Client) {
	t.Helper()
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	env.ControlPlane.APIServer.Configure().Append("disable-admission-plugins", "ServiceAccount")
	config, err := env.Start()
	check(t, err)
	t.Cleanup(func() { _ = env.Stop() })
	c, err := client.New(config, client.Options{})
	check(t, err)
	for _, ns := range namespaces {
		o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
		if ns == "team" {
			o.Labels = map[string]string{v1alpha1.LabelMode: string(v1alpha1.ModeEnforce)}
		}
		check(t, c.Create(t.Context(), o))
	}
	text, err := os.ReadFile(rendered)
	check(t, err)
	applied := 0
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var head metav1.PartialObjectMetadata
		check(t, yaml.Unmarshal([]byte(doc), &head))
		var o client.Object
		switch {
		case head.Kind == "ValidatingAdmissionPolicy" && slices.Contains(guards, head.Name):
			o = &admission.ValidatingAdmissionPolicy{}
		case head.Kind == "ValidatingAdmissionPolicyBinding" && slices.Contains(guards, head.Name):
			o = &admission.ValidatingAdmissionPolicyBinding{}
		case head.Kind == "ConfigMap" && head.Name == v1alpha1.ConfigMapArgo:
			o = &corev1.ConfigMap{}
		default:
			continue
		}
		check(t, yaml.UnmarshalStrict([]byte(doc), o))
		check(t, c.Create(t.Context(), o))
		applied++
	}
	if want := 2*len(guards) + 1; applied != want {
		t.Fatalf("%s has %d of the %d objects", rendered, applied, want)
	}
	return config, c
}

// makes says whether a user may make a tagged pod.
func makes(t *testing.T, config *rest.Config, user string) error {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := client.New(config, client.Options{})
	check(t, err)
	return c.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "p", Annotations: map[string]string{v1alpha1.AnnotationTag: "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}, client.DryRunAll)
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for range 300 {
		if err = try(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s: %v", what, err)
}

func refused(err error) error {
	if err == nil || !strings.Contains(err.Error(), "TagGuarded") && !strings.Contains(err.Error(), "no params found") {
		return fmt.Errorf("it is not refused by the policy: %w", errors.Join(errors.New("answer"), err))
	}
	return nil
}

// Notary, webhook and API server follow an upgrade of Argo in a namespace that is named,
// and nothing of a namespace that is not.
func TestNotaryWebhookAndPoliciesFollowArgo(t *testing.T) {
	config, api := start(t, ours, "argo", "argo-two", "team")
	m, err := ctrl.NewManager(config, ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	check(t, err)
	k := &Keeper{
		API: api, Namespace: ours, Of: []string{"argo", "argo-two"}, Events: m.GetEventRecorder("notary"), Clock: clock.RealClock{}, Log: logr.Discard(),
		Remember: func(context.Context, Record) error { return nil },
	}
	r := &Reader{API: m.GetAPIReader(), Namespace: ours, Of: []string{"argo", "argo-two"}, Clock: clock.RealClock{}, Log: logr.Discard()}
	check(t, errors.Join(k.SetupWithManager(t.Context(), m), r.SetupWithManager(t.Context(), m)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	const argo, other, evil = "system:serviceaccount:argo:argo", "system:serviceaccount:argo-two:argo", "system:serviceaccount:team:evil"
	eventually(t, "nobody is Argo yet", func() error { return refused(makes(t, config, argo)) })
	put := func(ns, version, account string) {
		t.Helper()
		d := deployment(ns, pod(version, account))
		d.UID = ""
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
		if err := api.Create(t.Context(), d); err != nil {
			old := &appsv1.Deployment{}
			check(t, api.Get(t.Context(), client.ObjectKeyFromObject(d), old))
			old.Spec.Template = d.Spec.Template
			check(t, api.Update(t.Context(), old))
		}
	}
	trusts := func(images ...string) func() error {
		return func() error {
			if id := r.Identity(); strings.Join(id.ExecutorImages, " ") != strings.Join(images, " ") {
				return fmt.Errorf("it is %+v", id)
			}
			return nil
		}
	}
	put("team", "v9", "evil")
	put("argo", "v3.7.18", "argo")
	eventually(t, "the webhook trusts what runs", trusts(executor("v3.7.18")))
	eventually(t, "the policy lets Argo make pods", func() error { return makes(t, config, argo) })
	began := time.Now()
	put("argo", "v4.0.2", "argo")
	eventually(t, "the webhook trusts what ran and what runs", trusts(executor("v3.7.18"), executor("v4.0.2")))
	t.Logf("an upgrade was followed after %s", time.Since(began))
	put("argo-two", "v4.0.2", "argo")
	eventually(t, "the policy lets the other Argo make pods", func() error { return makes(t, config, other) })
	if err := refused(makes(t, config, evil)); err != nil {
		t.Errorf("whose namespace is not named: %v", err)
	}
	if err := refused(makes(t, config, "system:serviceaccount:argo:default")); err != nil {
		t.Errorf("who is no controller: %v", err)
	}
	var events corev1.EventList
	eventually(t, "there is an event of the Deployment", func() error {
		if err := api.List(t.Context(), &events, client.InNamespace("argo")); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "ArgoChanged" && e.InvolvedObject.Name == "workflow-controller" {
				return nil
			}
		}
		return fmt.Errorf("of %d", len(events.Items))
	})
	cancel() // nobody keeps the record any more
	<-done
	done <- nil

	// Whoever writes the record makes nobody of another namespace Argo, and without it
	// nobody is.
	var c corev1.ConfigMap
	check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.ConfigMapArgo}, &c))
	c.Data[v1alpha1.ArgoControllersKey] = evil + "\n" + other
	check(t, api.Update(t.Context(), &c))
	eventually(t, "the policy has read the record", func() error { return refused(makes(t, config, argo)) })
	if err := refused(makes(t, config, evil)); err != nil {
		t.Errorf("in a record that names him: %v", err)
	}
	check(t, makes(t, config, other))
	check(t, api.Delete(t.Context(), &c))
	eventually(t, "without a record nobody is Argo", func() error { return refused(makes(t, config, other)) })
}

// TestNodesReportWithoutTheRecordOfArgo: with the policies' parameter gone no pods are made,
// and what runs is reported as ever.
func TestNodesReportWithoutTheRecordOfArgo(t *testing.T) {
	config, api := start(t, ours, "team")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "runs"},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}
	eventually(t, "a pod is made", func() error {
		if err := refused(makes(t, config, "anybody")); err != nil {
			return fmt.Errorf("no policy is in force yet: %w", err)
		}
		pod.ResourceVersion = ""
		return api.Create(t.Context(), pod)
	})
	check(t, api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapArgo}}))
	eventually(t, "no pods are made", func() error { return refused(makes(t, config, "anybody")) })
	eventually(t, "for want of the record", func() error {
		if err := makes(t, config, "anybody"); err == nil || !strings.Contains(err.Error(), "no params found") {
			return fmt.Errorf("it is %w", errors.Join(errors.New("another answer"), err))
		}
		return nil
	})
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:node:n", Groups: []string{"system:nodes", "system:masters"}}
	node, err := client.New(as, client.Options{})
	check(t, err)
	pod.Status.Phase = corev1.PodRunning
	if err := node.Status().Update(t.Context(), pod); err != nil {
		t.Errorf("its node cannot report it: %v", err)
	}
}
