//go:build e2e

package suite

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// merge changes a Workflow as its user would.
func merge(t *testing.T, ns, name, patch string) {
	t.Helper()
	if err := cluster(t).Steer(t.Context(), ns, name, patch); err != nil {
		t.Fatal(err)
	}
}

// running says whether the step that the flows call make has begun.
func running(r *lab.Run) bool {
	n, ok := r.Node("make")
	return ok && n.Phase == "Running"
}

// TestWorkflowsThatAreEndedEndTheSame: whoever ends a step, and however, it
// ends as it would without us, and its record says why nothing is sealed.
func TestWorkflowsThatAreEndedEndTheSame(t *testing.T) {
	t.Parallel()
	labelled := namespace(t, "ended", v1alpha1.ModeEnforce)
	for name, c := range map[string]struct {
		path string
		end  string // how its user steers it once the step runs
	}{
		"stopped":            {"flow/slow.yaml", `{"spec":{"shutdown":"Stop"}}`},
		"terminated":         {"flow/slow.yaml", `{"spec":{"shutdown":"Terminate"}}`},
		"out of time":        {"flow/deadline.yaml", ""},
		"out of memory":      {"flow/memory.yaml", ""},
		"workflow's own end": {"flow/slow.yaml", `{"spec":{"activeDeadlineSeconds":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := func(ns, name string) *lab.Run {
				begin(t, c.path, ns, name)
				if c.end != "" {
					until(t, ns, name, running)
					merge(t, ns, name, c.end)
				}
				return finish(t, ns, name)
			}
			run := ended(labelled, slug(name))
			sameAsWithout(t, run.Name, run, endOf, ended)
			for _, node := range run.Nodes {
				if node.Type == "Pod" && node.TemplateName == "make" {
					accounted(t, run, node)
				}
			}
		})
	}
}

// races of Argo's, in the tree of a run that is ended: whether a step that is
// killed still uploads, and whether its pod is gone before Argo has looked.
var races = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`(?m) \{.*\}$`), ""},
	{regexp.MustCompile(`(?m)(Failed|Error) (pod deleted|Step exceeded its deadline|workflow shutdown with strategy:.*)$`), "ended"},
}

// endOf is what is the same of all runs that are ended in one way.
func endOf(r *lab.Run) string {
	text := tree(r)
	for _, race := range races {
		text = race.from.ReplaceAllString(text, race.to)
	}
	return text
}

// accounted holds that a pod's record is final and says of each output that it
// is sealed, or why it is not.
func accounted(t *testing.T, run *lab.Run, node lab.Node) {
	t.Helper()
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cluster(t).Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	if c == nil || c.Reason == "" {
		t.Fatalf("the record of %s does not say what became of it: %+v", node.DisplayName, p.Status)
	}
	for _, o := range p.Status.Outputs {
		if sealed := c.Status == metav1.ConditionTrue; sealed && o.Reason == "" && o.SHA256 == "" {
			t.Errorf("there is no word on output %s of %s: %+v", o.Name, node.DisplayName, p.Status)
		}
	}
	t.Logf("%s: %s: %s", node.DisplayName, c.Reason, c.Message)
}

// TestLaxModesAdmitAndSay: warn and audit let a step run of whose inputs nobody
// sealed one. Only warn says so to the user, and what the step makes is sealed.
func TestLaxModesAdmitAndSay(t *testing.T) {
	t.Parallel()
	l := cluster(t)
	if err := l.Put(t.Context(), byHand(nil), lab.Tarball("message", "trust me\n")); err != nil {
		t.Fatal(err)
	}
	for mode, says := range map[v1alpha1.Mode]bool{v1alpha1.ModeWarn: true, v1alpha1.ModeAudit: false} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "lax-"+string(mode), mode)
			run := finish(t, ns, begin(t, "flow/half.yaml", ns, "lax-"+string(mode)))
			if run.Phase != "Succeeded" {
				t.Fatal(run)
			}
			sealed(t, run, fates{"make/own": reason.Sealed, "use/copy": reason.Sealed})
			events, err := l.Events(t.Context(), ns, run.Name)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Contains(strings.Join(events, "\n"), string(reason.NoProvenance)+": ")
			if said != says {
				t.Errorf("events:\n%s", strings.Join(events, "\n"))
			}
		})
	}
}

// TestLaxModesLetAStepRunOnAnOverwrittenArtifact: what enforce stops in the pod
// runs, and an event says so.
func TestLaxModesLetAStepRunOnAnOverwrittenArtifact(t *testing.T) {
	t.Parallel()
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeWarn, v1alpha1.ModeAudit} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, "overwritten-"+string(mode), mode)
			// What has no seal yet is let in unpinned there, and nothing is checked.
			run, err := scenario.OverwriteOnce(t.Context(), stage(t), ns, func(paused *lab.Run) {
				sealed(t, paused, fates{"make/message": reason.Sealed})
			})
			if err != nil {
				t.Fatal(err)
			}
			if run.Phase != "Succeeded" {
				t.Fatal(run)
			}
			var last []string
			err = lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
				events, err := cluster(t).Events(ctx, ns, run.Name)
				last = events
				return strings.Contains(strings.Join(events, "\n"), string(reason.InputAltered)+": pod "), err
			})
			if err != nil {
				t.Errorf("no event says %s: %v\n%s", reason.InputAltered, err, strings.Join(last, "\n"))
			}
		})
	}
}

// TestAModeThatChangesUnderWay: what was made under a laxer mode does not count
// under a stricter one, and the refusal says so; the other way round it does.
func TestAModeThatChangesUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to v1alpha1.Mode
		code     reason.Code
	}{
		"from audit to enforce":    {v1alpha1.ModeAudit, v1alpha1.ModeEnforce, reason.ModeChanged},
		"from no label to enforce": {plain, v1alpha1.ModeEnforce, reason.ModeChanged},
		"from enforce to warn":     {v1alpha1.ModeEnforce, v1alpha1.ModeWarn, ""},
		"from enforce to no label": {v1alpha1.ModeEnforce, plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug(name), c.from)
			run := begin(t, "flow/held.yaml", ns, slug(name))
			until(t, ns, run, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" })
			if err := cluster(t).SetMode(t.Context(), ns, c.to); err != nil {
				t.Fatal(err)
			}
			if err := cluster(t).Resume(t.Context(), ns, run); err != nil {
				t.Fatal(err)
			}
			err := refusal(finish(t, ns, run))
			if c.code != "" {
				refused(t, err, c.code)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
