package followed

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
)

const ours = "argoseal-system"

// pod is that of a controller.
func pod(version, account string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{
		{Name: "workflow-controller", Image: "quay.io/argoproj/workflow-controller:" + version},
	}}}
}

func deployment(ns string, template corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "workflow-controller", UID: types.UID(ns + "-uid")},
		Spec:       appsv1.DeploymentSpec{Template: template},
	}
}

func replicaSet(d *appsv1.Deployment, name string, template corev1.PodTemplateSpec, replicas int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: new(true)},
		}},
		Spec:   appsv1.ReplicaSetSpec{Template: template},
		Status: appsv1.ReplicaSetStatus{Replicas: replicas},
	}
}

type scene struct {
	*Keeper
	t      *testing.T
	api    client.WithWatch
	clock  *testclock.FakePassiveClock
	events *events.FakeRecorder
	told   []Record
}

func newScene(t *testing.T, objects ...client.Object) *scene {
	t.Helper()
	s := &scene{t: t, api: fake.NewClientBuilder().WithObjects(objects...).Build(), clock: testclock.NewFakePassiveClock(begin), events: events.NewFakeRecorder(10)}
	s.Keeper = &Keeper{
		API: s.api, Namespace: ours, Of: []string{"argo"}, Events: s.events, Clock: s.clock, Log: logr.Discard(),
		Remember: func(_ context.Context, now Record) error { s.told = append(s.told, now); return nil },
	}
	return s
}

// trusted is what a webhook would trust now.
func (s *scene) trusted() argo.Identity {
	s.t.Helper()
	r := &Reader{API: s.api, Namespace: ours, Of: []string{"argo"}, Clock: s.clock}
	if err := r.Load(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return r.Identity()
}

func (s *scene) look() {
	s.t.Helper()
	if err := s.Look(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) lines() string {
	s.t.Helper()
	var c corev1.ConfigMap
	if err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.ConfigMapArgo}, &c); err != nil {
		s.t.Fatal(err)
	}
	return c.Data[v1alpha1.ArgoControllersKey]
}

func (s *scene) event() string {
	select {
	case e := <-s.events.Events:
		return e
	default:
		return ""
	}
}

func executor(version string) string { return "quay.io/argoproj/argoexec:" + version }

// An upgrade of Argo: old and new run beside each other for a while, and what the old
// one asked for last comes later.
func TestAnUpgradeOfArgoIsFollowed(t *testing.T) {
	old, next := pod("v3.7.18", "argo"), pod("v4.0.2", "argo-controller")
	d := deployment("argo", old)
	rs := replicaSet(d, "old", old, 1)
	s := newScene(t, configMap(""), d, rs)
	s.look()
	if id := s.trusted(); !slices.Equal(id.Controllers, []string{"system:serviceaccount:argo:argo"}) || !slices.Equal(id.ExecutorImages, []string{executor("v3.7.18")}) {
		t.Errorf("at first %+v", id)
	}
	if e := s.event(); !strings.HasPrefix(e, "Normal ArgoChanged trusted from now on: ") {
		t.Errorf("the event is %q", e)
	}
	s.look()
	if e := s.event(); e != "" {
		t.Errorf("nothing changed, and %q", e)
	}

	update := func(o client.Object) {
		t.Helper()
		if err := s.api.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	d.Spec.Template = next
	update(d)
	// It does not come up for long: its pods are the old ones.
	s.clock.SetTime(begin.Add(99 * time.Hour))
	s.look()
	both := []string{executor("v3.7.18"), executor("v4.0.2")}
	if id := s.trusted(); !slices.Equal(id.ExecutorImages, both) || s.lines() != "system:serviceaccount:argo:argo\nsystem:serviceaccount:argo:argo-controller" {
		t.Errorf("while both run %+v, the policies are told %q", id, s.lines())
	}
	if e := s.event(); !strings.Contains(e, "trusted from now on: controller system:serviceaccount:argo:argo-controller, executor image "+executor("v4.0.2")) || strings.Contains(e, "v3") {
		t.Errorf("the event is %q", e)
	}
	rs.Status.Replicas = 0
	if err := s.api.Status().Update(t.Context(), rs); err != nil {
		t.Fatal(err)
	}
	s.look()
	if id := s.trusted(); !slices.Equal(id.ExecutorImages, both) {
		t.Errorf("the old one has just ended, and it is %+v", id)
	}
	if e := s.event(); !strings.Contains(e, "trusted for 10m0s yet: controller system:serviceaccount:argo:argo, executor image "+executor("v3.7.18")) {
		t.Errorf("the event is %q", e)
	}
	s.clock.SetTime(begin.Add(99*time.Hour + Lingers))
	if id := s.trusted(); !slices.Equal(id.ExecutorImages, []string{executor("v4.0.2")}) || len(id.Controllers) != 1 {
		t.Errorf("the old one has ended for long, and it is %+v", id)
	}
	s.look()
	if s.lines() != "system:serviceaccount:argo:argo-controller" {
		t.Errorf("the policies are told %q", s.lines())
	}
	r := prometheus.NewRegistry()
	r.MustRegister(s.Metrics())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"argoseal_notary_argo_changes_total controller": 3, "argoseal_notary_argo_changes_total executor_image": 3,
		"argoseal_notary_argo_changes_total executor_variable": 0, "argoseal_notary_argo_controllers": 1, "argoseal_notary_argo_unread": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestAConfigurationIsFollowed(t *testing.T) {
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: "workflow-controller-configmap"}, Data: map[string]string{"executor": "image: mirror/argoexec:1\nenv: [{name: TOKEN, value: hidden}]"}}
	s := newScene(t, configMap(""), deployment("argo", pod("v4.0.2", "argo")), settings)
	s.look()
	id := s.trusted()
	if !slices.Equal(id.ExecutorImages, []string{"mirror/argoexec:1"}) || !slices.Equal(id.ExecutorEnv, []string{"TOKEN=hidden"}) {
		t.Errorf("%+v", id)
	}
	if e := s.event(); !strings.Contains(e, "executor variable TOKEN") || strings.Contains(e, "hidden") {
		t.Errorf("the event is %q", e)
	}
}

