package main

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/image"
)

func TestTheRegistryHasTheDigestThatTheChartIsGiven(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = quiet.Close() })
	b := &builder{repository: strings.TrimPrefix(server.URL, "http://") + "/us", progress: gobuild.NewProgress(quiet)}
	p := named(t, "argoseal-webhook")
	img := assembledBy(t, b, p, "program")
	if err := b.push(t.Context(), []built{joined(t, img)}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(img.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref, remote.WithContext(t.Context())); err != nil {
		t.Errorf("%s is not in the registry: %v", ref, err)
	}
}

// Nodes of either architecture find their image under the one digest that the chart is
// given.
func TestWhatIsPushedIsForBothArchitectures(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = quiet.Close() })
	b := &builder{out: t.TempDir(), repository: strings.TrimPrefix(server.URL, "http://") + "/us", progress: gobuild.NewProgress(quiet)}
	var images []built
	for _, p := range programs {
		var all []*image.Image
		for _, arch := range published {
			file := filepath.Join(t.TempDir(), p.name)
			if err := os.WriteFile(file, []byte(p.name+arch), 0o755); err != nil {
				t.Fatal(err)
			}
			img, err := b.assemble(p, file, arch)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, img)
		}
		images = append(images, joined(t, all...))
	}
	if err := errors.Join(b.push(t.Context(), images), b.describe(images)); err != nil {
		t.Fatal(err)
	}
	var digests map[string]string
	read(t, filepath.Join(b.out, "digests.json"), &digests)
	if len(digests) != len(programs) {
		t.Errorf("there are %v", digests)
	}
	for program, ref := range digests {
		digest, err := name.NewDigest(ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			img, err := remote.Image(digest, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
			if err != nil {
				t.Fatalf("%s for %s: %v", program, arch, err)
			}
			if config, err := img.ConfigFile(); err != nil || config.Architecture != arch {
				t.Errorf("%s for %s is %+v, %v", program, arch, config, err)
			}
		}
	}
}
