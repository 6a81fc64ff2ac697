package part

import (
	"context"
	_ "embed"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// corednsRecipe builds the cluster's name server.
var corednsRecipe = gobuild.Recipe{
	Name:    "coredns",
	Module:  "github.com/coredns/coredns",
	Version: "v1.15.0",
	Sum:     "h1:OBT+OEyHVdUiVxPhrNlC5XZVq3RkSxzQXfZQ76gm5ck=",
	Targets: []gobuild.Target{{Name: "coredns", Package: "."}},
	Tags:    []string{"grpcnotrace"},
}

// coredns answers for the cluster's own names only; there is nothing outside
// that a test should ask for.
var coredns = Workload{
	Name:      "coredns",
	Namespace: "kube-system",
	Recipe:    corednsRecipe,
	Images: func() []image.Spec {
		return []image.Spec{programImage(corednsImage, corednsRecipe, "coredns", "0")}
	},
	Objects: func(_ context.Context, p Params) (string, error) {
		return render("coredns.yaml", corednsYAML, map[string]string{
			"Image":  p.Image[corednsImage],
			"IP":     layout.DNSIP,
			"Domain": layout.Domain,
		})
	},
}

const corednsImage = "localhost/argoseal/coredns"

//go:embed coredns.yaml
var corednsYAML string
