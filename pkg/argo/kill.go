package argo

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// killAnnotations begin the annotation in which a pod says what Argo runs in a
// container to end it; the container's name follows.
const killAnnotations = layout.Prefix + "kill-cmd-"

// killSignals are those that Argo's controller sends (its pod/queue.go).
var killSignals = []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}

// Kills says whether this is a command that Argo's controller runs in a container
// of the pod to end it (its signal.SignalContainer): what the pod's annotation for
// the container says, else Argo's own. In Argo's containers it is KillCommand and
// nothing else, and in ours there is none.
func Kills(pod *corev1.Pod, container string, command []string) bool {
	pattern := killPattern(pod, container)
	if len(pattern) == 0 || len(pattern) != len(command) {
		return false
	}
	return slices.ContainsFunc(killSignals, func(s syscall.Signal) bool {
		for i, word := range pattern {
			if said, ok := sending(word, s); !ok || said != command[i] {
				return false
			}
		}
		return true
	})
}

// sending is a word with the signal's number in it. Argo formats the word, and a format can
// ask for a million characters with ten of its own, again and again. So one that has more
// to it than the number, and percent signs for themselves, is none.
func sending(word string, s syscall.Signal) (string, bool) {
	if !strings.Contains(word, "%d") {
		return word, true
	}
	if strings.Count(strings.ReplaceAll(word, "%%", ""), "%") != 1 {
		return "", false
	}
	return strings.NewReplacer("%%", "%", "%d", strconv.Itoa(int(s))).Replace(word), true
}

// killPattern is the command before the signal's number is put in: nothing if the
// container is none that Argo ends.
func killPattern(pod *corev1.Pod, container string) []string {
	switch {
	case strings.HasPrefix(container, ReservedPrefix):
		return nil
	case container == layout.ContainerInit, container == layout.ContainerWait:
		return words(layout.KillWait)
	}
	c := findContainer(pod.Spec.Containers, container)
	if c == nil {
		return nil
	}
	if text, found := pod.Annotations[killAnnotations+container]; found {
		return words(text)
	}
	if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == layout.PathRun }) {
		return []string{layout.PathExecutor, "kill", "%d", "1"}
	}
	return []string{"/bin/sh", "-c", "kill -%d 1"}
}

// words reads a command in JSON: nothing if it is none.
func words(text string) []string {
	var w []string
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return nil
	}
	return w
}
