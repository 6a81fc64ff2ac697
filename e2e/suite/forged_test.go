//go:build e2e

package suite

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// nobody is a scheduler that does not exist: a pod that asks for it is stored
// and never runs.
const nobody = "nobody"

// genuine runs the plain step and returns its pod, made anew: as its author
// would have sent it, with everything that identifies it.
func genuine(t *testing.T, ns string) (*lab.Run, *corev1.Pod) {
	t.Helper()
	name := submit(t, ns, strings.Replace(step, "ADDED", "", 1))
	run := finish(t, ns, name)
	if err := refusal(run); err != nil {
		t.Fatal(err)
	}
	pods, err := cluster(t).Pods(t.Context(), ns, name)
	if err != nil || len(pods) != 1 {
		t.Fatalf("want the pod of %s, got %d: %v", run, len(pods), err)
	}
	return run, &pods[0]
}

// incomplete are the labels of a pod as Argo made it, before it had done with it.
func incomplete(pod *corev1.Pod) map[string]string {
	labels := maps.Clone(pod.Labels)
	labels[labelCompleted] = "false"
	return labels
}

// copyOf is a pod like another one, under another name, that never runs.
func copyOf(pod *corev1.Pod) *corev1.Pod {
	c := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name + "-copy",
		Labels: incomplete(pod), Annotations: maps.Clone(pod.Annotations), OwnerReferences: slices.Clone(pod.OwnerReferences),
	}}
	pod.Spec.DeepCopyInto(&c.Spec)
	c.Spec.NodeName, c.Spec.SchedulerName = "", nobody
	return c
}

// labelled is the least that Argo takes for its own.
func labelled(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "labelled", Labels: incomplete(pod)},
		Spec: corev1.PodSpec{
			SchedulerName: nobody,
			Containers:    []corev1.Container{{Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent}},
		},
	}
}

// tenant is a ServiceAccount that may create pods.
func tenant(t *testing.T, ns string) client.Client {
	t.Helper()
	c, err := cluster(t).Tenant(t.Context(), ns, "tenant",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// controller is Argo's own, as if a tenant could make it create a pod.
func controller(t *testing.T) client.Client {
	t.Helper()
	c, err := cluster(t).AsServiceAccount(part.ArgoNamespace, "argo")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPodThatOnlyLooksLikeArgosIsRefused(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "forged", mode)
		_, pod := genuine(t, ns)
		// Without Argoseal there is no tag to copy.
		tag := cmp.Or(pod.Annotations[v1alpha1.AnnotationTag], "v1.none")
		pod = lab.WithoutOurs(pod)
		tenant, controller := tenant(t, ns), controller(t)
		tagged := copyOf(pod)
		tagged.Name += "-tagged"
		tagged.Annotations[v1alpha1.AnnotationTag] = tag
		delete(tagged.Labels, "workflows.argoproj.io/completed") // or another guard may answer first
		orphan := copyOf(pod)
		orphan.Name += "-orphan"
		orphan.OwnerReferences[0].UID = "00000000-0000-4000-8000-000000000000"
		unnamed := copyOf(pod)
		unnamed.Name += "-unnamed"
		unwatched := copyOf(pod)
		unwatched.Name += "-unwatched"
		unwatched.Spec.Containers = slices.DeleteFunc(unwatched.Spec.Containers, func(c corev1.Container) bool { return c.Name == "wait" })
		for name, c := range map[string]struct {
			code reason.Code
			by   client.Client
			pod  *corev1.Pod
		}{
			"a pod with Argo's labels":                  {reason.CreatorNotArgo, tenant, labelled(pod)},
			"a copy of a genuine pod":                   {reason.CreatorNotArgo, tenant, copyOf(pod)},
			"a copy of a genuine pod, tag and all":      {reason.TagGuarded, tenant, tagged},
			"a copy for a workflow that does not exist": {reason.OwnerMismatch, controller, orphan},
			"a copy under a name of its own":            {reason.NodeMismatch, controller, unnamed},
			"a copy that nobody waits for":              {reason.UnknownPodLayout, controller, unwatched},
			"a copy laid out as Argo v4.1 can":          {reason.UnknownPodLayout, controller, supervised(pod)},
		} {
			t.Run(name, func(t *testing.T) {
				a := attack{c.code, func(t *testing.T, _ string) error { return c.by.Create(t.Context(), c.pod) }}
				a.hold(t, ns, mode)
			})
		}
	})
}

// supervised is a copy of a pod in the layout of Argo v4.1 that has no init
// containers: a supervisor does what init and wait do in others.
func supervised(pod *corev1.Pod) *corev1.Pod {
	c := copyOf(pod)
	c.Name += "-supervised"
	for i := range c.Spec.Containers {
		if c.Spec.Containers[i].Name == "wait" {
			c.Spec.Containers[i].Name = "supervisor"
			at := slices.IndexFunc(c.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "init" })
			c.Spec.Containers[i].Env = c.Spec.InitContainers[at].Env
		}
	}
	c.Spec.InitContainers = nil
	return c
}

func TestAskingWhetherAPodWouldBeRefusedLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "dry-run", v1alpha1.ModeEnforce)
	pod := labelled(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns, Labels: map[string]string{"workflows.argoproj.io/workflow": "none"},
	}})
	refused(t, tenant(t, ns).Create(t.Context(), pod, client.DryRunAll), reason.CreatorNotArgo)

	var events corev1.EventList
	var provenances v1alpha1.ProvenanceList
	for _, list := range []client.ObjectList{&events, &provenances} {
		if err := cluster(t).List(t.Context(), ns, list); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(events.Items) + len(provenances.Items); n != 0 {
		t.Fatalf("a dry run left %d objects: %+v %+v", n, events.Items, provenances.Items)
	}
}
