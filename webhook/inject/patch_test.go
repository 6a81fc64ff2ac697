package inject_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gomodules.xyz/jsonpatch/v2"
	evanphx "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/webhook/inject"
)

// recorded are all pods that Argo is known to have made, by where they are from.
func recorded(t testing.TB) map[string]*corev1.Pod {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	for _, name := range argotest.Supported() {
		pods[name] = argotest.Pod(t, name)
	}
	for _, version := range argotest.ContractVersions() {
		for _, name := range []string{"own", "library", "whole"} {
			made, _ := argotest.Contract(t, version, name)
			for _, pod := range made {
				pods[version+" "+name+" "+pod.Name] = pod
			}
		}
	}
	return pods
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// patched applies a patch as the API server does.
func patched(t testing.TB, raw []byte, operations []jsonpatch.Operation) any {
	t.Helper()
	p, err := evanphx.DecodePatch(encoded(t, operations))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Apply(raw)
	if err != nil {
		t.Fatalf("%v, of %s", err, encoded(t, operations))
	}
	var is any
	if err := json.Unmarshal(out, &is); err != nil {
		t.Fatal(err)
	}
	return is
}

// agrees wants a patch to make the pod of the other one, and to say the same as one that
// was found by comparing the two as documents.
func agrees(t testing.TB, before, after *corev1.Pod) []jsonpatch.Operation {
	t.Helper()
	operations, err := inject.Patch(before, after)
	if err != nil {
		t.Fatalf("Patch: %v", err)
	}
	b, a := encoded(t, before), encoded(t, after)
	compared, err := jsonpatch.CreatePatch(b, a)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := patched(t, b, compared), patched(t, b, operations); !reflect.DeepEqual(want, got) {
		t.Fatalf("the patch makes another pod than that of the two documents (-documents +patch):\n%s", cmp.Diff(want, got))
	}
	return operations
}

// argued is the pod with references in the arguments of its step, which Argo copies into
// the template.
func argued(t testing.TB, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pod = pod.DeepCopy()
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for j := range list[i].Env {
				if e := &list[i].Env[j]; e.Name == "ARGO_TEMPLATE" {
					e.Value = strings.Replace(e.Value, `"metadata":{`, `"annotations":{"a":"$(ARGO_NODE_ID) $$"},"metadata":{`, 1)
				}
			}
		}
	}
	return pod
}

func TestAPatchMakesThePodThatWasInjected(t *testing.T) {
	pods := recorded(t)
	literals, confined := 0, 0
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		for how, change := range map[string]func(*corev1.Pod){
			"as it is":            func(*corev1.Pod) {},
			"without annotations": func(p *corev1.Pod) { p.Annotations = nil },
			"without variables":   func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil },
			"without volumes":     func(p *corev1.Pod) { p.Spec.Volumes = nil },
			"with references":     func(p *corev1.Pod) { *p = *argued(t, p) },
			"with volumes of its own, one in another": func(p *corev1.Pod) {
				init := &p.Spec.InitContainers[0]
				for _, at := range []string{"/mainctrfs/outer", "/mainctrfs/outer/inner", "/mainctrfs/other"} {
					init.VolumeMounts = append(init.VolumeMounts, corev1.VolumeMount{Name: "own", MountPath: at})
				}
			},
		} {
			pod := pods[name].DeepCopy()
			change(pod)
			literal := argo.Literal(pod)
			step, err := argo.Parse(literal)
			if err != nil {
				continue
			}
			for _, logs := range []bool{false, true} {
				if logs && how != "as it is" {
					continue
				}
				if logs {
					step = step.WithLogs()
				}
				bare, err := inject.Pod(literal, step, tag, nil, config)
				if err != nil {
					continue
				}
				full, err := inject.Pod(literal, step, tag, pinsFor(step), config)
				if err != nil {
					continue
				}
				operations := agrees(t, pod, full)
				// The API server calls again where another webhook changed the pod since.
				agrees(t, bare, full)
				agrees(t, full, bare)
				if again := agrees(t, full, full.DeepCopy()); len(again) > 0 {
					t.Errorf("%s, %s: nothing is changed by %s", name, how, encoded(t, again))
				}
				text := string(encoded(t, operations))
				if strings.Contains(text, `u0024`) {
					literals++
				}
				if strings.Contains(text, `/readOnly"`) || strings.Contains(text, `"remove"`) {
					confined++
				}
			}
		}
	}
	if len(pods) < 40 || literals < 10 || confined == 0 {
		t.Errorf("of %d pods %d had references, and %d had mounts confined", len(pods), literals, confined)
	}
}

// What this version of the types does not know stays, wherever it is.
func TestAPatchLeavesTheFuture(t *testing.T) {
	var future func(any)
	future = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, child := range v {
				future(child)
			}
			v["ofTheFuture"] = "stays"
		case []any:
			for _, child := range v {
				future(child)
			}
		}
	}
	for _, name := range argotest.Supported() {
		pod, step := argotest.Parsed(t, name)
		var document map[string]any
		if err := json.Unmarshal(encoded(t, pod), &document); err != nil {
			t.Fatal(err)
		}
		spec := document["spec"].(map[string]any)
		for _, list := range []string{"initContainers", "containers", "volumes"} {
			future(spec[list])
		}
		raw := encoded(t, document)
		after, err := inject.Pod(pod, step, tag, pinsFor(step), config)
		if err != nil {
			continue
		}
		operations, err := inject.Patch(pod, after)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		had, has := strings.Count(string(raw), "ofTheFuture"), strings.Count(string(encoded(t, patched(t, raw, operations))), "ofTheFuture")
		if gone := strings.Count(string(encoded(t, operations)), `"remove"`); had == 0 || has < had-gone {
			t.Errorf("%s: there were %d, and are %d with %d mounts less", name, had, has, gone)
		}
	}
}

