//go:build e2e

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// TestSignersOnACluster: whoever signs, a key in a Secret, one in a key service, or keys that
// a Fulcio certifies, and whichever logs have the seals, Argo's example runs and what it makes
// is verified by our command line and by stock cosign; what nobody sealed is refused, and what
// was overwritten stops its consumer. In each mode of logs one signer takes over from the
// other, in one installation.
//
// It installs Argoseal in the development cluster anew, three times, and leaves the last.
func TestSignersOnACluster(t *testing.T) {
	l, err := lab.Connect(t.Context())
	must(t, err)
	f := newFront(t)
	// Before the Rekor v1: see startStamping.
	stamper := startStamping(t)
	stamper.url = f.serve(t, strings.TrimSuffix(stamper.url, stampsAt)) + stampsAt
	v1 := startV1(t)
	v1.url = f.serve(t, v1.url)
	authority := sealtest.NewAuthority(t)
	w := &world{
		lab: l, front: f, stamper: stamper, v1: v1, authority: authority,
		fulcio: f.serve(t, startFulcioBeside(t, l, authority)),
		kms:    strings.TrimPrefix(f.serve(t, startKMS(t)), "https://"),
	}
	for _, logs := range []logs{
		{name: "v2", count: 1, values: map[string]any{}},
		{name: "v1", count: 1, values: map[string]any{"enabled": false, "url": v1.url, "version": 1,
			"trustedRoot": string(w.authorities(t, sealtest.TrustedRootOf(t, v1.trusted(t))))}},
		{name: "both", count: 2, values: map[string]any{"also": map[string]any{"url": v1.url, "version": 1}}},
	} {
		t.Run(logs.name, func(t *testing.T) { w.signersIn(t, logs) })
	}
}

// logs are a mode of logs.
type logs struct {
	name   string
	count  int            // how many have each seal
	values map[string]any // of the chart, below rekor
}

// world is what runs beside the cluster.
type world struct {
	lab         *lab.Lab
	front       *front
	stamper     stamping
	v1          *logV1
	authority   *sealtest.Authority
	fulcio, kms string
}

// signersIn has one signer after the other seal in a mode of logs.
func (w *world) signersIn(t *testing.T, logs logs) {
	w.uninstall(t)
	w.prepare(t)
	rekor := logs.values
	if logs.name == "both" { // the private log has to be there before its root is
		rekor = map[string]any{}
	}
	w.install(t, map[string]any{"rekor": rekor})
	if logs.name != "v1" { // whose root is a value of the chart
		trusted := w.published(t, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
		if logs.name == "both" {
			trusted = sealtest.TrustedRootOf(t, w.v1.trusted(t), trusted)
		}
		file := filepath.Join(t.TempDir(), "next.json")
		must(t, os.WriteFile(file, w.authorities(t, trusted), 0o600))
		_, err := run(t, nil, ours(t), "trust", "root", "--from", file, "--kubeconfig", w.lab.Kubeconfig, "--namespace", lab.System)
		must(t, err)
	}
	var before *verify.Result // what the signer before it made
	for _, signer := range []struct {
		name   string
		values map[string]any
		is     func(*verify.Result) bool
	}{
		{"key", map[string]any{"rekor": logs.values}, func(r *verify.Result) bool { return r.KeyHint != "" }},
		{"KMS", map[string]any{"rekor": logs.values, "notary": map[string]any{
			"signingKey": map[string]any{"uri": "awskms://" + w.kms + "/" + kmsKey},
		}}, func(r *verify.Result) bool { return r.KeyHint != "" && r.KeyHint != before.KeyHint }},
		{"Fulcio", map[string]any{"rekor": logs.values, "notary": map[string]any{
			"fulcio": map[string]any{"url": w.fulcio},
		}, "timestamps": map[string]any{"url": w.stamper.url}}, func(r *verify.Result) bool { return r.Identity != "" }},
	} {
		held := t.Run(signer.name, func(t *testing.T) {
			w.install(t, signer.values)
			before = w.holds(t, logs, signer.name, signer.is)
		})
		if !held {
			return // the next one would follow a signer that is not there
		}
	}
}

// holds plays what first light promised, where one signer signs. It gives what that has made.
func (w *world) holds(t *testing.T, logs logs, signer string, is func(*verify.Result) bool) *verify.Result {
	ns := strings.ToLower("signers-" + logs.name + "-" + signer)
	w.namespace(t, ns)
	// Another signer signs once every webhook knows it.
	var result *verify.Result
	for deadline := time.Now().Add(5 * time.Minute); ; {
		var e evidence
		if e, result = w.example(t, ns); is(result) {
			if len(result.Logs) != logs.count {
				t.Errorf("it is in %q, want %d logs", result.Logs, logs.count)
			}
			verified(t, e)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not sign; %q does", signer, result.KeyHint+result.Identity)
		}
	}
	w.refuses(t, ns)
	return result
}

// namespace makes one in which all has to be sealed, until the test ends.
func (w *world) namespace(t *testing.T, ns string) {
	t.Helper()
	must(t, w.lab.Namespace(t.Context(), ns, v1alpha1.ModeEnforce))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		if err := w.lab.Discard(ctx, ns); err != nil {
			t.Error(err)
		}
	})
}

