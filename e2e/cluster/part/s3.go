package part

import (
	"context"
	_ "embed"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// s3Recipe builds the S3 store that holds the artifacts.
var s3Recipe = gobuild.Recipe{
	Name:    "versitygw",
	Module:  "github.com/versity/versitygw",
	Version: "v1.8.0",
	Sum:     "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=",
	Targets: []gobuild.Target{{Name: "versitygw", Package: "./cmd/versitygw"}},
	LDFlags: []string{"-X main.Version=v1.8.0"},
}

// s3 keeps its objects in a folder of the machine, so they outlive its pod.
// What S3 says of an object beside its bytes goes to a folder of its own: not
// every file system has extended attributes.
var s3 = Workload{
	Name:      "s3",
	Namespace: ArgoNamespace,
	Recipe:    s3Recipe,
	Images: func() []image.Spec {
		return []image.Spec{programImage(s3Image, s3Recipe, "versitygw", "0")}
	},
	Objects: func(_ context.Context, p Params) (string, error) {
		return render("s3.yaml", s3YAML, map[string]string{
			"Image":     p.Image[s3Image],
			"IP":        layout.S3IP,
			"Dir":       p.Layout.Path("s3"),
			"AccessKey": S3AccessKey,
			"SecretKey": S3SecretKey,
		})
	},
}

const s3Image = "localhost/argoseal/versitygw"

// The store's bucket and credentials. It is reachable from this machine only
// and holds what tests put there.
const (
	S3Bucket    = "artifacts"
	S3Region    = "us-east-1"
	S3AccessKey = "argoseal-access"
	S3SecretKey = "argoseal-secret-not-a-secret" // #nosec G101 -- a test store's
	// S3SecretName is the Secret with both keys, "accesskey" and
	// "secretkey", in each namespace that runs workflows.
	S3SecretName = "artifact-store"
	// S3ClusterEndpoint is the store as pods reach it.
	S3ClusterEndpoint = "s3." + ArgoNamespace + ".svc:7070"
)

//go:embed s3.yaml
var s3YAML string
