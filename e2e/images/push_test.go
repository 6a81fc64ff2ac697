package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
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
	if err := b.push(t.Context(), []*image.Image{img}); err != nil {
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
