package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

func (o *trustOptions) timestampsCommand() *cobra.Command {
	var url, chain string
	c := &cobra.Command{
		Use:   "timestamps --url URL --chain FILE",
		Short: "Trust a timestamp authority about when seals were there",
		Long: `Trust an RFC 3161 timestamp authority about when seals of this installation were
there: its certificates are added to the trusted root. Get them over a connection that
you trust, not from whoever answers at the URL.

Then have the notary ask it, by timestamps.url of the chart. What it has stamped before
a signing key got into other hands goes on to count (argoseal trust rotate --from).`,
		Example: `  argoseal trust timestamps --url https://timestamps.example.com/api/v1/timestamp --chain chain.pem`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" || chain == "" {
				return usage(errors.New("--url and --chain are required"))
			}
			return o.timestamps(cmd.Context(), cmd.OutOrStdout(), url, chain)
		},
	}
	c.Flags().StringVar(&url, "url", "", "where the authority answers (required)")
	c.Flags().StringVar(&chain, "chain", "", "its certificates, PEM, from the one that signs timestamps to the root (required)")
	return c
}

func (o *trustOptions) timestamps(ctx context.Context, w io.Writer, url, file string) error {
	if err := o.trustChain(ctx, w, url, file, verify.TrustTimestamps); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "Trusted: the timestamp authority %s. Run argoseal trust export again, and give the notary its URL (timestamps.url).\n", printable(url))
	return err
}

// trustChain adds an authority, by a file with its chain, to the trusted root of the
// installation.
func (o *trustOptions) trustChain(ctx context.Context, w io.Writer, url, file string, with func(trustedRootJSON []byte, baseURL string, chainPEM []byte) ([]byte, error)) error {
	chain, err := readBounded(file, maxTrust)
	if err != nil {
		return err
	}
	s, err := o.store(ctx)
	if err != nil {
		return err
	}
	var trusted corev1.ConfigMap
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &trusted); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	next, err := with([]byte(trusted.Data[v1alpha1.TrustedRootKey]), url, chain)
	if err != nil {
		return usage(err)
	}
	trusted.Data[v1alpha1.TrustedRootKey] = string(next)
	if err := s.API.Update(ctx, &trusted); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	return warnHelm(w, &trusted)
}
