package sidecar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Config is what the operator says about our containers.
type Config struct {
	// Image of argoseal-signer, a reference by digest.
	Image string
	// ExecutorUsers are the users that Argo's executor images name for
	// themselves, by image. Ours run as theirs where the pod names none.
	ExecutorUsers map[string]int64
	// Additions are what the operator's own webhooks may add to ours, too.
	Additions argo.Additions
	// Unhanded accepts a wait that reads its template from the file which Argo
	// leaves it: the release before this one left it at that.
	Unhanded bool
	// Report lets a step run whatever argoseal-verify finds, which the notary
	// then reads from its message.
	Report bool
}

// In gives the configuration for pods of a namespace with a mode: only enforce
// refuses.
func (c Config) In(mode v1alpha1.Mode) Config {
	c.Report = mode == v1alpha1.ModeWarn || mode == v1alpha1.ModeAudit
	return c
}

// Validate wants an image by digest: a tag could be moved to another one.
func (c Config) Validate() error {
	image, err := name.NewDigest(c.Image)
	if err != nil || !strings.HasPrefix(image.DigestStr(), "sha256:") {
		return fmt.Errorf("signer image %q is not a reference by digest", c.Image)
	}
	return nil
}

// Add returns a copy of pod with the containers the step needs: argoseal-signer
// if it has an output that can be sealed, argoseal-verify if there are pins; and
// with the template in the environment of wait.
// With pins, the volumes of main's that Argo's init has become read-only there,
// but for those on which inputs lie: it has nothing to write to them, and verify
// cannot know what they hold.
// Adding twice gives the same as adding once.
func Add(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) (*corev1.Pod, error) {
	out := pod.DeepCopy()
	strip(out)
	if name := reserved(out); name != "" {
		return nil, reason.New(reason.NameTaken, "%s", name)
	}
	ours, err := design(out, step, pins, cfg)
	if err != nil {
		return nil, err
	}
	if ours.verify != nil {
		after := slices.IndexFunc(out.Spec.InitContainers, named(layout.ContainerInit))
		for i := range out.Spec.InitContainers[after].VolumeMounts {
			if m := &out.Spec.InitContainers[after].VolumeMounts[i]; mainFiles(*m) && !looked(*m, step) {
				m.ReadOnly = true
			}
		}
		out.Spec.InitContainers = slices.Insert(out.Spec.InitContainers, after+1, *ours.verify)
	}
	if ours.signer != nil {
		out.Spec.InitContainers = append(out.Spec.InitContainers, *ours.signer)
	}
	if ours.volume != nil {
		out.Spec.Volumes = append(out.Spec.Volumes, *ours.volume)
	}
	argo.HandTemplate(out, step)
	return out, nil
}

// strip takes out what an earlier Add put in, so that Add can put it in anew:
// by then there may be more pins, or other containers. What has one of our
// names but another command stays and is refused.
func strip(pod *corev1.Pod) {
	pod.Spec.InitContainers = slices.DeleteFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return addedAs(c, argo.SignerContainer, verbSign) || addedAs(c, argo.VerifyContainer, verbVerify)
	})
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == volumeNoToken && v.EmptyDir != nil
	})
}

func addedAs(c corev1.Container, name, verb string) bool {
	return c.Name == name && slices.Equal(c.Command, []string{binary}) && len(c.Args) > 0 && c.Args[0] == verb
}

// reserved names the first container or volume with a name that is ours.
func reserved(pod *corev1.Pod) string {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if strings.HasPrefix(c.Name, argo.ReservedPrefix) {
			return "container " + c.Name
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		if strings.HasPrefix(c.Name, argo.ReservedPrefix) {
			return "ephemeral container " + c.Name
		}
	}
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, argo.ReservedPrefix) {
			return "volume " + v.Name
		}
	}
	return ""
}

func named(name string) func(corev1.Container) bool {
	return func(c corev1.Container) bool { return c.Name == name }
}
