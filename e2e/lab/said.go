package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// readable bounds the bytes of one pod's log that Said reads.
const readable = 64 << 20

// Said finds the last lines that the pods of a workload logged about something, such
// as a namespace: most of each pod at most. What a pod said before its container
// began anew is not there.
func (l *Lab) Said(ctx context.Context, w Workload, about string, most int) ([]string, error) {
	api, err := kubernetes.NewForConfig(l.Config)
	if err != nil {
		return nil, err
	}
	pods, err := l.PodsOf(ctx, w)
	if err != nil {
		return nil, err
	}
	var said []string
	for _, pod := range pods {
		log, err := api.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{LimitBytes: ptr.To[int64](readable)}).Stream(ctx)
		if err != nil {
			return said, fmt.Errorf("read the log of pod %s: %w", pod.Name, err)
		}
		lines, err := linesAbout(log, about, most)
		log.Close()
		for _, line := range lines {
			said = append(said, pod.Name+": "+line)
		}
		if err != nil {
			return said, fmt.Errorf("read the log of pod %s: %w", pod.Name, err)
		}
	}
	return said, nil
}

// linesAbout keeps the last lines with a word in them.
func linesAbout(r io.Reader, about string, most int) ([]string, error) {
	var lines []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if !strings.Contains(s.Text(), about) {
			continue
		}
		if lines = append(lines, s.Text()); len(lines) > most {
			lines = lines[1:]
		}
	}
	return lines, s.Err()
}
