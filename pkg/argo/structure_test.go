package argo_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

func ptr[T any](v T) *T { return &v }

func initOf(p *corev1.Pod) *corev1.Container { return container(p.Spec.InitContainers, "init") }
func waitOf(p *corev1.Pod) *corev1.Container { return container(p.Spec.Containers, "wait") }
func mainOf(p *corev1.Pod) *corev1.Container { return container(p.Spec.Containers, "main") }

func container(list []corev1.Container, name string) *corev1.Container {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	panic("no container " + name)
}

func volume(p *corev1.Pod, name string) *corev1.Volume {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Name == name {
			return &p.Spec.Volumes[i]
		}
	}
	panic("no volume " + name)
}

func mountAt(c *corev1.Container, path string) *corev1.VolumeMount {
	for i := range c.VolumeMounts {
		if c.VolumeMounts[i].MountPath == path {
			return &c.VolumeMounts[i]
		}
	}
	panic("no mount at " + path)
}

func mount(c *corev1.Container, m corev1.VolumeMount) { c.VolumeMounts = append(c.VolumeMounts, m) }

func unmount(c *corev1.Container, path string) {
	for i := range c.VolumeMounts {
		if c.VolumeMounts[i].MountPath == path {
			c.VolumeMounts = append(c.VolumeMounts[:i], c.VolumeMounts[i+1:]...)
			return
		}
	}
	panic("no mount at " + path)
}

func env(c *corev1.Container, name string) *corev1.EnvVar {
	for i := range c.Env {
		if c.Env[i].Name == name {
			return &c.Env[i]
		}
	}
	panic("no variable " + name)
}

func unset(c *corev1.Container, name string) {
	c.Env = slices.DeleteFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name })
}

func addEmptyDir(p *corev1.Pod, name string) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
}

func addHostPath(p *corev1.Pod, path string) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}})
}

// breaking is a change to a good pod of Argo's that breaks one rule.
type breaking struct {
	pod    string // everything, if empty
	change func(*corev1.Pod)
	code   reason.Code
	detail string
}

func runBreaking(t *testing.T, tests map[string]breaking) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.pod == "" {
				test.pod = "everything"
			}
			pod := argotest.Pod(t, test.pod)
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			wantRefusal(t, argo.CheckStructure(pod, step, argotest.Identity()), test.code, test.detail)
		})
	}
}

