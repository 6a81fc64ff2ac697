//go:build e2e

package suite

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
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
