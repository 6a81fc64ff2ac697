package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"
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
		if _, err := (&builder{repository: localRepository}).assemble(named(t, "argoseal-signer"), file, runtime.GOARCH); (err == nil) != fits {
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
	var images []built
	for _, p := range programs {
		images = append(images, joined(t, assembled(t, p, p.name)))
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
		if got.Digest != images[n].digest || !strings.HasSuffix(got.Repository, "/"+p.name) {
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
	img, err := b.assemble(p, file, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func joined(t *testing.T, images ...*image.Image) built {
	t.Helper()
	b, err := join(images)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A program is compiled for the architecture that its image says it is for.
func TestAProgramIsForItsArchitecture(t *testing.T) {
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		file := filepath.Join(t.TempDir(), arch)
		if err := compile(t.Context(), source, file, "1", arch); err != nil {
			t.Fatal(err)
		}
		program, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != machine {
			t.Errorf("the program for %s is for %s", arch, program.Machine)
		}
		if err := program.Close(); err != nil {
			t.Error(err)
		}
		img, err := (&builder{repository: localRepository}).assemble(named(t, "argoseal-webhook"), file, arch)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.OCI().ConfigFile()
		if err != nil || config.Architecture != arch || config.OS != "linux" {
			t.Errorf("the image for %s says %+v, %v", arch, config, err)
		}
	}
}

func TestImagesWithoutThisMachinesAreRefused(t *testing.T) {
	p := named(t, "argoseal-webhook")
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	file := filepath.Join(t.TempDir(), p.name)
	if err := os.WriteFile(file, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	img, err := (&builder{repository: localRepository}).assemble(p, file, other)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := join([]*image.Image{img}); err == nil {
		t.Errorf("it is %+v", b)
	}
	if b, err := join([]*image.Image{assembled(t, p, "a"), assembled(t, p, "b")}); err == nil {
		t.Errorf("two for one architecture are %+v", b)
	}
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
