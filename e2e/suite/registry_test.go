//go:build e2e

package suite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// buildsImages has two builders. crane puts a layer on an image, pushes that for two
// platforms, and hands out the layout that it pulls; umoci makes a layout from nothing, and
// a later step, which is gated, pushes that. What the steps run comes from the registry, too.
const buildsImages = `
metadata: {generateName: builds-images-}
spec:
  entrypoint: main
  imagePullSecrets: [{name: ACCESS}]
  volumes:
  - {name: login, secret: {secretName: ACCESS, items: [{key: .dockerconfigjson, path: config.json}]}}
  - {name: ca, configMap: {name: ACCESS}}
  templates:
  - name: main
    dag:
      tasks:
      - {name: crane, template: crane}
      - {name: umoci, template: umoci}
      - {name: push, template: push, depends: umoci, arguments: {artifacts: [{name: image, from: "{{tasks.umoci.outputs.artifacts.packed}}"}]}}
  - name: crane
    outputs: {artifacts: [{name: appended, path: /tmp/image}]}
    script:
      image: CRANE
      command: [sh, -e]
      env: &env [{name: DOCKER_CONFIG, value: /registry/login}, {name: SSL_CERT_FILE, value: /registry/ca/ca.crt}]
      volumeMounts: &mounts [{name: login, mountPath: /registry/login}, {name: ca, mountPath: /registry/ca}]
      source: |
        cd /tmp
        cat /proc/sys/kernel/random/uuid > made
        tar cf layer.tar made
        crane append --base SHELL --new_layer layer.tar --new_tag HOST/team/appended:one
        crane mutate --set-platform linux/s390x --tag HOST/team/appended:two HOST/team/appended:one
        crane index append --manifest HOST/team/appended:one --manifest HOST/team/appended:two --tag HOST/team/appended:v1
        crane pull --format oci HOST/team/appended:v1 image
  - name: umoci
    outputs: {artifacts: [{name: packed, path: /tmp/image}]}
    script:
      image: UMOCI
      command: [sh, -e]
      source: |
        cd /tmp
        mkdir -p root/bin
        cp /bin/busybox root/bin
        ln -s busybox root/bin/sh
        ln -s busybox root/bin/sleep
        cat /proc/sys/kernel/random/uuid > root/made
        umoci init --layout image
        umoci new --image image:v1
        umoci insert --rootless --image image:v1 root /
        umoci config --image image:v1 --config.cmd /bin/sh
        umoci gc --layout image
  - name: push
    inputs: {artifacts: [{name: image, path: /tmp/image}]}
    script:
      image: CRANE
      command: [sh, -e]
      env: *env
      volumeMounts: *mounts
      source: crane push /tmp/image HOST/team/packed:v1
`

