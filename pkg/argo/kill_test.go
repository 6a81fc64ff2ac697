package argo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

func TestKills(t *testing.T) {
	const own = "workflows.argoproj.io/kill-cmd-main"
	annotated := func(text string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations[own] = text }
	}
	unmounted := func(p *corev1.Pod) { mainOf(p).VolumeMounts = nil }
	for name, c := range map[string]struct {
		change    func(*corev1.Pod)
		container string
		command   []string
		want      bool
	}{
		"main is told to end":                 {nil, "main", []string{"/var/run/argo/argoexec", "kill", "15", "1"}, true},
		"main is killed":                      {nil, "main", []string{"/var/run/argo/argoexec", "kill", "9", "1"}, true},
		"wait is told to end":                 {nil, "wait", []string{"/bin/argoexec", "kill", "15", "1"}, true},
		"one without Argo's folder":           {unmounted, "main", []string{"/bin/sh", "-c", "kill -15 1"}, true},
		"its own command":                     {annotated(`["sh","-c","kill -%d $(pidof x)"]`), "main", []string{"sh", "-c", "kill -9 $(pidof x)"}, true},
		"its own command with a percent sign": {annotated(`["sh","-c","date +%%s; kill 100%%%d 1"]`), "main", []string{"sh", "-c", "date +%s; kill 100%15 1"}, true},
		"its own command without a signal":    {annotated(`["/stop"]`), "main", []string{"/stop"}, true},

		"another program":                             {nil, "main", []string{"/bin/sh"}, false},
		"nothing":                                     {nil, "main", nil, false},
		"another signal":                              {nil, "main", []string{"/var/run/argo/argoexec", "kill", "15;x", "1"}, false},
		"another process":                             {nil, "main", []string{"/var/run/argo/argoexec", "kill", "15", "7"}, false},
		"one word more":                               {nil, "main", []string{"/var/run/argo/argoexec", "kill", "15", "1", "x"}, false},
		"one word less":                               {nil, "main", []string{"/var/run/argo/argoexec", "kill", "15"}, false},
		"Argo's own where the pod has its own":        {annotated(`["/stop"]`), "main", []string{"/var/run/argo/argoexec", "kill", "15", "1"}, false},
		"another's own":                               {annotated(`["/stop"]`), "other", []string{"/stop"}, false},
		"an empty one of its own":                     {annotated(`[]`), "main", nil, false},
		"one of its own that is none":                 {annotated(`"/stop"`), "main", []string{"/stop"}, false},
		"a word without end":                          {annotated(`["%d%999999d"]`), "main", []string{"15"}, false},
		"a word with the number twice":                {annotated(`["%d%[1]d"]`), "main", []string{"1515"}, false},
		"a number that is no number":                  {annotated(`["%%d"]`), "main", []string{"%d"}, false},
		"the argoexec that main can rewrite, in wait": {nil, "wait", []string{"/var/run/argo/argoexec", "kill", "15", "1"}, false},
		"wait by a command of the pod's":              {func(p *corev1.Pod) { p.Annotations[layout.AnnotationKillWait] = `["/x"]` }, "wait", []string{"/x"}, false},
		"our sidecar":                                 {nil, argo.SignerContainer, []string{"/bin/argoexec", "kill", "15", "1"}, false},
		"no container":                                {nil, "", []string{"/var/run/argo/argoexec", "kill", "15", "1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "everything")
			if c.change != nil {
				c.change(pod)
			}
			if got := argo.Kills(pod, c.container, c.command); got != c.want {
				t.Errorf("%s in %q: %t, want %t", strings.Join(c.command, " "), c.container, got, c.want)
			}
		})
	}
}

// Twelve bytes of a format make a megabyte, as often as they stand in a word: whoever makes
// the pod does not have the webhook write that.
func TestAKillCommandTakesNoMoreThanItsLength(t *testing.T) {
	pod := argotest.Pod(t, "everything")
	pod.Annotations["workflows.argoproj.io/kill-cmd-main"] = `["%d` + strings.Repeat("%999999[1]d", 100) + `"]`
	if took := allocated(func() {
		if argo.Kills(pod, "main", []string{"x"}) {
			t.Error("it is one")
		}
	}); took > 1<<20 {
		t.Errorf("it took %d KiB", took>>10)
	}
}
