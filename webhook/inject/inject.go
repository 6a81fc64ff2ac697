package inject

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// Pod returns a copy of pod with our containers, the tag, and template and fixed
// kill command of wait. Injecting twice gives the same as injecting once. A tag that
// the pod brings is replaced; a kill command that it brings is refused.
func Pod(pod *corev1.Pod, step *argo.Step, tag string, pins []pin.Pin, cfg sidecar.Config) (*corev1.Pod, error) {
	if v, found := pod.Annotations[layout.AnnotationKillWait]; found && v != layout.KillWait {
		return nil, reason.New(reason.WaitAltered, "annotation %s is not %s", layout.AnnotationKillWait, layout.KillWait)
	}
	out, err := sidecar.Add(pod, step, pins, cfg)
	if err != nil {
		return nil, err
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[v1alpha1.AnnotationTag] = tag
	out.Annotations[layout.AnnotationKillWait] = layout.KillWait
	return out, nil
}