// TestConformanceImagesFromARegistry: images that steps have built are pushed, with a
// password, and their seals are put beside them, where cosign takes them. A kubelet pulls
// them from there for pods that the gate admits by these seals, an image for one platform
// and one for two. What somebody else has pushed to the same repository is refused, in
// each place of a pod and by an update of one that runs, and so is a tag. Where Argoseal
// does not look, all of that runs.
//
// It needs the part registry of the development cluster.
func TestConformanceImagesFromARegistry(t *testing.T) {
	t.Parallel()
	l, s := cluster(t), stage(t)
	registry, err := l.Registry()
	if err != nil {
		t.Fatal(err)
	}
	ci, shop, without := namespace(t, "registry-ci", v1alpha1.ModeEnforce), namespace(t, "registry-shop", v1alpha1.ModeEnforce), namespace(t, "registry-shop", plain)
	for _, ns := range []string{ci, shop, without} {
		if err := l.Allow(t.Context(), registry, ns); err != nil {
			t.Fatal(err)
		}
	}

	run := finish(t, ci, submit(t, ci, withImages(t, registry)))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	for _, node := range run.Nodes {
		if node.Type == "Pod" {
			records(t, run, node) // waits for its seals
		}
	}
	appended, packed := sealedThere(t, run, registry, "appended", 3), sealedThere(t, run, registry, "packed", 1)

	// As docs/policy.md has it, with what docker login writes.
	home := t.TempDir()
	if err := registry.Login(home); err != nil {
		t.Fatal(err)
	}
	tool := func(password bool, program string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(atHome(t, home), "DOCKER_CONFIG="+home)
		if !password {
			cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+filepath.Join(home, "none"))
		}
		out, err := cmd.CombinedOutput()
		t.Logf("$ %s %s\n%.1500s(%v)", filepath.Base(program), strings.Join(args, " "), out, err)
		return string(out), err
	}
	if _, err := tool(true, s.Argoseal, "trust", "export"); err != nil {
		t.Fatal(err)
	}
	attach := []string{"attach", "--namespace", ci, "--registry-cacert", registry.CA}
	key := filepath.Join(home, "notary.pub") // cosign reads one key of a file
	if err := os.WriteFile(key, keyOf(t, filepath.Join(home, "argoseal", "notary.pub"), signerOf(t, ci, run.Name, "crane")), 0o600); err != nil {
		t.Fatal(err)
	}
	verifiedAs := func(kind string, ref name.Digest) error {
		_, err := tool(true, s.Cosign, "verify-attestation", ref.String(), "--key", key,
			"--trusted-root", filepath.Join(home, "argoseal", "trusted_root.json"), "--type", kind, "--registry-cacert", registry.CA)
		return err
	}
	verified := func(ref name.Digest) error { return verifiedAs("slsaprovenance1", ref) }
	if verified(appended) == nil {
		t.Error("cosign takes an image that has nothing beside it")
	}
	for flags, want := range map[string]string{"--registry-cacert=": "--registry-cacert", "--output=appended": "log in"} {
		if out, err := tool(want != "log in", s.Argoseal, append(attach, appended.String(), flags)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("without what it needs, attach does not say %q", want)
		}
	}
	if _, err := tool(true, s.Argoseal, append(attach, appended.String(), "--output", "appended", "--platforms")...); err != nil {
		t.Error(err)
	}
	attested(t, run) // waits for what is stated of the whole workflow
	if _, err := tool(true, s.Argoseal, append(attach, packed.String(), "--output", "packed", "--with-workflow")...); err != nil {
		t.Error(err)
	}
	of := []string{"sbom", ci + "/" + sealOf(t, run, "packed").Spec.Provenance, "--output", "packed", "--image", packed.String(), "--run-syft", "--registry-cacert", registry.CA}
	if out, err := tool(true, s.Argoseal, of...); err != nil || !strings.Contains(out, "spdx 2.3, with ") {
		t.Errorf("syft does not look into an image of the registry: %v", err)
	}
	if _, err := tool(false, s.Argoseal, of...); err == nil {
		t.Error("syft looks into an image without a password")
	}
	other := pushed(t, registry, "team/appended:other", shellImage(t, "other "+run.UID))
	if _, err := tool(true, s.Argoseal, append(attach, other.String())...); err == nil {
		t.Error("attach has a seal for an image of somebody else's")
	}
	for _, of := range sealOf(t, run, "appended").Spec.Images { // the index and its two
		if err := verified(appended.Context().Digest("sha256:" + of.SHA256)); err != nil {
			t.Errorf("cosign does not take %+v: %v", of, err)
		}
	}
	for _, kind := range []string{"slsaprovenance1", provenance.SummaryType} { // a later step took its layout, and pushed it
		if err := verifiedAs(kind, packed); err != nil {
			t.Error(err)
		}
	}
	if verifiedAs(provenance.SummaryType, appended) == nil {
		t.Error("cosign finds a summary beside an image for which nobody asked for one")
	}
	if verified(other) == nil {
		t.Error("cosign takes an image of somebody else's")
	}

	govern(t, shop, `images: [{name: "**", sha256: ["`+strings.Repeat("0", 64)+`"]}, {name: "`+part.RegistryHost+`/team/*", producers: [
		{output: appended, layout: true, namespaces: [`+ci+`], anyWorkflow: true}, {output: packed, layout: true, namespaces: [`+ci+`], anyWorkflow: true}]}]`, "")
	deployed(t, shop, "packed", corev1.Container{Name: "main", Image: packed.String(), Command: []string{"sh", "-c", "test -s /made && exec sleep 3600"}})
	pod := deployed(t, shop, "appended", corev1.Container{Name: "main", Image: appended.String(), Command: []string{"sh", "-c", "test -s /made && sleep 3600"}})
	changed := func(pod *corev1.Pod, image name.Digest) error {
		patch := `{"spec": {"containers": [{"name": "main", "image": "` + image.String() + `"}]}}`
		return l.Client.Patch(t.Context(), pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
	}
	refused(t, changed(pod, other), reason.ImageUnproven)

	// Last, so that none of the above finds it on the node.
	control := deployed(t, without, "other", corev1.Container{Name: "main", Image: other.String(), Command: []string{"sleep", "3600"}})
	if err := changed(control, appended); err != nil {
		t.Errorf("where Argoseal does not look: %v", err)
	}
	tag := appended.Context().Tag("v1").String()
	main := func(image string) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}
	}
	withInit, withVolume := main(appended.String()), main(appended.String())
	withInit.InitContainers = []corev1.Container{{Name: "init", Image: other.String()}}
	withVolume.Volumes = []corev1.Volume{{Name: "image", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: other.String()}}}}
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		want reason.Code
	}{
		"another image":           {main(other.String()), reason.ImageUnproven},
		"another's tag":           {main(other.Context().Tag("other").String()), reason.ImageNotPinned},
		"a tag of the sealed one": {main(tag), reason.ImageNotPinned},
		"an init container":       {withInit, reason.ImageUnproven},
		"an image volume":         {withVolume, reason.ImageUnproven},
		"under another name":      {main(strings.Replace(appended.String(), "/team/", "/others/", 1)), reason.ImageUnproven},
	} {
		t.Log(name)
		refused(t, l.Client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "app"}, Spec: c.spec}, client.DryRunAll), c.want)
		if err := l.Client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: without, Name: "app"}, Spec: c.spec}, client.DryRunAll); err != nil {
			t.Errorf("where Argoseal does not look, %s: %v", name, err)
		}
	}
}

