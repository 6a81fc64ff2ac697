//go:build e2e

package sentinel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/cluster/proc"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	chart = "../../charts/argoseal-sentinel"
	// release is the chart's, its namespace's and its lease's namespace's name.
	release = "argoseal-sentinel"
	keeper  = "argoseal-sentinel-access"
	guarded = "sentinel-chaos"
	// lapse is when a grant ends that is given for a scene: while the scene goes on.
	lapse = 12 * time.Second
	// takeover is how long a replica may take to go on with another's work: a lease of
	// 15 s, and a machine that does other things.
	takeover = time.Minute
)

// held is a guarded Secret on the development cluster.
type held struct {
	*lab.Lab
	t *testing.T
}

// TestSecretAccessUnderChaos: on the development cluster, the replica at work is killed;
// all replicas are cut off from the API server; and the kubelet is stopped, and the
// replica at work killed, so that nobody starts it anew. Each time somebody widens a Role
// meanwhile, and a grant runs out.
func TestSecretAccessUnderChaos(t *testing.T) {
	l, err := lab.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := &held{Lab: l, t: t}
	h.install()
	h.guard()

	t.Run("the replica at work is killed", func(t *testing.T) {
		h := h.in(t)
		until := h.grants()
		killed := h.atWork()
		h.must(lab.Kill(killed, "access")) // at once: the kubelet would give it a moment
		h.must(h.Client.Delete(t.Context(), killed, client.GracePeriodSeconds(0)))
		widened := h.widens()
		h.repaired(widened, takeover)
		h.ended(until, takeover)
		h.bothReady(killed)
	})
	t.Run("all are cut off from the API server", func(t *testing.T) {
		h := h.in(t)
		until := h.grants()
		mend := h.cut()
		widened := h.widens()
		time.Sleep(time.Until(until.Add(2 * time.Second)))
		// So the network is cut indeed. What needs no operator goes on.
		if !h.reads() || !h.wide() {
			t.Error("somebody has done their work")
		}
		h.refusedPod()
		mend()
		mended := time.Now()
		h.repaired(widened, 3*takeover)
		h.ended(until, 3*takeover)
		h.note("that is %s after the network was whole again", time.Since(mended).Round(100*time.Millisecond))
		h.bothReady()
	})
	t.Run("the kubelet is stopped, and the replica at work is killed", func(t *testing.T) {
		h := h.in(t)
		until := h.grants()
		goOn := h.stopKubelet()
		killed := h.atWork()
		h.must(lab.Kill(killed, "access"))
		widened := h.widens()
		// Not for longer: a node that is not heard of for 50 s counts as gone.
		h.repaired(widened, 40*time.Second)
		h.ended(until, 40*time.Second)
		h.refusedPod()
		goOn()
		h.bothReady(killed)
	})
}

func (h *held) in(t *testing.T) *held { return &held{Lab: h.Lab, t: t} }

func (h *held) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *held) note(format string, args ...any) {
	h.t.Logf("%s %s", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// install installs the chart as docs/secrets.md says, and takes it away at the end.
func (h *held) install() {
	h.t.Helper()
	helm, err := part.Path(h.t.Context(), "helm", "helm")
	h.must(err)
	run := func(ctx context.Context, args ...string) error {
		cmd := exec.CommandContext(ctx, helm, append(args, "--namespace", release, "--kubeconfig", h.Kubeconfig)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("helm %s: %w\n%s", args[0], err, out)
		}
		return nil
	}
	if err := run(h.t.Context(), "status", release); err == nil {
		h.t.Fatalf("there is a release %s already, which this test would take away", release)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), 5*time.Minute)
		defer cancel()
		err := errors.Join(h.DeleteNamespace(ctx, guarded), run(ctx, "uninstall", release, "--wait", "--timeout", "2m"), h.DeleteNamespace(ctx, release))
		if err != nil {
			h.t.Error(err)
		}
	})
	h.must(run(h.t.Context(), "install", release, chart, "--create-namespace", "--values", "../../bin/images/argoseal-sentinel.values.yaml",
		"--set", "access.enabled=true,encryption.enabled=false,crds.keep=false"))
	h.bothReady()
}

