package part

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// busyboxPath is where Debian's package busybox-static puts its one program.
const busyboxPath = "/bin/busybox"

// argosay stands in for the image of that name in Argo's own tests.
//
//go:embed argosay.sh
var argosay []byte

// TestImages are the stand-ins for the public images that Argo's examples
// name. They are known by tag only, as in those examples.
func TestImages(ctx context.Context) ([]image.Spec, error) {
	shell, err := busyboxFiles(ctx)
	if err != nil {
		return nil, err
	}
	python, err := pythonLayer(ctx)
	if err != nil {
		return nil, err
	}
	sh := []string{"sh"}
	// Labels make each stand-in an image of its own: one digest with two names
	// would be reported under either.
	label := func(name string) map[string]string {
		return map[string]string{"argoseal.dev/stands-in-for": name}
	}
	return []image.Spec{
		{Name: PauseImage, Layers: [][]image.File{shell}, Entrypoint: []string{"/bin/sleep", "2147483647"}},
		{Name: "docker.io/library/busybox", Tag: "latest", Layers: [][]image.File{shell}, Cmd: sh, Labels: label("busybox")},
		{Name: "docker.io/library/alpine", Tag: "latest", Layers: [][]image.File{shell}, Cmd: sh, Labels: label("alpine")},
		{
			Name: "quay.io/argoproj/argosay", Tag: "v2",
			Layers: [][]image.File{shell, {
				{Path: "/argosay", Data: argosay, Mode: 0o755},
				{Path: "/bin/cowsay", Data: []byte("#!/bin/sh\necho \"$@\"\n"), Mode: 0o755},
			}},
			Entrypoint: []string{"/argosay"},
		},
		{Name: "docker.io/library/python", Tag: "alpine3.6", Layers: [][]image.File{shell, python, {{Path: "/mnt", Dir: true}}}, Cmd: []string{"python3"}, Labels: label("python")},
	}, nil
}

// busyboxFiles is a file system with a shell: busybox and a link to it for
// each of its applets.
func busyboxFiles(ctx context.Context) ([]image.File, error) {
	out, err := exec.CommandContext(ctx, busyboxPath, "--list").Output()
	if err != nil {
		return nil, err
	}
	files := append(baseFiles(), image.File{Path: "/bin/busybox", From: busyboxPath})
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			files = append(files, image.File{Path: "/bin/" + applet, Link: "busybox"})
		}
	}
	return files, nil
}

// Load puts images into the development cluster: pods may then name them by
// tag or by digest, with imagePullPolicy IfNotPresent.
func Load(ctx context.Context, l layout.Layout, images ...*image.Image) error {
	dir, err := os.MkdirTemp("", "argoseal-images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "images.tar")
	if err := image.WriteFile(name, images...); err != nil {
		return err
	}
	return LoadArchive(ctx, l, name)
}

// LoadArchive loads an archive that [image.WriteFile] made.
func LoadArchive(ctx context.Context, l layout.Layout, archive string) error {
	return ctr(ctx, l, "images", "import", "--local", archive)
}
