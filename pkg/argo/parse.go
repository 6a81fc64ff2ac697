package argo

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// LooksLike says whether a pod bears any mark of Argo Workflows. If Argo's
// controller made such a pod, it is genuine or refused; see Concerns. An owner that
// is a Workflow is no mark: Argo knows its pods by labels and annotations, and a
// resource template with setOwnerReference can make any pod.
func LooksLike(pod *corev1.Pod) bool {
	_, labelled := pod.Labels[layout.LabelWorkflow]
	return labelled || Resembles(pod)
}

// Resembles says whether a stored pod, whoever made it, bears a mark of Argo
// Workflows. A workflow's label alone does not count: people put it on other pods,
// so that `argo logs` finds them.
func Resembles(pod *corev1.Pod) bool {
	for _, keys := range []map[string]string{pod.Labels, pod.Annotations} {
		for k := range keys {
			if strings.HasPrefix(k, layout.Prefix) && k != layout.LabelWorkflow {
				return true
			}
		}
	}
	for _, o := range pod.OwnerReferences {
		if strings.HasPrefix(o.APIVersion, layout.Group+"/") && strings.HasPrefix(o.Kind, layout.Kind) && o.Kind != layout.Kind {
			return true
		}
	}
	return slices.ContainsFunc(pod.Spec.InitContainers, executes) || slices.ContainsFunc(pod.Spec.Containers, executes)
}

// executes says whether a container runs argoexec or is given a template.
func executes(c corev1.Container) bool {
	for _, words := range [][]string{c.Command, c.Args} {
		if len(words) > 0 && path.Base(words[0]) == "argoexec" {
			return true
		}
	}
	return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == layout.EnvTemplate })
}

// Parse reads what a pod of Argo's says about its step. It refuses what it
// does not know; it does not say that the pod is Argo's (Genuine) nor that it
// is as Argo makes it (CheckStructure).
func Parse(pod *corev1.Pod) (*Step, error) {
	switch c := pod.Labels[layout.LabelComponent]; c {
	case "":
	case "agent":
		return nil, reason.New(reason.UnsupportedPod, "it is Argo's agent, one pod for all http and plugin templates of a workflow, and not a step")
	case "artifact-gc":
		return nil, reason.New(reason.UnsupportedPod, "it is Argo's artifact-gc, which deletes artifacts, and not a step: leave artifactGC out")
	default:
		return nil, reason.New(reason.UnsupportedPod, "it is Argo's %.80s, not a step", c)
	}
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	if init == nil {
		return nil, reason.New(reason.UnknownPodLayout, "it has no init container %q", layout.ContainerInit)
	}
	text, written, err := templateText(pod, init)
	if err != nil {
		return nil, err
	}
	t, err := templateOf(pod.Namespace, text)
	if err != nil {
		return nil, reason.Wrap(reason.TemplateInvalid, err, "%s: %v", layout.EnvTemplate, err)
	}
	s := &Step{Namespace: pod.Namespace, Pod: pod.Name, Template: t.Name, template: t, written: written, made: unescape(written)}
	s.TemplateDigest = artifact.DigestOfText(unescape(text))
	given := t
	if written != text {
		given, err = templateOf(pod.Namespace, written)
	}
	if err != nil {
		return nil, reason.Wrap(reason.TemplateInvalid, err, "%s before it is expanded: %v", layout.EnvTemplate, err)
	}
	if s.Kind, err = t.kind(); err != nil {
		return nil, err
	}
	if s.Kind == KindScript {
		s.ScriptSHA256 = artifact.DigestOfText(t.Script.Source)
	}
	if err := s.identify(pod, init); err != nil {
		return nil, err
	}
	if err := given.Metadata.Check("the template's metadata", s.Workflow); err != nil {
		return nil, err
	}
	if err := s.resolve(pod); err != nil {
		return nil, reason.Wrap(reason.TemplateInvalid, err, "%s: %v", layout.EnvTemplate, err)
	}
	if s.Kind.executor() && (len(s.Inputs) > 0 || len(s.Outputs) > 0) {
		return nil, reason.New(reason.UnsupportedPod, "it is a %s template with artifacts: no wait stages them", s.Kind).Advise("Let a container step take or store the artifacts, or run it in a namespace without the label")
	}
	return s, nil
}

