// Argoseal-notary turns what finished workflow pods produced into published
// seals. It holds the signing key; it runs nothing of a tenant's, and writes
// nothing but Provenances, ArtifactSeals, events and its own keys.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// version is set at link time.
var version = "devel"

// queriesPerSecond is far above what sealing needs (three calls a pod), so that it
// never makes a seal late; the API server has limits of its own, per client.
const queriesPerSecond = 1000

func main() {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	root := &cobra.Command{
		Use:           "argoseal-notary",
		Short:         "Seals what workflow pods produce",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), logKeyCommand(), logTilesCommand())
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, oneLine(err))
		os.Exit(reason.Of(err).ExitCode())
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// connect is how to reach the API server, and the types we speak of there.
func connect() (*rest.Config, *runtime.Scheme, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the API server: %w", err)
	}
	config.QPS, config.Burst = queriesPerSecond, 2*queriesPerSecond
	config.UserAgent = "argoseal-notary/" + version
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("types: %w", err)
		}
	}
	return config, scheme, nil
}

// requireFlags names the flags that are missing, all at once.
func requireFlags(values map[string]bool) error {
	var missing []string
	for name, given := range values {
		if !given {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return usage("missing %s", strings.Join(sorted(missing), ", "))
}
