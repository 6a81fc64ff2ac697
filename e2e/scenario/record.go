package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/e2e/lab"
)

// Record runs artifact-passing under a fixed name in a fresh, unlabelled
// namespace and returns its pods as JSON, oldest first, without what differs
// between any two runs: UIDs, times, the API server's own bookkeeping, the
// status, and the random suffix of the token volume.
func Record(ctx context.Context, s *Stage, ns string) ([]string, error) {
	if err := s.Lab.Namespace(ctx, ns, ""); err != nil {
		return nil, err
	}
	const name = "artifact-passing-plain"
	run, err := runExample(ctx, s, ns, name)
	if err != nil {
		return nil, err
	}
	// Argo labels the pods of a finished workflow a moment later.
	var pods []corev1.Pod
	err = lab.Eventually(ctx, limit, func(ctx context.Context) (bool, error) {
		var err error
		pods, err = s.Lab.Pods(ctx, ns, name)
		return !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Labels["workflows.argoproj.io/completed"] != "true"
		}), err
	})
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(pods))
	for i := range pods {
		text, err := scrub(&pods[i], run.UID)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// tokenVolume is the name that the ServiceAccount admission plugin makes up.
var tokenVolume = regexp.MustCompile(`kube-api-access-[a-z0-9]{5}\b`)

func scrub(pod *corev1.Pod, workflowUID string) (string, error) {
	p := pod.DeepCopy()
	p.Status = corev1.PodStatus{}
	p.UID, p.ResourceVersion, p.ManagedFields, p.Generation = "", "", nil, 0
	p.CreationTimestamp.Reset()
	raw, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return "", fmt.Errorf("print pod %s: %w", pod.Name, err)
	}
	text := strings.ReplaceAll(string(raw), workflowUID, "WORKFLOW-UID")
	return tokenVolume.ReplaceAllString(text, "kube-api-access-xxxxx"), nil
}

// appendByte copies a file and adds a byte to the copy.
func appendByte(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(content, 0), 0o644)
}
