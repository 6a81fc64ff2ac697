package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/e2e/cluster/kube"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// System is the namespace that `make install` puts Argoseal in.
const System = "argoseal-system"

// Lab is a connection to the development cluster and its S3 store.
type Lab struct {
	// Client acts as the cluster's administrator.
	Client client.WithWatch
	Config *rest.Config
	Scheme *runtime.Scheme
	// Kubeconfig is the path of the file Config was read from.
	Kubeconfig string
	S3         *minio.Client
}

// Connect reaches the development cluster, or says how to raise it.
func Connect(ctx context.Context) (*Lab, error) {
	l, err := layout.Default()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.Kubeconfig()); err != nil {
		return nil, fmt.Errorf("no development cluster here: run `make cluster-up` first (%w)", err)
	}
	cfg, err := kube.Config(l.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	// All tests share it: the client's default of 20 a second made waits run out.
	cfg.QPS, cfg.Burst = 500, 1000
	// What fails is returned; controller-runtime has nothing to add.
	log.SetLogger(logr.Discard())

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	s3, err := minio.New(strings.TrimPrefix(l.S3Endpoint(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(part.S3AccessKey, part.S3SecretKey, ""), Region: part.S3Region,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	return &Lab{Client: c, Config: cfg, Scheme: scheme, Kubeconfig: l.Kubeconfig(), S3: s3}, nil
}

// As returns a client that acts as another user, such as a ServiceAccount, in
// the groups that the API server would give it.
func (l *Lab) As(user string, groups ...string) (client.Client, error) {
	cfg := rest.CopyConfig(l.Config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	return client.New(cfg, client.Options{Scheme: l.Scheme})
}

// Namespace makes a fresh namespace that workflows can run in, with Argoseal's
// mode label if mode is not empty. One of the same name is deleted first. Its steps
// may report to Argo, then: what is refused they do not report again.
func (l *Lab) Namespace(ctx context.Context, name string, mode v1alpha1.Mode) error {
	if err := l.DeleteNamespace(ctx, name); err != nil {
		return err
	}
	var labels map[string]string
	if mode != "" {
		labels = map[string]string{v1alpha1.LabelMode: string(mode)}
	}
	if err := kube.PrepareNamespace(ctx, l.Config, name, labels); err != nil {
		return err
	}
	step, err := l.AsServiceAccount(name, "default")
	if err != nil {
		return err
	}
	return Granted(ctx, step, name, rbacv1.PolicyRule{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflowtaskresults"}, Verbs: []string{"create"}})
}

// known is how long a process may take to know of what another one has stored.
const known = 2 * time.Minute

// SetMode labels a namespace with another mode, or with none if it is empty, and
// waits until the API server and our webhook, which have namespaces from watches, go
// by it: the one in its admission policies, the other where it judges pods.
func (l *Lab) SetMode(ctx context.Context, name string, mode v1alpha1.Mode) error {
	value := "null"
	if mode != "" {
		value = strconv.Quote(string(mode))
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	patch := `{"metadata":{"labels":{"` + v1alpha1.LabelMode + `":` + value + `}}}`
	if err := l.Client.Patch(ctx, ns, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		return fmt.Errorf("label namespace %s: %w", name, err)
	}
	// What is refused in every namespace with a mode, and what in enforce only.
	copied := newWorkflow()
	copied.SetNamespace(name)
	copied.SetName("probe")
	copied.Object["spec"], copied.Object["status"] = map[string]any{}, map[string]any{"Phase": "misspelled"}
	foundling := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "probe", Labels: map[string]string{
			"workflows.argoproj.io/workflow": "none", "workflows.argoproj.io/completed": "false",
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	argo, err := l.AsServiceAccount(part.ArgoNamespace, "argo")
	if err != nil {
		return err
	}
	err = Eventually(ctx, known, func(ctx context.Context) (bool, error) {
		guarded, err := refuses(ctx, l.Client, copied, string(reason.WorkflowGuarded)+": ")
		if err != nil || guarded != (mode != "") {
			return false, err
		}
		judged, err := refuses(ctx, argo, foundling, `argoseal.dev" denied the request: `)
		return judged == (mode == v1alpha1.ModeEnforce), err
	})
	if err != nil {
		return fmt.Errorf("nobody goes by mode %q of namespace %s: %w", mode, name, err)
	}
	return nil
}

// refuses says whether an object would not be stored, in these words.
func refuses(ctx context.Context, c client.Client, o client.Object, words string) (bool, error) {
	o, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return false, errors.New("a copy is no object")
	}
	err := c.Create(ctx, o, client.DryRunAll)
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), words) {
		return true, nil
	}
	return false, err
}

// DeleteNamespace deletes a namespace and waits until it is gone.
func (l *Lab) DeleteNamespace(ctx context.Context, name string) error {
	if err := l.Discard(ctx, name); err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	err := Eventually(ctx, 3*time.Minute, func(ctx context.Context) (bool, error) {
		err := l.Client.Get(ctx, client.ObjectKeyFromObject(ns), ns)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("namespace %s does not go away: %w: %v", name, err, ns.Status.Conditions)
	}
	return nil
}

// Discard deletes a namespace and does not wait.
func (l *Lab) Discard(ctx context.Context, name string) error {
	// Workflows first, so that no controller makes further pods; and pods get
	// no grace: nobody will look at them again. What fails here is the
	// namespace controller's to repeat, such as the deletion of a pod that is
	// held back until it is recorded.
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = l.Client.DeleteAllOf(short, newWorkflow(), client.InNamespace(name))
	_ = l.Client.DeleteAllOf(short, &corev1.Pod{}, client.InNamespace(name), client.GracePeriodSeconds(0))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := l.Client.Delete(ctx, ns); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

// Namespaces are the names of those whose name begins with a prefix, by UID, also
// those that are being deleted.
func (l *Lab) Namespaces(ctx context.Context, prefix string) (map[types.UID]string, error) {
	var list corev1.NamespaceList
	if err := l.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	names := map[types.UID]string{}
	for _, ns := range list.Items {
		if strings.HasPrefix(ns.Name, prefix) {
			names[ns.UID] = ns.Name
		}
	}
	return names, nil
}

// Installed says whether Argoseal's namespace has its webhook in it.
func (l *Lab) Installed(ctx context.Context) (bool, error) {
	var d appsv1.Deployment
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: System, Name: "argoseal-webhook"}, &d)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// List reads all objects of one kind in a namespace.
func (l *Lab) List(ctx context.Context, ns string, list client.ObjectList) error {
	return l.Client.List(ctx, list, client.InNamespace(ns))
}

// Eventually calls f every 400 ms until it says true, errs, or the time is up. What
// only says that the machine is busy is no error before that.
func Eventually(ctx context.Context, limit time.Duration, f wait.ConditionWithContextFunc) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 400*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		done, err := f(ctx)
		if last = nil; passes(err) {
			last = err
			return false, nil
		}
		return done, err
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// passes says whether an error is one of an API server, or of the way to it, that
// has too much to do for the moment.
func passes(err error) bool {
	if err != nil && strings.Contains(err.Error(), "would exceed context deadline") {
		return true // the client's own limit, in the last moment of a wait
	}
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) ||
		utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) || utilnet.IsProbableEOF(err)
}
