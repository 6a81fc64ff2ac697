package sidecar

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/measurement"
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
	// Unhanded accepts a wait that reads its template from the file that Argo
	// leaves it, as pods of the release before this one do.
	Unhanded bool
	// Before accepts a pod that this program made before, too, at each of its earlier ages.
	// Of a pod that is being admitted it is false.
	Before bool
	// Report lets a step run whatever argoseal-verify finds, which the notary
	// then reads from its message.
	Report bool

	// as gives a pod what it was given at an earlier age.
	as age
}

// age is how long ago the program was this one; zero is now.
type age int

const (
	// ageImagesPath is when verify looked for programs where the image says, whatever the PATH
	// of Argo's init.
	ageImagesPath age = iota + 1
	// ageOwnImage is when, besides, verify always ran in our own image.
	ageOwnImage
	// ageOpenInit is when, besides, init could write to what all containers share, and
	// the signer took no more of a longer terminationGracePeriodSeconds than of 30.
	ageOpenInit

	oldest = ageOpenInit
)

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

// Add returns a copy of pod with the containers that the step needs:
// argoseal-signer if an output can be sealed, argoseal-verify if there are pins,
// argoseal-prepare if there are several. It puts the template into wait's environment. With pins, Argo's init gets the
// volumes of main's read-only, except those on which inputs lie: it need not write
// to the others, and verify cannot know what they hold. A volume with another in it
// is taken away from init: see confined. And it is kept from what all containers share:
// see argo.ShutInit. Adding twice gives the same as adding
// once. The two pods share what Add has no part in: change neither from then on, but
// for the copy's own annotations.
func Add(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) (*corev1.Pod, error) {
	out := changeable(pod)
	strip(out)
	if name := reserved(out); name != "" {
		return nil, reason.New(reason.NameTaken, "%s", name)
	}
	ours, err := design(out, step, pins, cfg)
	if err != nil {
		return nil, err
	}
	if ours.verify != nil {
		after := slices.IndexFunc(out.Spec.InitContainers, hasName(layout.ContainerInit))
		init := &out.Spec.InitContainers[after]
		init.VolumeMounts = confined(init.VolumeMounts, step)
		argo.ShutInit(out)
		out.Spec.InitContainers = slices.Insert(out.Spec.InitContainers, after+1, *ours.verify)
		if ours.prepare != nil {
			out.Spec.InitContainers = slices.Insert(out.Spec.InitContainers, after, *ours.prepare)
		}
	}
	if ours.signer != nil {
		out.Spec.InitContainers = append(out.Spec.InitContainers, *ours.signer)
	}
	out.Spec.Volumes = append(out.Spec.Volumes, ours.volumes...)
	argo.HandTemplate(out, step)
	return out, nil
}

// changeable is a copy of a pod in which containers, volumes and annotations may be others,
// and not what these refer to: a pod has some hundred values, of which Add changes ten.
func changeable(pod *corev1.Pod) *corev1.Pod {
	out := *pod
	out.Annotations = maps.Clone(pod.Annotations)
	out.Spec.InitContainers = slices.Clone(pod.Spec.InitContainers)
	out.Spec.Containers = slices.Clone(pod.Spec.Containers)
	out.Spec.Volumes = slices.Clone(pod.Spec.Volumes)
	return &out
}

// strip removes what an earlier Add put in, so that Add can put it in anew: by then
// there may be more pins, or other containers. A container with one of our names
// but another command stays, and is refused.
func strip(pod *corev1.Pod) {
	pod.Spec.InitContainers = slices.DeleteFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return slices.ContainsFunc([]corev1.Container{
			{Name: argo.SignerContainer, Command: []string{binary}, Args: []string{verbSign}},
			{Name: argo.PrepareContainer, Command: []string{binary}, Args: []string{verbPrepare}},
			{Name: argo.VerifyContainer, Command: []string{pathProgram + binary}, Args: []string{verbVerify}},
			{Name: argo.VerifyContainer, Command: []string{binary}, Args: []string{verbVerify}},
		}, func(added corev1.Container) bool {
			return c.Name == added.Name && slices.Equal(c.Command, added.Command) && len(c.Args) > 0 && c.Args[0] == added.Args[0]
		})
	})
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return slices.Contains(ourVolumes, v.Name) && v.EmptyDir != nil
	})
	argo.OpenInit(pod)
}

