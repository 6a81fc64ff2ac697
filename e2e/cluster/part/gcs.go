package part

import (
	"context"
	_ "embed"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// gcsRecipe builds a server that answers as Google Cloud Storage does.
var gcsRecipe = gobuild.Recipe{
	Name:    "fake-gcs-server",
	Module:  "github.com/fsouza/fake-gcs-server",
	Version: "v1.56.1",
	Sum:     "h1:K03sAvbLvDz4hAynpCCUqnNRp+ik9JFSvHbkD/wTPOU=",
	Targets: []gobuild.Target{{Name: gcsProgram, Package: "."}},
}

const (
	gcsProgram = "fake-gcs-server"
	gcsImage   = "localhost/argoseal/" + gcsProgram
	// GCSBucket is its bucket. Argo's executors know the server by a variable
	// ([ExecutorEnv]), and no template can name another.
	GCSBucket = "argoseal-artifacts"
	// GCSClusterEndpoint is the server as pods reach it.
	GCSClusterEndpoint = "http://gcs." + ArgoNamespace + ".svc:4443"
)

// gcs keeps its objects in its pod, and has its bucket from the start: a server that
// reads a folder takes each folder in it for one.
var gcs = Workload{
	Name:      "gcs",
	Namespace: ArgoNamespace,
	Extra:     "gcs",
	Recipe:    gcsRecipe,
	Images: func() []image.Spec {
		spec := programImage(gcsImage, gcsRecipe, gcsProgram, "65532")
		spec.Layers[0] = append(spec.Layers[0], image.File{Path: "/data/" + GCSBucket, Dir: true})
		return []image.Spec{spec}
	},
	Objects: func(_ context.Context, p Params) (string, error) {
		return render("gcs.yaml", gcsYAML, map[string]string{
			"Image": p.Image[gcsImage], "IP": layout.GCSIP, "URL": GCSClusterEndpoint, "Host": strings.TrimPrefix(GCSClusterEndpoint, "http://"),
		})
	},
}

//go:embed gcs.yaml
var gcsYAML string
