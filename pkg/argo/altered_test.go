package argo_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// altered names what of a pod is not the template's.
func altered(t *testing.T, pod *corev1.Pod, wf *definition.Workflow) []string {
	t.Helper()
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	list, err := argo.Altered(pod, step, wf)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, o := range list {
		if len(o.SHA256) != 64 {
			t.Errorf("%s has the digest %q", o.Field, o.SHA256)
		}
		names = append(names, o.Field)
	}
	return names
}

func TestAPodOfArgosIsWhatItsTemplateGives(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			if got := altered(t, pod, argotest.Owner(t, pod)); len(got) > 0 {
				t.Errorf("as Argo made it: %q", got)
			}
			ours, err := sidecar.Add(pod, step, nil, sidecar.Config{Image: "x@sha256:" + strings.Repeat("a", 64)})
			if err != nil {
				t.Fatal(err)
			}
			if got := altered(t, ours, argotest.Owner(t, pod)); len(got) > 0 {
				t.Errorf("as we left it: %q", got)
			}
		})
	}
}

func TestWhatTheTemplateDoesNotGiveIsNamed(t *testing.T) {
	helper := func(p *corev1.Pod) *corev1.Container { return container(p.Spec.Containers, "helper") }
	prepare := func(p *corev1.Pod) *corev1.Container { return container(p.Spec.InitContainers, "prepare") }
	set := func(c *corev1.Container, name, value string) {
		c.Env = append([]corev1.EnvVar{{Name: name, Value: value}}, c.Env...)
	}
	root, yes := int64(0), true
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"main's image":              {func(p *corev1.Pod) { mainOf(p).Image = "evil" }, "pod.containers.main.image"},
		"main's image, by a digest": {func(p *corev1.Pod) { mainOf(p).Image += "@sha256:" + strings.Repeat("a", 64) }, "pod.containers.main.image"},
		"main's command":            {func(p *corev1.Pod) { c := mainOf(p); c.Command = append(c.Command, "evil") }, "pod.containers.main.command"},
		"main's arguments":          {func(p *corev1.Pod) { mainOf(p).Args = []string{"evil"} }, "pod.containers.main.args"},
		"no arguments":              {func(p *corev1.Pod) { mainOf(p).Args = nil }, "pod.containers.main.args"},
		"main's folder":             {func(p *corev1.Pod) { mainOf(p).WorkingDir = "/evil" }, "pod.containers.main.workingDir"},
		"a variable":                {func(p *corev1.Pod) { set(mainOf(p), "LD_PRELOAD", "/evil.so") }, "pod.containers.main.env"},
		"a cloud of another's":      {func(p *corev1.Pod) { set(mainOf(p), "AWS_REGION", "evil.example/#") }, "pod.containers.main.env"},
		"another's identity":        {func(p *corev1.Pod) { set(mainOf(p), "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/") }, "pod.containers.main.env"},
		"another's token":           {func(p *corev1.Pod) { set(mainOf(p), "AZURE_FEDERATED_TOKEN_FILE", "/tmp/token") }, "pod.containers.main.env"},
		"a region from elsewhere": {func(p *corev1.Pod) {
			mainOf(p).Env = append(mainOf(p).Env, corev1.EnvVar{Name: "AWS_REGION", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}})
		}, "pod.containers.main.env"},
		"variables from a ConfigMap":    {func(p *corev1.Pod) { mainOf(p).EnvFrom = make([]corev1.EnvFromSource, 1) }, "pod.containers.main.envFrom"},
		"a mount":                       {func(p *corev1.Pod) { mount(mainOf(p), corev1.VolumeMount{Name: "scratch", MountPath: "/bin"}) }, "pod.containers.main.volumeMounts"},
		"no mount":                      {func(p *corev1.Pod) { unmount(mainOf(p), "/scratch") }, "pod.containers.main.volumeMounts"},
		"a part of a volume":            {func(p *corev1.Pod) { mountAt(mainOf(p), "/scratch").SubPath = "evil" }, "pod.containers.main.volumeMounts"},
		"the script's folder elsewhere": {func(p *corev1.Pod) { mount(mainOf(p), corev1.VolumeMount{Name: "argo-staging", MountPath: "/bin"}) }, "pod.containers.main.volumeMounts"},
		"a token's place": {func(p *corev1.Pod) {
			mount(mainOf(p), corev1.VolumeMount{Name: "scratch", MountPath: "/var/run/secrets/azure/tokens", ReadOnly: true})
		}, "pod.containers.main.volumeMounts"},
		"a hook": {func(p *corev1.Pod) {
			mainOf(p).Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"evil"}}}}
		}, "pod.containers.main.hooks"},
		"a probe": {func(p *corev1.Pod) {
			mainOf(p).StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"evil"}}}}
		}, "pod.containers.main.hooks"},
		"all rights": {func(p *corev1.Pod) { mainOf(p).SecurityContext = &corev1.SecurityContext{Privileged: &yes} }, "pod.containers.main.securityContext"},
		"root":       {func(p *corev1.Pod) { mainOf(p).SecurityContext = &corev1.SecurityContext{RunAsUser: &root} }, "pod.containers.main.securityContext"},
		"a capability": {func(p *corev1.Pod) {
			mainOf(p).SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}}
		}, "pod.containers.main.securityContext"},
		"root for all":                        {func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root} }, "pod.securityContext"},
		"a sidecar's image":                   {func(p *corev1.Pod) { helper(p).Image = "evil" }, "pod.containers.helper.image"},
		"an init container's image":           {func(p *corev1.Pod) { prepare(p).Image = "evil" }, "pod.initContainers.prepare.image"},
		"an init container's command":         {func(p *corev1.Pod) { prepare(p).Command = []string{"evil"} }, "pod.initContainers.prepare.command"},
		"an init container that is a sidecar": {func(p *corev1.Pod) { prepare(p).RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways) }, "pod.initContainers.prepare.restartPolicy"},
		"another init container": {func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "evil"})
		}, "pod.initContainers.evil"},
		"no init container": {func(p *corev1.Pod) { p.Spec.InitContainers = slices.Delete(p.Spec.InitContainers, 2, 3) }, "pod.initContainers.plain"},
		"another host by a name": {func(p *corev1.Pod) {
			p.Spec.HostAliases = []corev1.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"pypi.org"}}}
		}, "pod.hostAliases"},
		"another name of its own": {func(p *corev1.Pod) { p.Spec.HostnameOverride = ptr("pypi.org") }, "pod.hostnameOverride"},
		"another server of names": {func(p *corev1.Pod) { p.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.1"}} }, "pod.dnsConfig"},
		"another way to names":    {func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSNone }, "pod.dnsPolicy"},
		"another volume": {func(p *corev1.Pod) {
			volume(p, "scratch").VolumeSource = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}
		}, "pod.volumes.scratch"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "everything")
			wf := argotest.Owner(t, pod)
			c.change(pod)
			if diff := cmp.Diff([]string{c.want}, altered(t, pod, wf)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What a platform gives to every pod is no override.
func TestWhatOthersFillInIsNoOverride(t *testing.T) {
	user, no, yes := int64(1000710000), false, true
	for name, change := range map[string]func(*corev1.Pod){
		"a cloud's identity": func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "aws-iam-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}})
			mount(mainOf(p), corev1.VolumeMount{Name: "aws-iam-token", MountPath: "/var/run/secrets/eks.amazonaws.com/serviceaccount", ReadOnly: true})
			mainOf(p).Env = append(mainOf(p).Env,
				corev1.EnvVar{Name: "AWS_ROLE_ARN", Value: "arn:aws-us-gov:iam::111122223333:role/team/steps@x"},
				corev1.EnvVar{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"},
				corev1.EnvVar{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"},
				corev1.EnvVar{Name: "AWS_REGION", Value: "us-gov-west-1"})
		},
		"a cloud's identity by an agent": func(p *corev1.Pod) {
			mainOf(p).Env = append(mainOf(p).Env,
				corev1.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
				corev1.EnvVar{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"})
		},
		"an identity of Azure": func(p *corev1.Pod) {
			mainOf(p).Env = append(mainOf(p).Env,
				corev1.EnvVar{Name: "AZURE_CLIENT_ID", Value: "00000000-0000-4000-8000-00000000000a"},
				corev1.EnvVar{Name: "AZURE_TENANT_ID", Value: "00000000-0000-4000-8000-00000000000b"},
				corev1.EnvVar{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: "/var/run/secrets/azure/tokens/azure-identity-token"},
				corev1.EnvVar{Name: "AZURE_AUTHORITY_HOST", Value: "https://login.microsoftonline.com/"})
		},
		"a user of the platform's": func(p *corev1.Pod) {
			mainOf(p).SecurityContext = &corev1.SecurityContext{RunAsUser: &user, AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"KILL"}}}
			p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &user, SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c26,c25"}}
		},
		"a limit range": func(p *corev1.Pod) {
			mainOf(p).Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		},
		"a policy for pulling": func(p *corev1.Pod) { mainOf(p).ImagePullPolicy = corev1.PullAlways },
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "produce")
			wf := argotest.Owner(t, pod)
			change(pod)
			if got := altered(t, pod, wf); len(got) > 0 {
				t.Errorf("it is said to be altered: %q", got)
			}
		})
	}
}

