package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/verify"
)

func (o *trustOptions) certificatesCommand() *cobra.Command {
	var url, chain string
	c := &cobra.Command{
		Use:   "certificates --url URL --chain FILE",
		Short: "Trust a certificate authority (Fulcio) about who signs seals",
		Long: `Trust a certificate authority, such as a Fulcio of yours, about who signs seals of
this installation: its certificates are added to the trusted root. Get them over a
connection that you trust, not from whoever answers at the URL.

By itself that makes nobody a signer: identities do, which the notary publishes when
notary.fulcio.url of the chart has it sign under such certificates.`,
		Example: `  argoseal trust certificates --url https://fulcio.example.com --chain chain.pem`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" || chain == "" {
				return usage(errors.New("--url and --chain are required"))
			}
			return o.certificates(cmd.Context(), cmd.OutOrStdout(), url, chain)
		},
	}
	c.Flags().StringVar(&url, "url", "", "where the authority answers (required)")
	c.Flags().StringVar(&chain, "chain", "", "its certificates, PEM, from the one that issues to the root (required)")
	return c
}

func (o *trustOptions) certificates(ctx context.Context, w io.Writer, url, file string) error {
	if err := o.trustChain(ctx, w, url, file, verify.TrustCertificates); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "Trusted: the certificate authority %s. Run argoseal trust export again, and give the notary its URL (notary.fulcio.url).\n", printable(url))
	return err
}
