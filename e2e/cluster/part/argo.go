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
	Copy:    argoLinks,
	// The CLI embeds the web UI; nobody looks at it here.
	Write: map[string]string{"ui/dist/app/index.html": ""},
	Targets: []gobuild.Target{
		{Name: "workflow-controller", Package: "./cmd/workflow-controller"},
		{Name: "argoexec", Package: "./cmd/argoexec"},
		{Name: "argo", Package: "./cmd/argo"},
	},
	LDFlags: []string{"-X github.com/argoproj/argo-workflows/v3.version=v3.7.18"},
}

// argo4Recipe builds the next major version's controller and executor.
var argo4Recipe = gobuild.Recipe{
	Name:    "argo4",
	Module:  "github.com/argoproj/argo-workflows/v4",
	Version: "v4.0.2",
	Sum:     "h1:tmg7iIjnPF9EMtaGi6K6+Sm28J9WyyLUrJ1vdKkNmgc=",
	Copy:    argoLinks,
	Targets: []gobuild.Target{
		{Name: "workflow-controller" + argo4Suffix, Package: "./cmd/workflow-controller"},
		{Name: executorProgram + argo4Suffix, Package: "./cmd/argoexec"},
	},
	LDFlags: []string{"-X github.com/argoproj/argo-workflows/v4.version=v4.0.2"},
}

//go:embed argodriver.txt
var argoDriver string

// argoDriverRecipe builds a program that stores and fetches artifacts by Argo's own
// drivers: tests hold what we measure and expect to what these do.
var argoDriverRecipe = gobuild.Recipe{
	Name:    "argo-driver",
	Module:  argoRecipe.Module,
	Version: argoRecipe.Version,
	Sum:     argoRecipe.Sum,
	Copy:    argoLinks,
	Write:   map[string]string{"cmd/argo-driver/main.go": argoDriver},
	Targets: []gobuild.Target{{Name: "argo-driver", Package: "./cmd/argo-driver"}},
}

// argoLinks are symbolic links in Argo's repository, so missing from its
// archives.
var argoLinks = map[string]string{
	"workflow/executor/osspecific/signal_darwin.go": "workflow/executor/osspecific/signal_linux.go",
}

// ArgoNamespace is where Argo's controller and the S3 store run. The
// controller is system:serviceaccount:argo:argo, as in Argo's own manifests.
const ArgoNamespace = "argo"

const (
	argoControllerImage = "localhost/argoseal/workflow-controller"
	// ArgoExecImage is the executor's image, known by digest.
	ArgoExecImage = "localhost/argoseal/argoexec"
	// Argo4 is the instance of Argo's next major version: it executes workflows
	// whose label workflows.argoproj.io/controller-instanceid says so, the first
	// one those without that label.
	Argo4 = "v4"
	// ArgoNonRoot is the instance whose executor's image names a user of its own,
	// as Argo's image called -nonroot does.
	ArgoNonRoot = "nonroot"

	argo4Suffix     = "-" + Argo4
	executorProgram = "argoexec"
)

// ExecutorEnv are the variables that Argo's configuration gives to executors
// (executor.env), as NAME=VALUE. A step that mounts a volume at /trusted says there
// which servers of git and http prove who they are: Argo mounts it for its
// executors, too, below /mainctrfs.
//
// Google's client knows its server from a variable; nobody asks it but who stores in
// GCS. It is there if somebody asked for the part gcs.
var ExecutorEnv = []string{
	"NO_PROXY=.svc",
	"STORAGE_EMULATOR_HOST=" + GCSClusterEndpoint,
	"SSH_KNOWN_HOSTS=/mainctrfs/trusted/known_hosts",
	"SSL_CERT_DIR=/mainctrfs/trusted",
}

// argo is Argo's workflow-controller, cluster-wide, with the upstream RBAC
// and the minimal CRDs, read from the module itself.
var argo = Workload{
	Name:      "workflow-controller",
	Namespace: ArgoNamespace,
	Recipe:    argoRecipe,
	Images: func() []image.Spec {
		return []image.Spec{controllerImage(argoRecipe, ""), programImage(ArgoExecImage, argoRecipe, executorProgram, "0")}
	},
	Objects: func(ctx context.Context, p Params) (string, error) {
		shared, err := argoShared(ctx)
		if err != nil {
			return "", err
		}
		controller, err := argoController(p, "", "")
		return shared + controller, err
	},
}

// argo4 is the next major version's controller beside it: the same namespace,
// rights and CRDs, and workflows of its own.
var argo4 = Workload{
	Name:      "workflow-controller" + argo4Suffix,
	Namespace: ArgoNamespace,
	Extra:     "argo4",
	Recipe:    argo4Recipe,
	Images: func() []image.Spec {
		executor := programImage(ArgoExecImage+argo4Suffix, argo4Recipe, executorProgram+argo4Suffix, "0")
		// Programs of different versions have different names; pods call the
		// executor by its plain one.
		plain := image.File{Path: "/bin/" + executorProgram, Link: executorProgram + argo4Suffix}
		executor.Layers = append(executor.Layers, []image.File{plain})
		return []image.Spec{controllerImage(argo4Recipe, argo4Suffix), executor}
	},
	Objects: func(_ context.Context, p Params) (string, error) { return argoController(p, Argo4, argo4Suffix) },
}

// argoNonRoot is a second controller of the first version: what differs is its
// executor's image.
var argoNonRoot = Workload{
	Name:      "workflow-controller-" + ArgoNonRoot,
	Namespace: ArgoNamespace,
	Extra:     "argo-nonroot",
	Recipe:    argoRecipe,
	Images: func() []image.Spec {
		return []image.Spec{programImage(ArgoExecImage+"-"+ArgoNonRoot, argoRecipe, executorProgram, argoUser)}
	},
	Objects: func(_ context.Context, p Params) (string, error) { return argoController(p, ArgoNonRoot, "") },
}

// argoUser is the user of Argo's own images.
const argoUser = "8737"

// controllerImage is a version's controller.
func controllerImage(r gobuild.Recipe, suffix string) image.Spec {
	return programImage(argoControllerImage+suffix, r, "workflow-controller"+suffix, argoUser)
}

//go:embed argo.yaml
var argoYAML string

// argoController is the ConfigMap and the Deployment of an instance, whose
// controller has the image of a version; the one without a name executes what
// names none.
func argoController(p Params, instance, version string) (string, error) {
	suffix := ""
	if instance != "" {
		suffix = "-" + instance
	}
	type variable struct{ Name, Value string }
	var env []variable
	for _, v := range ExecutorEnv {
		name, value, _ := strings.Cut(v, "=")
		env = append(env, variable{name, value})
	}
	return render("argo.yaml", argoYAML, map[string]any{
		"ExecutorEnv":   env,
		"Suffix":        suffix,
		"Instance":      instance,
		"Image":         p.Image[argoControllerImage+version],
		"ExecutorImage": p.Image[ArgoExecImage+suffix],
		"RequeueTime":   p.RequeueTime,
		"Endpoint":      S3ClusterEndpoint,
		"Bucket":        S3Bucket,
		"SecretName":    S3SecretName,
	})
}

// argoShared is what controllers share: namespace, CRDs and rights. Without
// its rights a controller would crash once, so this comes first.
func argoShared(ctx context.Context) (string, error) {
	module, err := argoRecipe.ModuleDir(ctx)
	if err != nil {
		return "", err
	}
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
	return strings.Join(append(docs, ""), "\n---\n"), nil
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
