package argo

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// addedVariables are those that Argo gives to a step's containers beside the
// template's (createWorkflowPod), and what they may say. None runs another program.
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

// addsVariable says whether a variable is one that others than the template give. Argo
// reads ARGO_TEMPLATE in init and wait alone, where it is held to the definition.
func addsVariable(v corev1.EnvVar) bool {
	words, known := addedVariables[v.Name]
	return v.Name == layout.EnvTemplate || isCloudVariable(v) || known && v.ValueFrom == nil && words.MatchString(v.Value)
}

// addedMounts are the folders at which the same have tokens mounted.
var addedMounts = []string{
	layout.PathToken, "/var/run/secrets/azure/tokens", "/var/run/secrets/eks.amazonaws.com/serviceaccount", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
}

// variablesOf are a container's variables without those that are added, as the
// API server spells them.
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

// mountsOf are a container's mounts without those that are added, sorted: Argo
// sorts them where a step has input artifacts. Where Argo's own volumes may be
// mounted, CheckStructure says.
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

// adds says whether a mount is one that Argo, the API server or a cloud's webhook
// gives.
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

// volumes compares what lies behind the mounts of the step's own containers with
// what the template says or, where it says nothing, the workflow. A volume with a
// parameter in it has to be of the kind that the workflow says.
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
