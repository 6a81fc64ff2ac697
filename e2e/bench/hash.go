package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/argoseal/argoseal/pkg/measurement"
)

const (
	// content is the size of the file in the archive.
	content = 256 << 20
	// output is its name.
	output = "content"
	// cpu is the one that both run on.
	cpu = "0"
	// least is the ratio of our throughput to that of openssl.
	least = 0.7
)

// hash compares the signer's measuring with openssl's bare hashing. Of each
// archive the signer hashes the stored bytes and what they unpack to, so it
// hashes about twice what is stored.
func hash(ctx context.Context, b *bench) ([]result, error) {
	if _, err := exec.LookPath("openssl"); err != nil {
		return nil, fmt.Errorf("openssl is not here: apt-get install openssl (%w)", err)
	}
	dir, err := os.MkdirTemp("", "argoseal-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b.sayf("building argoseal-signer, and an archive of %d MiB that does not compress", content>>20)
	signer := filepath.Join(dir, "argoseal-signer")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", signer, "./cmd/argoseal-signer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = b.out
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build argoseal-signer: %w", err)
	}
	stored, err := stage(dir)
	if err != nil {
		return nil, err
	}
	var storedRate, hashedRate, bare []float64
	for i := range b.runs {
		speed, err := openssl(ctx)
		if err != nil {
			return nil, err
		}
		took, err := measure(ctx, signer, dir, stored)
		if err != nil {
			return nil, err
		}
		const mega = 1e6
		bare = append(bare, speed/mega)
		storedRate = append(storedRate, float64(stored)/took.Seconds()/mega)
		hashedRate = append(hashedRate, float64(stored+content)/took.Seconds()/mega)
		b.sayf("run %d of %d: openssl %.0f MB/s; signer %.0f MB/s hashed, %.0f MB/s of the archive", i+1, b.runs, bare[i], hashedRate[i], storedRate[i])
	}
	hashed := newResult("hashing in argoseal-signer, stored and unpacked bytes", "MB/s", hashedRate, bare)
	return []result{
		hashed.hold(*hashed.Ratio >= least, "at least %.1f of openssl", least),
		newResult("measuring in argoseal-signer, bytes of the archive", "MB/s", storedRate, bare),
	}, nil
}

// stage writes the archive where Argo's wait would stage it for upload.
func stage(dir string) (size int64, err error) {
	folder := filepath.Join(dir, "argo", "outputs", "artifacts")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	f, err := os.Create(filepath.Join(folder, output+".tgz"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	z := gzip.NewWriter(buffered)
	t := tar.NewWriter(z)
	if err := t.WriteHeader(&tar.Header{Name: output, Mode: 0o644, Size: content, Typeflag: tar.TypeReg}); err != nil {
		return 0, err
	}
	if _, err := io.CopyN(t, rand.NewChaCha8([32]byte{}), content); err != nil {
		return 0, err
	}
	for _, end := range []func() error{t.Close, z.Close, buffered.Flush} {
		if err := end(); err != nil {
			return 0, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openssl gives the bytes a second that `openssl speed` hashes, by CPU time.
func openssl(ctx context.Context) (float64, error) {
	out, err := exec.CommandContext(ctx, "taskset", "-c", cpu,
		"openssl", "speed", "-mr", "-evp", "sha256", "-bytes", "1048576", "-seconds", "2").Output()
	if err != nil {
		return 0, fmt.Errorf("openssl speed: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		// +F:25:sha256:1080839876.92
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == "+F" {
			return strconv.ParseFloat(fields[len(fields)-1], 64)
		}
	}
	return 0, fmt.Errorf("openssl speed says no number: %q", out)
}

// measure runs the signer as the kubelet would, and gives the CPU time it took.
func measure(ctx context.Context, signer, dir string, stored int64) (time.Duration, error) {
	log := filepath.Join(dir, "termination-log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return 0, err
	}
	// It wants to be alone, as in a container: processes and a /proc of its own take root.
	cmd := exec.CommandContext(ctx, "sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && exec "$@"`, "sh",
		"taskset", "-c", cpu, signer, "sign", "--staged", dir, "--output", output, "--termination-log", log, "--grace", "10m")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	// It listens for SIGTERM by then, and measures what is left in any case.
	time.Sleep(500 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("argoseal-signer: %w", err)
	}
	message, err := os.ReadFile(log)
	if err != nil {
		return 0, err
	}
	m, _, err := measurement.Decode(string(message))
	if err != nil {
		return 0, err
	}
	if len(m) != 1 {
		return 0, fmt.Errorf("argoseal-signer measured %d outputs, want one", len(m))
	}
	if b, measured := m[0].Found.(measurement.Bytes); !measured || b.Size != stored {
		return 0, fmt.Errorf("argoseal-signer measured something else than %d bytes: %+v", stored, m)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
