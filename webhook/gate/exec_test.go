package gate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestExec(t *testing.T) {
	w := newWorld(t)
	tagged := w.admission(t).Pod
	untagged := tagged.DeepCopy()
	delete(untagged.Annotations, v1alpha1.AnnotationTag)
	onlyTagged := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationTag: "t"}}}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "wait"}}}}
	job := other.DeepCopy()
	job.Labels = map[string]string{"workflows.argoproj.io/workflow": "theirs"}
	ended := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"workflows.argoproj.io/workflow": "x", "workflows.argoproj.io/completed": "true"}}}
	argoexec := []string{"/var/run/argo/argoexec", "kill", "15", "1"}
	for name, c := range map[string]struct {
		Session
		allowed bool
	}{
		"Argo ends main":                       {Session{tagged, argotest.Controller, "main", argoexec}, true},
		"Argo ends wait":                       {Session{tagged, argotest.Controller, "wait", []string{"/bin/argoexec", "kill", "15", "1"}}, true},
		"anything in another pod":              {Session{other, "eve", "wait", []string{"/bin/sh"}}, true},
		"anything in a pod of a Job's":         {Session{job, "eve", "wait", []string{"/bin/sh"}}, true},
		"a shell in a pod that has ended":      {Session{ended, "eve", "main", []string{"/bin/sh"}}, false},
		"a shell in main":                      {Session{tagged, "eve", "main", []string{"/bin/sh"}}, false},
		"a shell in a pod without a tag":       {Session{untagged, "eve", "main", []string{"/bin/sh"}}, false},
		"a shell in a pod with nothing else":   {Session{onlyTagged, "eve", "main", []string{"/bin/sh"}}, false},
		"Argo's command by somebody else":      {Session{tagged, "eve", "main", argoexec}, false},
		"another command by Argo":              {Session{tagged, argotest.Controller, "main", []string{"/bin/sh"}}, false},
		"what main can rewrite, in wait":       {Session{tagged, argotest.Controller, "wait", argoexec}, false},
		"Argo's command in the signer":         {Session{tagged, argotest.Controller, argo.SignerContainer, argoexec}, false},
		"Argo attaches":                        {Session{tagged, argotest.Controller, "main", nil}, false},
		"somebody attaches":                    {Session{tagged, "eve", "main", nil}, false},
		"Argo's command without the container": {Session{tagged, argotest.Controller, "", argoexec}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := w.gate.Exec(c.Session)
			if d.Allowed != c.allowed || !d.Allowed && (d.Refusal.Code != reason.ExecGuarded || !d.Always) {
				t.Errorf("decision is %+v (%v)", d, d.Refusal)
			}
		})
	}
}
