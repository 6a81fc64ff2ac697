package sidecar_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

func remove(p *corev1.Pod, name string) {
	p.Spec.InitContainers = slices.DeleteFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
}

func volume(p *corev1.Pod, name string) *corev1.Volume {
	return &p.Spec.Volumes[slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })]
}

// final is a good final pod.
func final(t *testing.T) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod, step := both(t)
	return add(t, pod, step, pinsFor(step)), step
}

// otherFields give a container of ours something else.
var otherFields = map[string]func(*corev1.Container){
	"Image":                    func(c *corev1.Container) { c.Image = "evil" },
	"Command":                  func(c *corev1.Container) { c.Command = []string{"sh"} },
	"Args":                     func(c *corev1.Container) { c.Args = c.Args[:len(c.Args)-1] },
	"WorkingDir":               func(c *corev1.Container) { c.WorkingDir = "/" },
	"Ports":                    func(c *corev1.Container) { c.Ports = make([]corev1.ContainerPort, 1) },
	"EnvFrom":                  func(c *corev1.Container) { c.EnvFrom = make([]corev1.EnvFromSource, 1) },
	"Env":                      func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "GODEBUG"}} },
	"Resources":                func(c *corev1.Container) { c.Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}} },
	"RestartPolicyRules":       func(c *corev1.Container) { c.RestartPolicyRules = make([]corev1.ContainerRestartRule, 1) },
	"VolumeMounts":             func(c *corev1.Container) { mount(c, "scratch") },
	"VolumeDevices":            func(c *corev1.Container) { c.VolumeDevices = make([]corev1.VolumeDevice, 1) },
	"LivenessProbe":            func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} },
	"ReadinessProbe":           func(c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{} },
	"StartupProbe":             func(c *corev1.Container) { c.StartupProbe = &corev1.Probe{} },
	"Lifecycle":                func(c *corev1.Container) { c.Lifecycle = &corev1.Lifecycle{} },
	"TerminationMessagePath":   func(c *corev1.Container) { c.TerminationMessagePath = "/x" },
	"TerminationMessagePolicy": func(c *corev1.Container) { c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError },
	"SecurityContext":          func(c *corev1.Container) { c.SecurityContext.RunAsUser = ptr(int64(1)) },
	"Stdin":                    func(c *corev1.Container) { c.Stdin = true },
	"StdinOnce":                func(c *corev1.Container) { c.StdinOnce = true },
	"TTY":                      func(c *corev1.Container) { c.TTY = true },
	"RestartPolicy": func(c *corev1.Container) {
		if c.RestartPolicy == nil {
			c.RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
		} else {
			c.RestartPolicy = nil
		}
	},
}

func TestChangedSidecarsAreRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		code   reason.Code
		detail string
	}{
		"the signer is missing":       {func(p *corev1.Pod) { remove(p, "argoseal-signer") }, reason.SidecarMissing, "container argoseal-signer"},
		"verify is missing":           {func(p *corev1.Pod) { remove(p, "argoseal-verify") }, reason.SidecarMissing, "container argoseal-verify"},
		"the volume is missing":       {func(p *corev1.Pod) { volume(p, "argoseal-no-token").Name = "x" }, reason.SidecarMissing, "volume argoseal-no-token"},
		"the kill command is missing": {func(p *corev1.Pod) { delete(p.Annotations, layout.AnnotationKillWait) }, reason.SidecarMissing, "kill-cmd-wait"},
		"the kill command is another": {func(p *corev1.Pod) { p.Annotations[layout.AnnotationKillWait] = "[]" }, reason.WaitAltered, "kill-cmd-wait"},
		"the signer is there twice":   {func(p *corev1.Pod) { p.Spec.InitContainers[2] = *container(p, "argoseal-signer") }, reason.SidecarAltered, "2 containers argoseal-signer"},
		"wait has no template":        {func(p *corev1.Pod) { unhand(p) }, reason.SidecarMissing, "variable ARGO_TEMPLATE of wait"},
		"the volume is there twice":   {func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, *volume(p, "argoseal-no-token")) }, reason.SidecarAltered, "volume argoseal-no-token is not"},
		"the volume is another": {func(p *corev1.Pod) {
			volume(p, "argoseal-no-token").VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}
		}, reason.SidecarAltered, "volume argoseal-no-token is not"},
		"another mounts the volume":   {func(p *corev1.Pod) { mount(container(p, "main"), "argoseal-no-token") }, reason.ForeignMount, "container main mounts argoseal-no-token"},
		"a name of ours is taken":     {func(p *corev1.Pod) { container(p, "helper").Name = "argoseal-helper" }, reason.NameTaken, "container argoseal-helper"},
		"the signer is a regular one": {func(p *corev1.Pod) { container(p, "helper").Name = "argoseal-signer" }, reason.NameTaken, "container argoseal-signer"},
		"the signer is not the last":  {func(p *corev1.Pod) { swap(p, 3, 4) }, reason.SidecarAltered, "container argoseal-signer is not the last"},
		"init may write to a volume of main's": {func(p *corev1.Pod) {
			for i := range container(p, "init").VolumeMounts {
				m := &container(p, "init").VolumeMounts[i]
				m.ReadOnly = m.ReadOnly && m.Name != "scratch"
			}
		}, reason.SidecarAltered, "init may write to volume scratch"},
		"init may write to its root": {func(p *corev1.Pod) { container(p, "init").SecurityContext = nil }, reason.SidecarMissing, "readOnlyRootFilesystem of init"},
		"init is told to write to its root": {func(p *corev1.Pod) {
			container(p, "init").SecurityContext.ReadOnlyRootFilesystem = ptr(false)
		}, reason.SidecarMissing, "readOnlyRootFilesystem of init"},
		"init may write to the pod's memory": {func(p *corev1.Pod) { unmount(container(p, "init"), "/dev/shm") }, reason.SidecarMissing, "mount of init at /dev/shm"},
		"init mounts the volume elsewhere":   {func(p *corev1.Pod) { mount(container(p, "init"), "argoseal-no-token") }, reason.ForeignMount, "container init mounts argoseal-no-token"},
		"verify comes late":                  {func(p *corev1.Pod) { swap(p, 1, 2) }, reason.SidecarAltered, "container argoseal-verify does not come directly after init"},
		"verify comes first":                 {func(p *corev1.Pod) { swap(p, 0, 1) }, reason.SidecarAltered, "container argoseal-verify does not come directly after init"},
		"wait has another user by now": {func(p *corev1.Pod) {
			container(p, "wait").SecurityContext = &corev1.SecurityContext{RunAsUser: ptr(int64(9))}
		}, reason.SidecarAltered, "container argoseal-signer has another SecurityContext"},
		"there are more containers now": {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "mesh"}) }, reason.SidecarAltered, "container argoseal-signer has another Args"},
	}
	for _, name := range []string{"argoseal-signer", "argoseal-verify"} {
		for field, change := range otherFields {
			tests[name+" has another "+field] = struct {
				change func(*corev1.Pod)
				code   reason.Code
				detail string
			}{func(p *corev1.Pod) { change(container(p, name)) }, reason.SidecarAltered, "container " + name + " has another " + field + " "}
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := final(t)
			test.change(pod)
			wantRefusal(t, sidecar.Check(pod, step, pinsFor(step), config), test.code, test.detail)
		})
	}
}

