package part

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// Workload is a part that runs in the cluster.
type Workload struct {
	// Name is its Deployment's, in Namespace.
	Name, Namespace string
	// Extra is by what it is asked for; every cluster has those without.
	Extra string
	// Recipe builds its program.
	Recipe gobuild.Recipe
	// Leaves are the certificates it needs.
	Leaves []pki.Leaf
	// Images are what its pods run.
	Images func() []image.Spec
	// Objects is a stream of YAML documents. It is given the references of
	// all images by name.
	Objects func(ctx context.Context, p Params) (string, error)
}

// Params is what the objects of workloads depend on.
type Params struct {
	Layout layout.Layout
	// Image maps the name of an image to NAME@sha256:….
	Image map[string]string
	// RequeueTime is Argo's DEFAULT_REQUEUE_TIME.
	RequeueTime string
}

// Workloads lists the parts that run in the cluster, in the order in which
// they are applied: those of every cluster, and the named ones of [Extras].
func Workloads(extras ...string) ([]Workload, error) {
	all := []Workload{coredns, s3, argo}
	for _, name := range extras {
		i := slices.IndexFunc(optional, func(w Workload) bool { return w.Extra == name })
		if i < 0 {
			return nil, fmt.Errorf("no extra part named %q; there are %s", name, strings.Join(Extras(), ", "))
		}
		all = append(all, optional[i])
	}
	return all, nil
}

// optional are the parts that only some tests need.
var optional = []Workload{argo4, argoNonRoot, gcs, registry}

// Extras are the names of the parts that a cluster has only if somebody asks
// for them: they would cost everybody else the time to build them.
func Extras() []string {
	var names []string
	for _, w := range optional {
		names = append(names, w.Extra)
	}
	return names
}

// render fills a template of YAML documents.
func render(name, text string, data any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return out.String(), nil
}

// baseFiles are what programs expect of an image that is otherwise empty.
func baseFiles() []image.File {
	return []image.File{
		{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\nargo:x:8737:8737:argo:/home/argo:/sbin/nologin\n")},
		{Path: "/etc/group", Data: []byte("root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\nargo:x:8737:\n")},
		{Path: "/etc/nsswitch.conf", Data: []byte("hosts: files dns\n")},
		{Path: "/etc/ssl/certs", Dir: true},
		{Path: "/root", Dir: true, Mode: 0o700},
		{Path: "/tmp", Dir: true, Mode: 0o1777},
	}
}

// programImage is an image that holds one program of a part, in /bin.
func programImage(name string, r gobuild.Recipe, program, user string) image.Spec {
	return image.Spec{
		Name: name,
		Tag:  r.Version,
		Layers: [][]image.File{
			append(baseFiles(), image.File{Path: "/bin/" + program, From: cached(r, program)}),
		},
		Entrypoint: []string{program},
		User:       user,
	}
}
