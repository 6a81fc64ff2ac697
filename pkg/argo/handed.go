package argo

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// HandTemplate gives wait the template that init has, in wait's environment. Else
// wait reads it from a file in /var/run/argo, where every container of the step can
// write, and a step could have its outputs stored under each other's keys (v3.7.18
// cmd/argoexec/commands/root.go, v4.0.2 cmd/argoexec/executor/init.go). If wait has
// the variable already, it stays; CheckStructure refuses it unless it is init's.
func HandTemplate(pod *corev1.Pod, s *Step) {
	wait := findContainer(pod.Spec.Containers, layout.ContainerWait)
	if wait == nil || handed(wait) {
		return
	}
	// The list may be another pod's, too.
	wait.Env = append(slices.Clip(wait.Env), corev1.EnvVar{Name: layout.EnvTemplate, Value: s.written})
}

// CheckHanded wants wait, where there is one, to have its template from
// HandTemplate.
func CheckHanded(pod *corev1.Pod) error {
	if wait := findContainer(pod.Spec.Containers, layout.ContainerWait); wait != nil && !handed(wait) {
		return reason.New(reason.SidecarMissing, "variable %s of wait", layout.EnvTemplate)
	}
	return nil
}

func handed(c *corev1.Container) bool {
	return slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == layout.EnvTemplate })
}