// Of a pod with several inputs argoexec is compared with that of the executor's image.
func TestWhatComparesArgoexecIsHeldToItsProgram(t *testing.T) {
	type test struct {
		change func(*corev1.Pod)
		code   reason.Code
		detail string
	}
	tests := map[string]test{
		"what brings verify its program is missing": {func(p *corev1.Pod) { remove(p, "argoseal-prepare") }, reason.SidecarMissing, "container argoseal-prepare"},
		"what brings verify its program comes late": {func(p *corev1.Pod) {
			last := *container(p, "argoseal-prepare")
			remove(p, last.Name)
			p.Spec.InitContainers = slices.Insert(p.Spec.InitContainers, 2, last)
		}, reason.SidecarAltered, "container argoseal-prepare comes after argoseal-verify"},
		"the program's volume is missing": {func(p *corev1.Pod) { volume(p, "argoseal-program").Name = "x" }, reason.SidecarMissing, "volume argoseal-program"},
		"the program's volume is another": {func(p *corev1.Pod) {
			volume(p, "argoseal-program").VolumeSource = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}
		}, reason.SidecarAltered, "volume argoseal-program is not"},
		"init mounts the program":    {func(p *corev1.Pod) { mount(container(p, "init"), "argoseal-program") }, reason.ForeignMount, "container init mounts argoseal-program"},
		"main mounts the program":    {func(p *corev1.Pod) { mount(container(p, "main"), "argoseal-program") }, reason.ForeignMount, "container main mounts argoseal-program"},
		"verify runs in our image":   {func(p *corev1.Pod) { container(p, "argoseal-verify").Image = config.Image }, reason.SidecarAltered, "container argoseal-verify has another Image"},
		"init runs in another image": {func(p *corev1.Pod) { container(p, "init").Image = "other" }, reason.SidecarAltered, "container argoseal-verify has another Image"},
	}
	for _, name := range []string{"argoseal-prepare", "argoseal-verify"} {
		for field, change := range otherFields {
			tests[name+" has another "+field] = test{func(p *corev1.Pod) { change(container(p, name)) }, reason.SidecarAltered, "container " + name + " has another " + field + " "}
		}
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "stores")
			made := add(t, pod, step, pinsFor(step))
			c.change(made)
			wantRefusal(t, sidecar.Check(made, step, pinsFor(step), config), c.code, c.detail)
		})
	}
}

// Argo's configuration may say where init finds argoexec; verify compares that one.
func TestVerifyLooksForArgoexecWhereInitDoes(t *testing.T) {
	path := corev1.EnvVar{Name: "PATH", Value: "/opt/argo:/bin"}
	made := func(pinned int) (*corev1.Pod, *argo.Step, []pin.Pin) {
		pod, step := argotest.Parsed(t, "stores")
		init := container(pod, "init")
		init.Env = append(init.Env, path)
		pins := pinsFor(step)[:pinned]
		return add(t, pod, step, pins), step, pins
	}
	pod, step, pins := made(2)
	if env := container(pod, "argoseal-verify").Env; len(env) != 1 || env[0] != path {
		t.Errorf("verify has the variables %v", env)
	}
	if err := sidecar.Check(pod, step, pins, config); err != nil {
		t.Error(err)
	}
	container(pod, "argoseal-verify").Env[0].Value = "/tmp"
	wantRefusal(t, sidecar.Check(pod, step, pins, config), reason.SidecarAltered, "container argoseal-verify has another Env")
	// Who compares nothing needs none.
	if pod, _, _ := made(1); len(container(pod, "argoseal-verify").Env) != 0 {
		t.Error("a verify that compares no argoexec has a PATH")
	}
}

