package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/archive"
	"github.com/argoseal/argoseal/pkg/reason"
)

// exportPage is how many records are read at a time: one has a MiB at most.
const exportPage = 50

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
NAMESPACE/POD-UID.sigstore.json. argoseal verify and cosign verify them there, without
the cluster. What is there already stays; a file that differs from the record is an
error. Nothing is deleted.`,
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
			n, err := o.export(cmd.Context(), api, time.Now())
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

// export writes the bundles page by page, and says how many there are in the folder now.
func (o exportOptions) export(ctx context.Context, api client.Reader, now time.Time) (n int, err error) {
	for next := ""; ; {
		var list v1alpha1.ProvenanceList
		if err := api.List(ctx, &list, client.InNamespace(o.namespace), client.Limit(exportPage), client.Continue(next)); err != nil {
			return n, fmt.Errorf("list provenances: %w", err)
		}
		for _, p := range list.Items {
			if p.Status.Bundle == "" || now.Sub(p.CreationTimestamp.Time) < o.olderThan {
				continue
			}
			if err := archive.Keep(o.to, p.Namespace, p.Name, []byte(p.Status.Bundle)); err != nil {
				return n, err
			}
			n++
		}
		if next = list.Continue; next == "" {
			return n, nil
		}
	}
}
