package notary

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Our check runs in the executor's image where it compares argoexec: what that one has it
// trusts. Elsewhere it runs in ours.
func TestTheCheckRanInTheExecutorThatIsPinned(t *testing.T) {
	const executor, signer, other = "argoexec@sha256:aa", "signer@sha256:bb", "argoexec@sha256:cc"
	for title, c := range map[string]struct {
		image, ran string
		want       reason.Code
	}{
		"in the executor's image":                      {executor, executor, ""},
		"in another one than the pod says":             {executor, other, reason.StructureAltered},
		"in our image":                                 {signer, signer, ""},
		"in the executor's, and no digest is reported": {executor, "sha256:dd", ""},
	} {
		t.Run(title, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{
				{Name: layout.ContainerInit, Image: executor}, {Name: containerVerify, Image: c.image},
			}}}
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: layout.ContainerInit, ImageID: executor}, {Name: containerVerify, ImageID: c.ran}}
			if err := sameExecutor(pod, executor); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
