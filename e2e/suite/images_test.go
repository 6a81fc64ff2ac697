//go:build e2e

package suite

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
)

// builds hands out what stands for an image's manifest: another one each time.
const builds = `
metadata: {generateName: builds-}
spec:
  entrypoint: build
  templates:
  - name: build
    outputs: {artifacts: [{name: manifest, path: /tmp/manifest.json, archive: {none: {}}}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo "{\"schemaVersion\": 2, \"annotations\": {\"id\": \"$(cat /proc/sys/kernel/random/uuid)\"}}" > /tmp/manifest.json']}
`

// TestConformanceAttackImages: a pod that is not Argo's runs only images that a policy admits, among
// them the one whose manifest a step has handed out; and a step, too. Where no policy
// speaks of images, or Argoseal does not look, everything runs.
func TestConformanceAttackImages(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "images", v1alpha1.ModeEnforce)
	run := finish(t, ns, submit(t, ns, builds))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	for _, node := range run.Nodes {
		records(t, run, node) // waits for its seal
	}
	const app, zeros = "registry.test/team/app", "0000000000000000000000000000000000000000000000000000000000000000"
	made := app + "@sha256:" + sealOf(t, run, "manifest").Spec.SHA256
	other := app + "@sha256:" + zeros[1:] + "1"
	runs := func(ns, image string) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
		}
		return cluster(t).Client.Create(t.Context(), pod, client.DryRunAll)
	}
	without := namespace(t, "images", plain)
	for _, image := range []string{made, other, app + ":v1"} {
		if err := runs(ns, image); err != nil {
			t.Errorf("without a policy: %v", err)
		}
	}
	govern(t, ns, `images: [{name: "**", sha256: ["`+zeros+`"]}, {name: "registry.test/**", producers: [{output: manifest, sameNamespace: true, anyWorkflow: true}]}]`, "")
	if err := runs(ns, made); err != nil {
		t.Errorf("the image that a step built: %v", err)
	}
	refused(t, runs(ns, other), reason.ImageUnproven)
	refused(t, runs(ns, app+":v1"), reason.ImageNotPinned)
	refused(t, refusal(finish(t, ns, submit(t, ns, builds))), reason.ImageNotPinned)
	for _, image := range []string{other, app + ":v1"} {
		if err := runs(without, image); err != nil {
			t.Errorf("where Argoseal does not look: %v", err)
		}
	}
}

// lays hands out an OCI image layout with one image: another one each time.
const lays = `
metadata: {generateName: lays-}
spec:
  entrypoint: build
  templates:
  - name: build
    outputs:
      artifacts:
      - {name: packed, path: /tmp/image}
      - {name: bare, path: /tmp/image, archive: {none: {}}}
      - {name: tarball, path: /tmp/image.tar}
      - {name: compressed, path: /tmp/compressed.tar.gz}
      - {name: lookalike, path: /tmp/compressed.tar.gz, archive: {none: {}}}
      - {name: saved, path: /tmp/saved.tar}
      - {name: nested, path: /tmp/nested.tar}
      - {name: zeros, path: /tmp/zeros.tar.gz}
      - {name: broken, path: /tmp/broken}
    script:
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -e]
      source: |
        mkdir -p /tmp/image/blobs/sha256
        cd /tmp/image
        put() { d=$(sha256sum "$1" | cut -d' ' -f1); mv "$1" "blobs/sha256/$d"; echo "$d"; }
        echo "layer $(cat /proc/sys/kernel/random/uuid)" > l
        ls=$(wc -c < l); l=$(put l)
        printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$l" > c
        cs=$(wc -c < c); c=$(put c)
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}' "$c" "$cs" "$l" "$ls" > m
        ms=$(wc -c < m); m=$(put m)
        printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}]}' "$m" "$ms" > index.json
        printf '{"imageLayoutVersion":"1.0.0"}' > oci-layout
        tar cf /tmp/image.tar -C /tmp/image .
        gzip -c /tmp/image.tar > /tmp/compressed.tar.gz
        tar cf /tmp/nested.tar -C /tmp image.tar
        cp -r /tmp/image /tmp/saved
        printf '[{"Config":"blobs/sha256/%s","RepoTags":["app:v1"],"Layers":["blobs/sha256/%s"]}]' "$c" "$l" > /tmp/saved/manifest.json
        (cd /tmp/saved && tar cf /tmp/saved.tar blobs index.json manifest.json oci-layout)
        cp -r /tmp/image /tmp/zeros
        dd if=/dev/zero of=/tmp/zeros/last bs=1M count=128
        (cd /tmp/zeros && tar cf - blobs index.json oci-layout last | gzip > /tmp/zeros.tar.gz)
        rm -r /tmp/zeros
        cp -r /tmp/image /tmp/broken
        rm "/tmp/broken/blobs/sha256/$l"
`

