// Argoseal-notary turns what finished workflow pods produced into published
// seals. It holds the signing key; it runs nothing of a tenant's, and writes
// nothing but Provenances, ArtifactSeals, events and its own keys. Commands beside run
// are for processes without that key: one of them keeps the trusted root up to date.
package main

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/program"
)

// version is set at link time.
var version = "devel"

// queriesPerSecond is far above what sealing needs (three calls a pod), so that it
// never makes a seal late; the API server has limits of its own, per client.
const queriesPerSecond = 1000

func main() {
	program.Main(program.Command("argoseal-notary", "Seals what workflow pods produce", version, runCommand(), logKeyCommand(), logTilesCommand(), trustedRootCommand()))
}

// connect is how to reach the API server, and the types we speak of there.
func connect() (*rest.Config, *runtime.Scheme, error) {
	config, scheme, err := program.Connect("argoseal-notary", version, clientgoscheme.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		return nil, nil, err
	}
	config.QPS, config.Burst = queriesPerSecond, 2*queriesPerSecond
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