// ourContainers and ourVolumes are the names of all that Add may put into a pod.
var (
	ourContainers = []string{argo.SignerContainer, argo.PrepareContainer, argo.VerifyContainer}
	ourVolumes    = []string{volumeNoToken, volumeProgram}
)

// reserved names the first container or volume with a name that is ours.
func reserved(pod *corev1.Pod) string {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if strings.HasPrefix(list[i].Name, argo.ReservedPrefix) {
				return "container " + list[i].Name
			}
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

func hasName(name string) func(corev1.Container) bool {
	return func(c corev1.Container) bool { return c.Name == name }
}

// Check says whether the final pod is as Add makes it. It compares our containers
// and volumes and their places, init's root and mounts as Add restricts them, wait's
// template, and its fixed kill command. The API server and other webhooks may add
// what they like elsewhere. Of our containers they may change only resources, pull
// policy, the identity that a cloud gives to every container, and what the operator
// says is added, none of which can make a measurement wrong.
func Check(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) error {
	err := check(pod, step, pins, cfg)
	for err != nil && cfg.Before && cfg.as < oldest {
		cfg.as++
		if check(pod, step, pins, cfg) == nil {
			return nil
		}
	}
	return err
}

func check(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) error {
	bare := without(pod)
	if name := reserved(bare); name != "" {
		return reason.New(reason.NameTaken, "%s", name)
	}
	want, err := design(bare, step, pins, cfg)
	if err != nil {
		return err
	}
	ours := map[string]*corev1.Container{argo.SignerContainer: want.signer, argo.PrepareContainer: want.prepare, argo.VerifyContainer: want.verify}
	for _, check := range []func(*corev1.Pod, string, *corev1.Container) error{checkPresence, cfg.checkContent} {
		for _, name := range ourContainers {
			if err := check(pod, name, ours[name]); err != nil {
				return err
			}
		}
	}
	for _, name := range ourVolumes {
		if err := checkVolume(pod, name, want.volumes); err != nil {
			return err
		}
	}
	if err := checkPlaces(pod, step, want); err != nil {
		return err
	}
	if want.verify != nil && cfg.as < ageOpenInit {
		if err := argo.CheckShut(pod); err != nil {
			return err
		}
	}
	if !cfg.Unhanded {
		if err := argo.CheckHanded(pod); err != nil {
			return err
		}
	}
	switch v, found := pod.Annotations[layout.AnnotationKillWait]; {
	case !found:
		return reason.New(reason.SidecarMissing, "annotation %s", layout.AnnotationKillWait)
	case v != layout.KillWait:
		return reason.New(reason.WaitAltered, "annotation %s is not %s", layout.AnnotationKillWait, layout.KillWait)
	}
	return nil
}

// StepOf reads what an admitted pod says about its step. It is argo.Parse with the
// logs among the outputs, if the pod's signer is told to measure them. For a pod
// with a tag of ours, the tag says the same, or Check would have refused the pod.
// For any other pod it proves nothing.
func StepOf(pod *corev1.Pod) (*argo.Step, error) {
	step, err := argo.Parse(pod)
	if err == nil && measuresLogs(pod) {
		step = step.WithLogs()
	}
	return step, err
}

func measuresLogs(pod *corev1.Pod) bool {
	i := slices.IndexFunc(pod.Spec.InitContainers, hasName(argo.SignerContainer))
	return i >= 0 && slices.ContainsFunc(pod.Spec.InitContainers[i].Args, func(arg string) bool {
		text, found := strings.CutPrefix(arg, flagOutput)
		s, err := measurement.ParseStaged(text)
		return found && err == nil && s.Log
	})
}

// without is the pod without whatever has the names of our containers and volumes.
// It shares everything else with the pod, and is only read.
func without(pod *corev1.Pod) *corev1.Pod {
	bare := *pod
	bare.Spec.InitContainers = slices.DeleteFunc(slices.Clone(pod.Spec.InitContainers), func(c corev1.Container) bool {
		return slices.Contains(ourContainers, c.Name)
	})
	bare.Spec.Volumes = slices.DeleteFunc(slices.Clone(pod.Spec.Volumes), func(v corev1.Volume) bool {
		return slices.Contains(ourVolumes, v.Name)
	})
	return &bare
}

// checkPresence wants one of our containers once, or not where want is nil.
func checkPresence(pod *corev1.Pod, name string, want *corev1.Container) error {
	have := 0
	for _, c := range pod.Spec.InitContainers {
		if c.Name == name {
			have++
		}
	}
	switch {
	case want == nil && have > 0:
		return reason.New(reason.SidecarAltered, "container %s has nothing to do here", name)
	case want != nil && have == 0:
		return reason.New(reason.SidecarMissing, "container %s", name)
	case have > 1:
		return reason.New(reason.SidecarAltered, "there are %d containers %s", have, name)
	}
	return nil
}

// checkContent compares one of our containers, field by field.
func (c Config) checkContent(pod *corev1.Pod, name string, want *corev1.Container) error {
	if want == nil {
		return nil
	}
	i := slices.IndexFunc(pod.Spec.InitContainers, hasName(name))
	have := c.Additions.Without(argo.WithoutCloudIdentity(pod.Spec.InitContainers[i], pod.Spec.Volumes))
	if field := difference(have, *want); field != "" {
		return reason.New(reason.SidecarAltered, "container %s has another %s than it was given", name, field)
	}
	return nil
}

// difference names the first field in which a container is not the wanted one.
func difference(have, want corev1.Container) string {
	for _, c := range []*corev1.Container{&have, &want} {
		// Quotas, limit ranges and the API server fill these. A claim of devices does
		// not belong to them: its driver can add mounts, variables and hooks.
		c.Resources = corev1.ResourceRequirements{Claims: c.Resources.Claims}
		c.ResizePolicy, c.ImagePullPolicy = nil, ""
	}
	if reflect.DeepEqual(&have, &want) { // as almost always, in one walk
		return ""
	}
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range h.NumField() {
		if !equality.Semantic.DeepEqual(h.Field(i).Interface(), w.Field(i).Interface()) {
			return h.Type().Field(i).Name
		}
	}
	return ""
}

// checkVolume compares the volume of ours of a name, or wants none, and keeps others from
// it.
func checkVolume(pod *corev1.Pod, name string, ours []corev1.Volume) error {
	named := func(v corev1.Volume) bool { return v.Name == name }
	var have []corev1.Volume
	for _, v := range pod.Spec.Volumes {
		if named(v) {
			have = append(have, v)
		}
	}
	switch i := slices.IndexFunc(ours, named); {
	case i < 0 && len(have) > 0:
		return reason.New(reason.SidecarAltered, "volume %s has nothing to do here", name)
	case i >= 0 && len(have) == 0:
		return reason.New(reason.SidecarMissing, "volume %s", name)
	case i >= 0 && (len(have) > 1 || !equality.Semantic.DeepEqual(have[0], ours[i])):
		return reason.New(reason.SidecarAltered, "volume %s is not the one it was", name)
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			for _, m := range c.VolumeMounts {
				if m.Name == name && !slices.Contains(ourContainers, c.Name) && !argo.ShutsInit(c, m) {
					return reason.New(reason.ForeignMount, "container %s mounts %s", c.Name, m.Name)
				}
			}
		}
	}
	return nil
}

