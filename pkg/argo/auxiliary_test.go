package argo_test

import (
	"slices"
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
		"with another program":     {change: func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sh"} }, code: reason.AuxiliaryAltered},
		"with another task":        {change: func(p *corev1.Pod) { p.Spec.Containers[0].Args[0] = "init" }, code: reason.AuxiliaryAltered},
		"without a task":           {change: func(p *corev1.Pod) { p.Spec.Containers[0].Args = nil }, code: reason.AuxiliaryAltered},
		"without its container":    {change: func(p *corev1.Pod) { p.Spec.Containers[0].Name = "x" }, code: reason.UnsupportedPod},
		"with a mesh's init container and sidecar": {change: func(p *corev1.Pod) {
			always := corev1.ContainerRestartPolicyAlways
			token := corev1.VolumeMount{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
				corev1.Volume{Name: "envoy", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
			p.Spec.Containers[0].VolumeMounts = append(slices.DeleteFunc(p.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == token.MountPath }), token)
			mesh := []corev1.Container{
				{Name: "mesh-init", Image: "mesh", Args: []string{"iptables"}, SecurityContext: &corev1.SecurityContext{RunAsUser: ptr(int64(0))}},
				{Name: "mesh-proxy", Image: "mesh", RestartPolicy: &always, Env: []corev1.EnvVar{{Name: "X"}}, VolumeMounts: []corev1.VolumeMount{token, {Name: "envoy", MountPath: "/etc/envoy"}}},
			}
			p.Spec.InitContainers = append(mesh, p.Spec.InitContainers...)
		}},
		"with a regular sidecar": {change: func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh"})
		}},
		"with a proxy to go by": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:1"})
		}},
		"with a sidecar that has what Argo's has": {change: func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}})
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "s", MountPath: "/argo/secret/s"})
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "x", VolumeMounts: []corev1.VolumeMount{{Name: "s", MountPath: "/s"}}})
		}, code: reason.AuxiliaryAltered},
		"with a sidecar that has it as a device": {change: func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "s"})
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "s", MountPath: "/argo/secret/s"})
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "x", VolumeDevices: []corev1.VolumeDevice{{Name: "s", DevicePath: "/s"}}})
		}, code: reason.AuxiliaryAltered},
		"with a sidecar called like Argo's": {change: func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "wait", Image: "mesh"})
		}, code: reason.AuxiliaryAltered},
		"with an init container called like Argo's": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "main", Image: "mesh"})
		}, code: reason.AuxiliaryAltered},
		"with a second of Argo's executors": {change: func(p *corev1.Pod) {
			c := *p.Spec.Containers[0].DeepCopy()
			c.Name, c.Command, c.Args = "x", []string{"argoexec"}, []string{"wait"}
			p.Spec.Containers = append(p.Spec.Containers, c)
		}, code: reason.AuxiliaryAltered},
		"with a sidecar that has a template": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "x", Env: []corev1.EnvVar{{Name: "ARGO_TEMPLATE"}}})
		}, code: reason.AuxiliaryAltered},
		"with an empty template, as Argo v4 makes it": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: "{}"})
		}},
		"with a template from elsewhere": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", ValueFrom: &corev1.EnvVarSource{}})
		}, code: reason.AuxiliaryAltered},
		"with a template": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: `{"name":"x"}`})
		}, code: reason.AuxiliaryAltered},
		"with the host's files": {change: func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "x", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}, code: reason.ForeignMount},
		"with the host's processes": {change: func(p *corev1.Pod) { p.Spec.HostPID = true }, code: reason.SharedProcesses},
		"with a hook":               {change: func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{} }, code: reason.AuxiliaryAltered},
		"with a probe":              {change: func(p *corev1.Pod) { p.Spec.Containers[0].StartupProbe = &corev1.Probe{} }, code: reason.AuxiliaryAltered},
		"with privileges":           {change: func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.Privileged = ptr(true) }, code: reason.AuxiliaryAltered},
		"with another program in argoexec's place": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/bin"})
		}, code: reason.AuxiliaryAltered},
		"with another program on its path": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "PATH", Value: "/argo/secret/x"})
		}, code: reason.AuxiliaryAltered},
		"with a client configuration that names a program": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Args = append(p.Spec.Containers[0].Args, "--kubeconfig=/argo/secret/x/config")
		}, code: reason.AuxiliaryAltered},
		"with its agent's certificates": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/etc/ssl/certs/ca-certificates/"})
		}},
		"with variables from elsewhere": {change: func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
		}, code: reason.AuxiliaryAltered},
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
