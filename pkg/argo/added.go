package argo

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// addedVariables are the variables that Argo adds to those of the template
// (createWorkflowPod), each with the values that it may have. None of them can
// start another program.
var addedVariables = map[string]*regexp.Regexp{
	layout.EnvContainerName:                 whole(`[a-z0-9-]{1,63}`),
	layout.EnvDeadline:                      whole(`[0-9TZ:+-]{1,40}`),
	layout.EnvIncludeScriptOutput:           whole(`true|false`),
	layout.EnvNodeID:                        whole(`[a-z0-9.-]{1,253}`),
	layout.EnvProgressFile:                  whole(regexp.QuoteMeta(layout.PathRun + "/progress")),
	layout.EnvProgressFileTickDuration:      whole(`[0-9a-z.]{1,40}`),
	layout.EnvProgressPatchTickDuration:     whole(`[0-9a-z.]{1,40}`),
	layout.EnvTerminationGracePeriodSeconds: whole(`[0-9]{1,20}`),
}

// addsVariable says whether a variable comes from Argo or from a cloud's webhook,
// not from the template. ARGO_TEMPLATE does no harm in other containers: Argo reads
// it in init and wait alone, and there it is held to the definition.
func addsVariable(v corev1.EnvVar) bool {
	words, known := addedVariables[v.Name]
	return v.Name == layout.EnvTemplate || isCloudVariable(v) || known && v.ValueFrom == nil && words.MatchString(v.Value)
}

// addedMounts are the folders at which the API server and the clouds' webhooks
// mount tokens.
var addedMounts = []string{
	layout.PathToken, "/var/run/secrets/azure/tokens", "/var/run/secrets/eks.amazonaws.com/serviceaccount", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
}

// variablesOf are a container's variables as the API server spells them, without
// those that addsVariable knows.
func variablesOf(c *corev1.Container) []corev1.EnvVar {
	var list []corev1.EnvVar
	for _, v := range c.Env {
		if addsVariable(v) {
			continue
		}
		v = *v.DeepCopy()
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && v.ValueFrom.FieldRef.APIVersion == "" {
			v.ValueFrom.FieldRef.APIVersion = "v1"
		}
		list = append(list, v)
	}
	return list
}

// mountsOf are a container's mounts without those that adds knows. They are sorted,
// because Argo sorts them where a step has input artifacts. CheckStructure says
// where Argo's own volumes may be mounted.
func (a *alteration) mountsOf(c *corev1.Container) []corev1.VolumeMount {
	var list []corev1.VolumeMount
	for _, m := range c.VolumeMounts {
		if !a.adds(m) {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b corev1.VolumeMount) int { return strings.Compare(a.MountPath, b.MountPath) })
	return list
}

// adds says whether a mount comes from Argo, the API server or a cloud's webhook.
func (a *alteration) adds(m corev1.VolumeMount) bool {
	switch m.Name {
	case layout.VolumeRun:
		return m.MountPath == layout.PathRun
	case layout.VolumeTmp:
		return m.MountPath == layout.PathTmp
	case layout.VolumeStaging:
		return m.MountPath == layout.PathStaging
	case layout.VolumeInputs:
		return true
	}
	v := findVolume(a.pod.Volumes, m.Name)
	return v != nil && v.Projected != nil && m.ReadOnly && slices.Contains(addedMounts, m.MountPath)
}

// volumes compares the volumes that the step's own containers mount with those of
// the template, or of the workflow where the template has none of that name. If the
// workflow's volume has a parameter in it, only the kind of volume is compared.
func (a *alteration) volumes(stored *graph.Graph) {
	used := map[string]bool{}
	for _, c := range slices.Concat(a.given.InitContainers, a.given.Containers) {
		for _, m := range c.VolumeMounts {
			used[m.Name] = !a.adds(m)
		}
	}
	for i := range a.pod.Volumes {
		have := &a.pod.Volumes[i]
		if used[have.Name] && !sharedVolume(have.Name) && !hasVolume(stored, a.given, have) {
			a.add("volumes."+have.Name, have)
		}
	}
}

// hasVolume says whether a volume is the template's or the workflow's.
func hasVolume(stored *graph.Graph, template *corev1.PodSpec, have *corev1.Volume) bool {
	if v := findVolume(template.Volumes, have.Name); v != nil {
		return sameVolume(have, v)
	}
	if stored == nil {
		return false
	}
	volumes, claims := stored.Volumes()
	for _, text := range volumes {
		v, literal := volumeOf(text)
		if v.Name == have.Name {
			return literal && sameVolume(have, &v) || !literal && sameKind(have, &v)
		}
	}
	return have.PersistentVolumeClaim != nil && slices.ContainsFunc(claims, func(c any) bool { return claimName(c) == have.Name })
}

// hooksOf are the commands that the kubelet runs in a container beside its own.
func hooksOf(c *corev1.Container) [][]string {
	var list [][]string
	exec := func(e *corev1.ExecAction) {
		var command []string
		if e != nil {
			command = e.Command
		}
		list = append(list, command)
	}
	for _, h := range lifecycleOf(c) {
		if h == nil {
			h = &corev1.LifecycleHandler{}
		}
		exec(h.Exec)
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p == nil {
			p = &corev1.Probe{}
		}
		exec(p.Exec)
	}
	return list
}

func lifecycleOf(c *corev1.Container) []*corev1.LifecycleHandler {
	if c.Lifecycle == nil {
		return []*corev1.LifecycleHandler{nil, nil}
	}
	return []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop}
}
