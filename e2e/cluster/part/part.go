package part

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
)

// recipes lists everything that can be built, parts of the cluster first, in
// the order in which a first `up` builds them.
var recipes = []gobuild.Recipe{
	etcdRecipe,
	containerdRecipe,
	kubernetesRecipe,
	argoRecipe,
	argo4Recipe,
	argoDriverRecipe,
	s3Recipe,
	gcsRecipe,
	registryRecipe,
	corednsRecipe,
	rekorRecipe,
	rekorV1Recipe,
	trillianRecipe,
	helmRecipe,
	cosignRecipe,
	ghRecipe,
	slsaVerifierRecipe,
	chainsRecipe,
	localKMSRecipe,
	vaultRecipe,
	fulcioRecipe,
	timestampRecipe,
	scorecardTestRecipe,
	craneRecipe,
	umociRecipe,
	syftRecipe,
	kwokRecipe,
	golangciLintRecipe,
	controllerToolsRecipe,
}

// Cluster lists the recipes that `up` needs for the given workloads; the others
// are tools, built when somebody asks for them.
func Cluster(workloads []Workload) []gobuild.Recipe {
	all := []gobuild.Recipe{etcdRecipe, containerdRecipe, kubernetesRecipe}
	for _, w := range workloads {
		if !slices.ContainsFunc(all, func(r gobuild.Recipe) bool { return r.Name == w.Recipe.Name }) {
			all = append(all, w.Recipe)
		}
	}
	return all
}

// Recipes lists everything that can be built.
func Recipes() []gobuild.Recipe { return slices.Clone(recipes) }

// Recipe finds a recipe by its name or by the name of a program it builds.
func Recipe(name string) (gobuild.Recipe, error) {
	for _, r := range recipes {
		if r.Name == name {
			return r, nil
		}
	}
	for _, r := range recipes {
		if r.Has(name) {
			return r, nil
		}
	}
	known := make([]string, 0, len(recipes))
	for _, r := range recipes {
		known = append(known, r.Name)
	}
	return gobuild.Recipe{}, fmt.Errorf("no part or tool named %q; there are %s", name, strings.Join(known, ", "))
}

// Path returns the path of a program, such as Path(ctx, "cosign", "cosign"),
// and builds its part first if that has not been done on this machine.
func Path(ctx context.Context, part, program string) (string, error) {
	return PathFor(ctx, part, program, "")
}

// PathFor is Path of a program for an architecture; empty: this machine's.
func PathFor(ctx context.Context, part, program, arch string) (string, error) {
	r, err := Recipe(part)
	if err != nil {
		return "", err
	}
	if arch != runtime.GOARCH { // what is built for this machine is there under no name
		r.Arch = arch
	}
	if !r.Has(program) {
		return "", fmt.Errorf("part %s builds no program named %q", r.Name, program)
	}
	cache, err := gobuild.DefaultCache()
	if err != nil {
		return "", err
	}
	if err := cache.Build(ctx, gobuild.NewProgress(os.Stderr), r); err != nil {
		return "", err
	}
	return cache.Path(r, program), nil
}

// ModuleDir returns the read-only folder with the sources of a part, its
// checksum compared with the pinned one. Argo's examples and manifests are
// read from there.
func ModuleDir(ctx context.Context, part string) (string, error) {
	r, err := Recipe(part)
	if err != nil {
		return "", err
	}
	return r.ModuleDir(ctx)
}

// cached is where a program lies in the default cache, without building it:
// for the processes of a cluster, whose parts `up` has built before.
func cached(r gobuild.Recipe, program string) string {
	cache, err := gobuild.DefaultCache()
	if err != nil {
		return program
	}
	return cache.Path(r, program)
}