// templateText gives the one ARGO_TEMPLATE of init as the kubelet will, and as it
// stands in the pod.
func templateText(pod *corev1.Pod, init *corev1.Container) (text, written string, err error) {
	var value *corev1.EnvVar
	names := map[string]bool{}
	for i, e := range init.Env {
		names[e.Name] = true
		if e.Name != layout.EnvTemplate {
			continue
		}
		if value != nil {
			return "", "", reason.New(reason.TemplateInvalid, "init has %s twice", layout.EnvTemplate)
		}
		value = &init.Env[i]
	}
	switch {
	case value == nil:
		return "", "", reason.New(reason.TemplateInvalid, "init has no %s", layout.EnvTemplate)
	case value.ValueFrom != nil:
		return "", "", reason.New(reason.TemplateInvalid, "%s is not a literal value", layout.EnvTemplate)
	case value.Value == layout.Offloaded, findVolume(pod.Spec.Volumes, layout.VolumeOffloaded) != nil:
		return "", "", reason.New(reason.TemplateOffloaded, "its template or arguments lie in a ConfigMap")
	case len(value.Value) > maxTemplateBytes:
		return "", "", reason.New(reason.TemplateInvalid, "%s has %d bytes, want at most %d", layout.EnvTemplate, len(value.Value), maxTemplateBytes)
	}
	text, reference := expand(value.Value, func(name string) bool { return names[name] })
	if reference != "" {
		return "", "", reason.New(reason.TemplateInvalid, "%s has $(%.80s), which the kubelet would replace", layout.EnvTemplate, reference)
	}
	return text, value.Value, nil
}

// kind gives the template's one type, as far as it is supported.
func (t *template) kind() (Kind, error) {
	kinds := t.kinds()
	if len(kinds) > 1 {
		return "", reason.New(reason.TemplateInvalid, "%s has more than one type: %s", layout.EnvTemplate, strings.Join(kinds, ", "))
	}
	if len(kinds) == 0 {
		return "", reason.New(reason.UnknownPodLayout, "%s has none of the known types", layout.EnvTemplate)
	}
	switch kinds[0] {
	case "container":
		return KindContainer, nil
	case "script":
		return KindScript, nil
	case "containerSet":
		return KindContainerSet, nil
	case "resource":
		if t.Resource.ManifestFrom == nil {
			return KindResource, nil
		}
		return "", reason.New(reason.UnsupportedPod, "it is a resource template with a manifest from elsewhere").Advise("Write the manifest into the template, or run it in a namespace without the label")
	case "data":
		return KindData, nil
	default:
		return "", reason.New(reason.UnsupportedPod, "it is a %s template", kinds[0])
	}
}

// identify notes who the pod says it is; Genuine judges it.
func (s *Step) identify(pod *corev1.Pod, init *corev1.Container) error {
	wait := findContainer(pod.Spec.Containers, layout.ContainerWait)
	if wait == nil && !s.Kind.executor() {
		return reason.New(reason.UnknownPodLayout, "it has no container %q", layout.ContainerWait)
	}
	s.NodeID, s.NodeName = pod.Annotations[layout.AnnotationNodeID], pod.Annotations[layout.AnnotationNodeName]
	if len(s.NodeID) > maxMetadata || len(s.NodeName) > maxMetadata {
		return reason.New(reason.NodeMismatch, "node id or node name is longer than %d bytes", maxMetadata)
	}
	s.owners = slices.Clone(pod.OwnerReferences)
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		s.Workflow, s.WorkflowUID = owner.Name, string(owner.UID)
	}
	s.label = pod.Labels[layout.LabelWorkflow]
	s.images = []image{{layout.ContainerInit, init.Image}}
	if wait != nil {
		s.images = append(s.images, image{layout.ContainerWait, wait.Image})
	}
	if s.Kind.executor() {
		if main := findContainer(pod.Spec.Containers, layout.ContainerMain); main != nil {
			s.images = append(s.images, image{layout.ContainerMain, main.Image})
		}
	}
	return nil
}

// resolve reads the artifacts, and holds them to the pod.
func (s *Step) resolve(pod *corev1.Pod) error {
	if s.template.ill != nil {
		return s.template.ill
	}
	in, out := s.template.in, s.template.out
	var err error
	if s.Inputs, err = s.template.inputs(in); err != nil {
		return err
	}
	s.Outputs = s.template.outputs(out, in)
	if s.template.Daemon {
		for i := range s.Outputs {
			s.Outputs[i] = s.Outputs[i].Refused(reason.New(reason.DaemonUnsupported, "the step goes on while others use what it has stored so far"))
		}
	}
	s.checkArtifactPaths(pod)
	s.doubt(pod, in)
	return nil
}
