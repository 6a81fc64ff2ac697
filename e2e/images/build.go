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
	{name: "argoseal-scrubber", value: "scrubber", user: nonRoot},
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
	// arches are the architectures to build for, this machine's among them. Of several
	// the chart is given an index.
	arches   []string
	progress *gobuild.Progress
}

// built is an image, for one architecture or for several.
type built struct {
	name, digest string
	// native is the one for this machine.
	native *image.Image
	// index is there for several.
	index *image.Index
}

// ref is NAME@sha256:….
func (b built) ref() string { return b.name + "@" + b.digest }

// archive is where an image is written to, as an OCI layout in a tar file.
func (b *builder) archive(p program) string {
	return filepath.Join(b.out, p.name+".tar")
}

// build compiles the programs and writes the images for this machine, digests.json and
// the charts' values.
func (b *builder) build(ctx context.Context) (images []built, err error) {
	dir, err := os.MkdirTemp("", "argoseal-images-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return nil, err
	}
	for _, p := range programs {
		var all []*image.Image
		for _, arch := range b.arches {
			file, err := b.compile(ctx, p, dir, arch)
			if err != nil {
				return nil, err
			}
			img, err := b.assemble(p, file, arch)
			if err != nil {
				return nil, err
			}
			all = append(all, img)
		}
		one, err := join(all)
		if err != nil {
			return nil, err
		}
		if err := image.WriteFile(b.archive(p), one.native); err != nil {
			return nil, err
		}
		images = append(images, one)
	}
	return images, b.describe(images)
}

// join makes one of the images of a program for each architecture.
func join(images []*image.Image) (built, error) {
	var b built
	for _, img := range images {
		b.name, b.digest = img.Spec.Name, img.Digest
		if img.Spec.Arch == runtime.GOARCH {
			b.native = img
		}
	}
	if b.native == nil {
		return built{}, fmt.Errorf("there is no image for this machine, which is %s", runtime.GOARCH)
	}
	if len(images) == 1 {
		return b, nil
	}
	index, err := image.NewIndex(images...)
	if err != nil {
		return built{}, err
	}
	b.index, b.digest = index, index.Digest
	return b, nil
}

// compile returns the file of a program for an architecture.
func (b *builder) compile(ctx context.Context, p program, dir, arch string) (string, error) {
	if p.part != "" {
		return part.PathFor(ctx, p.part, p.partProgram, arch)
	}
	b.progress.Start("build " + p.name + " for " + arch)
	file := filepath.Join(dir, p.name+"."+arch)
	if err := compile(ctx, "./cmd/"+p.name, file, b.version, arch); err != nil {
		b.progress.Fail()
		return "", err
	}
	b.progress.Done()
	return file, nil
}

// compile builds a static program whose bytes depend on nothing but its source
// and the Go version: no paths, no version control, no C. version is what the
// program says it is.
func compile(ctx context.Context, pkg, file, version, arch string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-mod=readonly", "-ldflags=-s -w -buildid= -X main.version="+version, "-o", file, pkg)
	drop := []string{"CGO_ENABLED=", "GOOS=", "GOARCH=", "GOFLAGS="}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return slices.ContainsFunc(drop, func(d string) bool { return strings.HasPrefix(kv, d) })
	})
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// assemble makes the image of a program for an architecture.
func (b *builder) assemble(p program, file, arch string) (*image.Image, error) {
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
		Arch:       arch,
		Labels: map[string]string{
			"org.opencontainers.image.title":    p.name,
			"org.opencontainers.image.source":   "https://github.com/argoseal/argoseal",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	})
}
