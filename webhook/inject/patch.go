package inject

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo"
)

// Patch spells how a pod becomes what Pod made of it, or of argo.Literal of it: what these
// add and change, place by place. So what this version of the types does not know stays,
// in containers of Argo's, too, and nothing is spelled that stays as it is. Anything else
// that differs between the two pods is an error: a patch without it would be another pod.
func Patch(before, after *corev1.Pod) ([]jsonpatch.Operation, error) {
	p := &patch{}
	p.annotations(before.Annotations, after.Annotations)
	changed(p, "/spec/initContainers", before.Spec.InitContainers, after.Spec.InitContainers, containerName, p.container)
	changed(p, "/spec/containers", before.Spec.Containers, after.Spec.Containers, containerName, p.container)
	changed(p, "/spec/volumes", before.Spec.Volumes, after.Spec.Volumes, func(v *corev1.Volume) string { return v.Name }, p.volume)
	b, a := *before, *after
	for _, rest := range []*corev1.Pod{&b, &a} {
		rest.Annotations, rest.Spec.InitContainers, rest.Spec.Containers, rest.Spec.Volumes = nil, nil, nil, nil
	}
	p.same("the pod", &b, &a)
	return p.operations, p.err
}

// patch collects what has changed. Places are those of the pod as the operations before
// have left it.
type patch struct {
	operations []jsonpatch.Operation
	err        error
	// rest are what is left of two containers: one place for all, each has half a KiB.
	rest [2]corev1.Container
}

// set gives a member a value, whether it has one or not.
func (p *patch) set(at string, value any) {
	p.operations = append(p.operations, jsonpatch.NewOperation("add", at, value))
}

func (p *patch) remove(at string) {
	p.operations = append(p.operations, jsonpatch.NewOperation("remove", at, nil))
}

// same wants two values to be equal.
func (p *patch) same(what string, before, after any) {
	if p.err == nil && !equal(before, after) {
		p.err = fmt.Errorf("%.300s was changed beyond what a patch says", what)
	}
}

// equal says whether two values are the same. Most are copies of each other, which the
// first comparison sees in a fraction of the time; the second takes equal quantities and
// times for equal, however they are spelled, and an empty list for none.
func equal(before, after any) bool {
	return reflect.DeepEqual(before, after) || equality.Semantic.DeepEqual(before, after)
}

func (p *patch) annotations(before, after map[string]string) {
	const at = "/metadata/annotations"
	if len(before) == 0 && len(after) > 0 {
		p.set(at, after)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if value, found := before[key]; !found || value != after[key] {
			p.set(at+"/"+member(key), after[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, found := after[key]; !found {
			p.remove(at + "/" + member(key))
		}
	}
}

// member is a name as a part of a place (RFC 6901).
func member(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// changed compares two lists whose elements have names. What only one of them has is added
// or removed, in the order of the later one, and what both have is compared in place.
func changed[T any](p *patch, at string, before, after []T, name func(*T) string, compare func(at func() string, before, after *T)) {
	switch {
	case len(before) == 0 && len(after) > 0:
		p.set(at, after)
		return
	case len(before) > 0 && len(after) == 0:
		p.remove(at)
		return
	}
	i, k := 0, 0 // of before, and of the list as it is by now
	place := func() string { return at + "/" + strconv.Itoa(k) }
	stays := func(b *T, later []T) bool {
		for j := range later { // an element has up to half a KiB
			if name(&later[j]) == name(b) {
				return true
			}
		}
		return false
	}
	for j := range after {
		for i < len(before) && name(&before[i]) != name(&after[j]) && !stays(&before[i], after[j+1:]) {
			p.remove(place())
			i++
		}
		if i < len(before) && name(&before[i]) == name(&after[j]) {
			compare(place, &before[i], &after[j])
			i++
		} else {
			p.set(place(), after[j])
		}
		k++
	}
	for ; i < len(before); i++ {
		p.remove(place())
	}
}

func containerName(c *corev1.Container) string { return c.Name }

// container compares two of one name. Ours are as we make them; of Argo's and the step's
// own, variables are given or written otherwise, and mounts given, taken away or made
// read-only, as is the root.
func (p *patch) container(at func() string, before, after *corev1.Container) {
	here := at()
	if strings.HasPrefix(after.Name, argo.ReservedPrefix) {
		if !equal(before, after) {
			p.operations = append(p.operations, jsonpatch.NewOperation("replace", here, *after))
		}
		return
	}
	changed(p, here+"/env", before.Env, after.Env, func(v *corev1.EnvVar) string { return v.Name }, p.variable)
	changed(p, here+"/volumeMounts", before.VolumeMounts, after.VolumeMounts, func(m *corev1.VolumeMount) string { return m.MountPath }, p.mount)
	b, a := &p.rest[0], &p.rest[1]
	*b, *a = *before, *after
	b.Env, b.VolumeMounts, a.Env, a.VolumeMounts = nil, nil, nil, nil
	b.SecurityContext = p.root(here+"/securityContext", before.SecurityContext, after.SecurityContext)
	p.same("container "+after.Name, b, a)
}

// root changes whether a container's root is read-only, and gives what its security
// context is then.
func (p *patch) root(at string, before, after *corev1.SecurityContext) *corev1.SecurityContext {
	const member = "/readOnlyRootFilesystem"
	switch {
	case equal(before, after):
	case before == nil && equal(after, &corev1.SecurityContext{ReadOnlyRootFilesystem: after.ReadOnlyRootFilesystem}):
		p.set(at, *after)
		return after
	case after == nil && equal(before, &corev1.SecurityContext{ReadOnlyRootFilesystem: before.ReadOnlyRootFilesystem}):
		p.remove(at)
		return nil
	case before != nil && after != nil && !equal(before.ReadOnlyRootFilesystem, after.ReadOnlyRootFilesystem):
		if after.ReadOnlyRootFilesystem == nil {
			p.remove(at + member)
		} else {
			p.set(at+member, *after.ReadOnlyRootFilesystem)
		}
		then := *before
		then.ReadOnlyRootFilesystem = after.ReadOnlyRootFilesystem
		return &then
	}
	return before
}

func (p *patch) variable(at func() string, before, after *corev1.EnvVar) {
	if before.Value != after.Value {
		p.set(at()+"/value", after.Value)
	}
	if before.ValueFrom != nil || after.ValueFrom != nil {
		p.same("variable "+after.Name, before.ValueFrom, after.ValueFrom)
	}
}

func (p *patch) mount(at func() string, before, after *corev1.VolumeMount) {
	switch {
	case before.ReadOnly == after.ReadOnly:
	case after.ReadOnly:
		p.set(at()+"/readOnly", true)
	default:
		p.remove(at() + "/readOnly")
	}
	if before.ReadOnly != after.ReadOnly {
		rest := *before
		rest.ReadOnly, before = after.ReadOnly, &rest
	}
	p.same("the mount at "+after.MountPath, before, after)
}

// volume compares two of one name. Ours is as we make it.
func (p *patch) volume(at func() string, before, after *corev1.Volume) {
	switch {
	case equal(before, after):
	case strings.HasPrefix(after.Name, argo.ReservedPrefix):
		p.operations = append(p.operations, jsonpatch.NewOperation("replace", at(), *after))
	default:
		p.same("volume "+after.Name, before, after)
	}
}