// keyOf is the key with a hint out of a file.
func keyOf(t *testing.T, file, hint string) []byte {
	t.Helper()
	keys, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := lab.KeyOf(keys, hint)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return key
}

// withImages is buildsImages, with what it runs and builds upon pushed before.
func withImages(t *testing.T, registry *lab.Registry) string {
	t.Helper()
	builder := func(program string) string {
		spec, err := part.Builder(t.Context(), program)
		if err != nil {
			t.Fatal(err)
		}
		img, err := image.Build(spec)
		if err != nil {
			t.Fatal(err)
		}
		return pushed(t, registry, "tools/"+program+":v1", img).String()
	}
	return strings.NewReplacer(
		"CRANE", builder("crane"),
		"UMOCI", builder("umoci"),
		"SHELL", pushed(t, registry, "base/shell:v1", shellImage(t, "base")).String(),
		"HOST", part.RegistryHost,
		"ACCESS", lab.RegistryAccess,
	).Replace(buildsImages)
}

// shellImage is an image with a shell, of its own digest for each label.
func shellImage(t *testing.T, label string) *image.Image {
	t.Helper()
	specs, err := part.TestImages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec := specs[0]
	spec.Name, spec.Entrypoint, spec.Cmd, spec.Labels = "shell", nil, []string{"sh"}, map[string]string{"made-for": label}
	img, err := image.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pushed(t *testing.T, registry *lab.Registry, at string, img *image.Image) name.Digest {
	t.Helper()
	there, err := registry.Push(t.Context(), at, img.OCI())
	if err != nil {
		t.Fatal(err)
	}
	if there.DigestStr() != img.Digest {
		t.Fatalf("the registry has %s, pushed was %s", there, img.Digest)
	}
	return there
}

// sealedThere is the image that the registry has under the output's name. Its digest is
// among the images that the output's seal names.
func sealedThere(t *testing.T, run *lab.Run, registry *lab.Registry, output string, images int) name.Digest {
	t.Helper()
	there, err := registry.Digest(t.Context(), "team/"+output+":v1")
	if err != nil {
		t.Fatal(err)
	}
	sealed := sealOf(t, run, output).Spec.Images
	found := false
	for _, i := range sealed {
		found = found || "sha256:"+i.SHA256 == there.DigestStr()
	}
	if !found || len(sealed) != images {
		t.Fatalf("the seal of %s names %+v, and the registry has %s", output, sealed, there)
	}
	return there
}

// deployed has a Deployment run one pod with a container, whose image the kubelet pulls
// from the registry by its password, and returns the pod.
func deployed(t *testing.T, ns, name string, container corev1.Container) *corev1.Pod {
	t.Helper()
	l, labels := cluster(t), map[string]string{"app": name}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: lab.RegistryAccess}}, Containers: []corev1.Container{container},
		}},
	}}
	if err := l.Client.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var pods corev1.PodList
	err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		err := l.Client.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels(labels))
		return err == nil && len(pods.Items) == 1 && lab.Ran(&pods.Items[0], "main"), err
	})
	if err != nil {
		t.Fatalf("%s does not run: %v: %+v", name, err, pods.Items)
	}
	pod := &pods.Items[0]
	_, digest, _ := strings.Cut(container.Image, "@")
	if id := pod.Status.ContainerStatuses[0].ImageID; !strings.HasSuffix(id, "@"+digest) {
		t.Errorf("%s runs %s", name, id)
	}
	var events corev1.EventList
	err = lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		err := l.Client.List(ctx, &events, client.InNamespace(ns))
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.UID == pod.UID && e.Reason == "Pulled" && strings.HasPrefix(e.Message, "Successfully pulled image")
		}), err
	})
	if err != nil {
		t.Errorf("the kubelet has not pulled the image of %s: %v", name, err)
	}
	return pod
}
