package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/sbom"
)

const (
	// maxComplaint is how much of what syft complains of is told, in bytes.
	maxComplaint = 2 << 10
	// syftLeaves is how long it may take to end once it has to.
	syftLeaves = 5 * time.Second
)

// ownCopy is a copy of an artifact that nobody else has: what is compared with the seal is
// what is looked at.
type ownCopy struct {
	contents
	dir, path string
}

// copied copies a file or a folder.
func copied(ctx context.Context, from string) (own ownCopy, err error) {
	if from, err = withoutLinks(from); err != nil {
		return own, usage(err)
	}
	info, err := os.Stat(from)
	if err != nil {
		return own, usage(err)
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return own, usage(fmt.Errorf("%s is neither a file nor a folder", from))
	}
	if own.dir, err = privateDir("argoseal-sbom-"); err != nil {
		return own, usage(err)
	}
	if below, err := filepath.Rel(from, own.dir); err == nil && info.IsDir() && filepath.IsLocal(below) {
		own.remove()
		return ownCopy{}, usage(fmt.Errorf("the copy of %s would lie in it: set TMPDIR to a folder elsewhere", from))
	}
	own.path = filepath.Join(own.dir, filepath.Base(from)) // syft knows archives by their names
	if info.IsDir() {
		if err = os.CopyFS(own.path, os.DirFS(from)); err == nil {
			own.contents, err = folderAt(ctx, own.path)
		}
	} else {
		own.contents, err = copyFile(ctx, from, own.path)
	}
	if err != nil {
		own.remove()
		return ownCopy{}, usage(fmt.Errorf("copy %s: %w", from, err))
	}
	return own, nil
}

// withoutLinks is an absolute path without links: its base is a name, and never "..".
func withoutLinks(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.IsAbs(path) {
		return path, err
	}
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	return filepath.Join(here, path), err
}

// privateDir makes a folder that nobody else has, by a path without links.
func privateDir(prefix string) (string, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// copyFile copies a file, and gives it its digest on the way.
func copyFile(ctx context.Context, from, to string) (contents, error) {
	in, err := os.Open(from)
	if err != nil {
		return contents{}, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return contents{}, err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), cancelable{ctx, in})
	return contents{artifact.Digest(hex.EncodeToString(hash.Sum(nil))), kindFile}, errors.Join(err, out.Close())
}

func (c ownCopy) remove() { _ = os.RemoveAll(c.dir) }

// source is how syft is told of it.
func (c ownCopy) source() string {
	if c.kind == kindFolder {
		return "dir:" + c.path
	}
	return "file:" + c.path
}

// scan has syft make a document of a source, which it calls by a name. What it makes is
// others' text: how much there is of it, and how long that takes, has bounds.
func (o *sbomOptions) scan(ctx context.Context, source, called string) ([]byte, error) {
	path, err := exec.LookPath("syft")
	if err != nil {
		return nil, usage(fmt.Errorf("--run-syft: %w: install https://github.com/anchore/syft, or give the SBOM (--sbom)", err))
	}
	at, err := privateDir("argoseal-syft-") // it reads configuration where it runs, and unpacks there
	if err != nil {
		return nil, usage(err)
	}
	defer func() { _ = os.RemoveAll(at) }()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	document, complaint := &bounded{most: sbom.MaxDocument}, &bounded{most: maxComplaint, quiet: true}
	syft := exec.CommandContext(ctx, path, "scan", source, "--source-name", called, "--output", map[sbom.Format]string{
		sbom.SPDX: "spdx-json@2.3", sbom.CycloneDX: "cyclonedx-json",
	}[sbom.Format(o.format)], "--quiet")
	syft.Dir, syft.Stdout, syft.Stderr, syft.WaitDelay = at, document, complaint, syftLeaves
	syft.Cancel = func() error { return syft.Process.Signal(syscall.SIGTERM) } // it may tidy up
	syft.Env = append(syftSees(os.Environ()), "TMPDIR="+at, "SYFT_CHECK_FOR_APP_UPDATE=false")
	if o.registry.plainHTTP {
		syft.Env = append(syft.Env, "SYFT_REGISTRY_INSECURE_USE_HTTP=true")
	}
	if o.registry.registryCA != "" {
		ca, err := filepath.Abs(o.registry.registryCA)
		if err != nil {
			return nil, usage(err)
		}
		syft.Env = append(syft.Env, "SYFT_REGISTRY_CA_CERT="+ca)
	}
	err = syft.Run()
	switch {
	case document.over:
		return nil, usage(fmt.Errorf("syft made more than %d bytes", sbom.MaxDocument))
	case ctx.Err() != nil:
		return nil, usage(fmt.Errorf("syft did not end in time (--timeout %s)", o.timeout))
	case err != nil:
		return nil, usage(fmt.Errorf("syft: %w: %s", err, strings.TrimSpace(complaint.taken.String())))
	}
	return document.taken.Bytes(), nil
}

// syftSees are the variables that syft needs: it parses what others made, and has no use for
// the credentials of key services, clusters and clouds that this program may have. That keeps
// nothing from who takes syft over, as it runs as the same user: docs/sbom.md has a Job that does.
func syftSees(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		upper := strings.ToUpper(name)
		for _, prefix := range []string{"SYFT_", "XDG_", "SSL_CERT_", "LC_"} {
			if strings.HasPrefix(upper, prefix) {
				return false
			}
		}
		// The last two say where docker login and podman login keep what registries ask for.
		return !slices.Contains([]string{"PATH", "HOME", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}, upper)
	})
}

// bounded takes so many bytes and no more. More is an error, unless it is quiet. It has the
// buffer inside: one that is embedded would be filled past the bound (ReadFrom).
type bounded struct {
	taken bytes.Buffer
	most  int
	quiet bool
	over  bool
}

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.taken.Len()
	if len(p) <= room {
		return b.taken.Write(p)
	}
	b.over = true
	_, _ = b.taken.Write(p[:room])
	if b.quiet {
		return len(p), nil
	}
	return room, io.ErrShortWrite
}
