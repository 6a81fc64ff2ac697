//go:build e2e

package suite

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// packaged makes an archive in which syft finds a package.
const packaged = `
metadata: {generateName: packaged-}
spec:
  entrypoint: main
  templates:
  - name: main
    outputs: {artifacts: [{name: model, path: /tmp/model, s3: {key: NAMESPACE/model.tgz}}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "mkdir /tmp/model; echo requests==2.32.3 > /tmp/model/requirements.txt; echo built > /tmp/model/word"]}
`

// scanner is the trust domain of whoever makes SBOMs here.
const scanner = prefix + "scanner"

// TestConformanceAnSBOMByTheJobOfThePage: a policy wants an SBOM of what a step takes. Until
// there is one the step is refused. The Job of docs/sbom.md, with a real syft, makes, signs and
// publishes one, and then the step runs.
//
// It needs the part registry of the development cluster.
func TestConformanceAnSBOMByTheJobOfThePage(t *testing.T) {
	t.Parallel()
	l, s := cluster(t), stage(t)
	registry, err := l.Registry()
	if err != nil {
		t.Fatal(err)
	}
	ci, scanning, release := namespace(t, "sbom-ci", v1alpha1.ModeEnforce), namespace(t, "sbom-scanning", plain), namespace(t, "sbom-release", v1alpha1.ModeEnforce)
	if err := l.Allow(t.Context(), registry, scanning); err != nil {
		t.Fatal(err)
	}
	run := finish(t, ci, submit(t, ci, strings.ReplaceAll(packaged, "NAMESPACE", ci)))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	seal := sealOf(t, run, "model")
	evidence, err := l.Save(t.Context(), seal, s.Dir)
	if err != nil {
		t.Fatal(err)
	}

	home := t.TempDir()
	argoseal := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, s.Argoseal, args...)
		cmd.Env = atHome(t, home)
		out, err := cmd.CombinedOutput()
		t.Logf("$ argoseal %s\n%s(%v)", strings.Join(args, " "), out, err)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	argoseal("trust", "export")
	// By hand: syft is on the path. One of the parts is the archive.
	for format, says := range map[string]string{"spdx": "spdx 2.3, with ", "cyclonedx": "cyclonedx 1."} {
		out := argoseal("sbom", ci+"/"+seal.Spec.Provenance, "--output", "model", "--artifact", evidence.Artifact, "--run-syft", "--format", format)
		if !strings.Contains(out, says) || strings.Contains(out, " 0 parts") {
			t.Errorf("%s: %s", format, out)
		}
	}

	key := trustScanner(t, home, argoseal)
	govern(t, release, "allow: {producers: [{namespaces: ["+ci+"], anyWorkflow: true}]}, require: {sbom: {by: ["+scanner+"], formats: [spdx]}}", "")
	take := func(name string) *lab.Run {
		t.Helper()
		return finish(t, release, submit(t, release, taking(name, stored(ci, "model.tgz", "built"))))
	}
	refused(t, refusal(take("before")), reason.SBOMMissing)

	job := jobOfThePage(t)
	give(t, scanning, home, evidence.Artifact, key)
	_, log := stated(t, run)
	adapt(t, job, scanning, scannerImage(t, registry, s.Argoseal), ci+"/"+seal.Spec.Provenance, log)
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ci, Name: "scanner"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "argoseal-describer"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: scanning, Name: "scanner"}},
	})
	create(t, job)
	if err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		if err := l.Client.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
			return false, err
		}
		return job.Status.Succeeded > 0 || job.Status.Failed > 0, nil
	}); err != nil || job.Status.Succeeded == 0 {
		tell(t.Context(), t, l, scanning)
		t.Fatalf("the Job of the page: %+v, %v", job.Status, err)
	}
	var published v1alpha1.SBOM
	if err := l.Client.Get(t.Context(), client.ObjectKey{Namespace: ci, Name: v1alpha1.SBOMName(seal.Spec.SHA256, "file", scanner)}, &published); err != nil || !slices.Equal(published.Spec.Formats, []string{"spdx"}) {
		t.Errorf("published is %+v, %v", published.Spec.Formats, err)
	}
	if run := take("after"); run.Phase != "Succeeded" {
		t.Error(run)
	}
}

