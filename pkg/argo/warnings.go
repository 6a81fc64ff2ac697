package argo

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/measurement"
)

// namesDigest says whether an image reference can only ever be the same image.
func namesDigest(image string) bool {
	d, err := name.NewDigest(image)
	return err == nil && strings.HasPrefix(d.DigestStr(), "sha256:")
}

// podSecurity is what the API server's own Pod Security admission asks.
var podSecurity = sync.OnceValues(func() (policy.Evaluator, error) {
	return policy.NewEvaluator(policy.DefaultChecks(), nil)
})

// Warnings lists what keeps a step's pod from the level isolated, though it is not
// refused: what reaches beyond the pod, and what others may have written or
// exchanged. They are sorted, one line each.
func Warnings(pod *corev1.Pod, step *Step) []string {
	var w []string
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	if checks, err := podSecurity(); err != nil {
		add("Pod Security could not be asked: %v", err)
	} else {
		baseline := api.LevelVersion{Level: api.LevelBaseline, Version: api.LatestVersion()}
		for _, c := range checks.EvaluatePod(baseline, &pod.ObjectMeta, &pod.Spec) {
			if !c.Allowed {
				add("Pod Security baseline forbids %s (%.300s)", c.ForbiddenReason, c.ForbiddenDetail)
			}
		}
	}
	reported := map[string]bool{}
	for _, in := range step.Inputs {
		if in.Pinned() && in.Mount() != nil && !in.Mount().Own {
			reported[in.Mount().Volume] = true
			add("input %s lies on volume %s, which other pods and containers may write", in.Name, in.Mount().Volume)
		}
	}
	for _, o := range step.Outputs {
		if o.Place() == measurement.PlacePacked {
			add("output %s is measured where its step packed it, because another one has a file of that name", o.Name)
		}
		switch {
		case o.Volume() == layout.VolumeInputs:
			add("output %s has in it what came as an input, or what became of it", o.Name)
		case o.Volume() != "":
			reported[o.Volume()] = true
			where := "lies on"
			if !step.fromWait(o) {
				where = "has in it, or lies on,"
			}
			add("output %s %s volume %s, which other pods and containers may write", o.Name, where, o.Volume())
		}
	}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.Image != nil && !namesDigest(v.Image.Reference):
			add("volume %s is the image %.200q, which names no digest and can become another one", v.Name, v.Image.Reference)
		case !podsOwn(v.VolumeSource) && !reported[v.Name]:
			add("volume %s may outlive the pod, and other pods may write it", v.Name)
		}
	}
	for _, c := range pod.Spec.ResourceClaims { // one from a template has a name, too, that other pods can give
		add("the devices of claim %s may be shared with other pods, and their driver adds to containers what it likes", c.Name)
	}
	slices.Sort(w)
	return slices.Compact(w)
}

// podsOwn says whether a volume is made for the pod and goes with it, or is only
// read. Unknown kinds are not the pod's own. An ephemeral volume is not either: it
// is a claim whose name is known, and any pod of the namespace may mount that.
func podsOwn(v corev1.VolumeSource) bool {
	switch {
	case v.EmptyDir != nil, v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil, v.Image != nil:
		return true
	}
	return false
}
