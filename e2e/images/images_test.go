package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/image"
)

func TestImagesOfTheSameProgramAreTheSame(t *testing.T) {
	for _, p := range programs {
		a, b := assembled(t, p, "program"), assembled(t, p, "program")
		if a.Digest != b.Digest {
			t.Errorf("%s: %s and %s", p.name, a.Digest, b.Digest)
		}
		if c := assembled(t, p, "another"); c.Digest == a.Digest {
			t.Errorf("%s: another program, the same digest", p.name)
		}
	}
}

func TestASignerThatGrewIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for size, fits := range map[int64]bool{15 << 20: true, 15<<20 + 1: false} {
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		if _, err := (&builder{repository: localRepository}).assemble(named(t, "argoseal-signer"), file); (err == nil) != fits {
			t.Errorf("a signer of %d bytes: %v", size, err)
		}
	}
}

func TestOurPodsDoNotRunAsRoot(t *testing.T) {
	for _, p := range programs {
		if runsInAWorkflow := p.name == "argoseal-signer"; !runsInAWorkflow && p.user != nonRoot {
			t.Errorf("%s runs as %q", p.name, p.user)
		}
	}
}

func TestTheChartIsGivenEveryImageByDigest(t *testing.T) {
	b := &builder{out: t.TempDir(), repository: "registry.example.com/us"}
	var images []*image.Image
	for _, p := range programs {
		images = append(images, assembled(t, p, p.name))
	}
	if err := b.describe(images); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(b.out, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]struct {
		Image struct{ Repository, Digest string }
	}
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		t.Fatal(err)
	}
	for n, p := range programs {
		if got := values[p.value].Image; got.Digest != images[n].Digest || !strings.HasSuffix(got.Repository, "/"+p.name) {
			t.Errorf("%s is given as %+v", p.name, got)
		}
	}
}

// assembled is the image of a program that has this content.
func assembled(t *testing.T, p program, content string) *image.Image {
	t.Helper()
	return assembledBy(t, &builder{repository: localRepository}, p, content)
}

func assembledBy(t *testing.T, b *builder, p program, content string) *image.Image {
	t.Helper()
	file := filepath.Join(t.TempDir(), p.name)
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	img, err := b.assemble(p, file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func named(t *testing.T, name string) program {
	t.Helper()
	for _, p := range programs {
		if p.name == name {
			return p
		}
	}
	t.Fatalf("no program %s", name)
	return program{}
}
