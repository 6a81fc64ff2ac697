package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/keeper"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
)

// scene is a workflow like artifact-passing in which n steps each make an artifact
// and another one takes all of them, before an API server that answers by HTTP what a
// real one would, and counts.
type scene struct {
	mux      http.Handler
	consumer *corev1.Pod
	// producers have ended; they are in the cache of pods and in the API server.
	producers []*corev1.Pod
	keys      tag.Keys
	notary    *sealtest.Notary
	gate      *gate.Gate
	watched   Watched
	api       *fakeAPI
	workflow  map[string]any
	// server has api answer, until another process does, at address.
	server  *httptest.Server
	address atomic.Pointer[string]
	// count says how many requests there were, where that is not api.
	count func() int64
	// forgets: no bundle is remembered from one admission to the next.
	forgets bool
}

// fakeAPI answers GETs of single objects, and lists, by their paths.
type fakeAPI struct {
	answers map[string][]byte
	seals   []v1alpha1.ArtifactSeal
	count   atomic.Int64
	// versions are the objects' versions, and tables counts answers that have those alone.
	versions map[string]string
	tables   atomic.Int64
	// noTables: it knows none, and gives the object.
	noTables bool
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.count.Add(1)
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	if path == scenePods && strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
		path += metadataOnly
	}
	answer, found := a.answers[path]
	if found && !a.noTables && strings.Contains(r.Header.Get("Accept"), "as=Table") && r.URL.Query().Get("includeObject") == "None" {
		a.tables.Add(1)
		answer, _ = json.Marshal(metav1.Table{
			TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"}, ListMeta: metav1.ListMeta{ResourceVersion: a.versions[path]},
		})
	}
	if strings.HasSuffix(path, "/artifactseals") {
		list := v1alpha1.ArtifactSealList{TypeMeta: metav1.TypeMeta{APIVersion: "argoseal.dev/v1alpha1", Kind: "ArtifactSealList"}}
		selector, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
		for _, s := range a.seals {
			if selector.Matches(labels.Set(s.Labels)) {
				list.Items = append(list.Items, s)
			}
		}
		answer, _ = json.Marshal(list)
		found = true
	}
	if !found {
		w.WriteHeader(http.StatusNotFound)
		answer = []byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404,"message":"not found"}`)
	}
	_, _ = w.Write(answer)
}

func (a *fakeAPI) put(t testing.TB, path string, object any) {
	t.Helper()
	raw, err := json.Marshal(object)
	check(t, err)
	var of metav1.PartialObjectMetadata
	check(t, json.Unmarshal(raw, &of))
	if a.versions == nil {
		a.versions = map[string]string{}
	}
	a.answers[path], a.versions[path] = raw, of.ResourceVersion
}

func (w *scene) calls() int64 {
	if w == nil {
		return 0
	}
	if w.count != nil {
		return w.count()
	}
	return w.api.count.Load()
}

func (w *scene) forget() {
	if w.forgets {
		w.gate.Verified = evidence.NewVerified(64 << 20)
	}
}

const (
	sceneWorkflow = "/apis/argoproj.io/v1alpha1/namespaces/" + ns + "/workflows/artifact-passing"
	scenePods     = "/api/v1/namespaces/" + ns + "/pods"
	metadataOnly  = "?metadata"
	sceneRecords  = "/apis/argoseal.dev/v1alpha1/namespaces/" + ns
)

func newScene(t testing.TB, n int) *scene {
	t.Helper()
	w := &scene{api: &fakeAPI{answers: map[string][]byte{}}}
	id, key, err := tag.NewKey()
	check(t, err)
	w.keys, err = tag.ParseKeys(tag.WithKey(nil, id, key))
	check(t, err)
	w.notary = sealtest.NewNotary(t)
	w.server = httptest.NewServer(w.api)
	t.Cleanup(w.server.Close)
	w.answering(w.server.Listener.Addr().String())
	config := &rest.Config{Host: w.server.URL, QPS: 1e6, Burst: 1e6, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, *w.address.Load())
	}}
	live := Live{API: sceneClient(t, config), Pods: kubernetes.NewForConfigOrDie(config)}
	w.watched = NewWatched(live, Room{Pods: room, Provenances: room, ArtifactSeals: room}, clock.RealClock{})
	allListed(t, w.watched.stores()...)
	w.furnish(t)
	w.define(t, n)
	w.addPods(t, 20)

	workflows := NewWorkflows(live, clock.RealClock{})
	namespace := reader{namespaceObject(ns, "enforce"), nil}
	w.gate = &gate.Gate{
		Identity: argotest.Identity(), Cluster: "test",
		Sidecar:     sidecar.Config{Image: "registry.test/argoseal-signer@sha256:" + strings.Repeat("a", 64)},
		Quick:       w.watched,
		Live:        Confirmed{live, w.watched},
		Definitions: workflows,
		Policies:    noPolicies{},
		Epochs:      keeper.NewRecent(keeper.Reader{API: live.API, Namespace: "argoseal-system"}, namespace, clock.RealClock{}),
		Verified:    evidence.NewVerified(64 << 20),
		Clock:       clock.RealClock{}, Requeue: 10 * time.Second,
	}
	h := &Handlers{
		Gate:       w.gate,
		Trust:      func() (evidence.Trust, error) { return evidence.Trust{Keys: w.keys, Root: w.notary.Root}, nil },
		Pod:        live.Pod,
		Namespaces: NewNamespaces(namespace, namespace, clock.RealClock{}),
		Events:     &record.FakeRecorder{}, Metrics: metricsFor(t), Log: logr.Discard(), MaxInFlight: 64,
		SealLogs: true, InPlace: NewInPlace(32, 3, clock.RealClock{}),
	}
	w.mux = h.Mux()
	return w
}

// sceneClient reads without discovery.
func sceneClient(t testing.TB, config *rest.Config) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	check(t, clientgoscheme.AddToScheme(scheme))
	check(t, v1alpha1.AddToScheme(scheme))
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Provenance", "ArtifactSeal"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(workflowKind, meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	mapper.Add(namespaceKind, meta.RESTScopeRoot)
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		mapper.Add(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind}, meta.RESTScopeRoot)
	}
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	check(t, err)
	return c
}

// furnish has the API server know the guards and since when they have held.
func (w *scene) furnish(t testing.TB) {
	t.Helper()
	long := metav1.NewTime(time.Now().Add(-100 * 24 * time.Hour).Truncate(time.Second))
	namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: ns, UID: nsUID, ResourceVersion: "1", CreationTimestamp: long, Labels: map[string]string{v1alpha1.LabelMode: "enforce"},
	}}
	namespace.APIVersion, namespace.Kind = "meta.k8s.io/v1", "PartialObjectMetadata"
	w.api.put(t, "/api/v1/namespaces/"+ns, namespace)
	text, err := (epoch.Record{Version: "1", Namespaces: map[types.UID]epoch.Entry{nsUID: {Name: ns, Since: long.Time, Version: "1"}}}).Encode()
	check(t, err)
	w.api.put(t, "/api/v1/namespaces/argoseal-system/configmaps/"+v1alpha1.ConfigMapEpochs, &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapEpochs, ResourceVersion: "1"},
		Data:       map[string]string{v1alpha1.EpochsKey: text},
	})
	policies := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
	for _, name := range epoch.Policies() {
		policies.Items = append(policies.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: name, ResourceVersion: "1", CreationTimestamp: long, Labels: map[string]string{"app.kubernetes.io/part-of": "argoseal"},
		}})
	}
	for _, list := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		w.api.put(t, "/apis/admissionregistration.k8s.io/v1/"+list, policies)
	}
}

// define makes the workflow and its consumer.
func (w *scene) define(t testing.TB, n int) {
	t.Helper()
	w.consumer = argotest.Pod(t, "consume")
	object := argotest.Live(t, w.consumer)
	object.SetCreationTimestamp(metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second)))
	object.SetResourceVersion("1")
	w.workflow = object.Object
	var calls, arguments, inputs []any
	for i := range n {
		calls = append(calls, map[string]any{"name": generator(i), "template": "hello-world-to-file"})
		arguments = append(arguments, map[string]any{"name": message(i), "from": "{{steps." + generator(i) + ".outputs.artifacts.hello-art}}"})
		inputs = append(inputs, map[string]any{"name": message(i), "path": "/tmp/" + message(i)})
	}
	templates := w.workflow["spec"].(map[string]any)["templates"].([]any)
	templates[0].(map[string]any)["steps"] = []any{calls, []any{map[string]any{
		"name": "consume-artifact", "template": "print-message-from-file", "arguments": map[string]any{"artifacts": arguments},
	}}}
	templates[2].(map[string]any)["inputs"] = map[string]any{"artifacts": inputs}
	w.api.put(t, sceneWorkflow, w.workflow)

	init := &w.consumer.Spec.InitContainers[0]
	for i := range init.Env {
		if init.Env[i].Name != "ARGO_TEMPLATE" {
			continue
		}
		var template map[string]any
		check(t, json.Unmarshal([]byte(init.Env[i].Value), &template))
		for i := range inputs {
			inputs[i].(map[string]any)["s3"] = map[string]any{"key": key(i)}
		}
		template["inputs"] = map[string]any{"artifacts": inputs}
		init.Env[i].Value = string(encode(t, template))
	}
	for i := range w.consumer.Spec.Containers {
		c := &w.consumer.Spec.Containers[i]
		at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "input-artifacts" })
		one := c.VolumeMounts[at]
		c.VolumeMounts = slices.Delete(c.VolumeMounts, at, at+1)
		for i := range n {
			m := one
			m.MountPath, m.SubPath = strings.Replace(one.MountPath, "message", message(i), 1), message(i)
			c.VolumeMounts = append(c.VolumeMounts, m)
		}
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	check(t, err)
	return raw
}

func generator(i int) string { return fmt.Sprintf("generate-%d", i) }
func message(i int) string   { return fmt.Sprintf("message-%d", i) }
func key(i int) string       { return fmt.Sprintf("artifact-passing/generate-%d/hello-art.tgz", i) }

// addPods gives the workflow other pods, which make other things.
func (w *scene) addPods(t testing.TB, n int) {
	t.Helper()
	var pods []*corev1.Pod
	for i := range n {
		pods = append(pods, w.producer(t, 1000+i, metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))))
	}
	w.store(t, pods, true)
}

// store has the API server know the pods, and the cache.
func (w *scene) store(t testing.TB, pods []*corev1.Pod, cached bool) {
	t.Helper()
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	known := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
	for _, pod := range pods {
		pod.ResourceVersion = "5"
		list.Items = append(list.Items, *pod)
		known.Items = append(known.Items, metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta})
		single := pod.DeepCopy()
		single.APIVersion, single.Kind = "v1", "Pod"
		w.api.put(t, scenePods+"/"+pod.Name, single)
		if cached {
			check(t, w.watched.Pods.pods.Add(pod))
		}
	}
	w.api.put(t, scenePods, list)
	w.api.put(t, scenePods+metadataOnly, known)
}

// seal has each step run, and its output sealed.
func (w *scene) seal(t testing.TB) { w.sealBefore(t, true) }

// sealBefore says whether the caches have seen it.
func (w *scene) sealBefore(t testing.TB, cached bool) {
	t.Helper()
	uid := w.consumer.OwnerReferences[0].UID
	n := len(w.workflow["spec"].(map[string]any)["templates"].([]any)[2].(map[string]any)["inputs"].(map[string]any)["artifacts"].([]any))
	made := metav1.NewTime(time.Now().Add(-10 * time.Minute).Truncate(time.Second))
	for i := range n {
		pod := w.producer(t, i, made)
		w.producers = append(w.producers, pod)
		l := artifact.Location{Store: "s3.argo.svc:7070", Bucket: "artifacts", Key: key(i), Kind: artifact.KindObject}
		digest := artifact.DigestOfText(key(i))
		f := sealtest.Facts(l.URI(), digest)
		f.Step.Namespace, f.Step.Workflow = ns, provenance.Ref{Name: "artifact-passing", UID: string(uid)}
		f.Step.NodeName, f.Definition.Template = "artifact-passing[0]."+generator(i), "hello-world-to-file"
		f.Step.Pod = provenance.Ref{Name: pod.Name, UID: string(pod.UID)}
		f.StartedAt, f.FinishedAt = made.UTC(), made.UTC().Add(time.Minute)
		payload, err := provenance.Build(f)
		check(t, err)
		p := &v1alpha1.Provenance{
			TypeMeta: metav1.TypeMeta{APIVersion: "argoseal.dev/v1alpha1", Kind: "Provenance"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: ns, Name: string(pod.UID), UID: types.UID("p-" + string(pod.UID)), ResourceVersion: "7", CreationTimestamp: metav1.NewTime(made.Add(time.Minute)),
			},
			Spec: v1alpha1.ProvenanceSpec{Pod: v1alpha1.ObjectRef{Name: pod.Name, UID: pod.UID}},
		}
		p.Status.Bundle = string(w.notary.Bundle(t, payload))
		p.Status.Envelope = string(w.notary.Envelope(t, payload))
		p.Status.Outputs = []v1alpha1.OutputStatus{{Name: "hello-art", Location: l.URI(), SHA256: string(digest)}}
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed)}}
		w.api.put(t, sceneRecords+"/provenances/"+p.Name, p)
		if cached {
			check(t, w.watched.Records.provenances.Add(p))
		}
		s := &v1alpha1.ArtifactSeal{
			TypeMeta: metav1.TypeMeta{APIVersion: "argoseal.dev/v1alpha1", Kind: "ArtifactSeal"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: ns, Name: artifact.SealName(l, string(uid)), UID: types.UID("s-" + string(pod.UID)), ResourceVersion: "8",
				Labels: map[string]string{"workflows.argoproj.io/workflow": "artifact-passing", v1alpha1.LabelLocation: artifact.LocationName(l)},
			},
			Spec: v1alpha1.ArtifactSealSpec{
				Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
				Workflow: v1alpha1.ObjectRef{Name: "artifact-passing", UID: uid},
				SHA256:   string(digest), TreeDigest: strings.Repeat("1", 64), Provenance: p.Name,
				Producer: v1alpha1.Producer{Pod: p.Spec.Pod, FinishedAt: metav1.NewTime(f.FinishedAt)},
			},
		}
		w.api.put(t, sceneRecords+"/artifactseals/"+s.Name, s)
		w.api.seals = append(w.api.seals, *s)
		if cached {
			check(t, w.watched.Records.seals.Add(s))
		}
	}
	w.store(t, w.producers, cached)
}

// producer is a pod of the workflow's that has ended.
func (w *scene) producer(t testing.TB, i int, made metav1.Time) *corev1.Pod {
	t.Helper()
	pod := argotest.Pod(t, "produce")
	pod.Name, pod.UID, pod.CreationTimestamp = "artifact-passing-"+generator(i), types.UID(fmt.Sprintf("99999999-0000-4000-8000-%012d", i)), made
	pod.Annotations["workflows.argoproj.io/node-name"] = "artifact-passing[0]." + generator(i)
	value, err := w.keys.Issue(tag.Tag{
		IssuedAt: made.UTC(), Namespace: ns, NamespaceUID: nsUID, Pod: pod.Name, WorkflowUID: string(pod.OwnerReferences[0].UID),
		Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Executor: tag.Executor{Image: argotest.Executor}, Signer: "signer",
	})
	check(t, err)
	pod.Annotations[v1alpha1.AnnotationTag] = value
	env := pod.Spec.InitContainers[0].Env
	for j := range env {
		if env[j].Name == "ARGO_TEMPLATE" {
			var template map[string]any
			check(t, json.Unmarshal([]byte(env[j].Value), &template))
			for _, o := range template["outputs"].(map[string]any)["artifacts"].([]any) {
				o.(map[string]any)["s3"] = map[string]any{"key": key(i)}
			}
			env[j].Value = string(encode(t, template))
		}
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "wait", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: made, FinishedAt: metav1.NewTime(made.Add(time.Minute))}},
	}}}
	return pod
}

// grow gives the Workflow a status with so many nodes, of some 700 bytes each.
func (w *scene) grow(t testing.TB, nodes int) {
	t.Helper()
	all := map[string]any{}
	for i := range nodes {
		id := fmt.Sprintf("artifact-passing-%d", 1000000000+i)
		all[id] = map[string]any{
			"id": id, "name": fmt.Sprintf("artifact-passing[%d].work", i), "displayName": "work", "type": "Pod", "templateName": "hello-world-to-file",
			"templateScope": "local/artifact-passing", "phase": "Succeeded", "boundaryID": "artifact-passing", "startedAt": "2026-11-21T10:00:00Z",
			"finishedAt": "2026-11-21T10:00:10Z", "estimatedDuration": 10, "progress": "1/1", "resourcesDuration": map[string]any{"cpu": 1, "memory": 12},
			"hostNodeName": "node-1", "outputs": map[string]any{"exitCode": "0", "artifacts": []any{map[string]any{
				"name": "hello-art", "path": "/tmp/hello_world.txt", "s3": map[string]any{"key": fmt.Sprintf("artifact-passing/artifact-passing-work-%d/hello-art.tgz", i)},
			}}},
			"message": strings.Repeat("x", 100),
		}
	}
	w.workflow["status"] = map[string]any{"phase": "Running", "nodes": all}
	w.api.put(t, sceneWorkflow, w.workflow)
	if size := len(w.api.answers[sceneWorkflow]); size < 600<<10 || cmp.Compare(size, 900<<10) > 0 {
		t.Fatalf("the Workflow has %d bytes", size)
	}
}
