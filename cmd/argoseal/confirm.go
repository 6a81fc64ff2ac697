package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxParameter bounds the value that is to be confirmed, in bytes. A Workflow is
// smaller.
const maxParameter = 2 << 20

// confirmOptions are the flags of confirm-parameter, beside those of trust.
type confirmOptions struct {
	verifyOptions
	parameterKey string
}

const confirmLong = `Confirm that a parameter of the workflow had a value that somebody claims.

Statements show an HMAC where a parameter is not one of those that the operator has
quoted. Whoever may read the notary's key can tell whether a value is the one; the
value is read from standard input, every byte of it counts.`

const confirmExample = `  kubectl -n argoseal-system get secret argoseal-parameter-key -o jsonpath='{.data.parameter\.key}' | base64 -d > parameter.key
  printf %s "$CLAIMED" | argoseal confirm-parameter db-url --bundle bundle.json --parameter-key parameter.key`

func confirmCommand() *cobra.Command {
	o := &confirmOptions{}
	cmd := &cobra.Command{
		Use:     "confirm-parameter NAME --bundle BUNDLE --parameter-key KEY",
		Short:   "Confirm the value of a parameter that a statement does not show",
		Long:    confirmLong,
		Example: confirmExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.confirm(args[0], cmd.InOrStdin()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Confirmed: this is the value of parameter %s.\n", printable(args[0]))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.bundle, "bundle", "", "the seal, a Sigstore bundle (required)")
	o.trustFlags(flags)
	o.recordedFlag(flags)
	flags.StringVar(&o.parameterKey, "parameter-key", "", "the notary's key of parameters, its bytes (required)")
	return cmd
}

// confirm is nil if the statement's parameter has the value.
func (o *confirmOptions) confirm(name string, value io.Reader) error {
	if o.bundle == "" || o.parameterKey == "" {
		return usage(fmt.Errorf("--bundle and --parameter-key are required"))
	}
	bundle, err := readBounded(o.bundle, verify.MaxBundle)
	if err != nil {
		return err
	}
	key, err := readBounded(o.parameterKey, provenance.RedactionKeySize)
	if err != nil {
		return err
	}
	statement, err := o.inspect(bundle)
	if err != nil {
		return err
	}
	claimed, err := io.ReadAll(io.LimitReader(value, maxParameter+1))
	if err != nil {
		return usage(fmt.Errorf("read the value: %w", err))
	}
	if len(claimed) > maxParameter {
		return usage(fmt.Errorf("the value has more than %d bytes", maxParameter))
	}
	for _, p := range statement.Definition.Parameters {
		if p.Name != name {
			continue
		}
		same, err := p.Confirms(key, statement.Step.Workflow.UID, string(claimed))
		switch {
		case err != nil:
			return usage(fmt.Errorf("--parameter-key: %w", err))
		case !same:
			return reason.New(reason.ValueMismatch, "parameter %.80q has another value", name)
		}
		return nil
	}
	return reason.New(reason.ValueMismatch, "the statement has no parameter %.80q", name)
}
