//go:build integration

package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

const (
	registry      = "registry.test/team/app"
	listedImage   = registry + "@sha256:" + "1111111111111111111111111111111111111111111111111111111111111111"
	sealedDigest  = "2222222222222222222222222222222222222222222222222222222222222222"
	unknownImage  = registry + "@sha256:" + "3333333333333333333333333333333333333333333333333333333333333333"
	imageNobodyIs = "elsewhere.test/free:v1"
)

// imagePolicy is for the images of registry.test in one namespace: one is listed, and what
// that namespace's own steps hand out as manifest counts.
func (s *scene) imagePolicy(t *testing.T) {
	t.Helper()
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "images-"}}
	p.Spec.Namespaces = []string{s.namespace}
	p.Spec.Images = []v1alpha1.ImageRule{{
		Name: "registry.test/**", SHA256: []string{listedImage[len(listedImage)-64:]},
		Producers: []v1alpha1.ImageProducer{{Output: "manifest", SameNamespace: true, AnyWorkflow: true}},
	}}
	check(t, s.admin.Create(t.Context(), p))
	eventually(t, "the policy in the webhook", func() error {
		_, err := s.create(t, s.as(t, "eve"), plainPod("probe", unknownImage), metav1.DryRunAll)
		if err == nil {
			return errors.New("it is not in force")
		}
		return nil
	})
}

func plainPod(name, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
	}
}

// sealsManifest does what the notary does for a step that hands out an image's manifest.
func (s *scene) sealsManifest(t *testing.T, by *sealtest.Notary, digest artifact.Digest) {
	t.Helper()
	l := artifact.Location{Store: "minio:9000", Bucket: "artifacts", Key: "build/manifest", Kind: artifact.KindObject}
	f := sealtest.Facts(l.URI(), digest)
	f.Subjects[0].Sum, f.Subjects[0].Output = content.Sum{Form: content.FormFile, Size: 500, SHA256: digest, Tree: content.FileTree(digest)}, "manifest"
	f.Step.Namespace, f.Step.Workflow.UID = s.namespace, string(s.workflow)
	payload, err := provenance.Build(f)
	check(t, err)
	pod := v1alpha1.ObjectRef{Name: f.Step.Pod.Name, UID: types.UID(f.Step.Pod.UID)}
	workflow := v1alpha1.ObjectRef{Name: f.Step.Workflow.Name, UID: s.workflow}
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: f.Step.Pod.UID},
		Spec:       v1alpha1.ProvenanceSpec{Pod: pod, Workflow: workflow, NodeID: "n"},
	}
	check(t, s.admin.Create(t.Context(), p))
	p.Status.Bundle = string(by.Bundle(t, payload))
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed), LastTransitionTime: metav1.Now()}}
	check(t, s.admin.Status().Update(t.Context(), p))
	check(t, s.admin.Create(t.Context(), &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: artifact.SealName(l, string(s.workflow)), Labels: map[string]string{v1alpha1.LabelSHA256: artifact.DigestLabel(digest)},
		},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)}, Workflow: workflow,
			SHA256: string(digest), TreeDigest: string(content.FileTree(digest)), Size: 500, Provenance: p.Name,
			Producer: v1alpha1.Producer{Pod: pod, NodeID: "n", Template: "t", Output: "manifest", FinishedAt: metav1.NewTime(time.Now())},
		},
	}))
}