// What the definition says of names of hosts, the spec's before the template's, is its.
func TestNamesOfHostsThatTheDefinitionGivesAreNoOverride(t *testing.T) {
	pod, u := argotest.Pod(t, "produce"), argotest.Object(t)
	spec := u.Object["spec"].(map[string]any)
	spec["hostAliases"] = []any{map[string]any{"ip": "10.0.0.1", "hostnames": []any{"one"}}}
	spec["dnsPolicy"] = "None"
	spec["dnsConfig"] = map[string]any{"nameservers": []any{"10.0.0.2"}}
	v := env(initOf(pod), "ARGO_TEMPLATE")
	v.Value = strings.Replace(v.Value, `"name":"hello-world-to-file",`, `"name":"hello-world-to-file","hostAliases":[{"ip":"10.0.0.3","hostnames":["two"]}],`, 1)
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"one"}}, {IP: "10.0.0.3", Hostnames: []string{"two"}}}
	pod.Spec.DNSPolicy, pod.Spec.DNSConfig = corev1.DNSNone, &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.2"}}
	wf, err := definition.Parse(&unstructured.Unstructured{Object: u.Object})
	if err != nil {
		t.Fatal(err)
	}
	if got := altered(t, pod, wf); len(got) > 0 {
		t.Errorf("it is said to be altered: %q", got)
	}
}