// TestConformanceImagesInALayout: the seals of an image layout, however it is stored, name
// the image, and a policy that says so admits it by them: in a tar, also a compressed one
// and as Docker saves it, too. So does what is stated of the whole workflow. One that lacks a layer, lies in an archive within an archive,
// or unpacks to too much names none, and is sealed all the same.
func TestConformanceImagesInALayout(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "layouts", v1alpha1.ModeEnforce)
	run := finish(t, ns, submit(t, ns, lays))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	for _, node := range run.Nodes {
		records(t, run, node) // waits for its seals
	}
	images := sealOf(t, run, "packed").Spec.Images
	if len(images) != 1 || images[0].MediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Fatalf("the layout has %+v", images)
	}
	for output, want := range map[string]int{"bare": 1, "tarball": 1, "compressed": 1, "lookalike": 1, "saved": 1, "broken": 0, "nested": 0, "zeros": 0} {
		if got := sealOf(t, run, output).Spec.Images; len(got) != want || want > 0 && got[0] != images[0] {
			t.Errorf("output %s has %+v", output, got)
		}
	}
	subjects := wholeOf(t, attested(t, run)).Subjects
	if !provenance.HasImage(subjects, artifact.Digest(images[0].SHA256)) {
		t.Errorf("the image did not leave the workflow: %+v", subjects)
	}
	runs := func(image string) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
		}
		return cluster(t).Client.Create(t.Context(), pod, client.DryRunAll)
	}
	made, other := "registry.test/team/app@sha256:"+images[0].SHA256, "registry.test/team/app@sha256:"+images[0].SHA256[1:]+"0"
	govern(t, ns, `images: [{name: "registry.test/**", producers: [{output: compressed, layout: true, sameNamespace: true, anyWorkflow: true}]}]`, "")
	if err := runs(made); err != nil {
		t.Errorf("the image in the layout: %v", err)
	}
	refused(t, runs(other), reason.ImageUnproven)

	// By its name the image is found as any artifact is.
	s := stage(t)
	evidence, err := s.Lab.Save(t.Context(), sealOf(t, run, "compressed"), s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(into any, args ...string) {
		t.Helper()
		args = append(args, "--namespace", ns, "--kubeconfig", s.Lab.Kubeconfig, "--key", evidence.NotaryKey, "--trusted-root", evidence.TrustedRoot, "-o", "json")
		cmd := exec.CommandContext(t.Context(), s.Argoseal, args...)
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, into)
		}
		if err != nil {
			t.Fatalf("argoseal %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	var g trace.Graph
	if tell(&g, "trace", made); string(g.Image) != images[0].SHA256 || len(g.Steps) != 1 || g.Steps[0].Workflow != run.Name {
		t.Errorf("traced is %+v", g)
	}
	var tainted struct{ Descendants []trace.Descendant }
	if tell(&tainted, "taint", made, "--dry-run"); len(tainted.Descendants) != 1 || tainted.Descendants[0].Because != "image sha256:"+images[0].SHA256 {
		t.Errorf("tainted would be %+v", tainted)
	}
}