// Whoever may make Deployments somewhere else is nobody.
func TestOtherNamespacesAreNotFollowed(t *testing.T) {
	d, mine := deployment("argo", pod("v4.0.2", "argo")), deployment("team", pod("v9", "evil"))
	// What is not of the Deployment is not, whatever it is called.
	stray := replicaSet(mine, "stray", pod("v8", "stray"), 1)
	stray.Namespace = "argo"
	s := newScene(t, configMap(""), d, mine, replicaSet(mine, "theirs", pod("v9", "evil"), 1), stray)
	s.look()
	want := argo.Identity{Controllers: []string{"system:serviceaccount:argo:argo"}, ExecutorImages: []string{executor("v4.0.2")}}
	if diff := cmp.Diff(want, s.trusted(), cmp.AllowUnexported(argo.Additions{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What cannot be seen, or remembered, changes nothing.
func TestAnErrorIsNoChange(t *testing.T) {
	s := newScene(t, configMap(""), deployment("argo", pod("v4.0.2", "argo")))
	s.look()
	before := s.trusted()
	s.clock.SetTime(begin.Add(99 * time.Hour))
	whole, remember := s.API, s.Remember
	failing := func(what string) client.Client {
		return interceptor.NewClient(s.api, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if _, sets := list.(*appsv1.ReplicaSetList); sets == (what == "ReplicaSets") {
					return errors.New("away")
				}
				return c.List(ctx, list, opts...)
			},
		})
	}
	for name, change := range map[string]func(){
		"no Deployments": func() { s.API = failing("Deployments") },
		"no ReplicaSets": func() { s.API = failing("ReplicaSets") },
		"no memory": func() {
			s.Remember = func(context.Context, Record) error { return errors.New("away") }
			if err := s.api.Update(t.Context(), deployment("argo", pod("v5", "argo"))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s.API, s.Remember = whole, remember
		change()
		if err := s.Look(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff(before, s.trusted(), cmp.AllowUnexported(argo.Additions{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The chart makes the record's ConfigMap, and takes it away.
func TestARecordThatTheChartTookAwayStaysAway(t *testing.T) {
	s := newScene(t, deployment("argo", pod("v4.0.2", "argo")))
	if err := s.Look(t.Context()); err == nil {
		t.Error("there is none, and it is no error")
	}
	var all corev1.ConfigMapList
	if err := s.api.List(t.Context(), &all); err != nil || len(all.Items) != 0 {
		t.Errorf("there are %v, %v", all.Items, err)
	}
}

// The notary knows of an executor before any webhook does.
func TestTheNotaryKnowsFirst(t *testing.T) {
	s := newScene(t, configMap(""), deployment("argo", pod("v4.0.2", "argo")))
	s.Remember = func(_ context.Context, now Record) error {
		if _, there := now.ExecutorImages[executor("v4.0.2")]; !there || len(s.trusted().ExecutorImages) != 0 {
			t.Errorf("it is told %+v when webhooks know %+v", now, s.trusted())
		}
		return nil
	}
	s.look()
	if len(s.trusted().ExecutorImages) != 1 {
		t.Error("nobody is told")
	}
}

// One controller whose configuration is broken, or one namespace that cannot be read, keeps
// nobody from being followed elsewhere; and nothing that ran there ceases to count.
func TestWhatCannotBeReadStopsNobodyElse(t *testing.T) {
	broken := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "argo-two", Name: "workflow-controller-configmap"}, Data: map[string]string{"executor": "image: mirror/argoexec:2"}}
	other := deployment("argo-two", pod("v2", "two"))
	d := deployment("argo", pod("v3.7.18", "argo"))
	for name, spoil := range map[string]func(*scene){
		"a configuration": func(s *scene) {
			broken.Data["executor"] = "image: [no, string"
			if err := s.api.Update(s.t.Context(), broken); err != nil {
				s.t.Fatal(err)
			}
		},
		"a namespace": func(s *scene) {
			s.API = interceptor.NewClient(s.api, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				var o client.ListOptions
				if o.ApplyOptions(opts); o.Namespace == "argo-two" {
					return errors.New("forbidden")
				}
				return c.List(ctx, list, opts...)
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken.ResourceVersion, broken.Data["executor"] = "", "image: mirror/argoexec:2"
			s := newScene(t, configMap(""), d.DeepCopy(), other.DeepCopy(), broken.DeepCopy())
			s.Of = []string{"argo", "argo-two"}
			s.look()
			for s.event() != "" { // what began
			}
			spoil(s)
			upgraded := deployment("argo", pod("v4.0.2", "argo"))
			if err := s.api.Update(t.Context(), upgraded); err != nil {
				t.Fatal(err)
			}
			s.clock.SetTime(begin.Add(time.Hour))
			for range 2 {
				if err := s.Look(t.Context()); err == nil {
					t.Error("nobody is told that not all could be read")
				}
			}
			s.clock.SetTime(begin.Add(3 * time.Hour))
			r := &Reader{API: s.api, Namespace: ours, Of: s.Of, Clock: s.clock}
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			id := r.Identity()
			want := []string{"mirror/argoexec:2", executor("v3.7.18"), executor("v4.0.2")}
			if !slices.Equal(id.ExecutorImages, want) || len(id.Controllers) != 2 {
				t.Errorf("trusted are %+v, want the images %q", id, want)
			}
			var said []string
			for e := s.event(); e != ""; e = s.event() {
				said = append(said, strings.Join(strings.Fields(e)[:2], " "))
			}
			slices.Sort(said)
			wants := []string{"Normal ArgoChanged", "Normal ArgoChanged"} // of both Deployments
			if name == "a configuration" {
				wants = append(wants, "Warning ArgoUnread")
			} else {
				wants = wants[:1]
			}
			if !slices.Equal(said, wants) || s.unread.Load() != 1 {
				t.Errorf("events %q, want %q; %d unread", said, wants, s.unread.Load())
			}
			// It can be read again: what does not run ends.
			broken.Data["executor"] = "image: mirror/argoexec:3"
			s.API = s.api
			if err := s.api.Update(t.Context(), broken); err != nil {
				t.Fatal(err)
			}
			s.look()
			s.clock.SetTime(begin.Add(4 * time.Hour))
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if id := r.Identity(); !slices.Equal(id.ExecutorImages, []string{"mirror/argoexec:3", executor("v4.0.2")}) {
				t.Errorf("once all can be read trusted are %+v", id)
			}
		})
	}
}
