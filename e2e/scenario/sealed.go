package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// limit is how long a workflow of a scenario may take. They take ten to thirty
// seconds; a slow machine, or a log that is away, gets more, a hang does not get forever.
const limit = 6 * time.Minute

// Sealed runs Argo's artifact-passing example in a labelled namespace and
// verifies the seal of what it produced, offline, with our tool and with
// cosign.
func Sealed(ns string) Scenario {
	return Scenario{
		Name:     "artifact-passing in a labelled namespace",
		Expected: "succeeds; seal verified by argoseal and cosign",
		Play: func(ctx context.Context, s *Stage) (string, error) {
			run, err := runExample(ctx, s, ns, "artifact-passing-sealed")
			if err != nil {
				return "", err
			}
			seals, err := s.Lab.Seals(ctx, ns, run.UID)
			if err != nil {
				return "", err
			}
			if len(seals) != 1 {
				return "", fmt.Errorf("want one ArtifactSeal, found %d", len(seals))
			}
			seal := seals[0]
			s.Sayf("sealed: %s of step %s, sha256:%.12s…", seal.Spec.Producer.Output, seal.Spec.Producer.Template, seal.Spec.SHA256)
			evidence, err := s.Lab.Save(ctx, &seal, filepath.Join(s.Dir, "seal"))
			if err != nil {
				return "", err
			}
			if err := s.Verify(ctx, evidence); err != nil {
				return "", err
			}
			return "Succeeded; both verified it", nil
		},
	}
}

func runExample(ctx context.Context, s *Stage, ns, name string) (*lab.Run, error) {
	wf, err := lab.Example(ctx, "examples/artifact-passing.yaml")
	if err != nil {
		return nil, err
	}
	wf.SetGenerateName("")
	wf.SetName(name)
	if _, err := s.Lab.Submit(ctx, ns, wf); err != nil {
		return nil, err
	}
	s.Sayf("submitted workflow %s/%s", ns, name)
	run, err := s.Lab.Finish(ctx, ns, name, limit)
	if err != nil {
		return nil, err
	}
	if run.Phase != "Succeeded" {
		return nil, fmt.Errorf("want Succeeded: %s", run)
	}
	return run, nil
}

// Verify holds argoseal and cosign to the same evidence: they accept the
// artifact, and refuse it once a byte is added.
func (s *Stage) Verify(ctx context.Context, e *lab.Evidence) error {
	altered := e.Artifact + ".altered"
	if err := appendByte(e.Artifact, altered); err != nil {
		return err
	}
	for _, tool := range []struct {
		name string
		args func(file string) []string
	}{
		{s.Argoseal, func(file string) []string {
			return []string{"verify", file, "--bundle", e.Bundle, "--key", e.NotaryKey, "--trusted-root", e.TrustedRoot, "--namespace", e.Namespace}
		}},
		{s.Cosign, func(file string) []string {
			return []string{"verify-blob-attestation", "--bundle", e.Bundle, "--key", e.NotaryKey, "--trusted-root", e.TrustedRoot, "--type", "slsaprovenance1", file}
		}},
	} {
		args := tool.args(e.Artifact)
		s.Sayf("$ %s %s", filepath.Base(tool.name), strings.Join(args, " "))
		out, err := runCommand(ctx, tool.name, args)
		for line := range strings.Lines(out) {
			s.Sayf("    %s", strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return fmt.Errorf("%s refused a genuine artifact: %w", filepath.Base(tool.name), err)
		}
		if _, err := runCommand(ctx, tool.name, tool.args(altered)); err == nil {
			return fmt.Errorf("%s accepted an altered artifact", filepath.Base(tool.name))
		}
	}
	return nil
}

// runCommand runs a program offline and returns what it printed.
func runCommand(ctx context.Context, program string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Unlabelled runs the same example in a namespace without the label, and
// compares its pods with those of a cluster without Argoseal.
func Unlabelled(ns string, baseline []string) Scenario {
	return Scenario{
		Name:     "the same in an unlabelled namespace",
		Expected: "pods byte for byte those of a cluster without Argoseal",
		Play: func(ctx context.Context, s *Stage) (string, error) {
			pods, err := Record(ctx, s, ns)
			if err != nil {
				return "", err
			}
			if len(baseline) == 0 || len(pods) != len(baseline) {
				return "", fmt.Errorf("%d pods, %d without Argoseal", len(pods), len(baseline))
			}
			for i := range pods {
				if pods[i] != baseline[i] {
					return "", fmt.Errorf("pod %d differs:\n%s\nwithout Argoseal:\n%s", i, pods[i], baseline[i])
				}
			}
			var seals v1alpha1.ProvenanceList
			if err := s.Lab.List(ctx, ns, &seals); err != nil {
				return "", err
			}
			if len(seals.Items) != 0 {
				return "", fmt.Errorf("%d Provenances in a namespace without the label", len(seals.Items))
			}
			return fmt.Sprintf("%d pods, identical", len(pods)), nil
		},
	}
}