func TestChangedPodsAreRefused(t *testing.T) {
	runBreaking(t, map[string]breaking{
		"processes are shared":                 {change: func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = ptr(true) }, code: reason.SharedProcesses, detail: "shareProcessNamespace"},
		"processes are the host's":             {change: func(p *corev1.Pod) { p.Spec.HostPID = true }, code: reason.SharedProcesses, detail: "hostPID"},
		"containers are restarted":             {change: func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyOnFailure }, code: reason.UnknownPodLayout, detail: "restartPolicy"},
		"it is for Windows":                    {change: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, code: reason.UnsupportedPod, detail: "windows"},
		"a debug container is there":           {change: func(p *corev1.Pod) { p.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, 1) }, code: reason.DebugContainer, detail: "ephemeral"},
		"a volume is the kubelet's folder":     {change: func(p *corev1.Pod) { addHostPath(p, "/var/lib/kubelet/pods") }, code: reason.ForeignMount, detail: "volume host is the host's \"/var/lib/kubelet/pods\""},
		"a volume is any folder of the host's": {change: func(p *corev1.Pod) { addHostPath(p, "/data/kubelet") }, code: reason.ForeignMount, detail: "volume host is the host's \"/data/kubelet\": a step that has the host's files owns the node"},
		"a volume is the host's processes":     {change: func(p *corev1.Pod) { addHostPath(p, "/proc") }, code: reason.ForeignMount, detail: "the host's \"/proc\""},
		"a volume is the host's root":          {change: func(p *corev1.Pod) { addHostPath(p, "/") }, code: reason.ForeignMount, detail: "the host's \"/\""},
		"the staging volume is a claim": {change: func(p *corev1.Pod) {
			volume(p, "tmp-dir-argo").VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}
		}, code: reason.ForeignMount, detail: "volume tmp-dir-argo is not a plain emptyDir"},
		"the volume of inputs is in memory": {change: func(p *corev1.Pod) { volume(p, "input-artifacts").EmptyDir.Medium = corev1.StorageMediumMemory }, code: reason.ForeignMount, detail: "volume input-artifacts is not a plain"},
		"Argo's volume is of two kinds": {change: func(p *corev1.Pod) {
			volume(p, "var-run-argo").ConfigMap = &corev1.ConfigMapVolumeSource{}
		}, code: reason.ForeignMount, detail: "volume var-run-argo is not a plain"},
		"the staging volume is there twice": {change: func(p *corev1.Pod) { addEmptyDir(p, "tmp-dir-argo") }, code: reason.ForeignMount, detail: "2 volumes tmp-dir-argo"},
		"the volume of inputs is missing":   {change: func(p *corev1.Pod) { volume(p, "input-artifacts").Name = "x" }, code: reason.UnknownPodLayout, detail: "no volume input-artifacts"},
		"the volume of scripts is missing":  {pod: "script", change: func(p *corev1.Pod) { volume(p, "argo-staging").Name = "x" }, code: reason.UnknownPodLayout, detail: "no volume argo-staging"},
		"the kill command is somebody's": {change: func(p *corev1.Pod) {
			p.Annotations[layout.AnnotationKillWait] = `["/var/run/argo/argoexec","kill","%d","1"]`
		}, code: reason.WaitAltered, detail: "kill-cmd-wait is not"},
		"init runs another executor": {change: func(p *corev1.Pod) { initOf(p).Image = "evil" }, code: reason.ExecutorImageNotAllowed, detail: "init runs \"evil\""},
		"artifacts go through plugins": {change: func(p *corev1.Pod) {
			waitOf(p).Env = append(waitOf(p).Env, corev1.EnvVar{Name: "ARGO_ARTIFACT_PLUGIN_NAMES", Value: "x"})
		}, code: reason.UnsupportedPod, detail: "plugins \"x\""},
		"wait runs another executor":           {change: func(p *corev1.Pod) { waitOf(p).Image = "evil" }, code: reason.ExecutorImageNotAllowed, detail: "wait runs \"evil\""},
		"a resource pod runs another executor": {pod: "resource", change: func(p *corev1.Pod) { mainOf(p).Image = "evil" }, code: reason.ExecutorImageNotAllowed, detail: "main runs \"evil\""},
		"main is missing":                      {change: func(p *corev1.Pod) { mainOf(p).Name = "other" }, code: reason.UnknownPodLayout, detail: "no container \"main\""},
		"there are two init":                   {change: func(p *corev1.Pod) { mainOf(p).Name = "init" }, code: reason.UnknownPodLayout, detail: "one container \"init\""},
		"there are two wait": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers[1].Name = "wait"
		}, code: reason.UnknownPodLayout, detail: "one container \"wait\""},
		"somebody comes before init": {change: func(p *corev1.Pod) {
			l := p.Spec.InitContainers
			l[0], l[1] = l[1], l[0]
		}, code: reason.InitAltered, detail: "init comes after container prepare"},
	})
}

func TestVariablesOfArgosConfigurationAreAdmitted(t *testing.T) {
	pod := argotest.Pod(t, "everything")
	for _, c := range []*corev1.Container{initOf(pod), waitOf(pod)} {
		c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:1/?a=$b"})
	}
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
		t.Error(err)
	}
	id := argotest.Identity()
	id.ExecutorEnv = nil
	wantRefusal(t, argo.CheckStructure(pod, step, id), reason.InitAltered, "HTTPS_PROXY")
}

func TestWhatTheOperatorSaysIsReadStrictly(t *testing.T) {
	controllers, images := []string{"argo/argo"}, []string{"exec:1"}
	id, err := argo.NewIdentity(controllers, images, []string{"A=b=c", "E="}, []string{"exec:1=8737"}, []string{"variable:B"}, false)
	if err != nil || id.Controllers[0] != "system:serviceaccount:argo:argo" || len(id.ExecutorEnv) != 2 || id.ExecutorUsers["exec:1"] != 8737 {
		t.Errorf("got %+v, %v", id, err)
	}
	for name, bad := range map[string][5][]string{
		"no controller":          {nil, images, nil},
		"no image":               {controllers, nil, nil},
		"an empty image":         {controllers, {""}, nil},
		"a controller's name":    {{"argo"}, images, nil},
		"a path":                 {{"a/b/c"}, images, nil},
		"a variable alone":       {controllers, images, {"A"}},
		"a value without a name": {controllers, images, {"=a"}},
		"a user alone":           {controllers, images, nil, {"8737"}},
		"an image alone":         {controllers, images, nil, {"exec:1"}},
		"a user's name":          {controllers, images, nil, {"exec:1=argo"}},
		"a negative user":        {controllers, images, nil, {"exec:1=-1"}},
		"no user":                {controllers, images, nil, {"exec:1="}},
		"a user out of range":    {controllers, images, nil, {"exec:1=2147483648"}},
		"another image's user":   {controllers, images, nil, {"exec:2=8737"}},
		"an addition alone":      {controllers, images, nil, nil, {"B"}},
		"two users":              {controllers, images, nil, {"exec:1=1", "exec:1=2"}},
	} {
		if id, err := argo.NewIdentity(bad[0], bad[1], bad[2], bad[3], bad[4], false); err == nil {
			t.Errorf("%s is accepted: %+v", name, id)
		}
	}
}

