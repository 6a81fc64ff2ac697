//go:build e2e

package suite

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
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
	endTheSame(t, argos[0])
}

// TestConformanceWorkflowsThatAreEndedEndTheSame: as does every other version of Argo.
func TestConformanceWorkflowsThatAreEndedEndTheSame(t *testing.T) {
	t.Parallel()
	for _, argo := range argos[1:] {
		t.Run(argo.module, func(t *testing.T) { endTheSame(t, argo) })
	}
}

func endTheSame(t *testing.T, argo argoVersion) {
	t.Helper()
	labelled := namespace(t, slug("ended", argo.instance), v1alpha1.ModeEnforce)
	for name, c := range map[string]struct {
		path string
		end  string // how its user steers it once the step runs
	}{
		"stopped":            {"flow/slow.yaml", `{"spec":{"shutdown":"Stop"}}`},
		"terminated":         {"flow/slow.yaml", `{"spec":{"shutdown":"Terminate"}}`},
		"out of time":        {"flow/deadline.yaml", ""},
		"workflow's own end": {"flow/slow.yaml", `{"spec":{"activeDeadlineSeconds":1}}`},
		"out of memory":      {"flow/memory.yaml", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := func(ns, name string) *lab.Run {
				argo.begin(t, c.path, ns, name)
				if c.end != "" {
					until(t, ns, name, running)
					merge(t, ns, name, c.end)
				}
				return finish(t, ns, name)
			}
			run := ended(labelled, slug(argo.instance, name))
			sameAsWithout(t, slug(name), run, endOf, ended)
			for _, node := range run.Nodes {
				if node.Type == "Pod" && node.TemplateName == "make" {
					accounted(t, run, node)
				}
			}
		})
	}
}

// races of Argo's, in the tree of a run that is ended: whether a step that is
// killed still uploads, and whether its pod is gone, or has ended by Argo's signal, before
// Argo has looked.
var races = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`(?m) \{.*\}$`), ""},
	{regexp.MustCompile(`(?m)(Failed|Error) (pod deleted|Step exceeded its deadline|workflow shutdown with strategy:.*|main: Error \(exit code 143\))$`), "ended"},
}

// endOf is what is the same of all runs that are ended in one way.
func endOf(r *lab.Run) string {
	text := tree(r)
	for _, race := range races {
		text = race.from.ReplaceAllString(text, race.to)
	}
	return text
}

// accounted wants the record of a pod that was ended to be final and to speak of
// its output. Whether a step that is killed still uploads is a race of Argo's own:
// if the pod says that it did, the output is sealed as what a failed step left, or
// else it is not, for that reason, and then nothing vouches for it.
func accounted(t *testing.T, run *lab.Run, node lab.Node) {
	t.Helper()
	l := cluster(t)
	pod, err := l.PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	// It is final now, and so is the pod.
	if err := l.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	wanted := reason.UploadFailed
	if uploaded(pod) {
		wanted = reason.Sealed
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	code := reason.Code(c.Reason)
	if code != wanted || (code == reason.Sealed) != (c.Status == metav1.ConditionTrue) {
		t.Errorf("the record of %s says %+v, want %s", node.DisplayName, c, wanted)
	}
	want, count := fates{"message": ""}, 0
	if wanted == reason.Sealed {
		want["message"], count = reason.Sealed, 1
	}
	if got := records(t, run, node); !maps.Equal(got, want) || p.Status.Outputs[0].Location == "" {
		t.Errorf("want %v and where it lies, the record says %+v", want, p.Status)
	}
	seals, err := l.Seals(t.Context(), run.Namespace, run.UID)
	if err != nil || len(seals) != count {
		t.Fatalf("want %d seals, got %d: %v", count, len(seals), err)
	}
	for i := range seals {
		statement, err := l.Check(t.Context(), &seals[i])
		if err != nil {
			t.Fatal(err)
		}
		if statement.Outcome.Result != provenance.Failed {
			t.Errorf("the statement says that it %s", statement.Outcome.Result)
		}
	}
	t.Logf("%s: %s: %s", node.DisplayName, c.Reason, c.Message)
}

// uploaded says whether the container that stores what a step made ended well, by
// what is known of a pod in the end.
func uploaded(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == "wait" && s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
	})
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
			fated(t, run, fates{"make/own": reason.Sealed, "use/copy": reason.Sealed})
			var said string
			err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
				events, err := l.Events(ctx, ns, run.Name)
				said = strings.Join(events, "\n")
				// They come a little later than what they speak of.
				return !says || strings.Contains(said, string(reason.NoProvenance)+": "), err
			})
			if err != nil || !says && strings.Contains(said, string(reason.NoProvenance)+": ") {
				t.Errorf("events (%v):\n%s", err, said)
			}
		})
	}
}

// TestConformanceLaxModesComeToTheSame: warn and audit change nothing of what
// becomes of a workflow, and seal what it makes. Of what enforce would have refused
// only warn tells the user.
func TestConformanceLaxModesComeToTheSame(t *testing.T) {
	t.Parallel()
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeWarn, v1alpha1.ModeAudit} {
		ns := namespace(t, "same-"+string(mode), mode)
		for _, c := range []struct {
			name string
			honest
			code reason.Code // why enforce refuses one of its pods
		}{
			{name: "attempts", honest: honests()["attempts"]},
			{name: "a step that may fail", honest: honests()["a step that may fail"]},
			{name: "a failed step", honest: honests()["a failed step"]},
			{"what a failed step left", honest{path: "refused/failed.yaml", fates: fates{"make/message": reason.Sealed}}, reason.ProducerFailed},
		} {
			t.Run(string(mode)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				run := c.comes(t, ns, slug(string(mode), c.name), slug(c.name), argos[0])
				fated(t, run, c.fates.of(run))
				// Warn holds no pod until a seal is there, so any input may be said to lack
				// one, or to have had one too late for its pin.
				said := slices.DeleteFunc(complaints(t, run), func(code reason.Code) bool {
					return mode == v1alpha1.ModeWarn && (code == reason.ProvenancePending || code == reason.PinsMissing)
				})
				var want []reason.Code
				if mode == v1alpha1.ModeWarn && c.code != "" {
					want = []reason.Code{c.code}
				}
				if !slices.Equal(said, want) {
					t.Errorf("want events with %q, got %q", want, said)
				}
			})
		}
	}
}