// refuses has what nobody sealed refused, and the consumer of what was overwritten stopped.
func (w *world) refuses(t *testing.T, ns string) {
	t.Helper()
	s := &scenario.Stage{Lab: w.lab, Root: filepath.Join("..", ".."), Argoseal: ours(t), Cosign: program(t, "cosign"), Dir: t.TempDir(), Out: t.Output()}
	for _, story := range []scenario.Scenario{scenario.Unsealed(ns), scenario.Overwritten(ns)} {
		happened, err := story.Play(t.Context(), s)
		if err != nil {
			t.Errorf("%s: %v", story.Name, err)
		}
		t.Logf("%s: %s", story.Name, happened)
	}
}

// example runs Argo's example, and gives what there is of its seal.
func (w *world) example(t *testing.T, ns string) (evidence, *verify.Result) {
	t.Helper()
	wf, err := lab.Example(t.Context(), "examples/artifact-passing.yaml")
	must(t, err)
	name, err := w.lab.Submit(t.Context(), ns, wf)
	must(t, err)
	finished, err := w.lab.Finish(t.Context(), ns, name, 6*time.Minute)
	must(t, err)
	if finished.Phase != "Succeeded" {
		t.Fatal(finished)
	}
	seals, err := w.lab.Seals(t.Context(), ns, finished.UID)
	must(t, err)
	if len(seals) != 1 {
		t.Fatalf("there are %d seals", len(seals))
	}
	var record v1alpha1.Provenance
	must(t, w.lab.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: seals[0].Spec.Provenance}, &record))
	object, err := w.lab.Get(t.Context(), seals[0].Spec.Location.Bucket, seals[0].Spec.Location.Key)
	must(t, err)
	e := evidence{
		bundle: []byte(record.Status.Bundle), file: string(object),
		trustedRoot: w.published(t, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey),
		rules:       w.published(t, v1alpha1.ConfigMapNotaryKey, v1alpha1.RulesKey),
		key:         w.published(t, v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey),
	}
	d, err := verify.ParseInstalled("installed", verify.Sources{TrustedRoot: e.trustedRoot, Keys: e.key, Rules: e.rules})
	must(t, err)
	d.AnyBuilder = len(d.Builders) == 0
	d.Logs = 1
	root, err := verify.New(d)
	must(t, err)
	result, err := root.Inspect(e.bundle)
	must(t, err)
	e.hint, e.identity = result.KeyHint, result.Identity
	for _, i := range d.Identities {
		if i.Subject == e.identity {
			e.issuer = i.Issuer
		}
	}
	return e, result
}

// verified has our command line and cosign take the genuine file, and refuse another one.
func verified(t *testing.T, e evidence) {
	t.Helper()
	changed := e
	changed.file += "\x00"
	for name, ask := range map[string]judge{"argoseal": argoseal, "cosign": func(t *testing.T, e evidence) (string, error) {
		t.Helper()
		e.key, _ = lab.KeyOf(e.key, e.hint) // it reads no other key of a file than the first
		return cosign(t, e)
	}} {
		if out, err := ask(t, e); err != nil {
			t.Errorf("%s refuses the genuine file: %v\n%s", name, err, out)
		}
		if out, err := ask(t, changed); err == nil {
			t.Errorf("%s takes a changed file\n%s", name, out)
		}
	}
}

func (w *world) published(t *testing.T, name, key string) []byte {
	t.Helper()
	var cm corev1.ConfigMap
	must(t, w.lab.Client.Get(t.Context(), client.ObjectKey{Namespace: lab.System, Name: name}, &cm))
	return []byte(cm.Data[key])
}

// authorities is a trusted root with Fulcio's certificates and the timestamp authority's.
func (w *world) authorities(t *testing.T, trusted []byte) []byte {
	t.Helper()
	return trusting(t, trusted, w.fulcio, w.authority, w.stamper)
}