// images: what a policy says about images holds for every pod of the namespace, however it
// comes to an image, and for no other pod.
func (c *testCluster) images(t *testing.T) {
	s := c.scene(t, "enforce")
	eve := s.as(t, "eve")
	before, err := s.create(t, eve, plainPod("before", unknownImage))
	check(t, err) // no policy is about it yet
	s.imagePolicy(t)

	for name, image := range map[string]string{"free": imageNobodyIs, "listed": listedImage} {
		_, err := s.create(t, eve, plainPod(name, image))
		check(t, err)
	}
	_, err = s.create(t, eve, plainPod("tag", registry+":v1"))
	refused(t, err, http.StatusForbidden, reason.ImageNotPinned, "container main", "ClusterProvenancePolicy images-")
	_, err = s.create(t, eve, plainPod("unknown", unknownImage))
	refused(t, err, http.StatusForbidden, reason.ImageUnproven, "does not list its digest")
	mounts := plainPod("mounts", imageNobodyIs)
	mounts.Spec.Volumes = []corev1.Volume{{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: unknownImage}}}}
	_, err = s.create(t, eve, mounts)
	refused(t, err, http.StatusForbidden, reason.ImageUnproven, "volume model")

	// A pod that runs one already may change, but not to it.
	patch := func(name, text string, sub ...string) error {
		_, err := eve.CoreV1().Pods(s.namespace).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{}, sub...)
		return err
	}
	check(t, patch(before.Name, `{"metadata":{"labels":{"a":"b"}}}`))
	change := func(image string) string { return `{"spec":{"containers":[{"name":"main","image":"` + image + `"}]}}` }
	check(t, patch("free", change(listedImage)))
	refused(t, patch("free", change(unknownImage)), http.StatusForbidden, reason.ImageUnproven)
	debug := func(image string) string {
		return `{"spec":{"ephemeralContainers":[{"name":"debug` + image[len(image)-1:] + `","image":"` + image + `","imagePullPolicy":"IfNotPresent","terminationMessagePolicy":"File"}]}}`
	}
	check(t, patch("free", debug(listedImage), "ephemeralcontainers"))
	refused(t, patch("free", debug(unknownImage), "ephemeralcontainers"), http.StatusForbidden, reason.ImageUnproven, "ephemeral container debug3")

	// A step's own image is one, too; Argo's executors and our signer the operator named.
	for i := range s.produce.Spec.Containers {
		if c := &s.produce.Spec.Containers[i]; c.Name == "main" {
			c.Image = unknownImage
		}
	}
	_, err = s.create(t, s.argo, s.produce)
	refused(t, err, http.StatusForbidden, reason.ImageUnproven, "container main")
	check(t, patch(before.Name, `{"metadata":{"labels":{"a":"c"}}}`))

	sealedImage := registry + "@sha256:" + sealedDigest
	_, err = s.create(t, eve, plainPod("sealed", sealedImage))
	refused(t, err, http.StatusForbidden, reason.ImageUnproven)
	s.sealsManifest(t, c.notary, sealedDigest)
	_, err = s.create(t, eve, plainPod("sealed", sealedImage))
	check(t, err)
}

// forgedManifest: somebody else than the notary seals one.
func (c *testCluster) forgedManifest(t *testing.T) {
	s := c.scene(t, "enforce")
	s.imagePolicy(t)
	s.sealsManifest(t, sealtest.NewNotary(t), sealedDigest)
	_, err := s.create(t, s.as(t, "eve"), plainPod("sealed", registry+"@sha256:"+sealedDigest))
	refused(t, err, http.StatusForbidden, reason.ImageUnproven, "SignatureInvalid")
}

// imagesWarned: in the mode warn the pod is made, and the user is told.
func (c *testCluster) imagesWarned(t *testing.T) {
	s := c.scene(t, "warn")
	p := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "images"}}
	p.Spec.Images = []v1alpha1.ImageRule{{Name: "**", SHA256: []string{sealedDigest}}}
	check(t, s.admin.Create(t.Context(), p))
	eventually(t, "a warning", func() error {
		eve := s.as(t, "eve")
		_, err := s.create(t, eve, plainPod("warned", imageNobodyIs), metav1.DryRunAll)
		check(t, err)
		if !strings.Contains(strings.Join(eve.warnings, "\n"), string(reason.ImageNotPinned)) {
			return errors.New("nothing is said")
		}
		return nil
	})
}
