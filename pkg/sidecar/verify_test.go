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
		if !m.ReadOnly && !slices.Contains(looked, m.Name) {
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

func TestARawInputOnAVolumeIsRefusedBesidePins(t *testing.T) {
	for place, refused := range map[string]bool{"/scratch/in": true, "/scratch": true, "/scratch2/in": false} {
		pod, _ := both(t)
		init := container(pod, "init")
		for i := range init.Env {
			if v := &init.Env[i]; v.Name == "ARGO_TEMPLATE" {
				v.Value = strings.Replace(v.Value, `"/etc/note"`, `"`+place+`"`, 1)
			}
		}
		step, err := argo.Parse(pod)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sidecar.Add(pod, step, pinsFor(step), config); !refused {
			if err != nil {
				t.Errorf("%s: %v", place, err)
			}
		} else {
			wantRefusal(t, err, reason.MountUnsupported, "lies on volume scratch")
		}
	}
}
