// Argoseal verifies seals offline: that a file is the artifact that a workflow
// step produced, by the notary's signature and the log's proof. It trusts the
// key and the trusted root it is given, asks nobody and needs no cluster. It also
// audits, with a cluster, who has more access to Secrets than they need.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/reason"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: it returns what to exit with.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "argoseal",
		Short:         "Verifies where artifacts of Argo workflows come from, and audits access to Secrets",
		Args:          usageArgs(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	//nolint:contextcheck // a command has its context from ExecuteContext, below
	root.AddCommand(verifyCommand(), bundleCommand(), attachCommand(), traceCommand(), reproduceCommand(), sbomCommand(), taintCommand(), confirmCommand(), exportCommand(), secretsCommand(), trustCommand(), logCommand(), versionCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, printable(err.Error()))
		return reason.Of(err).ExitCode()
	}
	return 0
}

// usage gives an error of the caller's the code that says so.
func usage(err error) error { return reason.Wrap(reason.UsageInvalid, err, "%v", err) }

// usageArgs is a check of arguments with the code of a caller's error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(err)
		}
		return nil
	}
}
