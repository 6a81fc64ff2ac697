package argo_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
)

// allocated is how many bytes somebody asks for.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bombs are patches that are small as text, and small once they are merged by name.
func bombs() map[string]string {
	var nested strings.Builder
	nested.WriteString("x0: &x0 {name: X}\n")
	for i := 1; i < 6; i++ {
		fmt.Fprintf(&nested, "x%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i-1), 9), ","))
	}
	const main = "containers: [{name: main, env: ["
	return map[string]string{
		"a large value many times": main + `&a {name: X, value: "` + strings.Repeat("x", 50000) + `"}` + strings.Repeat(",*a", 3000) + "]}]",
		"merged":                   main + `&a {name: X, value: "` + strings.Repeat("x", 50000) + `"}` + strings.Repeat(",{<<: *a}", 3000) + "]}]",
		"a key many times":         main + `{name: &a "` + strings.Repeat("x", 50000) + `"}` + strings.Repeat(",{*a : 1}", 3000) + "]}]",
		"lists of lists":           nested.String(),
	}
}

// A patch takes about the memory of its text, or of what its aliases write out up to what
// a pod may have: neither the gate nor the notary dies of one.
func TestAPatchDoesNotUnpackWithoutBound(t *testing.T) {
	const most = 24 << 20
	for name, bomb := range bombs() {
		for _, field := range []string{"template", "spec"} {
			for as, patch := range map[string]string{
				"in full":         bomb,
				"by a parameter":  "# {{workflow.parameters.p}}\n" + bomb,
				"in its document": bomb + "\n# {{workflow.parameters.p}}\n",
			} {
				t.Run(name+", "+field+", "+as, func(t *testing.T) {
					pod, wf := producing(t, field, patch, patch)
					step, err := argo.Parse(pod)
					if err != nil {
						t.Fatal(err)
					}
					if took := allocated(func() { _, err = argo.Altered(pod, step, wf) }); took > most {
						t.Errorf("it took %d MiB to compare a pod whose patch has %d KiB", took>>20, len(patch)>>10)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestAPatchThatCannotBeRightIsNotDecoded(t *testing.T) {
	for name, patch := range map[string]string{
		"in itself":                    "a: &a [*a]",
		"in itself, by another":        "a: &a {b: &b [*a]}",
		"an alias of nothing":          "a: *a",
		"too long":                     "a: " + strings.Repeat("x", 1<<17),
		"many values without an alias": "a: [" + strings.Repeat("{},", 20000) + "]",
	} {
		if err := argo.BoundPatch(patch); err == nil {
			t.Errorf("%s: it is decoded", name)
		}
	}
}

// mirroring has containers that mirror main's mounts, and a patch that takes them out of the pod.
func mirroring(t *testing.T, containers, mounts int) (*corev1.Pod, *definition.Workflow) {
	t.Helper()
	var users, deletes, of []string
	for i := range containers {
		users = append(users, fmt.Sprintf(`{"name":"s%d","image":"x","mirrorVolumeMounts":true}`, i))
		deletes = append(deletes, fmt.Sprintf(`{name: s%d, $patch: delete}`, i))
	}
	for i := range mounts {
		of = append(of, fmt.Sprintf(`{"name":"v","mountPath":"/m/%d"}`, i))
	}
	pod, wf := producing(t, "spec", "containers: ["+strings.Join(deletes, ", ")+"]", "")
	v := env(initOf(pod), "ARGO_TEMPLATE")
	v.Value = strings.Replace(v.Value, `"container":{`, `"sidecars":[`+strings.Join(users, ",")+`],"container":{"volumeMounts":[`+strings.Join(of, ",")+`],`, 1)
	for i := range mounts {
		mainOf(pod).VolumeMounts = append(mainOf(pod).VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: fmt.Sprint("/m/", i)})
	}
	return pod, wf
}

// A template of 30 KiB makes a pod of 90,000 mounts, which its own patch takes out again.
func TestContainersThatMirrorOthersAreCountedBeforeTheyAreMade(t *testing.T) {
	pod, wf := mirroring(t, 300, 300)
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if took := allocated(func() { _, err = argo.Altered(pod, step, wf) }); took > 16<<20 || err != nil {
		t.Errorf("it took %d MiB to compare a pod of %d bytes: %v", took>>20, pod.Size(), err)
	}
	// Twin: what people write is the template's, as before.
	pod, wf = mirroring(t, 10, 100)
	if got := altered(t, pod, wf); len(got) > 0 {
		t.Errorf("it is said to be altered: %q", got)
	}
}

// To merge lists takes time by the square of their lengths: two seconds for these.
func TestLongListsAreNotMerged(t *testing.T) {
	variables := func(from, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"name":"v%d"}`, from+i))
		}
		return strings.Join(all, ",")
	}
	for name, n := range map[string]int{"long": 6000, "as people have them": 300} {
		more := n / 3 // a patch of many values is not applied in any case
		pod, wf := producing(t, "spec", `{"containers":[{"name":"main","env":[`+variables(n, more)+`]}]}`, "")
		v := env(initOf(pod), "ARGO_TEMPLATE")
		v.Value = strings.Replace(v.Value, `"container":{`, `"container":{"env":[`+variables(0, n)+`],`, 1)
		for i := range n + more { // the patch's are first, as Argo has it
			mainOf(pod).Env = append(mainOf(pod).Env, corev1.EnvVar{Name: fmt.Sprint("v", (i+n)%(n+more))})
		}
		if got := altered(t, pod, wf); (len(got) > 0) != (n > 1000) {
			t.Errorf("%s: altered are %.200q", name, got)
		}
	}
}

// All pods of a loop come at once, and each patch takes a hundred times its text as nodes.
func TestFewPatchesAreParsedAtATime(t *testing.T) {
	free := argo.FillParsing()
	done := make(chan error, 1)
	go func() { done <- argo.BoundPatch("a: b") }()
	select {
	case err := <-done:
		t.Errorf("it does not wait for the others: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	free()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Twin: a patch with aliases that people write is the template's, as before.
func TestAPatchWithAliasesCountsAsTheTemplates(t *testing.T) {
	const patch = `
x-common: &common
  - &x {name: X, value: "y"}
  - {name: Z, value: "y"}
containers:
  - {name: main, env: *common}
  - {name: helper, env: [*x]}
`
	for _, field := range []string{"template", "spec"} {
		pod, wf := producing(t, field, patch, patch)
		mainOf(pod).Env = append([]corev1.EnvVar{{Name: "X", Value: "y"}, {Name: "Z", Value: "y"}}, mainOf(pod).Env...)
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "helper", Env: []corev1.EnvVar{{Name: "X", Value: "y"}}})
		if got := altered(t, pod, wf); len(got) > 0 {
			t.Errorf("%s: it is said to be altered: %q", field, got)
		}
	}
	// Each of fifty containers has the same variables.
	large := "x: &x\n" + strings.Repeat("  - {name: SOME_VARIABLE, value: some value}\n", 20) + "containers:\n"
	for i := range 50 {
		large += fmt.Sprintf("  - {name: c%d, env: *x}\n", i)
	}
	if err := argo.BoundPatch(large); err != nil {
		t.Errorf("a large one: %v", err)
	}
}

// What counts the bytes of a patch is not the parser that writes its aliases out.
func FuzzBoundPatch(f *testing.F) {
	for _, bomb := range bombs() {
		f.Add(bomb)
	}
	f.Add("a: &a {b: 1}\nc: {<<: *a, d: [*a, *a]}\n---\n%YAML 1.1\n")
	f.Fuzz(func(t *testing.T, patch string) {
		if argo.BoundPatch(patch) != nil {
			return
		}
		// A byte may be six in JSON.
		if raw, err := yaml.YAMLToJSON([]byte(patch)); err == nil && len(raw) > 6<<20 {
			t.Errorf("it has %d bytes as JSON", len(raw))
		}
	})
}
