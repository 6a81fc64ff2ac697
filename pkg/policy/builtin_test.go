package policy

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

func good() (*provenance.Statement, Consumer) {
	s := &provenance.Statement{}
	s.Step.Namespace = "team"
	s.Step.Workflow = provenance.Ref{Name: "wf", UID: "uid-1"}
	s.Builder = provenance.Builder{Cluster: "here", Level: provenance.LevelObserved}
	s.Outcome.Result = provenance.Succeeded
	s.Mode = v1alpha1.ModeEnforce
	return s, Consumer{Namespace: "team", WorkflowUID: "uid-1", Mode: v1alpha1.ModeEnforce, Cluster: "here"}
}

func TestBuiltin(t *testing.T) {
	tests := map[string]struct {
		change func(*provenance.Statement, *Consumer)
		want   reason.Code
	}{
		"this workflow's artifact is accepted":       {func(*provenance.Statement, *Consumer) {}, ""},
		"an isolated builder is accepted":            {func(s *provenance.Statement, _ *Consumer) { s.Builder.Level = provenance.LevelIsolated }, ""},
		"another workflow's is not":                  {func(s *provenance.Statement, _ *Consumer) { s.Step.Workflow.UID = "uid-2" }, reason.WorkflowMismatch},
		"another namespace's is not":                 {func(s *provenance.Statement, _ *Consumer) { s.Step.Namespace = "other" }, reason.WorkflowMismatch},
		"a statement without a workflow is not":      {func(s *provenance.Statement, _ *Consumer) { s.Step.Workflow.UID = "" }, reason.WorkflowMismatch},
		"another cluster's is not":                   {func(s *provenance.Statement, _ *Consumer) { s.Builder.Cluster = "there" }, reason.BuilderNotTrusted},
		"an unknown level is not":                    {func(s *provenance.Statement, _ *Consumer) { s.Builder.Level = "perfect" }, reason.BuilderNotTrusted},
		"no level is not":                            {func(s *provenance.Statement, _ *Consumer) { s.Builder.Level = "" }, reason.BuilderNotTrusted},
		"a failed producer's is not":                 {func(s *provenance.Statement, _ *Consumer) { s.Outcome.Result = provenance.Failed }, reason.ProducerFailed},
		"no outcome is not":                          {func(s *provenance.Statement, _ *Consumer) { s.Outcome.Result = "" }, reason.ProducerFailed},
		"in enforce, one from warn is not":           {func(s *provenance.Statement, _ *Consumer) { s.Mode = v1alpha1.ModeWarn }, reason.ModeChanged},
		"in enforce, one from audit is not":          {func(s *provenance.Statement, _ *Consumer) { s.Mode = v1alpha1.ModeAudit }, reason.ModeChanged},
		"in warn, one from audit is not":             {func(s *provenance.Statement, c *Consumer) { s.Mode, c.Mode = v1alpha1.ModeAudit, v1alpha1.ModeWarn }, reason.ModeChanged},
		"in warn, one from warn is accepted":         {func(s *provenance.Statement, c *Consumer) { s.Mode, c.Mode = v1alpha1.ModeWarn, v1alpha1.ModeWarn }, ""},
		"in audit, one from enforce is accepted":     {func(_ *provenance.Statement, c *Consumer) { c.Mode = v1alpha1.ModeAudit }, ""},
		"in enforce, one that was refused is not":    {func(s *provenance.Statement, _ *Consumer) { s.Verdict = reason.NoProvenance }, reason.AdmissionRefused},
		"in warn, one from enforce that was refused": {func(s *provenance.Statement, c *Consumer) { s.Verdict, c.Mode = reason.NoProvenance, v1alpha1.ModeWarn }, reason.AdmissionRefused},
		"in warn, one with a warning is accepted": {func(s *provenance.Statement, c *Consumer) {
			s.Verdict, s.Mode, c.Mode = reason.NoProvenance, v1alpha1.ModeWarn, v1alpha1.ModeWarn
		}, ""},
		"an unknown mode then is not":                    {func(s *provenance.Statement, _ *Consumer) { s.Mode = "lax" }, reason.ModeChanged},
		"no mode now is not":                             {func(_ *provenance.Statement, c *Consumer) { c.Mode = "" }, reason.ModeChanged},
		"a consumer without a workflow gets nothing":     {func(s *provenance.Statement, c *Consumer) { s.Step.Workflow.UID, c.WorkflowUID = "", "" }, reason.Internal},
		"a consumer without a namespace gets nothing":    {func(s *provenance.Statement, c *Consumer) { s.Step.Namespace, c.Namespace = "", "" }, reason.Internal},
		"a consumer on a nameless cluster gets nothing":  {func(s *provenance.Statement, c *Consumer) { s.Builder.Cluster, c.Cluster = "", "" }, reason.Internal},
		"a failed one of another workflow says the rule": {func(s *provenance.Statement, _ *Consumer) { s.Step.Workflow.UID, s.Outcome.Result = "x", "failed" }, reason.WorkflowMismatch},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			s, consumer := good()
			c.change(s, &consumer)
			v := none(t).Sealed(s, nil, Others{}, consumer, now)
			if v.Allowed != (c.want == "") || v.Allowed != (v.Refusal == nil) {
				t.Fatalf("verdict is %+v", v)
			}
			if v.Allowed && v.Level != s.Builder.Level {
				t.Errorf("level is %q", v.Level)
			}
			if !v.Allowed && v.Refusal.Code != c.want {
				t.Errorf("refused with %s, want %s", v.Refusal.Code, c.want)
			}
		})
	}
}

func TestNothingIsRefused(t *testing.T) {
	if v := none(t).Sealed(nil, nil, Others{}, Consumer{}, now); v.Allowed || v.Refusal == nil {
		t.Errorf("no statement gives %+v", v)
	}
	if v := none(t).Sealed(&provenance.Statement{}, nil, Others{}, Consumer{}, now); v.Allowed || v.Refusal == nil {
		t.Errorf("zero values give %+v", v)
	}
	if (Verdict{}).Allowed {
		t.Error("the zero verdict allows")
	}
}
