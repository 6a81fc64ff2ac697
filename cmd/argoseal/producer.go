package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// producer says who has to have made the artifact, and how. A seal alone says only
// that some step made it, and everybody who may run workflows in a labelled
// namespace gets seals.
type producer struct {
	any                               bool
	namespace, workflow               string
	workflowTemplate, clusterTemplate string
	builder                           string
	level, outcome, mode, overrides   string
}

// none is a flag's value for: accept only what has none of this.
const none = "none"

// anything is the value of a flag that asks for nothing.
const anything = "any"

func (p *producer) flags(f *pflag.FlagSet) {
	f.StringVar(&p.namespace, "namespace", "", "namespace that the step ran in")
	f.StringVar(&p.workflow, "workflow", "", "name of the Workflow")
	f.StringVar(&p.workflowTemplate, "workflow-template", "", "name of the WorkflowTemplate that the Workflow refers to as a whole")
	f.StringVar(&p.clusterTemplate, "cluster-workflow-template", "", "the same, of a ClusterWorkflowTemplate")
	f.BoolVar(&p.any, "any-producer", false, "accept the artifact from any step of any namespace")
	f.StringVar(&p.builder, "builder", "", "cluster that ran it, by its name in builder.id, or the whole builder.id")
	f.StringVar(&p.level, "level", string(provenance.LevelObserved), "level that the seal has at least: observed or isolated")
	f.StringVar(&p.outcome, "outcome", string(provenance.Succeeded), "how the step ended: succeeded, failed or any")
	f.StringVar(&p.overrides, "overrides", none, "what the workflow or the pod may change of the template that is asked for: none, or any")
	f.StringVar(&p.mode, "mode", string(v1alpha1.ModeEnforce), "the namespace's mode when the step was admitted: enforce, or any")
}

// check refuses values that a flag does not know, and flags that contradict each
// other.
func (p *producer) check() error {
	oneOf := func(flag, value string, values ...string) error {
		for _, v := range values {
			if value == v {
				return nil
			}
		}
		return usage(fmt.Errorf("--%s is %q, want %s", flag, value, strings.Join(values, " or ")))
	}
	switch {
	case p.any && (p.namespace != "" || p.workflow != "" || p.workflowTemplate != "" || p.clusterTemplate != ""):
		return usage(fmt.Errorf("--any-producer asks for nobody, and another flag for somebody"))
	case p.workflowTemplate != "" && p.clusterTemplate != "":
		return usage(fmt.Errorf("a Workflow refers to one template as a whole: give --workflow-template or --cluster-workflow-template"))
	}
	if err := oneOf("level", p.level, string(provenance.LevelObserved), string(provenance.LevelIsolated)); err != nil {
		return err
	}
	if err := oneOf("outcome", p.outcome, string(provenance.Succeeded), string(provenance.Failed), anything); err != nil {
		return err
	}
	if err := oneOf("overrides", p.overrides, none, anything); err != nil {
		return err
	}
	return oneOf("mode", p.mode, string(v1alpha1.ModeEnforce), anything)
}

// maker is who made something, as far as its statement says.
type maker struct {
	namespace, workflow               string
	workflowTemplate, clusterTemplate string
	builder                           provenance.Builder
	mode                              v1alpha1.Mode
}

// accepts says whether the statement is about a step that was asked for.
func (p *producer) accepts(s *provenance.Statement) error {
	m := maker{s.Step.Namespace, s.Step.Workflow.Name, referred(s.Definition.WorkflowTemplate, false), referred(s.Definition.WorkflowTemplate, true), s.Builder, s.Mode}
	if err := p.who(m, suggest(m, len(s.Definition.Overrides) > 0)); err != nil {
		return err
	}
	switch changed := s.Definition.Overrides; {
	// As for policies: with overrides a template does anything.
	case p.workflowTemplate+p.clusterTemplate != "" && p.overrides != anything && len(changed) > 0:
		return reason.New(reason.ProducerMismatch, "its template did not run as it is: %.200q is changed, the first of %d. Ask for it with --overrides any, or for its Workflow by name", changed[0].Field, len(changed))
	case p.outcome != anything && p.outcome != string(s.Outcome.Result):
		return reason.New(reason.ProducerFailed, "the step %s, asked for is one that %s", s.Outcome.Result, p.outcome)
	}
	if err := p.how(m); err != nil {
		return err
	}
	if p.mode != anything && s.Verdict != "" {
		return reason.New(reason.ModeTooLow, "it ran although admission said %s", s.Verdict)
	}
	return nil
}

// who compares the names of who made it. suggested are the flags that would ask for it.
func (p *producer) who(m maker, suggested string) error {
	if !p.any && p.namespace == "" {
		return reason.New(reason.ProducerUnstated, "the seal is genuine, and nothing says who was to make it. If it was to be this one, add %s", suggested)
	}
	for _, c := range []struct{ what, want, is string }{
		{"namespace", p.namespace, m.namespace},
		{"Workflow", p.workflow, m.workflow},
		{"WorkflowTemplate", p.workflowTemplate, m.workflowTemplate},
		{"ClusterWorkflowTemplate", p.clusterTemplate, m.clusterTemplate},
	} {
		if c.want != "" && c.want != c.is {
			return reason.New(reason.ProducerMismatch, "its %s is %q, not %q", c.what, c.is, c.want)
		}
	}
	if p.builder != "" && p.builder != m.builder.Cluster && p.builder != m.builder.ID() {
		return reason.New(reason.BuilderNotTrusted, "it was built by %s, not by %q", m.builder.ID(), p.builder)
	}
	return nil
}

// how compares level and mode.
func (p *producer) how(m maker) error {
	switch {
	case p.level == string(provenance.LevelIsolated) && m.builder.Level != provenance.LevelIsolated:
		return reason.New(reason.LevelTooLow, "its level is %s, not %s", m.builder.Level, p.level)
	case p.mode != anything && p.mode != string(m.mode):
		return reason.New(reason.ModeTooLow, "it was admitted in mode %s, in which nothing is refused", m.mode)
	}
	return nil
}

// referred is the template that the Workflow refers to as a whole.
func referred(t *provenance.WorkflowTemplate, clusterScope bool) string {
	if t != nil && t.ClusterScope == clusterScope {
		return t.Name
	}
	return ""
}

// suggest spells the flags that ask for who made it: by its template, unless that was
// changed.
func suggest(m maker, changed bool) string {
	flags := "--namespace " + quoted(m.namespace)
	switch {
	case changed || m.workflowTemplate+m.clusterTemplate == "":
		flags += " --workflow " + quoted(m.workflow)
	case m.clusterTemplate != "":
		flags += " --cluster-workflow-template " + quoted(m.clusterTemplate)
	default:
		flags += " --workflow-template " + quoted(m.workflowTemplate)
	}
	return flags + " --builder " + quoted(m.builder.Cluster)
}

// quoted is a word for a shell. Kubernetes' names need no quotes; text of others
// may be anything.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r)
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
