// Argoseal-scrubber compares sealed artifacts with what lies in the artifact stores, and
// says which were altered. It is the one program of ours that talks to a store: it reads
// there, and holds no other credential.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/argoseal/argoseal/pkg/reason"
)

// version is set at link time.
var version = "devel"

func main() {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	root := &cobra.Command{
		Use:           "argoseal-scrubber",
		Short:         "Compares sealed artifacts with what lies in the stores",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand())
	err := root.ExecuteContext(ctrl.SetupSignalHandler())
	if errors.Is(err, errAltered) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitAltered)
	}
	if errors.Is(err, errUnread) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUnread)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(reason.Of(err).ExitCode())
	}
}
