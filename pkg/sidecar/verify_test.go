package sidecar_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// readingScript is the pod script with an input from the store.
func readingScript(t *testing.T) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod := argotest.Pod(t, "script")
	init := container(pod, "init")
	for i := range init.Env {
		if v := &init.Env[i]; v.Name == "ARGO_TEMPLATE" {
			v.Value = strings.Replace(v.Value, `"inputs":{}`, `"inputs":{"artifacts":[{"name":"in","path":"/in","s3":{"key":"in"}}]}`, 1)
		}
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "input-artifacts", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	init.VolumeMounts = append(init.VolumeMounts, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/argo/inputs/artifacts"})
	main := container(pod, "main")
	main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: "input-artifacts", MountPath: "/in", SubPath: "in"})
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	return pod, step
}

func TestAScriptIsVerifiedWhereArgoStagesIt(t *testing.T) {
	pod, step := readingScript(t)
	out := add(t, pod, step, pinsFor(step))
	verify := container(out, "argoseal-verify")
	if verify == nil {
		t.Fatal("there is no argoseal-verify")
	}
	script := "echo \"it is $(date), pid $\" > /tmp/out\n" // $$ as the kubelet reads it
	for _, want := range []string{"--staging=/argoseal/staging", "--script=" + sumOf(script)} {
		if !slices.Contains(verify.Args, want) {
			t.Errorf("arguments of verify are %q, want %s", verify.Args, want)
		}
	}
	if want := (corev1.VolumeMount{Name: "argo-staging", MountPath: "/argoseal/staging", ReadOnly: true}); !slices.ContainsFunc(verify.VolumeMounts, func(m corev1.VolumeMount) bool { return cmp.Equal(m, want) }) {
		t.Errorf("mounts of verify are %v, want %v", verify.VolumeMounts, want)
	}
	if err := sidecar.Check(out, step, pinsFor(step), config); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := argo.CheckStructure(out, step, argotest.Identity()); err != nil {
		t.Errorf("CheckStructure: %v", err)
	}
	for i := range verify.VolumeMounts {
		changed := out.DeepCopy()
		container(changed, "argoseal-verify").VolumeMounts[i].ReadOnly = false
		wantRefusal(t, sidecar.Check(changed, step, pinsFor(step), config), reason.SidecarAltered, "container argoseal-verify has another VolumeMounts")
	}
}

func TestInitWritesOnlyWhereVerifyLooks(t *testing.T) {
	looked := []string{"input-artifacts", "var-run-argo", "argo-staging"}
	pod, step := both(t)
	mirrored := 0
	for _, m := range container(add(t, pod, step, pinsFor(step)), "init").VolumeMounts {
		if strings.HasPrefix(m.MountPath, "/mainctrfs/") {
			mirrored++
		}
		nobodys := m.Name == "tmp-dir-argo" && m.SubPath == "argoseal-init" // no other container has that part
		if !m.ReadOnly && !slices.Contains(looked, m.Name) && !nobodys {
			t.Errorf("init may write to %s at %s", m.Name, m.MountPath)
		}
	}
	if mirrored == 0 {
		t.Error("the pod has no volume of main's")
	}
	if m := container(add(t, pod, step, nil), "init").VolumeMounts; !cmp.Equal(m, container(pod, "init").VolumeMounts) {
		t.Errorf("without pins the mounts of init change to %v", m)
	}
}

// noteOnVolume is the pod of both with its raw input note at another path.
func noteOnVolume(t *testing.T, place string, change func(*corev1.Pod)) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod, _ := both(t)
	init := container(pod, "init")
	for i := range init.Env {
		if v := &init.Env[i]; v.Name == "ARGO_TEMPLATE" {
			v.Value = strings.Replace(v.Value, `"/etc/note"`, `"`+place+`"`, 1)
		}
	}
	change(pod)
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	return pod, step
}

