package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// sealed makes a seal and gives the flags that verify it.
func sealed(t *testing.T, change func(*provenance.Facts)) []string {
	t.Helper()
	notary := sealtest.NewNotary(t)
	facts := sealtest.Facts(location, artifact.Digest(digest))
	change(&facts)
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"verify", "--bundle", write(t, notary.Bundle(t, payload)), "--key", write(t, notary.Signer.PublicKeyPEM()), "--trusted-root", write(t, notary.TrustedRoot())}
}

// Every step in a labelled namespace gets a seal, whoever submitted it.
func TestVerifyWantsTheProducerThatWasAskedFor(t *testing.T) {
	as := func(*provenance.Facts) {}
	failed := func(f *provenance.Facts) {
		f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
	}
	audited := func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit }
	isolated := func(f *provenance.Facts) { f.Builder.Level = provenance.LevelIsolated }
	refers := func(cluster bool) func(*provenance.Facts) {
		return func(f *provenance.Facts) {
			f.Definition.WorkflowTemplate = &provenance.WorkflowTemplate{Name: "training", ClusterScope: cluster}
			f.Definition.References = []provenance.Reference{{WorkflowTemplate: *f.Definition.WorkflowTemplate, SHA256: artifact.Digest(digest)}}
		}
	}
	overrides := func(field string) func(*provenance.Facts) {
		return func(f *provenance.Facts) {
			refers(false)(f)
			f.Definition.Overrides = []provenance.Override{{Field: field, SHA256: artifact.Digest(digest)}}
		}
	}
	// A predecessor sealed it with webhook configurations that ignored failures.
	refused := func(f *provenance.Facts) { f.Verdict = "ProvenanceMissing" }
	file := write(t, []byte("Hello, Argoseal\n"))
	for name, c := range map[string]struct {
		change func(*provenance.Facts)
		flags  string
		code   int
		says   string
	}{
		"the namespace":                {as, "--namespace argo", 0, "argo/artifact-passing-x7k2p"},
		"namespace and workflow":       {as, "--namespace argo --workflow artifact-passing-x7k2p", 0, ""},
		"everything":                   {refers(false), "--namespace argo --workflow artifact-passing-x7k2p --workflow-template training --builder test --level observed --outcome succeeded --mode enforce", 0, ""},
		"the whole builder id":         {as, "--namespace argo --builder https://argoseal.dev/builders/v1/test/observed", 0, ""},
		"a template of the cluster's":  {refers(true), "--namespace argo --cluster-workflow-template training", 0, ""},
		"a higher level than asked":    {isolated, "--namespace argo --level observed", 0, ""},
		"any producer":                 {as, "--any-producer", 0, ""},
		"a failed step, as asked":      {failed, "--namespace argo --outcome failed", 0, "failed"},
		"any outcome and mode":         {audited, "--any-producer --outcome any --mode any", 0, "mode audit"},
		"overrides, as asked":          {overrides("podSpecPatch"), "--namespace argo --workflow-template training --overrides any", 0, ""},
		"overrides, by its workflow":   {overrides("podSpecPatch"), "--namespace argo --workflow artifact-passing-x7k2p", 0, ""},
		"a refused step, as asked":     {refused, "--namespace argo --mode any", 0, "without proof of its inputs: ProvenanceMissing"},
		"a template with overrides":    {overrides("podSpecPatch"), "--namespace argo --workflow-template training", 14, "podSpecPatch"},
		"a pod with other commands":    {overrides("pod.containers.main.command"), "--namespace argo --workflow-template training", 14, "pod.containers.main.command"},
		"nothing, with overrides":      {overrides("podSpecPatch"), "", 13, "add --namespace argo --workflow artifact-passing-x7k2p --builder test"},
		"a refused step":               {refused, "--namespace argo", 18, "admission said ProvenanceMissing"},
		"overrides that there are not": {as, "--namespace argo --overrides some", 2, "--overrides"},
		"nothing":                      {as, "", 13, "add --namespace argo --workflow artifact-passing-x7k2p --builder test"},
		"nothing, of a template":       {refers(false), "", 13, "add --namespace argo --workflow-template training --builder test"},
		"nothing, of the cluster's":    {refers(true), "", 13, "--cluster-workflow-template training"},
		"nothing but a workflow":       {as, "--workflow artifact-passing-x7k2p", 13, ""},
		"nothing but the builder":      {as, "--builder test", 13, ""},
		"another namespace":            {as, "--namespace team-b", 14, `its namespace is "argo", not "team-b"`},
		"another workflow":             {as, "--namespace argo --workflow other", 14, "Workflow"},
		"no template":                  {as, "--namespace argo --workflow-template training", 14, "WorkflowTemplate"},
		"another template":             {refers(false), "--namespace argo --workflow-template other", 14, "training"},
		"a template of another scope":  {refers(true), "--namespace argo --workflow-template training", 14, ""},
		"one of the namespace's own":   {refers(false), "--namespace argo --cluster-workflow-template training", 14, ""},
		"another builder":              {as, "--namespace argo --builder prod", 19, "builders/v1/test/observed"},
		"a failed step":                {failed, "--namespace argo", 16, "the step failed"},
		"a failed step of anybody":     {failed, "--any-producer", 16, ""},
		"a step that did not fail":     {as, "--namespace argo --outcome failed", 16, ""},
		"a lower level":                {as, "--namespace argo --level isolated", 17, "observed"},
		"mode audit":                   {audited, "--namespace argo", 18, "mode audit"},
		"mode audit of anybody":        {audited, "--any-producer", 18, ""},
		"anybody and somebody":         {as, "--any-producer --namespace argo", 2, "--any-producer"},
		"two templates":                {as, "--namespace argo --workflow-template a --cluster-workflow-template b", 2, ""},
		"a level that there is not":    {as, "--namespace argo --level 3", 2, "--level"},
		"an outcome that there is not": {as, "--namespace argo --outcome good", 2, "--outcome"},
		"a mode that there is not":     {as, "--namespace argo --mode off", 2, "--mode"},
	} {
		t.Run(name, func(t *testing.T) {
			args := slices.Concat(sealed(t, c.change), []string{file}, strings.Fields(c.flags))
			code, out, errs := command(t, "", args...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
}

func TestWhatIsSuggestedIsAWordForAShell(t *testing.T) {
	for in, want := range map[string]string{"team-a": "team-a", "a b": "'a b'", "a';id": `'a'\'';id'`, "$(id)": "'$(id)'"} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %s, want %s", in, got, want)
		}
	}
}

// A directory that was stored without an archive is its files and nothing else.
func TestAFolderIsWhatWasStoredAndNothingElse(t *testing.T) {
	const uri = "s3://minio:9000/artifacts/dir/"
	sum := func(s string) artifact.Digest {
		raw := sha256.Sum256([]byte(s))
		return artifact.Digest(hex.EncodeToString(raw[:]))
	}
	tree := content.Files{{Path: "a", SHA256: sum("x")}, {Path: "b/c", SHA256: sum("y")}}.Tree()
	args := append(sealed(t, func(f *provenance.Facts) {
		f.Subjects[0].URI, f.Subjects[0].SHA256, f.Subjects[0].Tree, f.Subjects[0].Form = uri, tree, tree, content.FormDirectory
	}), "--namespace", "argo")
	listing := fmt.Sprintf("d\t-\t.\nf\t%s\ta\nd\t-\tb\nf\t%s\tb/c\n", sum("x"), sum("y"))
	if sum(listing) != tree {
		t.Fatalf("the test does not list as the code does: %s, %s", sum(listing), tree)
	}
	for name, c := range map[string]struct {
		change func(dir string) error
		code   int
	}{
		"as it was stored":    {func(string) error { return nil }, 0},
		"with another file":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "d"), nil, 0o600) }, 7},
		"with a changed file": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("z"), 0o600) }, 7},
		"without a file":      {func(dir string) error { return os.Remove(filepath.Join(dir, "a")) }, 7},
		"with a link":         {func(dir string) error { return os.Symlink("a", filepath.Join(dir, "link")) }, 7},
		"with a link out":     {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "link")) }, 2},
		"with an empty one":   {func(dir string) error { return os.Mkdir(filepath.Join(dir, "e"), 0o700) }, 7},
		"with an executable":  {func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0o700) }, 7},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range map[string]string{"a": "x", "b/c": "y"} {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if code, out, errs := command(t, "", slices.Concat(args, []string{dir})...); code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
		})
	}
	for name, c := range map[string]struct {
		stdin string
		args  []string
		code  int
	}{
		"a file that lists what is in it": {"", []string{write(t, []byte(listing))}, 7},
		"the same at its location":        {"", []string{write(t, []byte(listing)), "--name", uri}, 7},
		"the same on standard input":      {listing, []string{"-"}, 7},
		"a digest of whatever":            {"", []string{"sha256:" + string(tree)}, 7},
		"a digest of this directory":      {"", []string{"sha256:" + string(tree), "--name", uri}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out, errs := command(t, c.stdin, slices.Concat(args, c.args)...); code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
		})
	}
}
