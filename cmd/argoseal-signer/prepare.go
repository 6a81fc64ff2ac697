package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/argoseal/argoseal/pkg/reason"
)

const prepareUsage = `argoseal-signer prepare puts this program into a folder.

It runs as an init container before Argo's init. The folder is a volume that
verify alone mounts besides: verify runs in the image of Argo's executor, which
has the argoexec that init copies, and not this program.

`

// laid is the name that the program has in the folder.
const laid = "argoseal-signer"

// prepare gives the exit code: 0 only if the program is there.
func prepare(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("prepare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, prepareUsage)
		flags.PrintDefaults()
	}
	to := flags.String("to", "/argoseal/program", "the `folder`")
	terminationFile := flags.String("termination-log", terminationLog, terminationLogUsage)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return reason.UsageInvalid.ExitCode() // nothing was put anywhere
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %.80q", flags.Arg(0))
	}
	if err != nil {
		err = reason.Wrap(reason.UsageInvalid, err, "%v", err)
	} else if err = lay(*to); err != nil {
		err = reason.Wrap(reason.Internal, err, "putting our program where verify runs it: %v", err)
	} else {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if reporting := report(*terminationFile, err.Error()); reporting != nil {
		fmt.Fprintln(stderr, reporting)
	}
	return reason.Of(err).ExitCode()
}

// lay copies the program that runs. The kubelet may run it again where it ran before, so
// it is put in the place of what is there, which may be half of it.
func lay(dir string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	part, err := os.CreateTemp(dir, laid+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(part.Name())
		}
	}()
	_, copied := io.Copy(part, from)
	// Verify may run as another user.
	if err := errors.Join(copied, part.Chmod(0o555), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(dir, laid))
}
