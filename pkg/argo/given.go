package argo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// given is what a template gives to the step's own containers: the part of
// ARGO_TEMPLATE that Argo copies into the pod as it is.
type given struct {
	Container       *corev1.Container          `json:"container"`
	Script          *givenScript               `json:"script"`
	ContainerSet    *givenSet                  `json:"containerSet"`
	InitContainers  []givenUser                `json:"initContainers"`
	Sidecars        []givenUser                `json:"sidecars"`
	Volumes         []corev1.Volume            `json:"volumes"`
	SecurityContext *corev1.PodSecurityContext `json:"securityContext"`
	HostAliases     []corev1.HostAlias         `json:"hostAliases"`
	PodSpecPatch    string                     `json:"podSpecPatch"`
}

type givenScript struct {
	corev1.Container
	Source string `json:"source"`
}

type givenSet struct {
	Containers   []corev1.Container   `json:"containers"`
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts"`
}

type givenUser struct {
	corev1.Container
	MirrorVolumeMounts *bool `json:"mirrorVolumeMounts"`
}

func (u givenUser) mirrors() bool { return u.MirrorVolumeMounts != nil && *u.MirrorVolumeMounts }

func decodeGiven(template string) (given, error) {
	var g given
	if err := json.Unmarshal([]byte(template), &g); err != nil {
		return g, fmt.Errorf("%s: %w", layout.EnvTemplate, err)
	}
	return g, nil
}

// pod is the part of a pod that Argo makes of it (createWorkflowPod), without
// what Argo adds itself.
func (g given) pod() corev1.PodSpec {
	var spec corev1.PodSpec
	mirror := g.mirrored() <= maxMirrored
	switch {
	case g.Container != nil:
		main := *g.Container.DeepCopy()
		main.Name = layout.ContainerMain
		spec.Containers = append(spec.Containers, main)
	case g.Script != nil:
		main := *g.Script.DeepCopy()
		main.Name = layout.ContainerMain
		if g.Script.Source != "" { // executeScript
			main.Args = append(main.Args, layout.PathStaging+"/script")
		}
		spec.Containers = append(spec.Containers, main)
	case g.ContainerSet != nil: // ContainerSetTemplate.GetContainers
		for _, c := range g.ContainerSet.Containers {
			c := *c.DeepCopy()
			if mirror {
				c.VolumeMounts = append(c.VolumeMounts, g.ContainerSet.VolumeMounts...)
			}
			spec.Containers = append(spec.Containers, c)
		}
	}
	main := findContainer(spec.Containers, layout.ContainerMain)
	users := func(list []givenUser) (containers []corev1.Container) {
		for _, u := range list {
			c := *u.DeepCopy()
			if main != nil && mirror && u.mirrors() {
				c.VolumeMounts = append(c.VolumeMounts, main.VolumeMounts...)
			}
			containers = append(containers, c)
		}
		return containers
	}
	spec.InitContainers = users(g.InitContainers)
	spec.Containers = append(spec.Containers, users(g.Sidecars)...)
	spec.Volumes, spec.SecurityContext = g.Volumes, g.SecurityContext
	return spec
}

// maxMirrored bounds the mounts that containers have of others: 500 that mirror 500 are in
// 50 KiB of a template, and take 130 MiB while a patch is applied. If a template has more, a pod
// that has them counts as altered.
const maxMirrored = 2_000

// mirrored is how many mounts Argo copies from one container to others.
func (g given) mirrored() (n int) {
	main, users := 0, 0
	if g.Container != nil {
		main = len(g.Container.VolumeMounts)
	}
	if g.Script != nil {
		main = max(main, len(g.Script.VolumeMounts))
	}
	if g.ContainerSet != nil {
		of := len(g.ContainerSet.VolumeMounts)
		n = len(g.ContainerSet.Containers) * of
		for _, c := range g.ContainerSet.Containers {
			main = max(main, of+len(c.VolumeMounts))
		}
	}
	for _, u := range slices.Concat(g.InitContainers, g.Sidecars) {
		if u.mirrors() {
			users++
		}
	}
	return n + users*main
}

// patched applies a podSpecPatch as Argo does (util.ApplyPodSpecPatch), if it is bounded.
func patched(spec corev1.PodSpec, patch string) (corev1.PodSpec, error) {
	if err := boundPatch(patch); err != nil {
		return spec, err
	}
	before, err := json.Marshal(spec)
	if err != nil {
		return spec, err
	}
	asJSON, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		return spec, err
	}
	if squares(before)+squares(asJSON) > maxMerged {
		return spec, errMerged
	}
	after, err := strategicpatch.StrategicMergePatch(before, asJSON, corev1.PodSpec{})
	if err != nil {
		return spec, err
	}
	var out corev1.PodSpec
	return out, json.Unmarshal(after, &out)
}

// fixed says whether a text of the definition has nothing from parameters in it.
func fixed(text string) bool { return !strings.Contains(text, "{{") }
