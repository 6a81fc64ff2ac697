package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/trace"
)

// taintOptions are the flags of taint.
type taintOptions struct {
	traceOptions
	reason string
	name   string
	dryRun bool
}

const taintExample = `  # whom would it touch? nothing is changed
  argoseal taint sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --dry-run

  # an artifact, an image that steps ran, a commit, everything that a workflow made
  argoseal taint sha256:9f86d0… --reason "built on a stolen laptop"
  argoseal taint python@sha256:2c26b4… --reason CVE-2026-1234
  argoseal taint 4b825dc642cb6eb9a060e54bf8d69288fbee4904 --reason "backdoor"
  argoseal taint workflow:0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11 --reason "its author left"

  # whatever was sealed under a key (argoseal trust show lists them)
  argoseal taint key:2Ug8SFl5hBqQ0mH2fF2nWb1m9mD3lJkYp7cQmWnUo9E= --reason "the node was taken over"

  # trust it again
  kubectl delete revocation NAME`

func taintCommand() *cobra.Command {
	o := &taintOptions{}
	c := &cobra.Command{
		Use:   "taint DIGEST|IMAGE@DIGEST|COMMIT|workflow:UID|key:HINT",
		Short: "Take back trust in something, and list everything that was made from it",
		Long: `Take back trust in an artifact, an image, a commit, a workflow or a key: make a Revocation,
which the gate honours within seconds in every namespace. What the Revocation names is
refused, and so is what was made from it directly. What was made from that in turn is
listed, with how many steps lie between: taint those, too, where they are affected.
Whoever took something from its place that a policy admits with any content may have taken
it, and is listed, too. So is whoever ran or mounted an image that was made from it.

Descendants are found in the records of the cluster whose bundles hold under --key and
--trusted-root, as with argoseal trace. Seals on their way are counted, and so are records
that do not say what the step took. If a seal has been on its way for more than a minute, the
list is not whole: it is printed, and the exit code is 1. While no notary runs, no records
come, and what ends meanwhile is neither listed nor counted. To make a Revocation takes the
right to do so, which the ClusterRole argoseal-operator has.`,
		Example: taintExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	o.connection(c.Flags())
	f := c.Flags()
	f.StringVar(&o.reason, "reason", "", "why, as whoever is refused reads it (required, but for --dry-run)")
	f.StringVar(&o.name, "name", "", "name of the Revocation (default: made from what is tainted)")
	f.BoolVar(&o.dryRun, "dry-run", false, "list what would be touched, and change nothing")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

var (
	commitID    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	workflowUID = regexp.MustCompile(`^workflow:([0-9A-Za-z-]{1,64})$`)
	keyHint     = regexp.MustCompile(`^key:([A-Za-z0-9+/]{43}=)$`)
)

// tainted reads what is to be revoked.
func tainted(what string) (*v1alpha1.Revocation, error) {
	r := &v1alpha1.Revocation{}
	image, hex, named := strings.Cut(what, "sha256:")
	digest, err := artifact.ParseDigest(hex)
	uid, key := workflowUID.FindStringSubmatch(what), keyHint.FindStringSubmatch(what)
	switch {
	case named && err == nil && image == "":
		r.Name, r.Spec.Digests = "artifact-"+hex[:16], []string{string(digest)}
	case named && err == nil && strings.HasSuffix(image, "@"):
		r.Name, r.Spec.Images = "image-"+hex[:16], []string{string(digest)}
	case commitID.MatchString(what):
		r.Name, r.Spec.Commits = "commit-"+what[:16], []string{what}
	case uid != nil:
		r.Name, r.Spec.Workflows = "workflow-"+strings.ToLower(uid[1]), []string{uid[1]}
	case key != nil:
		sum, err := base64.StdEncoding.Strict().DecodeString(key[1]) // a hint is a digest
		if err != nil {
			return nil, usage(fmt.Errorf("%q is no hint of a key: %w", what, err))
		}
		r.Name, r.Spec.Keys = fmt.Sprintf("key-%x", sum[:8]), []string{key[1]}
	default:
		return nil, usage(fmt.Errorf("%q is none of sha256:HEX, IMAGE@sha256:HEX, a whole commit id, workflow:UID, and key:HINT", what))
	}
	return r, nil
}

func (o *taintOptions) run(cmd *cobra.Command, what string) error {
	if o.output != "table" && o.output != "json" {
		return usage(fmt.Errorf("--output is %q, want table or json", o.output))
	}
	r, err := tainted(what)
	if err != nil {
		return err
	}
	if o.name != "" {
		r.Name = o.name
	}
	if r.Spec.Reason = strings.TrimSpace(o.reason); r.Spec.Reason == "" && !o.dryRun {
		return usage(fmt.Errorf("--reason is missing: whoever is refused reads it (or give --dry-run)"))
	}
	root, err := o.trust.root()
	if err != nil {
		return err
	}
	api, err := connect(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	// The Revocation comes first: use stops at once. Who was touched is found
	// afterwards.
	report := taintReport{Revocation: r.Name, DryRun: o.dryRun, Descendants: []trace.Descendant{}}
	if !o.dryRun {
		if err := api.Create(cmd.Context(), r); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making the Revocation: %w", err)
		} else if err != nil {
			return usage(fmt.Errorf("there is a Revocation %s already: look at it with kubectl, have --dry-run list what was made from it, or give --name", r.Name))
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "revocation %s is made; looking for what was made from it\n", r.Name)
	}
	seen := touched{revocation: r, root: root, now: time.Now()}
	if seen.whoever, err = root.WithoutEnds(v1alpha1.DomainInstalled); err != nil {
		return err
	}
	if err := o.each(cmd, api, func(p *v1alpha1.Provenance) error { return seen.record(cmd.ErrOrStderr(), p) }); err != nil {
		return err
	}
	advise(cmd.ErrOrStderr(), seen.directories)
	tellDoubts(cmd.ErrOrStderr(), seen.unproven)
	report.Namespaces = o.within()
	report.tell(&seen)
	if o.output == "json" {
		err = writeIndented(cmd.OutOrStdout(), report)
	} else {
		err = report.table(cmd.OutOrStdout())
	}
	return cmp.Or(err, seen.notWhole())
}