// producing is the pod and the Workflow of artifact-passing whose first template,
// or whose spec, has a podSpecPatch. Made is what Argo makes of it.
func producing(t *testing.T, field, patch, made string) (*corev1.Pod, *definition.Workflow) {
	t.Helper()
	pod, u := argotest.Pod(t, "produce"), argotest.Object(t)
	spec := u.Object["spec"].(map[string]any)
	if field == "spec" {
		spec["podSpecPatch"] = patch
	} else {
		for _, v := range spec["templates"].([]any) {
			if template := v.(map[string]any); template["name"] == "hello-world-to-file" {
				template["podSpecPatch"] = patch
			}
		}
		text, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		v := env(initOf(pod), "ARGO_TEMPLATE")
		v.Value = strings.Replace(v.Value, `"name":"hello-world-to-file",`, `"name":"hello-world-to-file","podSpecPatch":`+string(text)+`,`, 1)
	}
	wf, err := definition.Parse(&unstructured.Unstructured{Object: u.Object})
	if err != nil {
		t.Fatal(err)
	}
	return pod, wf
}

func TestAPatchCountsAsTheTemplatesOnlyIfTheDefinitionGivesAllOfIt(t *testing.T) {
	const limits = `{"containers":[{"name":"main","resources":{"limits":{"cpu":"CPU"}}}]}`
	const evil = `1"}},"command":["sh","-c","evil"],"env":[{"name":"X","value":"y"}],"x":{"y":{"z":"`
	for _, field := range []string{"template", "spec"} {
		for name, c := range map[string]struct {
			patch, made string
			change      func(main *corev1.Container)
			want        []string
		}{
			"a patch with a variable": {
				`{"containers":[{"name":"main","env":[{"name":"X","value":"y"}]}]}`, "",
				func(main *corev1.Container) { main.Env = append([]corev1.EnvVar{{Name: "X", Value: "y"}}, main.Env...) }, []string{},
			},
			"a patch in YAML that gives another command": {
				"containers:\n- name: main\n  command: [patched]\n", "",
				func(main *corev1.Container) { main.Command = append(main.Command[:len(main.Command)-2], "patched") }, []string{},
			},
			"a patch that the pod does not have": {
				`{"containers":[{"name":"main","env":[{"name":"X","value":"y"}]}]}`, "", func(*corev1.Container) {}, []string{"pod.containers.main.env"},
			},
			"a limit by parameter": {
				strings.Replace(limits, "CPU", "{{workflow.parameters.cpu}}", 1), strings.Replace(limits, "CPU", "1", 1),
				func(main *corev1.Container) {
					main.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
				}, []string{},
			},
			"a command through a parameter": {
				strings.Replace(limits, "CPU", "{{workflow.parameters.cpu}}", 1), strings.Replace(limits, "CPU", evil, 1),
				func(main *corev1.Container) {
					main.Command = append(main.Command[:len(main.Command)-2], "sh", "-c", "evil")
					main.Env = append([]corev1.EnvVar{{Name: "X", Value: "y"}}, main.Env...)
				}, []string{"pod.containers.main.command", "pod.containers.main.env"},
			},
		} {
			t.Run(field+", "+name, func(t *testing.T) {
				made := c.made
				if made == "" {
					made = c.patch
				}
				pod, wf := producing(t, field, c.patch, made)
				c.change(mainOf(pod))
				if diff := cmp.Diff(c.want, altered(t, pod, wf)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A patch can write ARGO_TEMPLATE anew, too. Where the definition leaves to runtime
// which template a node runs, nothing else would tell.
func TestATemplateThatOnlyThePodNamesIsAnOverrideBesideAPatchWithParameters(t *testing.T) {
	for name, c := range map[string]struct {
		template, patch string
		want            []string
	}{
		"a patch with a parameter":                 {"{{workflow.parameters.which}}", `{"containers":[{"name":"main","tty":{{workflow.parameters.tty}}}]}`, []string{"pod.template"}},
		"one without":                              {"{{workflow.parameters.which}}", `{"hostname":"x"}`, []string{}},
		"one with, and a template that is written": {"hello-world-to-file", `{"hostname":"{{workflow.parameters.name}}"}`, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			pod, u := argotest.Pod(t, "produce"), argotest.Object(t)
			spec := u.Object["spec"].(map[string]any)
			spec["podSpecPatch"] = c.patch
			for _, v := range spec["templates"].([]any) {
				if steps, ok := v.(map[string]any)["steps"].([]any); ok {
					steps[0].([]any)[0].(map[string]any)["template"] = c.template
				}
			}
			wf, err := definition.Parse(u)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, altered(t, pod, wf)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What an image runs Argo looks up where the template does not say, and then
// nobody else may have said it either.
func TestWhatTheImageRunsIsTheImagesAsLongAsNoParameterCanSayIt(t *testing.T) {
	const patch = `{"containers":[{"name":"main","resources":{"limits":{"cpu":"{{workflow.parameters.cpu}}"}}}]}`
	for name, c := range map[string]struct {
		patch string
		want  []string
	}{
		"no patch": {"", []string{}}, "a patch": {`{"hostname":"x"}`, []string{}},
		"one with a parameter": {patch, []string{"pod.containers.main.args", "pod.containers.main.command"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod, wf := producing(t, "spec", c.patch, "")
			v := env(initOf(pod), "ARGO_TEMPLATE")
			v.Value = strings.Replace(v.Value, `"command":["sh","-c"],"args":["sleep 1; echo hello world | tee /tmp/hello_world.txt"],`, "", 1)
			if diff := cmp.Diff(c.want, altered(t, pod, wf)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