// Webhooks that are called after ours add to ours what they add to every container.
func TestWhatTheOperatorListsMayBeAddedToOurs(t *testing.T) {
	listing := config
	var err error
	if listing.Additions, err = argo.ParseAdditions([]string{"variable:PROXY=x", "mount:scratch:/x"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"argoseal-signer", "argoseal-prepare", "argoseal-verify"} {
		pod, step := argotest.Parsed(t, "stores")
		pod = add(t, pod, step, pinsFor(step))
		c := container(pod, name)
		c.Env = append(c.Env, corev1.EnvVar{Name: "PROXY", Value: "x"})
		mount(c, "scratch")
		if err := sidecar.Check(pod, step, pinsFor(step), listing); err != nil {
			t.Error(err)
		}
		wantRefusal(t, sidecar.Check(pod, step, pinsFor(step), config), reason.SidecarAltered, "container "+name+" has another")
		c.Env[len(c.Env)-1].Value = "y"
		wantRefusal(t, sidecar.Check(pod, step, pinsFor(step), listing), reason.SidecarAltered, "container "+name+" has another Env")
	}
}

func mount(c *corev1.Container, volume string) {
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/x"})
}

func unmount(c *corev1.Container, path string) {
	c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
}

func swap(p *corev1.Pod, i, j int) {
	l := p.Spec.InitContainers
	l[i], l[j] = l[j], l[i]
}

// unhand takes from wait what keeps it from reading the step's file.
func unhand(p *corev1.Pod) {
	wait := container(p, "wait")
	wait.Env = slices.DeleteFunc(wait.Env, func(v corev1.EnvVar) bool { return v.Name == "ARGO_TEMPLATE" })
}

func TestAWaitOfTheReleaseBeforeReadsTheFile(t *testing.T) {
	pod, step := final(t)
	unhand(pod)
	before := config
	before.Unhanded = true
	if err := sidecar.Check(pod, step, pinsFor(step), before); err != nil {
		t.Error(err)
	}
}

func TestOtherPinsThanTheTagsAreRefused(t *testing.T) {
	pod, step := final(t)
	pins := pinsFor(step)
	pins[0].Tree = "cd" + pins[0].Tree[2:]
	wantRefusal(t, sidecar.Check(pod, step, pins, config), reason.SidecarAltered, "container argoseal-verify has another Args")
	wantRefusal(t, sidecar.Check(pod, step, nil, config), reason.SidecarAltered, "container argoseal-verify has nothing to do")
}

// Only an optional input may be missing, or a part that a sealed directory does not
// have: Argo fails the step without any other.
func TestAPinAsAbsentIsOfAnOptionalInput(t *testing.T) {
	pod, step := final(t)
	in := &step.Inputs[0]
	pins := []pin.Pin{{Input: in.Name, Location: in.URI(), Archive: in.Archive(), Absent: true}}
	if err := sidecar.Check(pod, step, pins, config); err == nil || !strings.Contains(err.Error(), "is not optional") {
		t.Errorf("got %v", err)
	}
	within := []pin.Pin{pins[0]}
	within[0].Within = "s3://store/bucket/"
	wantRefusal(t, sidecar.Check(pod, step, within, config), reason.SidecarAltered, "container argoseal-verify has another Args")
	in.Optional = true
	wantRefusal(t, sidecar.Check(pod, step, pins, config), reason.SidecarAltered, "container argoseal-verify has another Args")
}

// Only where nothing is refused may main start whatever is wrong.
func TestACheckThatOnlyReportsIsRefusedWhereItIsToStop(t *testing.T) {
	pod, step := final(t)
	lax, err := sidecar.Add(pod, step, pinsFor(step), config.In(v1alpha1.ModeWarn))
	if err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[v1alpha1.Mode]bool{v1alpha1.ModeWarn: true, v1alpha1.ModeAudit: true, v1alpha1.ModeEnforce: false, "": false, "other": false} {
		if ok {
			if err := sidecar.Check(lax, step, pinsFor(step), config.In(mode)); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			continue
		}
		wantRefusal(t, sidecar.Check(lax, step, pinsFor(step), config.In(mode)), reason.SidecarAltered, "container argoseal-verify has another Args")
	}
}

func TestContainersWithNothingToDoAreRefused(t *testing.T) {
	pod, step := final(t)
	idle := *step
	idle.Outputs = nil
	wantRefusal(t, sidecar.Check(pod, &idle, pinsFor(step), config), reason.SidecarAltered, "container argoseal-signer has nothing to do")
	idle = *step
	remove(pod, "argoseal-verify")
	remove(pod, "argoseal-signer")
	idle.Outputs = nil
	wantRefusal(t, sidecar.Check(pod, &idle, nil, config), reason.SidecarAltered, "volume argoseal-no-token has nothing to do")
}

func TestHonestChangesAreAdmitted(t *testing.T) {
	tests := map[string]func(*corev1.Pod){
		"a limit range and a quota": func(p *corev1.Pod) {
			c := container(p, "argoseal-signer")
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
			c.ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU}}
		},
		"images always pulled": func(p *corev1.Pod) { container(p, "argoseal-verify").ImagePullPolicy = corev1.PullAlways },
		"a volume and a label": func(p *corev1.Pod) {
			p.Labels["x"] = "y"
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "x"})
		},
		"empty lists instead of none":  func(p *corev1.Pod) { container(p, "argoseal-signer").Env = []corev1.EnvVar{} },
		"a mount in another container": func(p *corev1.Pod) { mount(container(p, "main"), "scratch") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := final(t)
			change(pod)
			if err := sidecar.Check(pod, step, pinsFor(step), config); err != nil {
				t.Error(err)
			}
		})
	}
}
