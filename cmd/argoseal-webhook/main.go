// Argoseal-webhook admits workflow pods: it adds the signing sidecar, refuses
// what consumes artifacts without provenance, and keeps its own serving
// certificate. It holds no signing key and reads no tenant's Secret.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
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
	if err := command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(reason.Of(err).ExitCode())
	}
}