// bothReady waits until two replicas are ready, in none of the containers of some pods.
func (h *held) bothReady(killed ...*corev1.Pod) {
	h.t.Helper()
	began := time.Now()
	h.must(lab.Eventually(h.t.Context(), 3*time.Minute, func(ctx context.Context) (bool, error) {
		ready := 0
		for _, pod := range h.replicas(ctx) {
			for _, c := range pod.Status.ContainerStatuses {
				gone := slices.ContainsFunc(killed, func(k *corev1.Pod) bool { return k.Status.ContainerStatuses[0].ContainerID == c.ContainerID })
				if c.Ready && !gone {
					ready++
				}
			}
		}
		return ready == 2, nil
	}))
	h.note("both replicas are ready, after %s", time.Since(began).Round(100*time.Millisecond))
}

func (h *held) replicas(ctx context.Context) []corev1.Pod {
	h.t.Helper()
	var pods corev1.PodList
	h.must(h.Client.List(ctx, &pods, client.InNamespace(release), client.MatchingLabels{"app.kubernetes.io/component": "access"}))
	return pods.Items
}

// guard makes a Secret that one ServiceAccount may read, and another mount.
func (h *held) guard() {
	h.t.Helper()
	meta := metav1.ObjectMeta{Namespace: guarded, Name: "db"}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: guarded}},
		&corev1.Secret{ObjectMeta: meta},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: guarded, Name: "api"}},
		&v1alpha1.SecretAccess{ObjectMeta: meta, Spec: v1alpha1.SecretAccessSpec{Secrets: []v1alpha1.GuardedSecret{{
			Name: "db", Get: []v1alpha1.AccessGrant{{Kind: "User", Name: "steady"}},
		}}}},
	} {
		h.must(h.Client.Create(h.t.Context(), o))
	}
}

// grants lets jo read the Secret, and pods of api take it, for a while, and says until
// when.
func (h *held) grants() time.Time {
	h.t.Helper()
	until := metav1.NewTime(time.Now().Add(lapse).Truncate(time.Second))
	h.must(lab.Eventually(h.t.Context(), lapse, func(ctx context.Context) (bool, error) {
		var a v1alpha1.SecretAccess
		if err := h.Client.Get(ctx, client.ObjectKey{Namespace: guarded, Name: "db"}, &a); err != nil {
			return false, err
		}
		a.Spec.Secrets[0].Get = []v1alpha1.AccessGrant{{Kind: "User", Name: "steady"}, {Kind: "User", Name: "jo", Until: &until}}
		a.Spec.Secrets[0].Mount = []v1alpha1.MountGrant{{ServiceAccount: "api", Until: &until}}
		err := h.Client.Update(ctx, &a)
		return err == nil, ignoreConflict(err)
	}))
	// Both count, so that what is refused later is not refused for another reason.
	h.must(lab.Eventually(h.t.Context(), lapse, func(context.Context) (bool, error) { return h.reads() && h.takes() == nil, nil }))
	return until.Time
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// reads says whether jo may read the Secret.
func (h *held) reads() bool {
	h.t.Helper()
	jo, err := h.As("jo")
	h.must(err)
	err = jo.Get(h.t.Context(), client.ObjectKey{Namespace: guarded, Name: "db"}, &corev1.Secret{})
	if err != nil && !apierrors.IsForbidden(err) {
		h.t.Fatal(err)
	}
	return err == nil
}

// takes tries whether a pod that mounts the Secret would be made.
func (h *held) takes() error {
	return h.Client.Create(h.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: guarded, Name: "taker"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "api",
			Containers:         []corev1.Container{{Name: "main", Image: "nowhere.invalid/none"}},
			Volumes:            []corev1.Volume{{Name: "db", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "db"}}}},
		},
	}, client.DryRunAll)
}

// refusedPod fails unless such a pod is refused, now that its grant has run out: that is
// the API server's doing, whoever runs or not.
func (h *held) refusedPod() {
	h.t.Helper()
	if err := h.takes(); err == nil || !strings.Contains(err.Error(), "SecretNotGranted") {
		h.t.Errorf("a pod without a grant: %v", err)
	}
}

