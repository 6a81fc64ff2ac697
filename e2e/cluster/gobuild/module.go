package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// downloaded is the part of `go mod download -json` that is of use here.
type downloaded struct {
	Path, Version, Dir, Sum, Error string
}

// ModuleDir downloads the recipe's module if needed, compares its checksum
// with the pinned one and returns its folder in the module cache, which is
// read-only.
func (r Recipe) ModuleDir(ctx context.Context) (string, error) {
	if err := r.validate(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", r.Module+"@"+r.Version)
	// Away from any go.mod: the download must not depend on who asks.
	cmd.Dir = os.TempDir()
	cmd.Env = goEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	var got downloaded
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		return "", fmt.Errorf("download %s@%s: %w: %s", r.Module, r.Version,
			errors.Join(runErr, err), tail(stderr.String(), 400))
	}
	return r.checkDownload(got)
}

// checkDownload refuses a module that is not the pinned one.
func (r Recipe) checkDownload(got downloaded) (string, error) {
	switch {
	case got.Error != "":
		return "", fmt.Errorf("download %s@%s: %s", r.Module, r.Version, got.Error)
	case got.Path != r.Module || got.Version != r.Version:
		return "", fmt.Errorf("asked for %s@%s, got %s@%s", r.Module, r.Version, got.Path, got.Version)
	case got.Sum != r.Sum:
		return "", fmt.Errorf("%s@%s has checksum %s, pinned is %s: not building it",
			r.Module, r.Version, got.Sum, r.Sum)
	case got.Dir == "":
		return "", fmt.Errorf("download %s@%s: no folder reported", r.Module, r.Version)
	}
	return got.Dir, nil
}

// goEnv is the environment of every go command run here: no settings of the
// caller's own module or workspace leak into the build of another one.
func goEnv() []string {
	env := make([]string, 0, len(os.Environ())+4)
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "GOFLAGS", "GOWORK", "CGO_ENABLED", "GOOS", "GOARCH", "GOBIN", "GO111MODULE":
		default:
			env = append(env, kv)
		}
	}
	// Static binaries: they run on the host and in an empty image alike.
	return append(env, "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
}

// copyTree copies a module out of the read-only module cache.
func copyTree(ctx context.Context, dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return copyFile(to, path)
	})
}

// copyFile copies one file and makes it writable.
func copyFile(dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// tail returns the end of s, where compilers put what matters.
func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) <= n {
		return s
	}
	return "… " + s[len(s)-n:]
}
