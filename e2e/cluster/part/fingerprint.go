package part

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Fingerprint changes whenever something changes that [Storage] and these
// workloads would apply: a version, a manifest, a test image.
func Fingerprint(workloads []Workload) string {
	texts := []string{corednsYAML, s3YAML, argoYAML, gcsYAML, registryYAML, string(argosay), recyclerPod}
	for _, r := range Cluster(workloads) {
		texts = append(texts, r.Key())
	}
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