// role is the one that lets people read the Secret.
func (h *held) role() *rbacv1.Role {
	h.t.Helper()
	var roles rbacv1.RoleList
	h.must(h.List(h.t.Context(), guarded, &roles))
	at := slices.IndexFunc(roles.Items, func(r rbacv1.Role) bool { return strings.HasPrefix(r.Name, "argoseal-get-") })
	if at < 0 {
		h.t.Fatal("there is no Role to read the Secret")
	}
	return &roles.Items[at]
}

// widens has the Role reach all Secrets of the namespace, and says when.
func (h *held) widens() time.Time {
	h.t.Helper()
	role := h.role()
	role.Rules[0].ResourceNames = nil
	h.must(h.Client.Update(h.t.Context(), role))
	return time.Now()
}

func (h *held) wide() bool { return len(h.role().Rules[0].ResourceNames) == 0 }

// repaired waits until the Role is what it was.
func (h *held) repaired(since time.Time, limit time.Duration) {
	h.t.Helper()
	h.must(lab.Eventually(h.t.Context(), limit, func(context.Context) (bool, error) { return !h.wide(), nil }))
	h.note("the Role is what it was, %s after it was widened", time.Since(since).Round(100*time.Millisecond))
}

// ended waits until jo's grant has ended: not before its time.
func (h *held) ended(until time.Time, limit time.Duration) {
	h.t.Helper()
	h.must(lab.Eventually(h.t.Context(), time.Until(until)+limit, func(context.Context) (bool, error) { return !h.reads(), nil }))
	late := time.Since(until)
	if late < 0 {
		h.t.Errorf("the grant ended %s before its time", -late)
	}
	h.note("the grant has ended, %s after its time", late.Round(100*time.Millisecond))
}

// atWork is the pod whose turn it is.
func (h *held) atWork() *corev1.Pod {
	h.t.Helper()
	var l coordinationv1.Lease
	h.must(h.Client.Get(h.t.Context(), client.ObjectKey{Namespace: release, Name: keeper}, &l))
	if l.Spec.HolderIdentity == nil {
		h.t.Fatal("nobody has the lease")
	}
	name, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	var pod corev1.Pod
	h.must(h.Client.Get(h.t.Context(), client.ObjectKey{Namespace: release, Name: name}, &pod))
	return &pod
}

// cut drops what the replicas send to the API server, by whichever of its addresses.
func (h *held) cut() (mend func()) {
	h.t.Helper()
	pods := h.replicas(h.t.Context())
	if len(pods) != 2 {
		h.t.Fatalf("there are %d pods", len(pods))
	}
	var networks []*os.File
	for i := range pods {
		n, err := lab.Network(&pods[i], "access")
		h.must(err)
		networks = append(networks, n)
	}
	route := func(ctx context.Context, verb string) error {
		var errs []error
		for _, n := range networks {
			cmd := exec.CommandContext(ctx, "nsenter", "--net=/proc/self/fd/3", "ip", "route", verb, "blackhole", layout.KubernetesIP+"/32")
			cmd.ExtraFiles = []*os.File{n}
			if out, err := cmd.CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("ip route %s: %w: %s", verb, err, out))
			}
		}
		return errors.Join(errs...)
	}
	mend = sync.OnceFunc(func() {
		if err := route(context.WithoutCancel(h.t.Context()), "delete"); err != nil {
			h.t.Error(err)
		}
		for _, n := range networks {
			_ = n.Close()
		}
		h.note("the network is whole again")
	})
	h.t.Cleanup(mend)
	h.must(route(h.t.Context(), "add"))
	h.note("the network to the API server is cut")
	return mend
}

// stopKubelet has the node's kubelet get no time.
func (h *held) stopKubelet() (goOn func()) {
	h.t.Helper()
	l, err := layout.Default()
	h.must(err)
	kubelet, ok := proc.Store{Dir: l.Path("procs")}.Get("kubelet")
	if !ok || !kubelet.Alive() {
		h.t.Fatal("the kubelet does not run")
	}
	goOn = sync.OnceFunc(func() {
		if err := kubelet.Signal(unix.SIGCONT); err != nil {
			h.t.Error(err)
		}
		h.note("the kubelet goes on")
	})
	h.t.Cleanup(goOn)
	h.must(kubelet.Signal(unix.SIGSTOP))
	h.note("the kubelet is stopped")
	return goOn
}