// checkPlaces wants verify directly after init, its program before, and the signer last.
// Verify has to be done before anyone else can touch the inputs, and the kubelet stops
// native sidecars in reverse order. Init must not write where verify does not look.
func checkPlaces(pod *corev1.Pod, step *argo.Step, want parts) error {
	list := pod.Spec.InitContainers
	if want.verify != nil {
		i := slices.IndexFunc(list, hasName(argo.VerifyContainer))
		if i == 0 || list[i-1].Name != layout.ContainerInit {
			return reason.New(reason.SidecarAltered, "container %s does not come directly after init", argo.VerifyContainer)
		}
		if want.prepare != nil && slices.IndexFunc(list, hasName(argo.PrepareContainer)) > i {
			return reason.New(reason.SidecarAltered, "container %s comes after %s", argo.PrepareContainer, argo.VerifyContainer)
		}
		for _, m := range list[i-1].VolumeMounts {
			if mainFiles(m) && !m.ReadOnly && !looked(m, step) {
				return reason.New(reason.SidecarAltered, "init may write to volume %s, which container %s does not see", m.Name, argo.VerifyContainer)
			}
		}
	}
	if want.signer != nil && list[len(list)-1].Name != argo.SignerContainer {
		return reason.New(reason.SidecarAltered, "container %s is not the last init container", argo.SignerContainer)
	}
	return nil
}
