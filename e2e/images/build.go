package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// nonRoot is the user of images that run in our own pods. The signer has none:
// it runs as whatever user Argo's own containers run as.
const nonRoot = "65532:65532"

// program is one of our images: a program and how it is called in the chart.
type program struct {
	name  string // of the image; the program lies at /name
	value string // key of the chart's values that has its image; empty: the chart has one image
	chart string // that it is installed by; empty: argoseal
	user  string
	// maxBytes bounds the size of the program; 0: not bounded.
	maxBytes int64
	// part names the part of the development cluster that builds it, and
	// partProgram its name there; empty: it is ours, from cmd/name.
	part, partProgram string
}

var programs = []program{
	{name: "argoseal-webhook", value: "webhook", user: nonRoot},
	{name: "argoseal-notary", value: "notary", user: nonRoot},
	{name: "argoseal-controller", value: "controller", user: nonRoot},
	// It is pulled to every node that runs a workflow, so it stays small.
	{name: "argoseal-signer", value: "signer", maxBytes: 15 << 20},
	{name: "argoseal-rekor", value: "rekor", user: nonRoot, part: "rekor-tiles", partProgram: "rekor-server-posix"},
	// Its agent is made root by the chart: the file that it keeps is root's.
	{name: "argoseal-sentinel", chart: "argoseal-sentinel", user: nonRoot},
}

// builder builds all images.
type builder struct {
	out        string // folder for what is built
	repository string // prefix of the images' names
	version    string // what the programs say they are: the chart's appVersion
	progress   *gobuild.Progress
}

// archive is where an image is written to, as an OCI layout in a tar file.
func (b *builder) archive(p program) string {
	return filepath.Join(b.out, p.name+".tar")
}

// build compiles the programs and writes the images, digests.json and the charts'
// values.
func (b *builder) build(ctx context.Context) (images []*image.Image, err error) {
	dir, err := os.MkdirTemp("", "argoseal-images-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return nil, err
	}
	for _, p := range programs {
		file, err := b.compile(ctx, p, dir)
		if err != nil {
			return nil, err
		}
		img, err := b.assemble(p, file)
		if err != nil {
			return nil, err
		}
		if err := image.WriteFile(b.archive(p), img); err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, b.describe(images)
}

// compile returns the file of a program.
func (b *builder) compile(ctx context.Context, p program, dir string) (string, error) {
	if p.part != "" {
		return part.Path(ctx, p.part, p.partProgram)
	}
	b.progress.Start("build " + p.name)
	file := filepath.Join(dir, p.name)
	if err := compile(ctx, "./cmd/"+p.name, file, b.version); err != nil {
		b.progress.Fail()
		return "", err
	}
	b.progress.Done()
	return file, nil
}

// compile builds a static program whose bytes depend on nothing but its source
// and the Go version: no paths, no version control, no C. version is what the
// program says it is.
func compile(ctx context.Context, pkg, file, version string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-mod=readonly", "-ldflags=-s -w -buildid= -X main.version="+version, "-o", file, pkg)
	drop := []string{"CGO_ENABLED=", "GOOS=", "GOARCH=", "GOFLAGS="}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return slices.ContainsFunc(drop, func(d string) bool { return strings.HasPrefix(kv, d) })
	})
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// assemble makes the image of a program.
func (b *builder) assemble(p program, file string) (*image.Image, error) {
	if p.maxBytes > 0 {
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if st.Size() > p.maxBytes {
			return nil, fmt.Errorf("%s has %d bytes, more than the %d it may have", p.name, st.Size(), p.maxBytes)
		}
	}
	path := "/" + p.name
	return image.Build(image.Spec{
		Name:       b.repository + "/" + p.name,
		Layers:     [][]image.File{{{Path: path, From: file, Mode: 0o755}}},
		Entrypoint: []string{path},
		User:       p.user,
		Labels: map[string]string{
			"org.opencontainers.image.title":    p.name,
			"org.opencontainers.image.source":   "https://github.com/argoseal/argoseal",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	})
}
