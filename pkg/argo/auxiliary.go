package argo

import (
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// shape is what a kind of auxiliary pod looks like, by the label that says so.
type shape struct {
	ownerKind string
	// init and main are how argoexec is called in the containers of these names;
	// without init there is no init container.
	init, main []string
}

var auxiliaries = map[string]shape{
	// Deletes artifacts of a workflow that has artifactGC.
	"artifact-gc": {ownerKind: "WorkflowArtifactGCTask", main: []string{"artifact", "delete"}},
	// Makes the requests of HTTP templates. With executor plugins it has their
	// containers too, and is not supported.
	"agent": {ownerKind: layout.Kind, init: []string{"agent", "init"}, main: []string{"agent", "main"}},
}

// IsAuxiliary says whether a pod of Argo's says that it runs no step. It may
// lie: CheckAuxiliary.
func IsAuxiliary(pod *corev1.Pod) bool {
	_, ok := auxiliaries[pod.Labels[layout.LabelComponent]]
	return ok
}

// CheckAuxiliary says whether Argo made an auxiliary pod, and the pod can do
// nothing but its task. creator is the user name of the admission request. Argo's
// container has to run argoexec without a template, so that it neither fetches nor
// stores what a step would. Containers that a mesh adds may share nothing with it.
// The label that marks such a pod proves nothing, because a template may put it on
// a step. A refusal keeps the workflow from being deleted, so it has to say what to
// change.
func CheckAuxiliary(pod *corev1.Pod, creator string, id Identity) error {
	kind := pod.Labels[layout.LabelComponent]
	s, ok := auxiliaries[kind]
	if !ok {
		return reason.New(reason.UnsupportedPod, "it is Argo's %.80q, which is not known", kind)
	}
	if !id.madeByArgo(creator) {
		return reason.New(reason.CreatorNotArgo, "it was made by %.200q", creator)
	}
	if err := notAStep(pod, kind); err != nil {
		return err // artifactGC has podMetadata of its own
	}
	if err := checkReach(pod); err != nil {
		return err // artifactGC has a podSpecPatch of its own
	}
	if len(pod.OwnerReferences) == 0 {
		return reason.New(reason.OwnerMismatch, "it has no owner, want a %s", s.ownerKind)
	}
	for _, o := range pod.OwnerReferences {
		if o.APIVersion != layout.APIVersion || o.Kind != s.ownerKind {
			return reason.New(reason.OwnerMismatch, "its owner is a %.80s %.80s, want a %s %s", o.APIVersion, o.Kind, layout.APIVersion, s.ownerKind)
		}
	}
	var argos []*corev1.Container
	used := map[string]bool{}
	for _, own := range []struct {
		name string
		list []corev1.Container
		args []string
	}{{layout.ContainerInit, pod.Spec.InitContainers, s.init}, {layout.ContainerMain, pod.Spec.Containers, s.main}} {
		if own.args == nil {
			continue
		}
		c := findContainer(own.list, own.name)
		if c == nil {
			return reason.New(reason.UnsupportedPod, "it says it is Argo's %s and has no container %q", kind, own.name)
		}
		if err := id.runs(pod, c, own.args, kind); err != nil {
			return err
		}
		for _, m := range c.VolumeMounts {
			used[m.Name] = used[m.Name] || !isToken(m, findVolume(pod.Spec.Volumes, m.Name)) && !id.Additions.mount(m)
		}
		argos = append(argos, c)
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if slices.Contains(argos, &list[i]) {
				continue
			}
			if err := beside(&list[i], pod, used, kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside says whether a container that others than Argo added, such as a mesh,
// keeps away from Argo's. Then it can do no more than in a pod of its own, which
// nobody refuses.
func beside(c *corev1.Container, pod *corev1.Pod, used map[string]bool, kind string) error {
	switch {
	case c.Name == layout.ContainerInit, c.Name == layout.ContainerMain, c.Name == layout.ContainerWait:
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and another container than Argo's is called %s", kind, c.Name)
	case executes(*c):
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and container %s runs argoexec, too, or has %s", kind, c.Name, layout.EnvTemplate)
	}
	for _, m := range c.VolumeMounts {
		if used[m.Name] && !isToken(m, findVolume(pod.Spec.Volumes, m.Name)) {
			return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and container %s mounts volume %s, which Argo's containers have", kind, c.Name, m.Name)
		}
	}
	for _, d := range c.VolumeDevices {
		if used[d.Name] {
			return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and container %s has volume %s as a device, which Argo's containers have", kind, c.Name, d.Name)
		}
	}
	return nil
}

// isToken says whether a mount is a token's: the ServiceAccount's, which the API
// server mounts into every container, or a cloud's.
func isToken(m corev1.VolumeMount, v *corev1.Volume) bool {
	return isCloudMount(m, v) || v != nil && v.Projected != nil && m.ReadOnly && m.MountPath == layout.PathToken &&
		m.SubPath == "" && m.SubPathExpr == ""
}

// givesTemplate says whether a variable holds a template. Argo v4 sets the
// variable, too, but to an empty template.
func givesTemplate(e corev1.EnvVar) bool {
	return e.Name == layout.EnvTemplate && (e.Value != "{}" || e.ValueFrom != nil)
}

// auxiliaryVariables are the variables that Argo gives to auxiliary pods. Others
// are refused, because they can make argoexec run something else: PATH does, and so
// do KUBECONFIG, HOME or AWS_CONFIG_FILE, whose files can name a program that gives
// credentials.
var auxiliaryVariables = []string{
	layout.EnvWorkflowName, layout.EnvWorkflowUID, "ARGO_AGENT_PATCH_RATE", "ARGO_AGENT_TASK_WORKERS",
	"ARGO_PLUGIN_ADDRESSES", "ARGO_PLUGIN_NAMES", "ARGO_ARTIFACT_POD_NAME",
	layout.EnvPodName, layout.EnvDeadline, layout.EnvTemplate, layout.EnvPlugins,
}

// proxyVariables say through which proxy requests go. They do no harm in an
// auxiliary pod: nobody has to trust what it fetches or stores.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}

// pathAgentCerts is where Argo's agent has the certificates that it trusts.
const pathAgentCerts = "/etc/ssl/certs/ca-certificates"

// auxiliaryMount says whether Argo mounts something there in an auxiliary pod.
// Anywhere else it may cover argoexec or what that reads.
func auxiliaryMount(m corev1.VolumeMount) bool {
	at := path.Clean(m.MountPath)
	return at == layout.PathRun || at == layout.PathToken || at == pathAgentCerts || path.Dir(at) == layout.PathSecrets
}

// runs says whether a container runs a configured executor with these arguments,
// and has no template and nothing else that Argo does not give it.
func (id Identity) runs(pod *corev1.Pod, c *corev1.Container, args []string, kind string) error {
	switch {
	case !slices.Contains(id.ExecutorImages, c.Image):
		return reason.New(reason.ExecutorImageNotAllowed, "%s runs %.300q", c.Name, c.Image)
	case len(c.Command) > 0 && !slices.Equal(c.Command, []string{"argoexec"}), len(c.Args) < len(args), !slices.Equal(c.Args[:min(len(c.Args), len(args))], args):
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s runs %.200q", kind, c.Name, append(slices.Clone(c.Command), c.Args...))
	case !onlyLogFlags(c.Args[len(args):]):
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s has the arguments %.200q", kind, c.Name, c.Args)
	case c.Lifecycle != nil, c.LivenessProbe != nil, c.ReadinessProbe != nil, c.StartupProbe != nil:
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s has hooks or probes", kind, c.Name)
	case c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged:
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s is privileged", kind, c.Name)
	case len(c.EnvFrom) > 0, slices.ContainsFunc(c.Env, givesTemplate):
		return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s may have a template", kind, c.Name)
	}
	for _, e := range c.Env {
		if !slices.Contains(auxiliaryVariables, e.Name) && !isCloudVariable(e) && !slices.Contains(proxyVariables, e.Name) && !id.Additions.variable(e) {
			return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s has the variable %.80q, which Argo does not set", kind, c.Name, e.Name).
				Advise("If a webhook of yours adds it, list it in argo.executorAdditions; else take it out of the podSpecPatch of the workflow or of its artifactGC")
		}
	}
	for _, m := range c.VolumeMounts {
		if !auxiliaryMount(m) && !id.Additions.mount(m) && !isCloudMount(m, findVolume(pod.Spec.Volumes, m.Name)) {
			return reason.New(reason.AuxiliaryAltered, "it is Argo's %s, and %s has a mount at %.200q, where Argo has none", kind, c.Name, m.MountPath).
				Advise("If a webhook of yours adds it, list it in argo.executorAdditions; else take it out of the podSpecPatch of the workflow or of its artifactGC")
		}
	}
	return nil
}

// onlyLogFlags says whether all words are log flags as Argo gives them.
func onlyLogFlags(words []string) bool {
	for len(words) > 0 {
		n := logFlag(words)
		if n == 0 {
			return false
		}
		words = words[n:]
	}
	return true
}
