package argo

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// DefinedBy is the step with the workflow's definition, which gives it more than
// its template: the patches that the definition gives in full. A step without it
// has no patches.
func (s *Step) DefinedBy(w *definition.Workflow) *Step {
	defined := *s
	defined.workflow = w
	return &defined
}

// ownership tells a container's mounts from its template from those that others
// have added: webhooks, and podSpecPatches with parameters, whose values can close
// quotes and add mounts.
type ownership struct {
	step *Step
	// spec is what the template gives to the pod, once somebody has asked for it.
	// missing: the definition does not have all of it yet.
	spec    *corev1.PodSpec
	missing *graph.NotStoredError
}

// gives refuses a mount that the container does not have from its template.
func (o *ownership) gives(c *corev1.Container, m corev1.VolumeMount, init bool) error {
	if o.step.mirrored(c.Name, m, init) {
		return nil
	}
	if err := o.read(); err != nil {
		return err
	}
	list := o.spec.Containers
	if init {
		list = o.spec.InitContainers
	}
	if given := findContainer(list, c.Name); given != nil && slices.ContainsFunc(given.VolumeMounts, func(g corev1.VolumeMount) bool {
		g.ReadOnly = g.ReadOnly || m.ReadOnly
		return equality.Semantic.DeepEqual(g, m)
	}) {
		return nil
	}
	if o.missing != nil {
		return reason.Wrap(reason.DefinitionIncomplete, o.missing, "container %s mounts volume %s at %.200q, and whether its template says so: %v", c.Name, m.Name, m.MountPath, o.missing)
	}
	return reason.New(reason.ForeignMount, "container %s mounts %s at %.200q, and neither its template nor a podSpecPatch without parameters says so", c.Name, m.Name, m.MountPath).
		Advise("If another webhook adds it, have that leave it out in these pods; if the step needs it, let its template say so, by mirrorVolumeMounts or a podSpecPatch without parameters")
}

// mirrored says whether Argo itself adds a mount of its own volumes: to main, and
// to the containers that mirror main.
func (s *Step) mirrored(name string, m corev1.VolumeMount, init bool) bool {
	users := s.template.Sidecars
	if init {
		users = s.template.InitContainers
	}
	if !slices.ContainsFunc(users, func(c userContainer) bool { return c.Name == name && c.mirrors() }) && (init || name != layout.ContainerMain) {
		return false
	}
	switch m.Name {
	case layout.VolumeInputs:
		return s.placesInput(mountedAt(m.MountPath), m)
	case layout.VolumeStaging:
		return m.MountPath == layout.PathStaging && m.SubPath == "" && m.SubPathExpr == ""
	}
	return false
}

// read finds out, once, what the template gives.
func (o *ownership) read() error {
	if o.spec != nil {
		return nil
	}
	g, err := decodeGiven(o.step.made)
	if err != nil {
		return reason.Wrap(reason.TemplateInvalid, err, "%v", err)
	}
	spec := g.pod()
	if w := o.step.workflow; w != nil {
		stored, unresolved := w.Graph()
		if unresolved == nil {
			_, unresolved = stored.Path(o.step.NodeName)
		}
		errors.As(unresolved, &o.missing)
		spec, _ = gives(stored, g, o.step, unresolved)
	}
	o.spec = &spec
	return nil
}