func TestInputsOnVolumesAreVerifiedThere(t *testing.T) {
	other := corev1.VolumeMount{Name: "other", MountPath: "/mainctrfs/other"}
	// The runtime has to make a folder in it for another one, which it cannot where it
	// may not write: the pod would never start.
	around := []corev1.VolumeMount{{Name: "around", MountPath: "/mainctrfs/around/"}, {Name: "inner", MountPath: "/mainctrfs/around/inner"}}
	pod, step := noteOnVolume(t, "/scratch/in/$(X)", func(p *corev1.Pod) {
		init := container(p, "init")
		init.VolumeMounts = append(append(init.VolumeMounts, other), around...)
	})
	out := add(t, pod, step, pinsFor(step))
	verify, init := container(out, "argoseal-verify"), container(out, "init")
	if want := `--volume={"path":"/scratch","dir":"/argoseal/volumes/0","inputs":{"note":"/scratch/in/$$(X)"}}`; !slices.Contains(verify.Args, want) {
		t.Errorf("arguments of verify are %q, want %s", verify.Args, want)
	}
	if want := (corev1.VolumeMount{Name: "scratch", MountPath: "/argoseal/volumes/0", ReadOnly: true}); !slices.ContainsFunc(verify.VolumeMounts, func(m corev1.VolumeMount) bool { return cmp.Equal(m, want) }) {
		t.Errorf("mounts of verify are %v, want %v", verify.VolumeMounts, want)
	}
	if slices.ContainsFunc(init.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "around" }) {
		t.Errorf("init has a volume around another, and may write to it or keeps the pod from starting: %v", init.VolumeMounts)
	}
	for path, readOnly := range map[string]bool{"/mainctrfs/scratch": false, "/mainctrfs/other": true, "/mainctrfs/around/inner": true} {
		i := slices.IndexFunc(init.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
		if i < 0 || init.VolumeMounts[i].ReadOnly != readOnly {
			t.Errorf("init has %v, want %s with readOnly %v", init.VolumeMounts, path, readOnly)
		}
	}
	if err := sidecar.Check(out, step, pinsFor(step), config); err != nil {
		t.Errorf("Check: %v", err)
	}
	for name, c := range map[string]struct {
		container string
		change    func(*corev1.VolumeMount)
		code      reason.Code
		detail    string
	}{
		"verify may write to it":        {"argoseal-verify", func(m *corev1.VolumeMount) { m.ReadOnly = false }, reason.SidecarAltered, "another VolumeMounts"},
		"verify sees another part":      {"argoseal-verify", func(m *corev1.VolumeMount) { m.SubPath = "x" }, reason.SidecarAltered, "another VolumeMounts"},
		"init writes to another part":   {"init", func(m *corev1.VolumeMount) { m.SubPath = "x" }, reason.SidecarAltered, "init may write to volume scratch"},
		"init writes to another place":  {"init", func(m *corev1.VolumeMount) { m.MountPath += "/in" }, reason.SidecarAltered, "init may write to volume scratch"},
		"init writes to another volume": {"init", func(m *corev1.VolumeMount) { m.Name = "other" }, reason.SidecarAltered, "init may write to volume other"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := out.DeepCopy()
			list := container(changed, c.container).VolumeMounts
			c.change(&list[slices.IndexFunc(list, func(m corev1.VolumeMount) bool { return m.Name == "scratch" })])
			wantRefusal(t, sidecar.Check(changed, step, pinsFor(step), config), c.code, c.detail)
		})
	}
}

func TestARawInputThatVerifyWouldNotFindIsRefusedBesidePins(t *testing.T) {
	elsewhere := func(p *corev1.Pod) {
		main := container(p, "main")
		for i := range main.VolumeMounts {
			if main.VolumeMounts[i].Name == "scratch" {
				main.VolumeMounts[i].SubPath = "x"
			}
		}
	}
	for name, c := range map[string]struct {
		place   string
		change  func(*corev1.Pod)
		refused bool
	}{
		"beside the volume":                {"/scratch2/in", func(*corev1.Pod) {}, false},
		"on the volume":                    {"/scratch/in", func(*corev1.Pod) {}, false},
		"in place of the volume":           {"/scratch", func(*corev1.Pod) {}, true},
		"on what main has not as init":     {"/scratch/in", elsewhere, true},
		"beside what main has not as init": {"/scratch2/in", elsewhere, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod, step := noteOnVolume(t, c.place, c.change)
			if _, err := sidecar.Add(pod, step, pinsFor(step), config); c.refused {
				wantRefusal(t, err, reason.MountUnsupported, "lies on volume scratch")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