// Whatever differs between two pods, a patch makes one of the other, or there is none.
func TestAPatchMakesAnyPodOrNone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same each time
	pods := recorded(t)
	names := slices.Sorted(maps.Keys(pods))
	made, refused := 0, 0
	for range 600 {
		before := pods[names[random.IntN(len(names))]].DeepCopy()
		after := before.DeepCopy()
		if step, err := argo.Parse(after); err == nil && random.IntN(2) == 0 {
			if full, err := inject.Pod(after, step, tag, pinsFor(step), config); err == nil {
				after = full
			}
		}
		for range random.IntN(5) {
			alter(random, after)
		}
		operations, err := inject.Patch(before, after)
		if err != nil {
			refused++
			continue
		}
		made++
		var got corev1.Pod
		if err := json.Unmarshal(encoded(t, patched(t, encoded(t, before), operations)), &got); err != nil {
			t.Fatal(err)
		}
		if !equality.Semantic.DeepEqual(&got, after) {
			t.Fatalf("the patch makes another pod (-wanted +made):\n%s", cmp.Diff(after, &got))
		}
	}
	if made < 100 || refused < 10 {
		t.Errorf("%d patches were made, and %d refused", made, refused)
	}
}

// alter changes something in a pod: mostly what injection changes, and at times else.
func alter(random *rand.Rand, p *corev1.Pod) {
	name := func() string { return string(rune('a' + random.IntN(4))) }
	list := &p.Spec.InitContainers
	if random.IntN(2) == 0 {
		list = &p.Spec.Containers
	}
	var c *corev1.Container
	if len(*list) > 0 {
		c = &(*list)[random.IntN(len(*list))]
	}
	switch random.IntN(10) {
	case 0:
		p.Annotations = map[string]string{"~/" + name(): name()}
	case 1:
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations["a/~1~0/"+name()] = name()
	case 2:
		*list = shuffled(random, *list)
	case 3:
		*list = append(*list, corev1.Container{Name: argo.ReservedPrefix + name(), Image: name()})
	case 4:
		p.Spec.Volumes = append(shuffled(random, p.Spec.Volumes), corev1.Volume{Name: argo.ReservedPrefix + name()})
	case 5:
		if c != nil {
			c.Env = append(shuffled(random, c.Env), corev1.EnvVar{Name: name(), Value: name()})
		}
	case 6:
		if c != nil && len(c.Env) > 0 {
			c.Env[random.IntN(len(c.Env))].Value = []string{"", name()}[random.IntN(2)]
		}
	case 7:
		if c != nil && len(c.VolumeMounts) > 0 {
			m := &c.VolumeMounts[random.IntN(len(c.VolumeMounts))]
			m.ReadOnly = !m.ReadOnly
		}
	case 8:
		if c != nil {
			c.VolumeMounts = shuffled(random, c.VolumeMounts)
		}
	default:
		if c != nil {
			c.Args, p.Spec.NodeName = append(c.Args, name()), name()
		}
	}
}

// shuffled is some of a list, in another order.
func shuffled[T any](random *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:len(list)-min(len(list), random.IntN(2))]
}

func TestAPatchHidesNoOtherChange(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"of the pod":           func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"of its metadata":      func(p *corev1.Pod) { p.Labels["a"] = "b" },
		"of a container":       func(p *corev1.Pod) { p.Spec.Containers[1].Image = "other" },
		"of a variable":        func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].ValueFrom = nil },
		"of a mount":           func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts[0].Name = "other" },
		"of a volume":          func(p *corev1.Pod) { p.Spec.Volumes[0].EmptyDir = nil },
		"of an init container": func(p *corev1.Pod) { p.Spec.InitContainers[0].Args = []string{"a"} },
	} {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "consume")
			after := injected(t, pod, step).DeepCopy() // it shares much with the one before
			if _, err := inject.Patch(pod, after); err != nil {
				t.Fatal(err)
			}
			change(after)
			if operations, err := inject.Patch(pod, after); err == nil {
				t.Errorf("it is hidden by %s", encoded(t, operations))
			}
		})
	}
}

func TestAPatchFollowsLists(t *testing.T) {
	named := func(names string) *corev1.Pod {
		pod := &corev1.Pod{}
		for _, name := range names {
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: string(name)})
		}
		return pod
	}
	for _, test := range []struct{ before, after string }{
		{"", ""}, {"", "ab"}, {"ab", ""}, {"ab", "ab"}, {"ab", "ba"}, {"ab", "axb"}, {"axb", "ab"}, {"abc", "cab"}, {"abcd", "dxcb"},
		{"aab", "aba"}, {"aa", "a"}, {"a", "aa"}, {"abab", "bbaa"}, {"abc", "xyz"}, {"xa", "ya"},
	} {
		before, after := named(test.before), named(test.after)
		operations, err := inject.Patch(before, after)
		if err != nil {
			t.Fatal(err)
		}
		got := patched(t, encoded(t, before), operations).(map[string]any)["spec"].(map[string]any)["initContainers"]
		var names string
		for _, c := range list(got) {
			names += c.(map[string]any)["name"].(string)
		}
		if names != test.after {
			t.Errorf("%s becomes %s instead of %s by %s", test.before, names, test.after, encoded(t, operations))
		}
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
