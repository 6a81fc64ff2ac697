//go:build e2e

package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tuf/tuftest"
)

// TestSignersFollowARepository: where the chart has the trusted root follow a TUF repository, a
// log that comes into that is trusted without a restart, the end of its metadata is told before
// it comes, and a repository that shows something old changes nothing. All the while what steps
// make is sealed, and consumed, under the private log, which the repository does not know.
//
// It installs Argoseal in the development cluster anew, and leaves that.
func TestSignersFollowARepository(t *testing.T) {
	l, err := lab.Connect(t.Context())
	must(t, err)
	w := &world{lab: l, front: newFront(t)}
	w.uninstall(t)
	w.prepare(t)
	w.install(t, nil) // the private log makes the root
	first := sealtest.NewLogV1(t)
	repository := tuftest.New(t, first.TrustedRoot)
	w.install(t, map[string]any{"tuf": map[string]any{
		"url": w.front.serve(t, repository.URL), "root": string(repository.Root), "every": "1m",
		"extraEnv":          []map[string]any{{"name": "SSL_CERT_FILE", "value": "/etc/beside/ca.crt"}},
		"extraVolumes":      []map[string]any{{"name": "beside", "configMap": map[string]any{"name": "beside"}}},
		"extraVolumeMounts": []map[string]any{{"name": "beside", "mountPath": "/etc/beside", "readOnly": true}},
	}})
	logs := func(want int) error {
		trusted, err := root.NewTrustedRootFromJSON(w.published(t, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey))
		if err != nil {
			return err
		}
		if n := len(trusted.RekorLogs()); n != want {
			return fmt.Errorf("%d logs are trusted, want %d", n, want)
		}
		return nil
	}
	await(t, "the repository's log is trusted beside the private one", func() error { return logs(2) })
	await(t, "that is told", func() error { return w.told(t, reason.RootChanged) })
	w.works(t, "tuf-followed")
	before := w.programs(t)

	repository.SetTarget(sealtest.TrustedRootOf(t, first.Log, sealtest.NewLog(t).TrustedRoot))
	old := repository.Files()
	repository.Until["timestamp"] = time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	repository.Publish()
	await(t, "another log of the repository is trusted", func() error { return logs(3) })
	await(t, "that its metadata ends is told", func() error { return w.told(t, reason.RootExpires) })
	out, err := run(t, nil, ours(t), "trust", "show", "--kubeconfig", l.Kubeconfig, "--namespace", lab.System)
	must(t, err)
	if !strings.Contains(out, "timestamp") || !strings.Contains(out, "https://") {
		t.Errorf("people are not shown what ends first:\n%s", out)
	}
	metrics := w.metrics(t)
	if want := fmt.Sprintf(`argoseal_trust_followed_expires_timestamp_seconds{role="timestamp"} %.9e`, float64(repository.Until["timestamp"].Unix())); !strings.Contains(metrics, want) {
		t.Errorf("the metric is not %s:\n%s", want, metrics)
	}

	repository.Serve(old)
	await(t, "what is old is refused", func() error { return w.told(t, reason.RootRefused) })
	must(t, logs(3))
	w.works(t, "tuf-refused")
	if after := w.programs(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("programs were started anew: %v, before %v", after, before)
	}
}

// works plays what first light promised.
func (w *world) works(t *testing.T, ns string) {
	t.Helper()
	w.namespace(t, ns)
	e, _ := w.example(t, ns)
	verified(t, e)
	w.refuses(t, ns)
}

// told says whether there is an event of the trusted root for that reason.
func (w *world) told(t *testing.T, code reason.Code) error {
	t.Helper()
	var all corev1.EventList
	if err := w.lab.Client.List(t.Context(), &all, client.InNamespace(lab.System)); err != nil {
		return err
	}
	for _, e := range all.Items {
		if e.Reason == string(code) && e.InvolvedObject.Name == v1alpha1.ConfigMapTrustedRoot {
			return nil
		}
	}
	return errors.New("there is no event " + string(code))
}

// programs are the pods of what reads the trusted root, with how often each was restarted.
func (w *world) programs(t *testing.T) map[types.UID]int32 {
	t.Helper()
	all := map[types.UID]int32{}
	for _, workload := range []lab.Workload{lab.Webhook, lab.Notary} {
		pods, err := w.lab.PodsOf(t.Context(), workload)
		must(t, err)
		for i := range pods {
			all[pods[i].UID] = 0
			for _, c := range pods[i].Status.ContainerStatuses {
				all[pods[i].UID] += c.RestartCount
			}
		}
	}
	return all
}

// metrics are those of what follows the repository.
func (w *world) metrics(t *testing.T) string {
	t.Helper()
	pods, err := w.lab.PodsOf(t.Context(), lab.Workload{Kind: "Deployment", Namespace: lab.System, Name: "argoseal-tuf"})
	must(t, err)
	if len(pods) != 1 {
		t.Fatalf("%d pods follow the repository", len(pods))
	}
	set, err := kubernetes.NewForConfig(w.lab.Config)
	must(t, err)
	raw, err := set.CoreV1().Pods(lab.System).ProxyGet("http", pods[0].Name, "8080", "/metrics", nil).DoRaw(t.Context())
	must(t, err)
	return string(raw)
}