// uninstall takes Argoseal out with all that it keeps in its namespace.
func (w *world) uninstall(t *testing.T) {
	t.Helper()
	installed, err := w.lab.Installed(t.Context())
	must(t, err)
	if installed {
		w.target(t, "uninstall")
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: lab.System}}
	must(t, client.IgnoreNotFound(w.lab.Client.Delete(t.Context(), ns)))
	await(t, "its namespace is gone", func() error {
		err := w.lab.Client.Get(t.Context(), client.ObjectKeyFromObject(ns), &corev1.Namespace{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

// prepare makes the namespace, with the certificates of what runs beside the cluster.
func (w *world) prepare(t *testing.T) {
	t.Helper()
	must(t, w.lab.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: lab.System}}))
	must(t, w.lab.Client.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: lab.System, Name: "beside"}, Data: map[string]string{"ca.crt": string(w.front.certificate)},
	}))
}

// install installs Argoseal with values, or upgrades it.
func (w *world) install(t *testing.T, values map[string]any) {
	t.Helper()
	raw, err := yaml.Marshal(values)
	must(t, err)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"given.yaml": raw, "beside.yaml": []byte(beside)} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	w.target(t, "install", "HELM_ARGS=--values "+filepath.Join(dir, "beside.yaml")+" --values "+filepath.Join(dir, "given.yaml"))
	for _, workload := range []lab.Workload{lab.Webhook, lab.Notary} {
		must(t, w.lab.Ready(t.Context(), workload))
	}
	must(t, w.lab.AwaitGuards(t.Context()))
}

// beside are the values by which the notary trusts and reaches what runs beside the cluster.
const beside = `
notary:
  extraEnv:
  - {name: SSL_CERT_FILE, value: /etc/beside/ca.crt}
  - {name: AWS_REGION, value: eu-west-2}
  - {name: AWS_ACCESS_KEY_ID, value: test}
  - {name: AWS_SECRET_ACCESS_KEY, value: test}
  extraVolumes: [{name: beside, configMap: {name: beside}}]
  extraVolumeMounts: [{name: beside, mountPath: /etc/beside, readOnly: true}]
`

// target makes a target of the Makefile.
func (w *world) target(t *testing.T, target string, variables ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var said bytes.Buffer
	s := &scenario.Stage{Root: filepath.Join("..", ".."), Out: &said}
	if err := s.Make(ctx, target, variables...); err != nil {
		out := said.Bytes()
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
}

// front serves, with TLS at an address that pods reach, what runs beside the cluster.
type front struct {
	certificate []byte // PEM
	config      *tls.Config
}

func newFront(t *testing.T) *front {
	t.Helper()
	certificate, key := certificateOf(t, layout.NodeIP)
	pair, err := tls.X509KeyPair(certificate, key)
	must(t, err)
	return &front{certificate: certificate, config: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}}
}

// serve gives the URL at which pods reach what answers at another one, until the test ends.
func (f *front) serve(t *testing.T, at string) string {
	t.Helper()
	to, err := url.Parse(at)
	must(t, err)
	listener, err := tls.Listen("tcp", net.JoinHostPort(layout.NodeIP, "0"), f.config)
	must(t, err)
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(to), ReadHeaderTimeout: time.Minute}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	return "https://" + listener.Addr().String()
}

// startFulcioBeside runs a Fulcio for tokens of the development cluster. As in a pod, the
// issuer's name leads it to the API server, and the cluster's authority is where it looks for
// it: in a mount namespace of its own.
func startFulcioBeside(t *testing.T, l *lab.Lab, a *sealtest.Authority) string {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{ // as managed clusters let everybody
		ObjectMeta: metav1.ObjectMeta{Name: "signers-issuer-discovery"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}
	must(t, client.IgnoreAlreadyExists(l.Client.Create(t.Context(), binding)))
	t.Cleanup(func() { _ = l.Client.Delete(context.WithoutCancel(t.Context()), binding) })
	dir := shortDir(t)
	ca := slices.Clone(l.Config.CAData)
	if len(ca) == 0 {
		var err error
		ca, err = os.ReadFile(l.Config.CAFile)
		must(t, err)
	}
	hosts, err := os.ReadFile("/etc/hosts")
	must(t, err)
	for name, data := range map[string][]byte{
		"ca.crt": ca, "hosts": append(bytes.TrimSpace(hosts), []byte("\n"+layout.KubernetesIP+" kubernetes.default.svc\n")...),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	const inside = `mount --bind "$1/hosts" /etc/hosts
mount -t tmpfs tmpfs /run
mkdir /run/fulcio
cp "$1/ca.crt" /run/fulcio
shift
exec "$@"`
	return serveFulcio(t, dir, a, "https://kubernetes.default.svc", ca,
		"unshare", "--mount", "--propagation", "private", "sh", "-ec", inside, "sh", dir, program(t, "fulcio"))
}