// atHome is the environment of somebody with settings of their own, this cluster, and syft on
// the path.
func atHome(t *testing.T, home string) []string {
	t.Helper()
	syft, err := part.Path(t.Context(), "syft", "syft")
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "KUBECONFIG="+cluster(t).Kubeconfig,
		"PATH="+filepath.Dir(syft)+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// trustScanner makes a key, and a trust domain of it that may say what SBOMs there are.
func trustScanner(t *testing.T, home string, argoseal func(...string) string) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(home, "argoseal", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	from := t.TempDir()
	for name, content := range map[string][]byte{
		"notary.pub":        pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"trusted_root.json": root,
		"domain.json":       []byte(`{"describes": true}`),
	} {
		if err := os.WriteFile(filepath.Join(from, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := cluster(t)
	remove := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		err := l.Client.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: lab.System, Name: v1alpha1.ConfigMapDomainPrefix + scanner}})
		if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	remove() // an earlier run may have left its own
	t.Cleanup(remove)
	argoseal("trust", "add", scanner, "--from", from)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// jobOfThePage is the Job that docs/sbom.md has.
func jobOfThePage(t *testing.T) *batchv1.Job {
	t.Helper()
	page, err := os.ReadFile("../../docs/sbom.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\napiVersion: batch/v1\n")
	text, _, ended := strings.Cut(text, "```")
	job := &batchv1.Job{}
	if err := yaml.UnmarshalStrict([]byte("apiVersion: batch/v1\n"+text), job); err != nil || !found || !ended {
		t.Fatalf("the page has no Job: %v", err)
	}
	return job
}

// give makes what the Job mounts, and, in place of a store of its own, what it fetches.
func give(t *testing.T, ns, home, artifact string, key []byte) {
	t.Helper()
	content, err := os.ReadFile(artifact)
	if err != nil {
		t.Fatal(err)
	}
	trust := map[string]string{}
	for _, name := range []string{"notary.pub", "trusted_root.json", "domain.json"} {
		text, err := os.ReadFile(filepath.Join(home, "argoseal", name))
		if err != nil {
			t.Fatal(err)
		}
		trust[name] = string(text)
	}
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "scanner"}})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "argoseal-trust"}, Data: trust})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "store"}, BinaryData: map[string][]byte{"model.tgz": content}})
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "store-read"}, StringData: map[string]string{"AWS_REGION": "none"}})
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "scanner-key"}, Data: map[string][]byte{"scanner.key": key}})
}

// adapt has the Job run here: by this image, on that record, with the log of this cluster, and
// with a folder for a store. All else is the page's.
func adapt(t *testing.T, job *batchv1.Job, ns, imageName, record, log string) {
	t.Helper()
	job.Namespace = ns
	pod := &job.Spec.Template.Spec
	pod.ImagePullSecrets = []corev1.LocalObjectReference{{Name: lab.RegistryAccess}}
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "store", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "store"}}}})
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			list[i].Image = imageName
		}
	}
	fetch, sign := &pod.InitContainers[0], &pod.Containers[0]
	fetch.Command = []string{"cp", "/store/model.tgz", "/artifact/model.tgz"}
	fetch.VolumeMounts = append(fetch.VolumeMounts, corev1.VolumeMount{Name: "store", MountPath: "/store"})
	changed := 0
	for i, word := range sign.Command {
		if to, known := map[string]string{"ci/POD_UID": record, "https://rekor.example.com": log, "scanner": scanner}[word]; known {
			sign.Command[i] = to
			changed++
		}
	}
	if changed != 3 {
		t.Fatalf("the Job of the page has another command: %q", sign.Command)
	}
}

// scannerImage has a shell, argoseal and syft, in the registry.
func scannerImage(t *testing.T, registry *lab.Registry, argoseal string) string {
	t.Helper()
	spec, err := part.Builder(t.Context(), "syft")
	if err != nil {
		t.Fatal(err)
	}
	spec.Layers = append(spec.Layers, []image.File{{Path: "/bin/argoseal", From: argoseal}})
	img, err := image.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return pushed(t, registry, "tools/scanner:v1", img).String()
}
