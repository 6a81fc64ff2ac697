package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

const directory = "s3://minio:9000/artifacts/dir/"

// wholes seals a workflow of one step that made a file and a directory, and gives the
// flags that verify its provenance, and those that verify its summary.
func wholes(t *testing.T, change func(*provenance.Facts)) (workflow, summary []string) {
	t.Helper()
	notary := sealtest.NewNotary(t)
	facts := sealtest.Facts(location, artifact.Digest(digest))
	facts.Subjects = append(facts.Subjects, provenance.Subject{
		URI: directory, Output: "dir", Sum: content.Sum{Form: content.FormDirectory, Size: 1, SHA256: listed, Tree: listed},
	})
	change(&facts)
	step, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := provenance.Parse(step)
	if err != nil {
		t.Fatal(err)
	}
	of, err := provenance.OfWorkflow([]provenance.StepStatement{{Statement: statement, SHA256: artifact.DigestOfText(string(step))}}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := provenance.BuildWorkflow(of)
	if err != nil {
		t.Fatal(err)
	}
	summed, err := provenance.BuildSummary(provenance.SummaryFacts{
		Subjects: of.Subjects, Builder: of.Builder, Namespace: of.Namespace, Workflow: of.Workflow, Statement: artifact.DigestOfText(string(whole)),
		Verified: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC), Passed: of.Mode == v1alpha1.ModeEnforce,
	})
	if err != nil {
		t.Fatal(err)
	}
	flags := func(payload []byte) []string {
		return []string{"verify", "--bundle", write(t, notary.Bundle(t, payload)), "--key", write(t, notary.Signer.PublicKeyPEM()), "--trusted-root", write(t, notary.TrustedRoot())}
	}
	return flags(whole), flags(summed)
}

var listed = artifact.DigestOfText("what is in the directory")

// A statement about a whole workflow is held to what is expected, as a step's is, and
// passes for nothing that it does not say.
func TestVerifyReadsWholeWorkflows(t *testing.T) {
	as := func(*provenance.Facts) {}
	audited := func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit }
	refers := func(f *provenance.Facts) {
		f.Definition.WorkflowTemplate = &provenance.WorkflowTemplate{Name: "training"}
		f.Definition.References = []provenance.Reference{{WorkflowTemplate: *f.Definition.WorkflowTemplate, SHA256: artifact.Digest(digest)}}
	}
	file := write(t, []byte("Hello, Argoseal\n"))
	const both, provenanceOnly, summaryOnly = "both", "its provenance", "its summary"
	for name, c := range map[string]struct {
		change func(*provenance.Facts)
		of     string
		args   []string
		flags  string
		code   int
		says   string
	}{
		"the namespace":             {as, both, []string{file}, "--namespace argo", 0, "is what left the workflow"},
		"namespace and workflow":    {as, both, []string{file}, "--namespace argo --workflow artifact-passing-x7k2p --builder test", 0, "artifact-passing-x7k2p"},
		"its location":              {as, both, []string{file}, "--namespace argo --name " + location, 0, location},
		"a directory, by its name":  {as, both, []string{"sha256:" + string(listed)}, "--namespace argo --name " + directory, 0, directory},
		"any producer":              {as, both, []string{file}, "--any-producer", 0, ""},
		"mode audit, as asked":      {audited, both, []string{file}, "--namespace argo --mode any", 0, ""},
		"its template":              {refers, provenanceOnly, []string{file}, "--namespace argo --workflow-template training --overrides any", 0, "training"},
		"nothing":                   {as, both, []string{file}, "", 13, "add --namespace argo --workflow artifact-passing-x7k2p --builder test"},
		"another namespace":         {as, both, []string{file}, "--namespace team-b", 14, ""},
		"another workflow":          {as, both, []string{file}, "--namespace argo --workflow other", 14, ""},
		"its template as it is":     {refers, provenanceOnly, []string{file}, "--namespace argo --workflow-template training", 14, "--overrides any"},
		"another template":          {refers, provenanceOnly, []string{file}, "--namespace argo --workflow-template other --overrides any", 14, "training"},
		"a template of a summary":   {refers, summaryOnly, []string{file}, "--namespace argo --workflow-template training --overrides any", 14, "summary"},
		"another builder":           {as, both, []string{file}, "--namespace argo --builder prod", 19, ""},
		"a failed step":             {as, both, []string{file}, "--namespace argo --outcome failed", 16, ""},
		"a higher level":            {as, both, []string{file}, "--namespace argo --level isolated", 17, ""},
		"mode audit":                {audited, both, []string{file}, "--namespace argo", 18, ""},
		"another file":              {as, both, []string{write(t, []byte("Hello, Argosea1\n"))}, "--namespace argo", 7, ""},
		"another location":          {as, both, []string{file}, "--namespace argo --name " + location + "x", 8, ""},
		"a file for a directory":    {as, both, []string{write(t, []byte("what is in the directory"))}, "--namespace argo", 7, "is a directory"},
		"a directory without name":  {as, both, []string{"sha256:" + string(listed)}, "--namespace argo", 7, ""},
		"its digest at another one": {as, both, []string{"sha256:" + string(listed)}, "--namespace argo --name " + location, 7, "is stated with"},
	} {
		workflow, summary := wholes(t, c.change)
		for what, args := range map[string][]string{provenanceOnly: workflow, summaryOnly: summary} {
			if c.of != both && c.of != what {
				continue
			}
			t.Run(name+"/"+what, func(t *testing.T) {
				code, out, errs := command(t, "", slices.Concat(args, c.args, strings.Fields(c.flags))...)
				if code != c.code || !strings.Contains(out+errs, c.says) {
					t.Errorf("exit code %d, want %d and %q\n%s%s", code, c.code, c.says, out, errs)
				}
			})
		}
	}
}

func TestVerifySaysWhatKindOfStatementItIs(t *testing.T) {
	workflow, summary := wholes(t, func(*provenance.Facts) {})
	for kind, args := range map[string][]string{"workflow": workflow, "summary": summary, "step": sealed(t, func(*provenance.Facts) {})} {
		code, out, errs := command(t, "", append(args, "sha256:"+digest, "--namespace", "argo", "-o", "json")...)
		var r report
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v\n%s%s", kind, code, err, out, errs)
		}
		if r.Kind != kind || r.Subject.Name != location || r.Level != "observed" || (r.Subject.Size != nil) != (kind == "step") || len(r.Statement) == 0 {
			t.Errorf("%s: %s", kind, out)
		}
	}
}
