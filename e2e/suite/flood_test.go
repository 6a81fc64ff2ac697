//go:build e2e

package suite

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// TestConformanceAttackFlood: a pod reaches the webhook's port, and says that it is the API
// server which asks about the honest namespace. What is made there waits less than a second
// longer for both webhooks, nothing is refused, and a workflow goes on. It runs beside no
// other test: what it holds to is time. How long the workflow takes says nothing of the
// webhook, where attacker and workflow share two processors.
func TestConformanceAttackFlood(t *testing.T) {
	ns := namespace(t, "flood-honest", v1alpha1.ModeEnforce)
	const asked = 25
	honest := func(name string) time.Duration {
		t.Helper()
		var took []time.Duration
		for range asked {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "honest"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
			}
			start := time.Now()
			if err := cluster(t).Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		t.Logf("%s: %v", name, took)
		return took[asked/2]
	}
	before := honest("quiet")

	attacker := namespace(t, "flood", plain)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "flood"), "../flood")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: attacker, Name: "flood"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To[int64](0),
			Volumes: []corev1.Volume{{Name: "program", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}},
			Containers: []corev1.Container{{
				Name: "flood", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent,
				Command:      []string{"/program/flood", "--namespace", ns, "--for", "5m"},
				VolumeMounts: []corev1.VolumeMount{{Name: "program", MountPath: "/program", ReadOnly: true}},
				// What it takes of this machine's processors is no matter of the webhook's.
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300m")}},
			}},
		},
	}
	create(t, pod)
	// The attack has to be one: connections are held, and bytes flow.
	api, err := kubernetes.NewForConfig(cluster(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	said := func() (last struct{ Connections, Bytes, Answers int64 }) {
		line, err := api.CoreV1().Pods(attacker).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: ptr.To[int64](1)}).DoRaw(t.Context())
		if err == nil {
			_ = json.Unmarshal(line, &last) // before it says anything it is no attack
		}
		return last
	}
	err = lab.Eventually(t.Context(), time.Minute, func(context.Context) (bool, error) { return said().Connections > 200, nil })
	if err != nil {
		t.Fatalf("the attack does not begin: %+v", said())
	}
	started := said()
	under := honest("flooded")
	goesOn(t, ns, submit(t, ns, relay))
	now := said()
	t.Logf("the attack: %+v, then %+v", started, now)
	if now.Connections < 300 || now.Bytes < 8<<20 {
		t.Errorf("this attack is none: %+v", now)
	}
	if under-before > time.Second {
		t.Errorf("a pod waited %v, and waits %v", before, under)
	}
}
