package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// TestWhatIsNotKnownIsNotCalledPlain: while the servers differ, nobody can say under which
// key objects should lie, and what is plain is plain.
func TestWhatIsNotKnownIsNotCalledPlain(t *testing.T) {
	made, err := encryption.NewKey(encryption.Secretbox, 0, time.Unix(1e9, 0), strings.NewReader(strings.Repeat("k", 64)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := encryption.NewConfig(made)
	if err != nil {
		t.Fatal(err)
	}
	old, identity, lost := made.Ref, encryption.Ref{Provider: encryption.Identity}, encryption.Ref{Provider: encryption.Secretbox, Name: "lost"}
	scan := func(objects map[encryption.Ref]int) *encryption.Scan { return &encryption.Scan{Objects: objects} }
	for name, c := range map[string]struct {
		scan  *encryption.Scan
		write encryption.Ref
		want  metav1.ConditionStatus
	}{
		"all under a key, and written with it":      {scan(map[encryption.Ref]int{old: 5}), old, metav1.ConditionTrue},
		"all under a key, and nobody knows":         {scan(map[encryption.Ref]int{old: 5}), encryption.Ref{}, metav1.ConditionUnknown},
		"all under a key, and new ones as they are": {scan(map[encryption.Ref]int{old: 5}), identity, metav1.ConditionFalse},
		"one as it is, and nobody knows":            {scan(map[encryption.Ref]int{old: 5, identity: 1}), encryption.Ref{}, metav1.ConditionFalse},
		"one under a key that no file has":          {scan(map[encryption.Ref]int{old: 5, lost: 1}), old, metav1.ConditionUnknown},
		"nothing was read":                          {nil, old, metav1.ConditionUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			step := encryption.Step{Action: encryption.WriteFiles, Write: c.write}
			seen := encryption.Observed{Scan: c.scan, Servers: []encryption.Server{{Name: "0", File: file}}}
			// Whatever else goes on.
			for _, step.Reason = range []encryption.Reason{encryption.ReadKeySpread, encryption.ReadKeyRestored, "EscrowFull"} {
				if got, reason, message := encrypted(seen, step); got != c.want || reason == "" || message == "" {
					t.Errorf("%s (%s: %s), want %s", got, reason, message, c.want)
				}
			}
			registry := prometheus.NewRegistry()
			m := NewMetrics(registry)
			// What was said before of another key is not said any more.
			m.observe(encryption.Observed{Scan: scan(map[encryption.Ref]int{old: 7})}, encryption.Step{Write: old}, 1)
			m.observe(encryption.Observed{Scan: c.scan}, step, 2)
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "argoseal_sentinel_objects" && (len(f.GetMetric()) == 1) != (c.write == encryption.Ref{}) {
					t.Errorf("%v", f.GetMetric())
				}
			}
		})
	}
}
