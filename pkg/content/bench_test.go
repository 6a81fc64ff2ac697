package content

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// bigArchive is one as Argo makes it of files of so many bytes; every other
// byte is random where they are to be compressible.
func bigArchive(b *testing.B, files int, size int64, compressible bool) []byte {
	b.Helper()
	var buffer bytes.Buffer
	z := gzip.NewWriter(&buffer)
	w := tar.NewWriter(z)
	var content io.Reader = rand.NewChaCha8([32]byte{})
	if compressible {
		content = text{rand.New(rand.NewPCG(1, 2))}
	}
	for i := range files {
		header := &tar.Header{Name: fmt.Sprintf("out/file-%09d", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: size}
		if err := w.WriteHeader(header); err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyN(w, content, size); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return buffer.Bytes()
}

// text is words, which compress as logs do.
type text struct{ *rand.Rand }

func (r text) Read(p []byte) (int, error) {
	for i := 0; i < len(p); {
		i += copy(p[i:], fmt.Sprintf("%d seconds since %x\n", r.IntN(1000), r.IntN(1<<20)))
	}
	return len(p), nil
}

// BenchmarkSHA256 is what there is to reach on this machine: compare with
// openssl speed -evp sha256.
func BenchmarkSHA256(b *testing.B) {
	block := make([]byte, copyBuffer)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		sha256.Sum256(block)
	}
}

// BenchmarkStoredBytes hashes what nobody unpacks: stored bytes alone, through
// the same reader that Measure has.
func BenchmarkStoredBytes(b *testing.B) {
	stored := make([]byte, 64<<20)
	b.SetBytes(int64(len(stored)))
	for b.Loop() {
		relay := newRelay()
		relay.abandon()
		if _, err := hashAll(context.Background(), bytes.NewReader(stored), relay); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMeasure gives stored bytes a second, with all that Measure does.
func BenchmarkMeasure(b *testing.B) {
	for _, c := range []struct {
		name         string
		files        int
		size         int64
		compressible bool
	}{
		{"one random file", 1, 64 << 20, false},
		{"one log", 1, 64 << 20, true},
		{"many small files", 20_000, 1000, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			stored := bigArchive(b, c.files, c.size, c.compressible)
			b.SetBytes(int64(len(stored)))
			for b.Loop() {
				if _, err := Measure(context.Background(), bytes.NewReader(stored)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(int64(c.files)*c.size*int64(b.N))/b.Elapsed().Seconds()/1e6, "unpackedMB/s")
		})
	}
}

// BenchmarkTreeOf reads what is in the page cache.
func BenchmarkTreeOf(b *testing.B) {
	root := b.TempDir()
	content := make([]byte, 1000)
	for i := range 5000 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := TreeOf(root); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
