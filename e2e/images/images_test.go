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
	type img struct{ Repository, Digest string }
	var values map[string]struct{ Image img }
	read(t, filepath.Join(b.out, "values.yaml"), &values)
	var sentinel struct{ Image img }
	read(t, filepath.Join(b.out, "argoseal-sentinel.values.yaml"), &sentinel)
	for n, p := range programs {
		got := values[p.value].Image
		if p.chart != "" {
			got = sentinel.Image
		}
		if got.Digest != images[n].Digest || !strings.HasSuffix(got.Repository, "/"+p.name) {
			t.Errorf("%s is given as %+v", p.name, got)
		}
	}
	if len(values) != len(programs)-1 {
		t.Errorf("the chart argoseal is given %v", values)
	}
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatal(err)
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
