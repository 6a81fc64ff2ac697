package part

import (
	"context"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
)

// craneRecipe copies and puts together images in registries.
var craneRecipe = gobuild.Recipe{
	Name:    "crane",
	Module:  "github.com/google/go-containerregistry",
	Version: "v0.22.1",
	Sum:     "h1:RZuuSYhTvlDvtsK+NkutoCZ//C0X2ebLK8X8l3ULs84=",
	Targets: []gobuild.Target{{Name: "crane", Package: "./cmd/crane"}},
	LDFlags: []string{"-X github.com/google/go-containerregistry/cmd/crane/cmd.Version=v0.22.1"},
}

// umociRecipe makes and changes images where they lie, as OCI layouts, without root.
var umociRecipe = gobuild.Recipe{
	Name:    "umoci",
	Module:  "github.com/opencontainers/umoci",
	Version: "v0.6.0",
	Sum:     "h1:Dsm4beJpglN5y2E2EUSZZcNey4Ml4+nKepvwLQwgIec=",
	Targets: []gobuild.Target{{Name: "umoci", Package: "./cmd/umoci"}},
}

// syftRecipe says which packages are in an archive or an image.
var syftRecipe = gobuild.Recipe{
	Name:    "syft",
	Module:  "github.com/anchore/syft",
	Version: "v1.57.1",
	Sum:     "h1:lrbWhc8hbZJSKekMdB3PKetO0upE+lv9ihUfv9CXgfU=",
	Targets: []gobuild.Target{{Name: "syft", Package: "./cmd/syft"}},
	LDFlags: []string{"-X main.version=1.57.1"},
}

// Builder is an image with a shell and a program that builds images without a daemon, crane
// or umoci, or with syft. It builds the program if that has not been done.
func Builder(ctx context.Context, program string) (image.Spec, error) {
	shell, err := busyboxFiles(ctx)
	if err != nil {
		return image.Spec{}, err
	}
	path, err := Path(ctx, program, program)
	if err != nil {
		return image.Spec{}, err
	}
	return image.Spec{
		Name:   "localhost/argoseal/" + program,
		Layers: [][]image.File{shell, {{Path: "/bin/" + program, From: path}}},
		Cmd:    []string{"sh"},
	}, nil
}
