package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar/company"
)

const signUsage = `argoseal-signer sign measures what Argo stages for upload.

It runs as a native sidecar. When SIGTERM arrives, wait has ended: it writes the
measurement to the termination log and exits 0, always. A sidecar that fails
would hide from Argo what main said, and one that ends before SIGTERM would be
started again. A measurement that the termination log has no room for goes to
stdout, and the termination log says what is there.

`

// signOptions are the flags of sign.
type signOptions struct {
	staged, terminationFile string
	run, proc               string
	outputs                 []measurement.Staged
	limit                   int
	poll, grace             time.Duration
}

func parseSign(args []string, stderr io.Writer) (signOptions, error) {
	var o signOptions
	flags := flag.NewFlagSet("sign", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, signUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.staged, "staged", "/argoseal/staged", "the `folder` where the /tmp of Argo's wait container is mounted")
	flags.StringVar(&o.run, "run", "", "the `folder` where Argo's /var/run/argo is mounted, to read outputs while they are packed")
	flags.StringVar(&o.proc, "proc", "/proc", "the `folder` where procfs is mounted, in which other processes are looked for, or their traces: with them there is no measurement; empty: they are not looked for")
	flags.Func("output", "an output artifact: `NAME` for an archive (tar), NAME=tar=PATH where it is packed from PATH in main's own files, NAME=zip for a zip, NAME=none=FILE for a file that is stored as it is, NAME=packed=PATH for one that is read as it was packed from PATH, NAME=volume=PATH for one that is stored from a volume, mounted here, NAME=log=FILE for a log; once for each", func(s string) error {
		staged, err := measurement.ParseStaged(s)
		o.outputs = append(o.outputs, staged)
		return err
	})
	flags.IntVar(&o.limit, "max-message", measurement.DefaultMessage,
		"how many `bytes` of the message the kubelet keeps: 12288 by the number of the pod's containers of all kinds, at most 4096")
	flags.DurationVar(&o.poll, "poll", 200*time.Millisecond, "time between two looks at the folder")
	flags.DurationVar(&o.grace, "grace", 20*time.Second, "time to finish in after SIGTERM; less than the pod's terminationGracePeriodSeconds")
	flags.StringVar(&o.terminationFile, "termination-log", terminationLog, terminationLogUsage)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %.80q", flags.Arg(0))
	case len(o.outputs) == 0:
		return o, errors.New("no --output is given")
	case o.limit < measurement.MinMessage || o.limit > measurement.MaxMessage:
		return o, fmt.Errorf("--max-message is %d, want %d to %d", o.limit, measurement.MinMessage, measurement.MaxMessage)
	case o.poll <= 0 || o.grace <= 0:
		return o, errors.New("--poll and --grace must be more than nothing")
	}
	type file struct {
		log  bool
		name string
	}
	outputs, files := map[string]bool{}, map[file]bool{}
	for _, s := range o.outputs {
		f := file{s.Log, s.Name()}
		switch {
		case outputs[s.Output] || s.Place == "" && files[f]:
			return o, fmt.Errorf("--output=%s is given twice, or its file is", s)
		case s.Place == measurement.PlacePacked && o.run == "":
			return o, fmt.Errorf("--output=%s is read below --run, which is not given", s)
		}
		outputs[s.Output] = true
		files[f] = files[f] || s.Place == ""
	}
	return o, nil
}

// sign runs until ended and leaves a message, whatever happens.
func sign(args []string, ended <-chan os.Signal, stdout, stderr io.Writer) {
	options, err := parseSign(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	go func() {
		<-ended
		end()
	}()
	done, found := make(chan struct{}), make(chan error, 1)
	go func() {
		if err != nil || options.proc == "" {
			found <- nil
			return
		}
		found <- (&company.Watch{Proc: options.proc, PID: os.Getpid()}).Run(done, options.poll)
	}()
	message := guarded(func() string {
		if err != nil {
			fmt.Fprintln(stderr, reason.Wrap(reason.UsageInvalid, err, "%v", err))
			return measurement.EncodeProblem(reason.Internal, "%v", err)
		}
		return measured(ctx, options, stdout)
	})
	// One that ended early would be started again and again.
	<-ctx.Done()
	close(done)
	if err := <-found; err != nil {
		fmt.Fprintln(stderr, reason.Wrap(reason.ForeignProcess, err, "%v", err))
		message = measurement.EncodeProblem(reason.ForeignProcess, "%v", err)
	}
	if err := report(options.terminationFile, message); err != nil {
		fmt.Fprintln(stderr, reason.Wrap(reason.Internal, err, "the message cannot be left: %v", err))
	}
	fmt.Fprint(stdout, message)
}

// measured gives the message of a sidecar that was started well. What the message
// has no room for is in the log before it.
func measured(ctx context.Context, o signOptions, stdout io.Writer) string {
	watcher := measurement.Watcher{
		Dir:     o.staged,
		VarRun:  o.run,
		Outputs: o.outputs,
		Poll:    o.poll,
		Grace:   o.grace,
		Log:     slog.New(slog.NewJSONHandler(stdout, nil)),
	}
	message, logText, err := watcher.Run(ctx).Encode(o.limit)
	if err == nil {
		err = measurement.WriteLog(stdout, logText)
	}
	switch {
	case errors.Is(err, measurement.ErrTooLarge):
		return measurement.EncodeProblem(reason.MeasurementIncomplete, "%v", err)
	case err != nil:
		return measurement.EncodeProblem(reason.Internal, "%v", err)
	}
	return message
}

// guarded turns a panic into the message that there was one.
func guarded(f func() string) (message string) {
	defer func() {
		if p := recover(); p != nil {
			message = measurement.EncodeProblem(reason.Internal, "panic: %v", p)
		}
	}()
	return f()
}
