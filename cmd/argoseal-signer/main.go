// Argoseal-signer is the program that Argoseal runs inside of workflow pods. It has three
// commands. sign, a native sidecar, measures what Argo stages for upload. prepare, an init
// container, copies this program for verify. verify, an init container in the executor's
// image, compares what Argo unpacked with what was admitted. The program has no key, no token
// and no network.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/argoseal/argoseal/pkg/reason"
)

const usage = `argoseal-signer runs inside of workflow pods.

  argoseal-signer sign     measures what Argo stages for upload, until SIGTERM
  argoseal-signer prepare  puts this program where verify, in another image, runs it
  argoseal-signer verify   compares what Argo unpacked with what was admitted

Run any of them with --help to see its flags.
`

// memoryLimit is where the garbage collector begins to work hard, in bytes. All
// live data is a few buffers, far below it.
const memoryLimit = 16 << 20

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	debug.SetMemoryLimit(memoryLimit)
	os.Exit(run(os.Args[1:], ended, os.Stdout, os.Stderr))
}

// run is the program; it gives the exit code.
func run(args []string, ended <-chan os.Signal, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "sign":
		sign(args, ended, stdout, stderr)
		return 0
	case "prepare":
		return prepare(args, stderr)
	case "verify":
		return verify(args, stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprint(stderr, usage)
	return reason.UsageInvalid.ExitCode()
}

const (
	terminationLog      = "/dev/termination-log"
	terminationLogUsage = "the `file` whose content the kubelet reports"
)

// report leaves a message for the kubelet. The file is a mount: it is written,
// never replaced.
func report(path, message string) error {
	return os.WriteFile(path, []byte(message), 0o644)
}
