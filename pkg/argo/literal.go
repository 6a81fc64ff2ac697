package argo

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Literal is the pod with the template written so that the kubelet leaves $(NAME) in
// it alone. Steps have such references in their arguments, where the kubelet is to
// replace them, and Argo copies the arguments into ARGO_TEMPLATE, where it would do so
// with what init and wait know: nobody could say which template they read. Only
// argoexec reads it, so only these copies change; the step's own containers keep what
// they have. What the kubelet leaves alone anyway stays as it is, and so do copies that
// are not init's: CheckStructure refuses them. The pod itself is not changed.
func Literal(pod *corev1.Pod) *corev1.Pod {
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	if init == nil {
		return pod
	}
	at := slices.IndexFunc(init.Env, func(v corev1.EnvVar) bool { return v.Name == layout.EnvTemplate })
	if at < 0 {
		return pod
	}
	template := init.Env[at].Value
	if len(template) > maxTemplateBytes || !strings.Contains(template, "$(") || !ambiguous(pod, template) {
		return pod
	}
	literal := escape(template)
	out := pod.DeepCopy()
	for _, list := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			for j, v := range list[i].Env {
				if v.Name == layout.EnvTemplate && v.ValueFrom == nil && v.Value == template {
					list[i].Env[j].Value = literal
				}
			}
		}
	}
	return out
}

// ambiguous says whether the kubelet could replace anything in the template, in any
// container that has it or, as wait, gets it.
func ambiguous(pod *corev1.Pod, template string) bool {
	_, reference := expand(template, func(name string) bool {
		for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for _, c := range list {
				reads := c.Name == layout.ContainerWait || handed(&c)
				if reads && slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
					return true
				}
			}
		}
		return false
	})
	return reference != ""
}

// escape writes every $(NAME) that the kubelet could replace so that it becomes
// $(NAME). All else the kubelet reads as before: escape twice is escape once.
func escape(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '$' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		switch {
		case value[i+1] == '$':
			b.WriteString("$$")
			i++
		case value[i+1] == '(' && strings.IndexByte(value[i+2:], ')') >= 0:
			b.WriteString("$$")
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

// unescape is what Literal's escape was given: what the step's own containers have.
func unescape(value string) string { return strings.ReplaceAll(value, "$$(", "$(") }
