package argo

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Literal is the pod with the template written so that the kubelet leaves $(NAME)
// in it alone. Steps have such references in their arguments, for the kubelet to
// replace. Argo copies the arguments into ARGO_TEMPLATE, and there the kubelet
// would replace the references, too, with what init and wait know: nobody could say
// which template they read. Only argoexec reads that variable, so only these copies
// change. The step's own containers keep what they have, and so do copies that are
// not init's, which CheckStructure refuses. The pod that is given is not changed.
//
// The dollar is written as JSON's own escape, which the kubelet does not know and
// Argo never writes. So there is one reading of it, which unescape gives. The
// kubelet's escape $$(NAME) would not do: the template might say that itself.
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

// dollar is how escape writes the dollar of a reference.
const dollar = `\u0024`

// escape writes the dollar of every $(NAME) that the kubelet could replace as a
// JSON escape. The kubelet reads all else as before. Escaping twice is the same as
// once.
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
			b.WriteString(dollar)
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

// unescape is what escape was given: the template as Argo wrote it, and as Argo's init
// writes it again for the others. In JSON a backslash and what follows belong together,
// so a backslash of the template's own before u0024 stays.
func unescape(value string) string {
	if !strings.Contains(value, dollar) {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] != '\\' || i+1 == len(value):
			b.WriteByte(value[i])
		case strings.HasPrefix(value[i:], dollar):
			b.WriteByte('$')
			i += len(dollar) - 1
		default:
			b.WriteString(value[i : i+2])
			i++
		}
	}
	return b.String()
}
