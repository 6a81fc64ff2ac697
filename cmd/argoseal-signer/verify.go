package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

const verifyUsage = `argoseal-signer verify compares what Argo left with what was admitted.

It runs as an init container directly after Argo's init. It exits 0 only if
every pinned input is there and is what was pinned (a clone has its commit checked
out; any other that a policy admits whatever it is may be anything; one that is
admitted as absent is not there), every raw input and the script are what the
template says, /var/run/argo holds Argo's own two files as init left them, and
nothing else lies beside any of them. Otherwise main never starts, and the reason
is in the termination log. With --report it only says so there.

`

// verifyOptions are the flags of verify.
type verifyOptions struct {
	root, run, staging, terminationFile string
	template, script                    artifact.Digest
	pins                                []pin.Pin
	raws                                []pin.Raw
	volumes                             []pin.Volume
	report, executor                    bool
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
	flags.StringVar(&o.run, "run", "/argoseal/run", "the `folder` where Argo's volume of /var/run/argo is mounted")
	flags.StringVar(&o.staging, "staging", "", "the `folder` where Argo's volume of /argo/staging is mounted; of a script only")
	flags.Func("template", "the `SHA256` of the template that init writes to /var/run/argo", digest(&o.template))
	flags.Func("script", "the `SHA256` of the script that init writes to /argo/staging", digest(&o.script))
	flags.Func("pin", "what was admitted for an input, as `JSON`: input, location, sha256, archive, tree, mode, recurse, plain, within, files, policy, seal, absent; once for each", func(s string) error {
		p, err := pin.Parse(s)
		o.pins = append(o.pins, p)
		return err
	})
	flags.Func("raw", "what the template says of a raw input, as `NAME=SHA256` or, with its octal mode, NAME=SHA256=MODE; once for each", func(s string) error {
		r, err := pin.ParseRaw(s)
		o.raws = append(o.raws, r)
		return err
	})
	flags.Func("volume", "a volume of the step's own on which inputs lie, as `JSON`: path, dir, own, inputs; once for each", func(s string) error {
		v, err := pin.ParseVolume(s)
		o.volumes = append(o.volumes, v)
		return err
	})
	flags.BoolVar(&o.report, "report", false, "exit 0 whatever is wrong, for a namespace that refuses nothing: the notary reads the termination log")
	flags.BoolVar(&o.executor, "executor", false, "this is the image of Argo's executor: compare /var/run/argo/argoexec with the one on PATH, which init copied")
	flags.StringVar(&o.terminationFile, "termination-log", terminationLog, terminationLogUsage)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %.80q", flags.Arg(0))
	}
	switch {
	case o.template == "":
		return o, errors.New("there is no --template")
	case (o.staging == "") != (o.script == ""):
		return o, errors.New("--staging and --script go together")
	}
	return o, nil
}

// digest reads a flag, once.
func digest(into *artifact.Digest) func(string) error {
	return func(s string) error {
		if *into != "" {
			return errors.New("it is given twice")
		}
		d, err := artifact.ParseDigest(s)
		*into = d
		return err
	}
}

// onPath is the program of a name that Argo's init finds by exec.LookPath, in the same
// image, and copies; if there is none, a path where nothing is.
func onPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err == nil && filepath.IsAbs(at) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at
		}
	}
	return "/" + name
}

// verify gives the exit code: 0 only if everything is as it was admitted, or it
// was to report and has.
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
		fmt.Fprintln(stdout, summary(options.pins))
		return 0
	}
	fmt.Fprintln(stderr, err)
	reporting := report(options.terminationFile, err.Error())
	if reporting != nil {
		fmt.Fprintln(stderr, reason.Wrap(reason.Internal, reporting, "the message cannot be left: %v", reporting))
	}
	if options.report && reporting == nil {
		return 0
	}
	return reason.Of(err).ExitCode()
}

// summary says what was compared, and what was not.
func summary(pins []pin.Pin) string {
	unknown := 0
	for _, p := range pins {
		if p.AnyContent() {
			unknown++
		}
	}
	text := fmt.Sprintf("all %d pinned inputs are what was admitted", len(pins)-unknown)
	if unknown > 0 {
		text += fmt.Sprintf("; %d more were admitted by policy, whatever they are", unknown)
	}
	return text
}

// checked turns a panic into a refusal.
func checked(o verifyOptions) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = reason.New(reason.Internal, "panic: %v", p)
		}
	}()
	argoexec := ""
	if o.executor {
		argoexec = onPath(layout.FileExecutor)
	}
	if err := pin.CheckRun(o.run, o.template, argoexec); err != nil {
		return err
	}
	if o.script != "" {
		if err := pin.CheckStaging(o.staging, o.script); err != nil {
			return err
		}
	}
	return pin.CheckInputs(o.root, o.volumes, o.pins, o.raws)
}
