package argo_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestAuxiliaryPodsCanDoNothingElse(t *testing.T) {
	tests := map[string]struct {
		change  func(*corev1.Pod)
		creator string
		code    reason.Code
	}{
		"as Argo makes it":         {},
		"made by a user":           {creator: "alice", code: reason.CreatorNotArgo},
		"without an owner":         {change: func(p *corev1.Pod) { p.OwnerReferences = nil }, code: reason.OwnerMismatch},
		"with an owner of its own": {change: func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "ConfigMap" }, code: reason.OwnerMismatch},
		"with another image":       {change: func(p *corev1.Pod) { p.Spec.Containers[0].Image = "busybox" }, code: reason.ExecutorImageNotAllowed},
		"with another program":     {change: func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sh"} }, code: reason.UnsupportedPod},
		"with another task":        {change: func(p *corev1.Pod) { p.Spec.Containers[0].Args[0] = "init" }, code: reason.UnsupportedPod},
		"without a task":           {change: func(p *corev1.Pod) { p.Spec.Containers[0].Args = nil }, code: reason.UnsupportedPod},
		"with a second container":  {change: func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, code: reason.UnsupportedPod},
		"with a second init container": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "x"})
		}, code: reason.UnsupportedPod},
		"with an empty template, as Argo v4 makes it": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: "{}"})
		}},
		"with a template from elsewhere": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", ValueFrom: &corev1.EnvVarSource{}})
		}, code: reason.UnsupportedPod},
		"with a template": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: `{"name":"x"}`})
		}, code: reason.UnsupportedPod},
		"with the host's files": {change: func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "x", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}, code: reason.ForeignMount},
		"with the host's processes": {change: func(p *corev1.Pod) { p.Spec.HostPID = true }, code: reason.SharedProcesses},
		"with a hook":               {change: func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{} }, code: reason.UnsupportedPod},
		"with a probe":              {change: func(p *corev1.Pod) { p.Spec.Containers[0].StartupProbe = &corev1.Probe{} }, code: reason.UnsupportedPod},
		"with privileges":           {change: func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.Privileged = ptr(true) }, code: reason.UnsupportedPod},
		"with another program in argoexec's place": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/bin"})
		}, code: reason.UnsupportedPod},
		"with another program on its path": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "PATH", Value: "/argo/secret/x"})
		}, code: reason.UnsupportedPod},
		"with a client configuration that names a program": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Args = append(p.Spec.Containers[0].Args, "--kubeconfig=/argo/secret/x/config")
		}, code: reason.UnsupportedPod},
		"with its agent's certificates": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/etc/ssl/certs/ca-certificates/"})
		}},
		"with variables from elsewhere": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
		}, code: reason.UnsupportedPod},
		"that says it is something else": {change: func(p *corev1.Pod) { p.Labels["workflows.argoproj.io/component"] = "x" }, code: reason.UnsupportedPod},
	}
	for _, golden := range []string{"artifact-gc", "agent"} {
		for name, test := range tests {
			t.Run(golden+" "+name, func(t *testing.T) {
				pod := argotest.Pod(t, golden)
				if !argo.IsAuxiliary(pod) || !argo.LooksLike(pod) {
					t.Error("it is not recognized")
				}
				if test.change != nil {
					test.change(pod)
				}
				creator := test.creator
				if creator == "" {
					creator = argotest.Controller
				}
				err := argo.CheckAuxiliary(pod, creator, argotest.Identity())
				if reason.Of(err) != test.code || (err == nil) != (test.code == "") {
					t.Errorf("got %v, want %q", err, test.code)
				}
			})
		}
	}
}

// A template may label its pods as it likes.
func TestAStepThatSaysItIsAuxiliaryIsNot(t *testing.T) {
	for _, golden := range []string{"produce", "consume", "script", "resource"} {
		for _, says := range []string{"artifact-gc", "agent"} {
			pod := argotest.Pod(t, golden)
			pod.Labels["workflows.argoproj.io/component"] = says
			if err := argo.CheckAuxiliary(pod, argotest.Controller, argotest.Identity()); err == nil {
				t.Errorf("%s passes as %s", golden, says)
			}
		}
	}
}
