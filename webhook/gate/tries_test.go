package gate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// A step with a retryStrategy writes one directory with each try. What the last one
// stored anew counts; what only a try left that failed does not.
func TestADirectoryThatWasTriedAgain(t *testing.T) {
	const node = "artifact-passing[0].generate-artifact"
	try := func(n int, more ...func(*provenance.Facts)) func(*provenance.Facts) {
		return func(f *provenance.Facts) {
			f.Step.NodeName = fmt.Sprintf("%s(%d)", node, n)
			for _, change := range more {
				change(f)
			}
		}
	}
	both := content.Files{{Path: "1.txt", SHA256: tree}, {Path: "2.txt", SHA256: tree}}
	for name, c := range map[string]struct {
		first         content.Files
		state, second func(*provenance.Facts)
		change        func(first, second *v1alpha1.ArtifactSeal)
		want          reason.Code
		says          string
	}{
		"is what the last try stored": {first: shard("1.txt", stored), state: try(0, failed), second: try(1)},
		"whatever the nodes' clocks say": {
			first: shard("1.txt", stored), state: try(0, failed), second: try(1),
			change: func(first, _ *v1alpha1.ArtifactSeal) {
				first.Spec.Producer.FinishedAt = metav1.NewTime(now.Add(time.Hour))
			},
		},
		"is refused if a try that failed left a file": {first: shard("0.txt", stored), state: try(0, failed), second: try(1), want: reason.ProducerFailed, says: "0.txt"},
		"is refused if the last try failed, too":      {first: shard("1.txt", stored), state: try(0, failed), second: try(1, failed), want: reason.ProducerFailed, says: "1.txt"},
		"is refused if the try that failed was later": {first: both, state: try(1, failed), second: try(0), want: reason.ProducerFailed, says: "1.txt"},
		"is refused if another step failed beside it": {
			first: shard("1.txt", stored), state: failed, second: func(*provenance.Facts) {}, want: reason.PrefixUnsupported, says: "beside each other",
		},
		"is the same bytes, whoever stored them": {first: shard("1.txt", tree), state: failed, second: func(*provenance.Facts) {}},
		"is refused if the try that failed was another builder's": {
			first: shard("1.txt", stored), state: try(0, failed, func(f *provenance.Facts) { f.Builder.Cluster = "another" }), second: try(1), want: reason.BuilderNotTrusted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := filling(t, c.first, both)
			var first *v1alpha1.ArtifactSeal
			for _, s := range w.evidence.seals {
				if s.Name != artifact.SealName(w.location.Prefix(), w.step.WorkflowUID) {
					first = s
				}
			}
			second := w.evidence.seals[artifact.SealName(w.location.Prefix(), w.step.WorkflowUID)]
			w.restate(t, first, c.state)
			w.restate(t, second, c.second)
			if c.change != nil {
				c.change(first, second)
			}
			v := w.evaluate(t)
			switch {
			case v.Allowed != (c.want == ""), v.Refusal != nil && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)):
				t.Errorf("verdict is %+v (%v), want %q: %s", v, v.Refusal, c.want, c.says)
			case v.Allowed && v.Pins[0].Tree != both.Tree():
				t.Errorf("pinned is %s", v.Pins[0].Files)
			}
		})
	}
}

// A try that failed wrote the key before the one that succeeded, whatever the clock of
// its node says of its end.
func TestAnEarlierTryOverwroteNothing(t *testing.T) {
	for name, c := range map[string]struct {
		earlier, later string
		want           reason.Code
	}{
		"of the same step":   {"artifact-passing[0].generate-artifact(0)", "artifact-passing[0].generate-artifact(1)", ""},
		"that came after":    {"artifact-passing[0].generate-artifact(1)", "artifact-passing[0].generate-artifact(0)", reason.NotSealed},
		"of nobody knows":    {"artifact-passing[0].generate-artifact(0:a)", "artifact-passing[0].generate-artifact(1:b)", reason.NotSealed},
		"of another, before": {"artifact-passing[0].other", "artifact-passing[0].generate-artifact(1)", reason.NotSealed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Step.NodeName = c.later })
			ahead := w.producer(t, "produce", "99999999-0000-4000-8000-000000000042", now.Add(-5*time.Second))
			ahead.Annotations[layout.AnnotationNodeName] = c.earlier
			w.evidence.provenances[string(ahead.UID)] = recordUnsealed(ahead)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && v.Refusal.Code != c.want {
				t.Errorf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
		})
	}
}
