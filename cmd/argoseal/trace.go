package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxEntries bounds the outputs that are remembered while records are looked through.
const maxEntries = 2_000_000

// traceOptions are the flags of trace.
type traceOptions struct {
	kubeconfig, context string
	namespaces          []string
	digest              string
	output              string
	trust               verifyOptions
}

const traceExample = `  # what was this file made from?
  argoseal trace model.tgz --namespace ci

  # what lies at a location now, or what had a digest, wherever it was made
  argoseal trace s3://minio:9000/artifacts/model.tgz
  argoseal trace sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

  # a container image, whose manifest a step has sealed, or its OCI layout
  argoseal trace registry.example.com/team/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

  # as a page for a browser, as a drawing, or for programs
  argoseal trace model.tgz -o html > model.html
  argoseal trace model.tgz -o dot | dot -Tsvg > model.svg
  argoseal trace model.tgz -o json`

func traceCommand() *cobra.Command {
	o := &traceOptions{}
	c := &cobra.Command{
		Use:   "trace FILE|LOCATION|DIGEST|IMAGE@DIGEST",
		Short: "Walk from an artifact back to everything that it was made from",
		Long: `Walk from an artifact back to everything that it was made from: the step that
made it, what that step took, who made that, across workflows and namespaces, to the
sources. Where a chain ends, it says why.

It reads records from the cluster, and trusts those whose bundles hold under
--key and --trusted-root, as argoseal verify does; its help says where to get these.
Whoever may view the namespaces may run it. Without --namespace it looks at all.`,
		Example: traceExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	f := c.Flags()
	o.connection(f)
	f.StringVar(&o.digest, "digest", "", "digest that the artifact has to have, sha256:HEX; for a LOCATION")
	f.StringVarP(&o.output, "output", "o", "text", "text, json, dot, mermaid or html")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "dot", "mermaid", "html"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// connection are the flags that say where records are, and what they are held to.
func (o *traceOptions) connection(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	f.StringArrayVarP(&o.namespaces, "namespace", "n", nil, "namespace whose records are looked through; repeatable (default: all)")
	o.trust.trustFlags(f)
}

func (o *traceOptions) run(cmd *cobra.Command, what string) error {
	write := map[string]func(*trace.Graph) error{
		"text":    func(g *trace.Graph) error { return g.Text(cmd.OutOrStdout()) },
		"dot":     func(g *trace.Graph) error { return g.DOT(cmd.OutOrStdout()) },
		"html":    func(g *trace.Graph) error { return g.HTML(cmd.OutOrStdout()) },
		"json":    func(g *trace.Graph) error { return writeIndented(cmd.OutOrStdout(), g) },
		"mermaid": func(g *trace.Graph) error { return g.Mermaid(cmd.OutOrStdout()) },
	}[o.output]
	if write == nil {
		return usage(fmt.Errorf("--output is %q, want text, json, dot, mermaid or html", o.output))
	}
	uri, digest, err := o.subject(cmd, what)
	if err != nil {
		return err
	}
	root, err := o.trust.root()
	if err != nil {
		return err
	}
	api, err := connect(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	index, err := o.records(cmd, api)
	if err != nil {
		return err
	}
	g, err := trace.Walk(cmd.Context(), index, recordReader(api, root), uri, digest)
	if err != nil {
		return err
	}
	return write(g)
}

// subject says what to begin at: a location, a digest, or both.
func (o *traceOptions) subject(cmd *cobra.Command, what string) (uri string, digest artifact.Digest, err error) {
	if o.digest != "" {
		hex, ok := strings.CutPrefix(o.digest, "sha256:")
		if digest, err = artifact.ParseDigest(hex); err != nil || !ok {
			return "", "", usage(fmt.Errorf("--digest is %q, want sha256:HEX", o.digest))
		}
	}
	if strings.Contains(what, "://") {
		if _, err := artifact.ParseLocation(what); err != nil {
			return "", "", usage(err)
		}
		return what, digest, nil
	}
	if i, err := image.Parse(what); err == nil && i.Digest != "" && digest == "" {
		return "", i.Digest, nil // a container image: what counts is its digest
	}
	if digest != "" {
		return "", "", usage(fmt.Errorf("--digest goes with a LOCATION; %q has a digest of its own", what))
	}
	c, err := contentOf(cmd.Context(), what, cmd.InOrStdin())
	return "", c.digest, err
}

// records looks through the records for what they say to have sealed.
func (o *traceOptions) records(cmd *cobra.Command, api client.Client) (*trace.Index, error) {
	var entries []trace.Entry
	err := o.each(cmd, api, func(p *v1alpha1.Provenance) error {
		if entries = append(entries, entriesOf(p)...); len(entries) > maxEntries {
			return usage(fmt.Errorf("there are more than %d outputs: name namespaces", maxEntries))
		}
		return nil
	})
	return trace.NewIndex(entries), err
}

// within are the namespaces that are looked through, each once; none for all.
func (o *traceOptions) within() []string {
	if slices.Contains(o.namespaces, "") {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(o.namespaces)))
}

// each goes through the records of the namespaces.
func (o *traceOptions) each(cmd *cobra.Command, api client.Reader, look func(*v1alpha1.Provenance) error) error {
	namespaces := o.within()
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	seen := 0
	for _, ns := range namespaces {
		err := eachRecord(cmd.Context(), api, ns, cmd.ErrOrStderr(), func(p *v1alpha1.Provenance) error {
			if seen++; seen%5000 == 0 {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "looked through %d records\n", seen)
			}
			return look(p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entriesOf are the outputs of a record: those that are sealed, and those that may lie where
// something sealed was before. A record need not say where, or of which outputs.
func entriesOf(p *v1alpha1.Provenance) []trace.Entry {
	var entries []trace.Entry
	for _, out := range p.Status.Outputs {
		e := trace.Entry{
			Namespace: p.Namespace, Record: p.Name, WorkflowUID: string(p.Spec.Workflow.UID), PodUID: string(p.Spec.Pod.UID),
			URI: out.Location, SHA256: artifact.Digest(out.SHA256), Made: p.CreationTimestamp.Time, Begun: p.Spec.PodCreatedAt.Time,
		}
		if p.Status.Bundle == "" || out.SHA256 == "" {
			if e.SHA256, e.Unsealed = "", cmp.Or(out.Reason, whyUnsealed(p)); !storedNothing(e.Unsealed) {
				entries = append(entries, e)
			}
			continue
		}
		for _, i := range out.Images {
			e.Images = append(e.Images, artifact.Digest(i.SHA256))
		}
		entries = append(entries, e)
	}
	if len(p.Status.Outputs) == 0 && p.Status.Bundle == "" && mayHaveStored(p) {
		entries = append(entries, trace.Entry{Namespace: p.Namespace, Record: p.Name, Made: p.CreationTimestamp.Time, Begun: p.Spec.PodCreatedAt.Time, Unsealed: whyUnsealed(p)})
	}
	return entries
}

// whyUnsealed is the reason code of a record without a seal.
func whyUnsealed(p *v1alpha1.Provenance) string {
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed); c != nil && c.Reason != "" {
		return c.Reason
	}
	return string(reason.Pending)
}

// storedNothing says whether something has no seal because it was never stored: what a step
// did not stage is not uploaded.
func storedNothing(why string) bool {
	return why == string(reason.NothingToSeal) || why == string(reason.OutputAbsent)
}

// mayHaveStored says whether the step of a record without a seal may have stored something. The
// reason of such a record is that of its first output alone.
func mayHaveStored(p *v1alpha1.Provenance) bool {
	switch why := whyUnsealed(p); {
	case why == string(reason.OutputAbsent):
		return len(p.Status.Outputs) == 0 || slices.ContainsFunc(p.Status.Outputs, func(o v1alpha1.OutputStatus) bool { return o.Reason != why })
	default:
		return !storedNothing(why)
	}
}

// recordReader reads and verifies records, each once.
func recordReader(api client.Client, root *verify.Root) trace.Reader {
	return func(ctx context.Context, namespace, record string) (trace.Sealed, error) {
		var p v1alpha1.Provenance
		err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: record}, &p)
		if apierrors.IsNotFound(err) {
			return trace.Sealed{}, trace.ErrGone
		}
		if err != nil {
			return trace.Sealed{}, fmt.Errorf("reading provenance %s/%s: %w", namespace, record, err)
		}
		result, err := root.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time)
		if err != nil {
			return trace.Sealed{}, err
		}
		return trace.Sealed{Statement: result.Statement, LogURL: result.LogURL, LogIndex: result.LogIndex}, nil
	}
}
