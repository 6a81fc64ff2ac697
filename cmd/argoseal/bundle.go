package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/verify"
)

// bundleOptions are the flags of verify-bundle; their names are sigstore-conformance's.
type bundleOptions struct {
	bundle      string
	key         string
	identity    string
	issuer      string
	trustedRoot string
}

const bundleExample = `  # what a workflow of GitHub's attested of a file, under a trusted root of the public-good instance
  argoseal verify-bundle --bundle bundle.json --trusted-root trusted_root.json \
    --certificate-identity https://github.com/o/r/.github/workflows/w.yml@refs/heads/main \
    --certificate-oidc-issuer https://token.actions.githubusercontent.com model.tgz

  # what somebody signed with a key, of a digest
  argoseal verify-bundle --bundle bundle.json --key signer.pub --trusted-root trusted_root.json \
    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`

func bundleCommand() *cobra.Command {
	o := &bundleOptions{}
	cmd := &cobra.Command{
		Use:   "verify-bundle --bundle BUNDLE {--key KEY | --certificate-identity SUBJECT --certificate-oidc-issuer URL} FILE",
		Short: "Verify offline that somebody signed a file, by any Sigstore bundle",
		Long: `Verify offline that somebody signed a file, or a statement that has it for a
subject, by any Sigstore bundle, whoever made it. It says who signed, and nothing
about what is stated: whether a seal is of your workflow, argoseal verify says.

FILE is the artifact, or its digest as sha256:HEX if there is no file of that name.
It speaks the client protocol of sigstore-conformance, but for signing. It asks
nobody, so the trusted root has to be given.`,
		Example: bundleExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.run(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "Verified OK")
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.bundle, "bundle", "", "the Sigstore bundle (required)")
	flags.StringVar(&o.key, "key", "", "public key that signed, PEM")
	flags.StringVar(&o.identity, "certificate-identity", "", "subject alternative name of the certificate that signed, exactly")
	flags.StringVar(&o.issuer, "certificate-oidc-issuer", "", "issuer of that identity, exactly")
	flags.StringVar(&o.trustedRoot, "trusted-root", configFile("trusted_root.json"), "Sigstore trusted root")
	return cmd
}

func (o *bundleOptions) run(what string) (err error) {
	if o.bundle == "" {
		return usage(errors.New("--bundle is required"))
	}
	raw, err := readBounded(o.bundle, verify.MaxForeign)
	if err != nil {
		return err
	}
	f := verify.Foreign{Identity: o.identity, Issuer: o.issuer}
	if f.TrustedRoot, err = readBounded(o.trustedRoot, maxTrust); err != nil {
		return err
	}
	if o.key != "" {
		if f.Key, err = readBounded(o.key, maxTrust); err != nil {
			return err
		}
		if len(f.Key) == 0 {
			return usage(fmt.Errorf("--key=%s is an empty file", o.key))
		}
	}
	if f.SHA256 = givenDigest(what); f.SHA256 == nil {
		file, err := os.Open(what)
		if err != nil {
			return usage(err)
		}
		defer func() { _ = file.Close() }()
		f.Artifact = file
	}
	return f.Check(raw)
}

// givenDigest reads what was given in place of a file; nil: it is a file's name.
func givenDigest(what string) []byte {
	text, ok := strings.CutPrefix(what, "sha256:")
	if !ok || len(text) != 64 {
		return nil
	}
	if _, err := os.Stat(what); err == nil {
		return nil
	}
	sum, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return sum
}
