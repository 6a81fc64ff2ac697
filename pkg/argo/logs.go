package argo

import (
	"slices"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// logFile is the name under which wait stages the log of a container, and the
// last part of its key.
func logFile(container string) string { return container + ".log" }

// WithLogs returns the step with the logs that Argo archives among its outputs,
// under Argo's names (WorkflowExecutor.SaveLogs). It leaves out logs that cannot be
// sealed, or whose name an output of the template has, and those of Argo's own
// containers and of daemons. Parse has no logs: the caller has to know that our
// sidecar measures them.
func (s *Step) WithLogs() *Step {
	with := *s
	with.Outputs = slices.Clone(s.Outputs)
	if s.Kind.executor() || s.template.Daemon || !s.template.archivesLogs() {
		return &with
	}
	for _, c := range s.template.mains() {
		name := c + "-logs"
		if with.output(name) {
			continue
		}
		l, problem := s.template.archived(logFile(c))
		if problem != nil {
			continue
		}
		o := Output{Name: name, Log: c}.StoredAt(l, content.ArchiveNone, "")
		if o.Staged().Validate() == nil {
			with.Outputs = append(with.Outputs, o)
		}
	}
	return &with
}

// Logs says whether logs are among the outputs.
func (s *Step) Logs() bool {
	return slices.ContainsFunc(s.Outputs, func(o Output) bool { return o.Log != "" })
}

// output says whether an output has the name.
func (s *Step) output(name string) bool {
	return slices.ContainsFunc(s.Outputs, func(o Output) bool { return o.Name == name })
}

// archivesLogs says whether wait stores the logs of the main containers. Argo's
// controller writes into every template what template, workflow and its own
// configuration say together.
func (t *template) archivesLogs() bool {
	return t.archive != nil && t.archive.ArchiveLogs != nil && *t.archive.ArchiveLogs
}

// logPlaces are where Argo stores the logs of the step, after the outputs.
func (t *template) logPlaces() claims {
	c := claims{at: map[artifact.Location][]int{}}
	if !t.archivesLogs() {
		return c
	}
	for i, container := range t.mains() {
		if log, problem := t.archived(logFile(container)); problem == nil {
			c.add(log, i)
		}
	}
	c.sort()
	return c
}
