package part

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
)

// argoRecipe builds Argo Workflows: the controller, the executor that runs in
// workflow pods, and the CLI.
var argoRecipe = gobuild.Recipe{
	Name:    "argo",
	Module:  "github.com/argoproj/argo-workflows/v3",
	Version: "v3.7.18",
	Sum:     "h1:B8v2GIBCqUATiqrI3NaLGDplT2Id18bIruebwSXkFZI=",
	// A symbolic link in the repository, so missing from the archive.
	Copy: map[string]string{
		"workflow/executor/osspecific/signal_darwin.go": "workflow/executor/osspecific/signal_linux.go",
	},
	// The CLI embeds the web UI; nobody looks at it here.
	Write: map[string]string{"ui/dist/app/index.html": ""},
	Targets: []gobuild.Target{
		{Name: "workflow-controller", Package: "./cmd/workflow-controller"},
		{Name: "argoexec", Package: "./cmd/argoexec"},
		{Name: "argo", Package: "./cmd/argo"},
	},
	LDFlags: []string{"-X github.com/argoproj/argo-workflows/v3.version=v3.7.18"},
}

// ArgoNamespace is where Argo's controller and the S3 store run. The
// controller is system:serviceaccount:argo:argo, as in Argo's own manifests.
const ArgoNamespace = "argo"

const (
	argoControllerImage = "localhost/argoseal/workflow-controller"
	// ArgoExecImage is the executor's image, known by digest.
	ArgoExecImage = "localhost/argoseal/argoexec"
)

// argo is Argo's workflow-controller, cluster-wide, with the upstream RBAC
// and the minimal CRDs, read from the module itself.
var argo = Workload{
	Name:      "workflow-controller",
	Namespace: ArgoNamespace,
	Recipe:    argoRecipe,
	Images: func() []image.Spec {
		return []image.Spec{
			programImage(argoControllerImage, argoRecipe, "workflow-controller", "8737"),
			programImage(ArgoExecImage, argoRecipe, "argoexec", "0"),
		}
	},
	Objects: argoObjects,
}

//go:embed argo.yaml
var argoYAML string

func argoObjects(ctx context.Context, p Params) (string, error) {
	module, err := argoRecipe.ModuleDir(ctx)
	if err != nil {
		return "", err
	}
	own, err := render("argo.yaml", argoYAML, map[string]string{
		"Image":         p.Image[argoControllerImage],
		"ExecutorImage": p.Image[ArgoExecImage],
		"RequeueTime":   p.RequeueTime,
		"Endpoint":      S3ClusterEndpoint,
		"Bucket":        S3Bucket,
		"SecretName":    S3SecretName,
	})
	if err != nil {
		return "", err
	}
	// The controller comes last: without its rights it would crash once.
	docs := []string{argoNamespaceYAML}
	for _, pattern := range []string{
		"manifests/base/crds/minimal/argoproj.io_*.yaml",
		"manifests/cluster-install-no-crds/workflow-controller-rbac/workflow-*.yaml",
	} {
		names, err := filepath.Glob(filepath.Join(module, pattern))
		if err != nil || len(names) == 0 {
			return "", fmt.Errorf("argo: no manifests match %s", pattern)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				return "", err
			}
			docs = append(docs, inNamespace(string(data)))
		}
	}
	return strings.Join(append(docs, own), "\n---\n"), nil
}

const argoNamespaceYAML = "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + ArgoNamespace + "}\n"

// inNamespace does what kustomize's "namespace:" does to these manifests: the
// namespaced kinds and the subjects of bindings get one.
func inNamespace(manifest string) string {
	docs := strings.Split(manifest, "\n---\n")
	for i, doc := range docs {
		if strings.Contains(doc, "kind: Role\n") || strings.Contains(doc, "kind: RoleBinding\n") {
			doc = strings.Replace(doc, "metadata:\n", "metadata:\n  namespace: "+ArgoNamespace+"\n", 1)
		}
		if at := strings.Index(doc, "\nsubjects:"); at >= 0 {
			doc = strings.TrimRight(doc, "\n")
			indent := doc[strings.LastIndex(doc, "\n")+1:]
			indent = indent[:len(indent)-len(strings.TrimLeft(indent, " "))]
			doc += "\n" + indent + "namespace: " + ArgoNamespace + "\n"
		}
		docs[i] = doc
	}
	return strings.Join(docs, "\n---\n")
}