// complaints are the reasons of ours that events give on a workflow, each once.
func complaints(t *testing.T, run *lab.Run) []reason.Code {
	t.Helper()
	events, err := cluster(t).Events(t.Context(), run.Namespace, run.Name)
	if err != nil {
		t.Fatal(err)
	}
	var codes []reason.Code
	for _, event := range events {
		why, _, _ := strings.Cut(event, ": ")
		if code := reason.Code(why); code.Meaning() != "" && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
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
				fated(t, paused, fates{"make/message": reason.Sealed})
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
// under a stricter one, nor does a workflow that was made without one, and the
// refusal says so; the other way round it does.
func TestAModeThatChangesUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to v1alpha1.Mode
		code     reason.Code
	}{
		"from audit to enforce":    {v1alpha1.ModeAudit, v1alpha1.ModeEnforce, reason.ModeChanged},
		"from no label to enforce": {plain, v1alpha1.ModeEnforce, reason.GuardsNotHeld},
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

// TestConformanceAModeThatChangesWhileAStepRuns: a step is sealed as it was
// admitted, if its namespace has a mode to the end, and its consumer is judged by
// the mode of its own moment.
func TestConformanceAModeThatChangesWhileAStepRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to v1alpha1.Mode
		code     reason.Code
	}{
		"no label to enforce": {plain, v1alpha1.ModeEnforce, reason.GuardsNotHeld},
		"warn to enforce":     {v1alpha1.ModeWarn, v1alpha1.ModeEnforce, reason.ModeChanged},
		"enforce to warn":     {v1alpha1.ModeEnforce, v1alpha1.ModeWarn, ""},
		"enforce to audit":    {v1alpha1.ModeEnforce, v1alpha1.ModeAudit, ""},
		"enforce to no label": {v1alpha1.ModeEnforce, plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, name := namespace(t, slug("while", name), c.from), slug("while", name)
			begin(t, "flow/busy.yaml", ns, name)
			until(t, ns, name, running)
			if err := cluster(t).SetMode(t.Context(), ns, c.to); err != nil {
				t.Fatal(err)
			}
			if now, err := cluster(t).Run(t.Context(), ns, name); err != nil || !running(now) {
				t.Fatalf("the step had ended when the mode changed: %v: %s", err, now)
			}
			run := finish(t, ns, name)
			if c.from != plain && c.to == plain {
				// Anybody could have changed its pod since. Nothing is recorded where there is
				// no mode, and once there is one again, that the guards were not held.
				unrecorded(t, podOf(t, run, "make"))
				setMode(t, ns, c.from)
				if got := sealedOf(t, ns, name); got != reason.GuardsNotHeld {
					t.Errorf("what ended without a mode is recorded as %s", got)
				}
				return
			}
			admittedIn(t, run, "make", c.from)
			if c.code == "" {
				if run.Phase != "Succeeded" {
					t.Error(run)
				}
				admittedIn(t, run, "use", c.to)
				return
			}
			use, _ := run.Node("use")
			if run.Phase != "Error" && run.Phase != "Failed" || use.Phase != "Error" || !refuses(use.Message, c.code) {
				t.Errorf("want %s: %s", c.code, run)
			}
			if pods, err := cluster(t).Pods(t.Context(), ns, name); err != nil || len(pods) != 1 {
				t.Errorf("want the pod of the first step alone, got %d: %v", len(pods), err)
			}
		})
	}
}

// unrecorded wants a pod to have no record.
func unrecorded(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	var record v1alpha1.Provenance
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: string(pod.UID)}, &record); !apierrors.IsNotFound(err) {
		t.Errorf("pod %s has a record: %+v, %v", pod.Name, record.Status, err)
	}
}

// admittedIn wants the pod of a step to have been admitted in a mode: left alone
// without one, else recorded, and what it made sealed in that mode.
func admittedIn(t *testing.T, run *lab.Run, display string, mode v1alpha1.Mode) {
	t.Helper()
	l, pod := cluster(t), podOf(t, run, display)
	if mode == plain {
		if !equality.Semantic.DeepEqual(pod.Spec, lab.WithoutOurs(pod).Spec) || pod.Annotations[v1alpha1.AnnotationTag] != "" {
			t.Errorf("pod %s was not left alone", pod.Name)
		}
		unrecorded(t, pod)
		return
	}
	record, err := l.Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	if display == "use" { // has no output
		if c := meta.FindStatusCondition(record.Status.Conditions, v1alpha1.ConditionSealed); c.Reason != string(reason.NothingToSeal) {
			t.Errorf("the record of %s says %+v", display, c)
		}
		return
	}
	seals, err := l.Seals(t.Context(), run.Namespace, run.UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want the seal of one output, got %d: %v", len(seals), err)
	}
	statement, err := l.Check(t.Context(), &seals[0])
	if err != nil {
		t.Fatal(err)
	}
	if statement.Mode != mode || statement.Step.Pod.UID != string(pod.UID) {
		t.Errorf("want pod %s in mode %s, the statement says %s of %+v", pod.Name, mode, statement.Mode, statement.Step.Pod)
	}
}
