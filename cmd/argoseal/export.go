package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/archive"
	"github.com/argoseal/argoseal/pkg/reason"
)

type exportOptions struct {
	kubeconfig, context string
	namespace           string
	to                  string
	olderThan           time.Duration
}

func exportCommand() *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the cluster's seals to a folder",
		Long: `Write the cluster's seals to a folder: the bundle of each sealed pod, as
NAMESPACE/POD-UID.sigstore.json, and what is stated of whole workflows, as
NAMESPACE/WORKFLOW-UID.workflow.sigstore.json and .summary.sigstore.json. argoseal verify and cosign verify them there, without
the cluster. What is there already stays; a file that differs from the record is an
error. A workflow that was stated anew, because more of it was sealed, has another file,
with a part of its digest in the name. Nothing is deleted.`,
		Example: `  argoseal export --to seals
  argoseal export --to seals --namespace demo --older-than 720h`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.to == "" {
				return reason.New(reason.UsageInvalid, "--to says which folder to write to")
			}
			if o.olderThan < 0 {
				return reason.New(reason.UsageInvalid, "--older-than is not below zero")
			}
			api, err := connect(o.kubeconfig, o.context)
			if err != nil {
				return err
			}
			n, err := o.export(cmd.Context(), api, cmd.ErrOrStderr(), time.Now())
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d seals in %s\n", n, printable(o.to))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "folder; it is made if it is not there")
	f.StringVarP(&o.namespace, "namespace", "n", "", "export one namespace (default: all)")
	f.DurationVar(&o.olderThan, "older-than", 0, "export only what was recorded so long ago")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	return c
}

// export writes the bundles, and says how many there are in the folder now.
func (o exportOptions) export(ctx context.Context, api client.Reader, tell io.Writer, now time.Time) (n int, err error) {
	err = eachRecord(ctx, api, o.namespace, tell, func(p *v1alpha1.Provenance) error {
		if p.Status.Bundle == "" || now.Sub(p.CreationTimestamp.Time) < o.olderThan {
			return nil
		}
		if err := archive.Keep(o.to, p.Namespace, p.Name, []byte(p.Status.Bundle)); err != nil {
			return err
		}
		n++
		return nil
	})
	if err != nil {
		return n, err
	}
	err = eachWhole(ctx, api, o.namespace, tell, func(p *v1alpha1.WorkflowProvenance) error {
		if now.Sub(p.CreationTimestamp.Time) < o.olderThan {
			return nil
		}
		for of, bundle := range map[string]string{archive.Workflow: p.Status.Bundle, archive.Summary: p.Status.Summary} {
			if bundle == "" {
				continue
			}
			name := string(p.Spec.Workflow.UID) + of
			err := archive.Keep(o.to, p.Namespace, name, []byte(bundle))
			if reason.Of(err) == reason.BundleInvalid { // it was stated anew since: records have come
				err = archive.Keep(o.to, p.Namespace, fmt.Sprintf("%s.%.8x", name, sha256.Sum256([]byte(bundle))), []byte(bundle))
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err == nil && n == 0 && o.namespace != "" && o.olderThan == 0 {
		err = reason.New(reason.UsageInvalid, "namespace %.80s has no seals: is it spelled right?", o.namespace)
	}
	return n, err
}
