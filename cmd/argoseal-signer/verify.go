package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

const verifyUsage = `argoseal-signer verify compares what Argo unpacked with what was admitted.

It runs as an init container directly after Argo's init. It exits 0 only if
every pinned input is there, is what was pinned, and nothing else lies beside.
Otherwise main never starts, and the reason is in the termination log.

`

// verifyOptions are the flags of verify.
type verifyOptions struct {
	root, log string
	pins      []artifact.Pin
	unpinned  names
}

func parseVerify(args []string, stderr io.Writer) (verifyOptions, error) {
	var o verifyOptions
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, verifyUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.root, "root", "/argoseal/inputs", "the `folder` where Argo's volume of input artifacts is mounted")
	flags.Func("pin", "what was admitted for an input, as `JSON`: input, location, sha256, tree, mode; once for each", func(s string) error {
		p, err := artifact.ParsePin(s)
		o.pins = append(o.pins, p)
		return err
	})
	flags.Var(&o.unpinned, "unpinned", "the `name` of an input that has no pin and may be there: raw, git, http, or optional and absent")
	flags.StringVar(&o.log, "termination-log", terminationLog, terminationLogUsage)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %.80q", flags.Arg(0))
	}
	return o, nil
}

// verify gives the exit code: 0 only if everything is as it was admitted.
func verify(args []string, stdout, stderr io.Writer) int {
	options, err := parseVerify(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return reason.UsageInvalid.ExitCode() // nothing was verified
	}
	if err != nil {
		err = reason.Wrap(reason.UsageInvalid, err, "%v", err)
	} else {
		err = checked(options)
	}
	if err == nil {
		fmt.Fprintf(stdout, "all %d pinned inputs are what was admitted\n", len(options.pins))
		return 0
	}
	fmt.Fprintln(stderr, err)
	if reporting := report(options.log, err.Error()); reporting != nil {
		fmt.Fprintln(stderr, reason.Wrap(reason.Internal, reporting, "the message cannot be left: %v", reporting))
	}
	return reason.Of(err).ExitCode()
}

// checked turns a panic into a refusal.
func checked(o verifyOptions) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = reason.New(reason.Internal, "panic: %v", p)
		}
	}()
	return artifact.CheckInputs(o.root, o.pins, o.unpinned)
}
