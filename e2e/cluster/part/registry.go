package part

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// registryRecipe builds the reference implementation of a container registry.
var registryRecipe = gobuild.Recipe{
	Name:    "registry",
	Module:  "github.com/distribution/distribution/v3",
	Version: "v3.1.2",
	Sum:     "h1:/Bv2YIqqSR00HiO49FT93hovy6r9IlrzwUDsJjCN5qg=",
	// Its own, less the drivers of clouds' stores: they take minutes to build.
	Write:   map[string]string{"cmd/registry/main.go": registryMain},
	Targets: []gobuild.Target{{Name: registryProgram, Package: "./cmd/registry"}},
}

const registryMain = `package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
`

const (
	registryProgram = "registry"
	registryImage   = "localhost/argoseal/" + registryProgram
	// RegistryHost is the registry by the one name that pods, the node and tests on this
	// machine have for it. It speaks TLS, with a certificate of the cluster's authority.
	RegistryHost = layout.RegistryIP + ":5000"
	// RegistryUser may do everything there, nobody else anything.
	RegistryUser     = "argoseal"
	RegistryPassword = "argoseal-registry-not-a-secret" // #nosec G101 -- a test registry's
	// registryUsers is the two in a file of htpasswd, by bcrypt at its least cost.
	registryUsers = RegistryUser + ":$2y$04$argosealRegistryNotAS.9/Snb5H2RxLtBvYa8cRmqivBrqgNAVq" // #nosec G101 -- as above
)

// registryLeaf is its certificate.
var registryLeaf = pki.Leaf{Name: "registry", CommonName: "registry", Hosts: []string{layout.RegistryIP}}

// registry keeps its images in its pod.
var registry = Workload{
	Name:      "registry",
	Namespace: "registry",
	Extra:     "registry",
	Recipe:    registryRecipe,
	Leaves:    []pki.Leaf{registryLeaf},
	Images: func() []image.Spec {
		return []image.Spec{programImage(registryImage, registryRecipe, registryProgram, "65532")}
	},
	Objects: func(_ context.Context, p Params) (string, error) {
		values := map[string]string{"Image": p.Image[registryImage], "IP": layout.RegistryIP, "Users": registryUsers}
		for key, file := range map[string]string{"Certificate": ".crt", "Key": ".key"} {
			content, err := os.ReadFile(p.Layout.PKI(registryLeaf.Name + file))
			if err != nil {
				return "", err
			}
			values[key] = base64.StdEncoding.EncodeToString(content)
		}
		return render("registry.yaml", registryYAML, values)
	},
}

//go:embed registry.yaml
var registryYAML string

// registryTrust tells containerd whose certificate the registry has.
func registryTrust(l layout.Layout) string {
	url := "https://" + RegistryHost
	return fmt.Sprintf("server = '%[1]s'\n\n[host.'%[1]s']\n  ca = '%[2]s'\n", url, l.PKI("ca.crt"))
}
