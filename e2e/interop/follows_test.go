//go:build e2e

package interop

import (
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

// TestSignersFollowARepository: where the chart has the trusted root follow a TUF repository,
// logs and authorities that come into that are trusted without a restart, the end of its
// metadata is told before it comes, and a repository that shows something old, or what others
// signed, changes nothing. All the while what steps make is sealed, and consumed, under the
// private log, which the repository knows only later.
//
// It installs Argoseal in the development cluster anew, and at its end once more, as it was.
func TestSignersFollowARepository(t *testing.T) {
	l, err := lab.Connect(t.Context())
	must(t, err)
	w := &world{lab: l, front: newFront(t)}
	defer func() { // before the test's context ends
		w.uninstall(t)
		w.target(t, "install")
		must(t, w.lab.AwaitGuards(t.Context()))
	}()
	w.uninstall(t)
	w.prepare(t)
	w.install(t, nil) // the private log makes the root
	own := w.published(t, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
	first := sealtest.NewLogV1(t)
	repository := tuftest.New(t, first.TrustedRoot)
	w.install(t, map[string]any{"tuf": map[string]any{
		"url": w.front.serve(t, repository.URL), "root": string(repository.Root), "every": "1m",
		"extraEnv":          []map[string]any{{"name": "SSL_CERT_FILE", "value": "/etc/beside/ca.crt"}},
		"extraVolumes":      []map[string]any{{"name": "beside", "configMap": map[string]any{"name": "beside"}}},
		"extraVolumeMounts": []map[string]any{{"name": "beside", "mountPath": "/etc/beside", "readOnly": true}},
	}})
	// trusts says whether so many logs are trusted, and so many authorities for
	// certificates and for timestamps.
	trusts := func(logs, authorities int) error {
		trusted, err := root.NewTrustedRootFromJSON(w.published(t, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey))
		if err != nil {
			return err
		}
		l, c, s := len(trusted.RekorLogs()), len(trusted.FulcioCertificateAuthorities()), len(trusted.TimestampingAuthorities())
		if l != logs || c != authorities || s != authorities {
			return fmt.Errorf("%d logs, %d authorities and %d of timestamps are trusted, want %d logs, and %d of either", l, c, s, logs, authorities)
		}
		return nil
	}
	await(t, "the repository's log is trusted beside the private one", func() error { return trusts(2, 0) })
	await(t, "that is told", func() error { return w.told(t, reason.RootChanged, "") })
	w.works(t, "tuf-followed")
	if w.told(t, reason.RootExpires, "") == nil || w.told(t, reason.RootRefused, "") == nil {
		t.Error("the end of what counts for days is told, or a refusal of what holds")
	}
	before := w.programs(t)

	// The next one has the private log, too, and another one with its authorities.
	old := repository.Files()
	both := sealtest.TrustedRootOf(t, first.Log, own, sealtest.NewLog(t).TrustedRoot)
	repository.SetTarget(sealtest.NewAuthority(t).TrustedRoot(t, both, sealtest.Trust{Certificates: true, Timestamps: true}))
	soon := time.Now().UTC().Truncate(time.Second)
	repository.Until["root"], repository.Until["timestamp"] = soon.Add(7*24*time.Hour), soon.Add(time.Hour)
	repository.PublishRoot(repository.Keys("root")...)
	repository.Publish()
	await(t, "what came into the repository is trusted", func() error { return trusts(3, 1) })
	for _, role := range []string{"root", "timestamp"} {
		await(t, "that its "+role+".json ends is told", func() error { return w.told(t, reason.RootExpires, role+".json") })
	}
	out, err := run(t, nil, ours(t), "trust", "show", "--kubeconfig", l.Kubeconfig, "--namespace", lab.System)
	must(t, err)
	if !strings.Contains(out, "timestamp") || !strings.Contains(out, "https://") {
		t.Errorf("people are not shown what ends first:\n%s", out)
	}
	metrics := w.metrics(t)
	for _, role := range []string{"root", "timestamp"} {
		if want := fmt.Sprintf(`argoseal_trust_followed_expires_timestamp_seconds{role=%q} %.9e`, role, float64(repository.Until[role].Unix())); !strings.Contains(metrics, want) {
			t.Errorf("the metric is not %s:\n%s", want, metrics)
		}
	}

	newest := repository.Files()
	repository.Serve(old)
	await(t, "what is old is refused", func() error { return w.told(t, reason.RootRefused, "") })
	must(t, trusts(3, 1))
	// A log of others, under a key of theirs.
	repository.Serve(newest)
	repository.Rotate("timestamp")
	repository.SetTarget(sealtest.NewLog(t).TrustedRoot)
	repository.Publish()
	await(t, "what others signed is refused", func() error { return w.logged(t, reason.RootRefused, "signatures") })
	must(t, trusts(3, 1))
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

// told says whether there is an event of the trusted root for that reason, with these words.
func (w *world) told(t *testing.T, code reason.Code, words string) error {
	t.Helper()
	var all corev1.EventList
	if err := w.lab.Client.List(t.Context(), &all, client.InNamespace(lab.System)); err != nil {
		return err
	}
	for _, e := range all.Items {
		if e.Reason == string(code) && e.InvolvedObject.Name == v1alpha1.ConfigMapTrustedRoot && strings.Contains(e.Message, words) {
			return nil
		}
	}
	return fmt.Errorf("there is no event %s: %s", code, words)
}

// follower is what follows the repository.
var follower = lab.Workload{Kind: "Deployment", Namespace: lab.System, Name: "argoseal-tuf"}

// logged says whether the follower's log has that reason, with these words: of events with one
// reason within minutes Kubernetes keeps the first one's words.
func (w *world) logged(t *testing.T, code reason.Code, words string) error {
	t.Helper()
	lines, err := w.lab.Said(t.Context(), follower, string(code), 50)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if strings.Contains(line, words) {
			return nil
		}
	}
	return fmt.Errorf("no line has %s: %s: %q", code, words, lines)
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
	pods, err := w.lab.PodsOf(t.Context(), follower)
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