func TestChangedExecutorsAreRefused(t *testing.T) {
	tests := map[string]breaking{}
	for _, e := range []struct {
		name string
		get  func(*corev1.Pod) *corev1.Container
		code reason.Code
	}{{"init", initOf, reason.InitAltered}, {"wait", waitOf, reason.WaitAltered}} {
		add := func(name, detail string, change func(*corev1.Container)) {
			tests[e.name+" "+name] = breaking{change: func(p *corev1.Pod) { change(e.get(p)) }, code: e.code, detail: e.name + " " + detail}
		}
		add("runs another program", "does not run argoexec "+e.name, func(c *corev1.Container) { c.Command[0] = "/var/run/argo/argoexec" })
		add("runs another verb", "does not run argoexec "+e.name, func(c *corev1.Container) { c.Command[1] = "data" })
		add("runs nothing of its own", "does not run argoexec "+e.name, func(c *corev1.Container) { c.Command = nil })
		add("has an argument", `has the argument "--kubeconfig=/tmp/x"`, func(c *corev1.Container) { c.Args = []string{"--kubeconfig=/tmp/x"} })
		add("has a flag without a value", `has the argument "--loglevel"`, func(c *corev1.Container) { c.Args = []string{"--loglevel"} })
		add("has a value to expand", `has the argument "--loglevel"`, func(c *corev1.Container) { c.Args = []string{"--loglevel", "$(ARGO_NODE_ID)"} })
		add("has a working directory", "has WorkingDir", func(c *corev1.Container) { c.WorkingDir = "/tmp" })
		add("has a port", "has Ports", func(c *corev1.Container) { c.Ports = make([]corev1.ContainerPort, 1) })
		add("has variables from elsewhere", "has EnvFrom", func(c *corev1.Container) { c.EnvFrom = make([]corev1.EnvFromSource, 1) })
		add("is restarted", "has RestartPolicy", func(c *corev1.Container) { c.RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways) })
		add("is restarted by rule", "has RestartPolicyRules", func(c *corev1.Container) { c.RestartPolicyRules = make([]corev1.ContainerRestartRule, 1) })
		add("has a claim of devices", "has Resources", func(c *corev1.Container) { c.Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}} })
		add("has a device", "has VolumeDevices", func(c *corev1.Container) { c.VolumeDevices = make([]corev1.VolumeDevice, 1) })
		add("has a hook", "has Lifecycle", func(c *corev1.Container) { c.Lifecycle = &corev1.Lifecycle{} })
		add("has a liveness probe", "has LivenessProbe", func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} })
		add("has a readiness probe", "has ReadinessProbe", func(c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{} })
		add("has a startup probe", "has StartupProbe", func(c *corev1.Container) { c.StartupProbe = &corev1.Probe{} })
		add("has an input", "has Stdin", func(c *corev1.Container) { c.Stdin = true })
		add("has an input once", "has StdinOnce", func(c *corev1.Container) { c.StdinOnce = true })
		add("has a terminal", "has TTY", func(c *corev1.Container) { c.TTY = true })
		add("leaves its message elsewhere", "has TerminationMessagePath", func(c *corev1.Container) { c.TerminationMessagePath = "/tmp/x" })
		add("takes its log for a message", "has TerminationMessagePolicy", func(c *corev1.Container) {
			c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		})
		add("has a foreign variable", `has the variable "LD_PRELOAD"`, func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "LD_PRELOAD", Value: "x"}) })
		add("removes what it staged", "has REMOVE_LOCAL_ART_PATH", func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "REMOVE_LOCAL_ART_PATH", Value: "true"})
		})
		add("has another value of a configured variable", `has the variable "HTTPS_PROXY"`, func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://evil:1"})
		})
		add("has a configured variable from elsewhere", `has a variable HTTPS_PROXY that is not a literal`, func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:1", ValueFrom: &corev1.EnvVarSource{}})
		})
		add("loses what it stages by configuration", "has REMOVE_LOCAL_ART_PATH", func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "REMOVE_LOCAL_ART_PATH", Value: "true"})
		})
		add("has a variable twice", "has the variable ARGO_DEADLINE twice", func(c *corev1.Container) { c.Env = append(c.Env, *env(c, "ARGO_DEADLINE")) })
		add("has a variable from a Secret", "has a variable ARGO_DEADLINE that is not a literal", func(c *corev1.Container) {
			*env(c, "ARGO_DEADLINE") = corev1.EnvVar{Name: "ARGO_DEADLINE", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "x"}}}
		})
		add("has a variable to expand", "has a '$' in variable ARGO_DEADLINE", func(c *corev1.Container) { env(c, "ARGO_DEADLINE").Value = "$(X)" })
		add("names another container", "has a variable ARGO_CONTAINER_NAME that is not the pod's", func(c *corev1.Container) { env(c, "ARGO_CONTAINER_NAME").Value = "main" })
		add("names another node", "has a variable ARGO_NODE_ID that", func(c *corev1.Container) { env(c, "ARGO_NODE_ID").Value = "x" })
		add("names another workflow", "has a variable ARGO_WORKFLOW_NAME that", func(c *corev1.Container) { env(c, "ARGO_WORKFLOW_NAME").Value = "x" })
		add("names another workflow's UID", "has a variable ARGO_WORKFLOW_UID that", func(c *corev1.Container) { env(c, "ARGO_WORKFLOW_UID").Value = "x" })
		add("reports progress from elsewhere", "has a variable ARGO_PROGRESS_FILE that", func(c *corev1.Container) { env(c, "ARGO_PROGRESS_FILE").Value = "/x" })
		add("is told another pod name", "has a variable ARGO_POD_NAME that is not the pod's metadata.name", func(c *corev1.Container) {
			*env(c, "ARGO_POD_NAME") = corev1.EnvVar{Name: "ARGO_POD_NAME", Value: "x"}
		})
		add("is told another field", "has a variable ARGO_POD_UID that is not the pod's metadata.uid", func(c *corev1.Container) {
			env(c, "ARGO_POD_UID").ValueFrom.FieldRef.FieldPath = "metadata.annotations['x']"
		})
		add("is told a file's content", "has a variable ARGO_POD_UID that is not", func(c *corev1.Container) {
			env(c, "ARGO_POD_UID").ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "x"}}
		})
		add("is not told its pod", "has no variable ARGO_POD_NAME", func(c *corev1.Container) { c.Env = c.Env[1:] })
		add("mounts over its program", `has a mount of scratch at "/bin"`, func(c *corev1.Container) { mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/bin"}) })
		add("mounts beside the mirrored", `has a mount of scratch at "/mainctrfs"`, func(c *corev1.Container) { mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/mainctrfs"}) })
		add("mounts out of the mirrored", `has a mount at "/mainctrfs/../tmp"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/mainctrfs/../tmp"})
		})
		add("mirrors the staging area", `has a mount of tmp-dir-argo at "/mainctrfs/x"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/mainctrfs/x", SubPath: "1"})
		})
		add("mirrors Argo's volume", `has a mount of var-run-argo at "/mainctrfs/x"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "var-run-argo", MountPath: "/mainctrfs/x"})
		})
		add("mirrors an input elsewhere", `has a mount of input-artifacts at "/mainctrfs/x"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/mainctrfs/x", SubPath: "inline"})
		})
		add("mounts at one path twice", `has two mounts at "/mainctrfs/scratch"`, func(c *corev1.Container) { mount(c, *mountAt(c, "/mainctrfs/scratch")) })
		add("mounts a volume that is not there", `has a mount of nothing at "/mainctrfs/x"`, func(c *corev1.Container) { mount(c, corev1.VolumeMount{Name: "nothing", MountPath: "/mainctrfs/x"}) })
		add("has other credentials", `has a mount of scratch at "/argo/secret/scratch"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/argo/secret/scratch", ReadOnly: true})
		})
		add("has credentials under another name", `has a mount of artifact-store at "/argo/secret/other"`, func(c *corev1.Container) {
			mountAt(c, "/argo/secret/artifact-store").MountPath = "/argo/secret/other"
		})
		add("writes credentials", `has a mount of artifact-store at "/argo/secret/artifact-store"`, func(c *corev1.Container) {
			mountAt(c, "/argo/secret/artifact-store").ReadOnly = false
		})
		add("has a token of the step's", `has a mount of scratch at "/var/run/secrets/kubernetes.io/serviceaccount"`, func(c *corev1.Container) {
			mountAt(c, "/var/run/secrets/kubernetes.io/serviceaccount").Name = "scratch"
		})
		add("has another volume for Argo's", `has a mount of scratch at "/var/run/argo"`, func(c *corev1.Container) { mountAt(c, "/var/run/argo").Name = "scratch" })
		add("has a part of Argo's volume", `has a mount of var-run-argo at "/var/run/argo"`, func(c *corev1.Container) { mountAt(c, "/var/run/argo").SubPath = "x" })
		add("lacks Argo's volume", "has no mount at /var/run/argo", func(c *corev1.Container) { unmount(c, "/var/run/argo") })
		add("mounts over a part of Argo's volume", `has a mount of scratch at "/var/run/argo/template"`, func(c *corev1.Container) {
			mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/var/run/argo/template", SubPath: "t"})
		})
		add("has the ConfigMap's place mounted", `has a mount of scratch at "/argo/config"`, func(c *corev1.Container) { mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/argo/config"}) })
	}
	wait := func(name, detail string, change func(*corev1.Container)) {
		tests["wait "+name] = breaking{change: func(p *corev1.Pod) { change(waitOf(p)) }, code: reason.WaitAltered, detail: "wait " + detail}
	}
	handed := func(c *corev1.Container, change func(*corev1.EnvVar)) {
		v := *env(initOf(argotest.Pod(t, "everything")), "ARGO_TEMPLATE")
		change(&v)
		c.Env = append(c.Env, v)
	}
	wait("has a template of its own", "has another ARGO_TEMPLATE than init", func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: "{}"}) })
	wait("has a template with one space more", "has another ARGO_TEMPLATE than init", func(c *corev1.Container) { handed(c, func(v *corev1.EnvVar) { v.Value += " " }) })
	wait("has a template from elsewhere", "has a variable ARGO_TEMPLATE that is not a literal value", func(c *corev1.Container) {
		handed(c, func(v *corev1.EnvVar) { v.ValueFrom = &corev1.EnvVarSource{} })
	})
	wait("has two templates", "has the variable ARGO_TEMPLATE twice", func(c *corev1.Container) {
		handed(c, func(*corev1.EnvVar) {})
		handed(c, func(*corev1.EnvVar) {})
	})
	// The kubelet knows the name in wait alone, and would replace it there.
	tests["wait would have another template"] = breaking{change: func(p *corev1.Pod) {
		unset(initOf(p), "ARGO_DEADLINE")
		v := env(initOf(p), "ARGO_TEMPLATE")
		v.Value = strings.Replace(v.Value, "hello", "$(ARGO_DEADLINE)", 1)
		waitOf(p).Env = append(waitOf(p).Env, *v)
	}, code: reason.TemplateInvalid, detail: "ARGO_TEMPLATE has $(ARGO_DEADLINE), which the kubelet would replace in wait"}
	wait("stages on another volume", `has a mount of scratch at "/tmp"`, func(c *corev1.Container) { mountAt(c, "/tmp").Name = "scratch" })
	wait("stages nowhere", "has no mount at /tmp", func(c *corev1.Container) { unmount(c, "/tmp") })
	wait("stages in the whole volume", `has a mount of tmp-dir-argo at "/tmp"`, func(c *corev1.Container) { mountAt(c, "/tmp").SubPath = "" })
	wait("stages where a variable says", `has a mount of tmp-dir-argo at "/tmp"`, func(c *corev1.Container) { mountAt(c, "/tmp").SubPathExpr = "$(X)" })
	wait("stages where init writes", `has a mount of tmp-dir-argo at subPath "argoseal-init"`, func(c *corev1.Container) { mountAt(c, "/tmp").SubPath = "argoseal-init" })
	wait("stages in a folder's folder", `has a mount of tmp-dir-argo at subPath "1/0", which is not one name`, func(c *corev1.Container) { mountAt(c, "/tmp").SubPath = "1/0" })
	wait("stages on top of itself", `has a mount of scratch at "/tmp/argo/outputs"`, func(c *corev1.Container) {
		mount(c, corev1.VolumeMount{Name: "scratch", MountPath: "/tmp/argo/outputs"})
	})
	wait("unpacks inputs", `has a mount of input-artifacts at "/argo/inputs/artifacts"`, func(c *corev1.Container) {
		mount(c, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/argo/inputs/artifacts"})
	})
	init := func(name, detail string, change func(*corev1.Container)) {
		tests["init "+name] = breaking{change: func(p *corev1.Pod) { change(initOf(p)) }, code: reason.InitAltered, detail: "init " + detail}
	}
	init("unpacks elsewhere", `has a mount of scratch at "/argo/inputs/artifacts"`, func(c *corev1.Container) { mountAt(c, "/argo/inputs/artifacts").Name = "scratch" })
	init("unpacks nowhere", "has no mount at /argo/inputs/artifacts", func(c *corev1.Container) { unmount(c, "/argo/inputs/artifacts") })
	init("unpacks into a part", `has a mount of input-artifacts at "/argo/inputs/artifacts"`, func(c *corev1.Container) { mountAt(c, "/argo/inputs/artifacts").SubPath = "x" })
	init("writes to our volume", `has a mount of argoseal-no-token at "/dev/shm"`, func(c *corev1.Container) {
		mount(c, corev1.VolumeMount{Name: "argoseal-no-token", MountPath: "/dev/shm"})
	})
	init("stages", `has a mount of tmp-dir-argo at "/tmp"`, func(c *corev1.Container) {
		mount(c, corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "7"})
	})
	init("mirrors an input", `has a mount of input-artifacts at "/mainctrfs/etc/inline.conf"`, func(c *corev1.Container) {
		mount(c, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/mainctrfs/etc/inline.conf", SubPath: "inline"})
	})
	runBreaking(t, tests)
}

func TestForeignContainersAreRefused(t *testing.T) {
	tmp := func(sub string) corev1.VolumeMount {
		return corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/t", SubPath: sub}
	}
	foreign := func(c func(*corev1.Pod) *corev1.Container, m corev1.VolumeMount) func(*corev1.Pod) {
		return func(p *corev1.Pod) { mount(c(p), m) }
	}
	helper := func(p *corev1.Pod) *corev1.Container { return container(p.Spec.Containers, "helper") }
	plain := func(p *corev1.Pod) *corev1.Container { return container(p.Spec.InitContainers, "plain") }
	runBreaking(t, map[string]breaking{
		"main mounts the staging area":                   {change: foreign(mainOf, tmp("0")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts what init gets for /tmp":            {change: foreign(mainOf, tmp("argoseal-init")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts the staging area's parent":          {change: foreign(mainOf, tmp("")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts the staging area's parent, spelled": {change: foreign(mainOf, tmp("./")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts a part of the staging area":         {change: foreign(mainOf, tmp("0/argo")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts the staging area by a detour":       {change: foreign(mainOf, tmp("1/../0")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts the staging area by a slash":        {change: foreign(mainOf, tmp("/0")), code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"main mounts the staging area by a variable": {change: foreign(mainOf, corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/t", SubPath: "1", SubPathExpr: "$(X)"}),
			code: reason.ForeignMount, detail: "container main mounts tmp-dir-argo"},
		"a sidecar mounts the staging area":         {change: foreign(helper, tmp("0")), code: reason.ForeignMount, detail: "container helper mounts tmp-dir-argo"},
		"an init container mounts the staging area": {change: foreign(plain, tmp("0")), code: reason.ForeignMount, detail: "container plain mounts tmp-dir-argo"},
		"main has the name of our signer": {change: func(p *corev1.Pod) {
			helper(p).Name = argo.SignerContainer
			foreign(func(p *corev1.Pod) *corev1.Container { return container(p.Spec.Containers, argo.SignerContainer) }, tmp("0"))(p)
		}, code: reason.ForeignMount, detail: "container argoseal-signer mounts tmp-dir-argo"},
		"main mounts all inputs": {change: foreign(mainOf, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/all"}),
			code: reason.ForeignMount, detail: "container main mounts input-artifacts at \"/all\""},
		"main mounts an input elsewhere": {change: foreign(mainOf, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/x", SubPath: "inline"}),
			code: reason.ForeignMount, detail: "container main mounts input-artifacts at \"/x\""},
		"main mounts an input in another's place": {change: func(p *corev1.Pod) { mountAt(mainOf(p), "/etc/inline.conf").SubPath = "maybe" },
			code: reason.ForeignMount, detail: "container main mounts input-artifacts at \"/etc/inline.conf\""},
		"main mounts an input by a variable": {change: func(p *corev1.Pod) { mountAt(mainOf(p), "/etc/inline.conf").SubPathExpr = "$(X)" },
			code: reason.ForeignMount, detail: "container main mounts input-artifacts"},
		"a container that does not mirror mounts an input": {change: foreign(plain, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/etc/inline.conf", SubPath: "inline"}),
			code: reason.ForeignMount, detail: "container plain mounts input-artifacts"},
		"main does not run under the emissary":      {change: func(p *corev1.Pod) { mainOf(p).Command = []string{"sh"} }, code: reason.EmissaryAltered, detail: "container main does not run /var/run/argo/argoexec"},
		"main runs another emissary":                {change: func(p *corev1.Pod) { mainOf(p).Command[0] = "/argoexec" }, code: reason.EmissaryAltered, detail: "container main does not run"},
		"main runs another verb":                    {change: func(p *corev1.Pod) { mainOf(p).Command[1] = "wait" }, code: reason.EmissaryAltered, detail: "container main does not run"},
		"main has another flag for the emissary":    {change: func(p *corev1.Pod) { mainOf(p).Command[2] = "--kubeconfig" }, code: reason.EmissaryAltered, detail: "container main has other flags"},
		"main has nothing behind the emissary":      {change: func(p *corev1.Pod) { mainOf(p).Command = mainOf(p).Command[:9] }, code: reason.EmissaryAltered, detail: "container main has other flags for the emissary than Argo gives, or no command"},
		"main has no end of the emissary's flags":   {change: func(p *corev1.Pod) { mainOf(p).Command = mainOf(p).Command[:8] }, code: reason.EmissaryAltered, detail: "container main has other flags"},
		"a sidecar does not run under the emissary": {change: func(p *corev1.Pod) { helper(p).Command = []string{"sh"} }, code: reason.EmissaryAltered, detail: "container helper"},
		"main has its emissary from another volume": {change: func(p *corev1.Pod) { mountAt(mainOf(p), "/var/run/argo").Name = "scratch" }, code: reason.EmissaryAltered, detail: "another volume than var-run-argo"},
		"main has its emissary from two volumes":    {change: foreign(mainOf, corev1.VolumeMount{Name: "scratch", MountPath: "var/run/argo"}), code: reason.EmissaryAltered, detail: "another volume than var-run-argo"},
		"main has its emissary from nowhere":        {change: func(p *corev1.Pod) { unmount(mainOf(p), "/var/run/argo") }, code: reason.EmissaryAltered, detail: "does not mount var-run-argo once"},
		"main's arguments lie in a ConfigMap": {change: func(p *corev1.Pod) {
			mainOf(p).Env = append(mainOf(p).Env, corev1.EnvVar{Name: "ARGO_CONTAINER_ARGS_FILE"})
		}, code: reason.TemplateOffloaded, detail: "container main"},
		"a resource pod's main runs something else":  {pod: "resource", change: func(p *corev1.Pod) { mainOf(p).Command[10] = "data" }, code: reason.EmissaryAltered, detail: "container main does not run argoexec resource"},
		"a resource pod's main runs another program": {pod: "resource", change: func(p *corev1.Pod) { mainOf(p).Command[9] = "sh" }, code: reason.EmissaryAltered, detail: "container main does not run argoexec resource"},
		"a script's main mounts a claim for scripts": {pod: "script", change: func(p *corev1.Pod) { mountAt(initOf(p), "/argo/staging").Name = "tmp-dir-argo" }, code: reason.InitAltered, detail: "mount of tmp-dir-argo at \"/argo/staging\""},
	})
}

func TestHonestChangesAreAdmitted(t *testing.T) {
	tests := map[string]func(*corev1.Pod){
		"the API server fills defaults": func(p *corev1.Pod) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "x"})
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}}
			p.Spec.NodeName, p.Spec.Priority = "node", ptr(int32(1))
		},
		"a limit range sets resources": func(p *corev1.Pod) {
			for _, c := range []*corev1.Container{initOf(p), waitOf(p)} {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
				c.ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.NotRequired}}
			}
		},
		"Argo v4 says that there are no plugins": func(p *corev1.Pod) {
			waitOf(p).Env = append(waitOf(p).Env, corev1.EnvVar{Name: "ARGO_ARTIFACT_PLUGIN_NAMES"})
		},
		"the executor's security context is configured": func(p *corev1.Pod) { waitOf(p).SecurityContext = &corev1.SecurityContext{RunAsUser: ptr(int64(7))} },
		"images are always pulled":                      func(p *corev1.Pod) { waitOf(p).ImagePullPolicy = corev1.PullAlways },
		"log flags stand in the arguments":              func(p *corev1.Pod) { waitOf(p).Args = []string{"--loglevel=debug", "--gloglevel", "6"} },
		"another webhook adds an init container": func(p *corev1.Pod) {
			p.Spec.InitContainers = append([]corev1.Container{{Name: "mesh"}}, p.Spec.InitContainers...)
		},
		"our containers are there": func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: argo.SignerContainer, VolumeMounts: []corev1.VolumeMount{{Name: "tmp-dir-argo", SubPath: "0"}}})
		},
		"our kill command is there":          func(p *corev1.Pod) { p.Annotations[layout.AnnotationKillWait] = layout.KillWait },
		"a patch puts wait in another place": func(p *corev1.Pod) { mountAt(waitOf(p), "/tmp").SubPath = "3" },
		"main has its own part of Argo's volume": func(p *corev1.Pod) {
			mount(mainOf(p), corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "1"})
		},
		"a step has more than nine containers": func(p *corev1.Pod) {
			mount(mainOf(p), corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "00"})
		},
		"a user's own volume is mirrored in wait": func(p *corev1.Pod) {
			mount(waitOf(p), corev1.VolumeMount{Name: "scratch", MountPath: "/mainctrfs/more", SubPathExpr: "$(X)"})
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "everything")
			change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
		})
	}
}

func TestStructureOfAnUnreadStepIsRefused(t *testing.T) {
	wantRefusal(t, argo.CheckStructure(argotest.Pod(t, "produce"), &argo.Step{}, argotest.Identity()), reason.UnknownPodLayout, "not read")
}

func TestWarnings(t *testing.T) {
	if w := argo.Warnings(argotest.Parsed(t, "produce")); len(w) != 0 {
		t.Errorf("a pod of Argo's has the warnings %q", w)
	}
	pod, step := argotest.Parsed(t, "everything")
	pod.Spec.HostNetwork, pod.Spec.HostIPC = true, true
	mainOf(pod).SecurityContext = &corev1.SecurityContext{Privileged: ptr(true), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}}
	want := []string{
		"Pod Security baseline forbids host namespaces (hostNetwork=true, hostIPC=true)",
		`Pod Security baseline forbids non-default capabilities (container "main" must not include "SYS_ADMIN" in securityContext.capabilities.add)`,
		`Pod Security baseline forbids privileged (container "main" must not set securityContext.privileged=true)`,
		"output on-volume lies on volume scratch, which other pods and containers may write",
	}
	if got := argo.Warnings(pod, step); len(got) != len(want) {
		t.Errorf("warnings are %q, want %q", got, want)
	} else {
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("warning %d is %q, want %q", i, got[i], want[i])
			}
		}
	}
}

func TestAnImageThatIsMountedIsWarnedOfUnlessItIsPinned(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	for _, ref := range []string{"quay.io/x/y:1", "quay.io/x/y@sha256:" + strings.Repeat("a", 64)} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: ref}}})
	}
	if got := argo.Warnings(pod, step); len(got) != 1 || got[0] != `volume model is the image "quay.io/x/y:1", which names no digest and can become another one` {
		t.Errorf("warnings are %q", got)
	}
}

// Whoever names the same claim has the same device, and its memory.
func TestDevicesThatOthersMayHaveAreWarnedOf(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	pod.Spec.ResourceClaims = []corev1.PodResourceClaim{
		{Name: "shared", ResourceClaimName: ptr("gpu")},
		{Name: "own", ResourceClaimTemplateName: ptr("gpus")},
	}
	var want []string
	for _, name := range []string{"own", "shared"} {
		want = append(want, "the devices of claim "+name+" may be shared with other pods, and their driver adds to containers what it likes")
	}
	if got := argo.Warnings(pod, step); !slices.Equal(got, want) {
		t.Errorf("warnings are %q, want %q", got, want)
	}
}

// A volume that other pods may write, or that is there before and after the pod, is
// how one build influences another.
func TestVolumesThatOutliveThePodAreWarnedOf(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	claim := corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "cache"}}
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "cache"}}},
		corev1.Volume{Name: "copied", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: claim}}}},
		corev1.Volume{Name: "driver", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "x"}}},
		corev1.Volume{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: "fresh", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}},
		corev1.Volume{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
		corev1.Volume{Name: "unknown"},
	)
	var want []string
	for _, name := range []string{"cache", "copied", "driver", "fresh", "unknown"} {
		want = append(want, "volume "+name+" may outlive the pod, and other pods may write it")
	}
	if got := argo.Warnings(pod, step); !slices.Equal(got, want) {
		t.Errorf("warnings are %q, want %q", got, want)
	}
}
