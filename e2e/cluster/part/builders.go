package part

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

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

// koRecipe builds images of Go programs.
var koRecipe = gobuild.Recipe{
	Name:    "ko",
	Module:  "github.com/google/ko",
	Version: "v0.19.1",
	Sum:     "h1:FggFTOgqz3sCdac8DvF2uU7FjphG3zNvZ9QMLOuVhZ8=",
	Targets: []gobuild.Target{{Name: "ko", Package: "."}},
	LDFlags: []string{"-X github.com/google/ko/pkg/commands.Version=v0.19.1"},
}

// Builder is an image with a shell and a program that builds images without a daemon:
// crane, or ko with the Go of this machine. It builds the program if that has not been done.
func Builder(ctx context.Context, program string) (image.Spec, error) {
	shell, err := busyboxFiles(ctx)
	if err != nil {
		return image.Spec{}, err
	}
	path, err := Path(ctx, program, program)
	if err != nil {
		return image.Spec{}, err
	}
	layers := [][]image.File{shell, {{Path: "/bin/" + program, From: path}}}
	if program == koRecipe.Name {
		toolchain, err := goFiles(ctx)
		if err != nil {
			return image.Spec{}, err
		}
		layers = append(layers, toolchain)
	}
	return image.Spec{Name: "localhost/argoseal/" + program, Layers: layers, Cmd: []string{"sh"}}, nil
}

// goFiles is what of this machine's Go it takes to build programs of the standard library.
func goFiles(ctx context.Context) ([]image.File, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	root := strings.TrimSpace(string(out))
	const at = "/usr/local/go/"
	files := []image.File{{Path: "/bin/go", Link: at + "bin/go"}}
	tools := filepath.Join("pkg", "tool", runtime.GOOS+"_"+runtime.GOARCH)
	for _, name := range []string{"VERSION", "go.env", "bin/go", filepath.Join(tools, "asm"), filepath.Join(tools, "compile"), filepath.Join(tools, "link")} {
		files = append(files, image.File{Path: at + name, From: filepath.Join(root, name)})
	}
	for _, dir := range []string{"src", filepath.Join("pkg", "include")} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || name == filepath.Join("src", "cmd")):
				return filepath.SkipDir
			case d.Type().IsRegular() && !strings.HasSuffix(name, "_test.go"):
				files = append(files, image.File{Path: at + filepath.ToSlash(name), From: path, Mode: 0o644})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
