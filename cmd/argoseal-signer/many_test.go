package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
)

const manyFiles = 100_000

// manyInto makes a directory of many small files. Few of them are new: links are
// made faster, and read as fast.
func manyInto(t *testing.T, dir string) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	for i := range manyFiles {
		first := filepath.Join(dir, fmt.Sprintf("file-%03d", i/50_000))
		if i%50_000 == 0 {
			must(t, os.WriteFile(first, make([]byte, 1000), 0o644))
		}
		must(t, os.Link(first, fmt.Sprintf("%s-%09d", first, i)))
	}
}

// readAll is the least that has to be done: every file is opened and hashed.
func readAll(t *testing.T, dir string) time.Duration {
	t.Helper()
	began := time.Now()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	list, err := root.Open(".")
	must(t, err)
	defer list.Close()
	hash, buffer := sha256.New(), make([]byte, 64<<10)
	for n := 0; ; {
		names, err := list.Readdirnames(1000)
		if errors.Is(err, io.EOF) {
			if n < manyFiles {
				t.Fatalf("it has %d files", n)
			}
			return time.Since(began)
		}
		must(t, err)
		for _, name := range names {
			f, err := root.Open(name)
			must(t, err)
			hash.Reset()
			_, err = io.CopyBuffer(hash, struct{ io.Reader }{f}, buffer)
			must(t, errors.Join(err, f.Close()))
			n++
		}
	}
}

// What both programs do with many files takes about as long as to read them, in
// memory that does not grow with what is in them. Times are held to that of
// reading them plainly, on the same machine and in the same moment.
func TestManyFilesTakeLittleMoreThanReadingThem(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100000 files")
	}
	const (
		times = 3
		tries = 3 // a busy machine may take its time from either of the two
	)
	root := t.TempDir()
	in := filepath.Join(root, "in")
	manyInto(t, in)
	tree, err := content.TreeOf(in)
	must(t, err)
	staged, archived := t.TempDir(), t.TempDir()
	pack(t, stagedFile(t, archived, "big"), manyFiles, 1000)
	kept := filepath.Join(filepath.Dir(stagedFile(t, staged, "big")), "big")

	sign := func(args ...string) func(*testing.T) (time.Duration, int64) {
		return func(t *testing.T) (time.Duration, int64) {
			s := startSigner(t, args...)
			began := time.Now()
			m, _, err := measurement.Decode(s.end(t))
			took := time.Since(began)
			if err != nil || len(m) != 1 || bytesOf(m[0]).SHA256 == "" {
				t.Fatal(m, err)
			}
			return took, s.peak()
		}
	}
	for _, c := range []struct {
		title string
		run   func(*testing.T) (time.Duration, int64)
	}{
		{"in verify", func(t *testing.T) (time.Duration, int64) {
			began := time.Now()
			v := runVerify(t, append(runFolder(t), "--root="+root, "--pin="+pinText(t, "in", tree, nil))...)
			if v.code != 0 {
				t.Fatalf("it exited %d\n%s", v.code, v.stderr)
			}
			return time.Since(began), v.peak
		}},
		{"in sign, in an archive", sign("--staged="+archived, "--output=big")},
		{"in sign, each as it is", func(t *testing.T) (time.Duration, int64) {
			must(t, os.Rename(in, kept))
			defer func() { must(t, os.Rename(kept, in)) }()
			return sign("--staged="+staged, "--output=big=none=big")(t)
		}},
	} {
		t.Run(c.title, func(t *testing.T) {
			for try := 1; ; try++ {
				plain := readAll(t, in)
				took, peak := c.run(t)
				t.Logf("%s with %d MiB resident, reading alone %s: %.2f times", took, peak, plain, float64(took)/float64(plain))
				if peak > maxResident {
					t.Fatalf("it had %d MiB resident, at most %d are allowed", peak, maxResident)
				}
				if took <= times*plain {
					return
				}
				if try == tries {
					t.Fatalf("it took more than %d times as long as reading them", times)
				}
			}
		})
	}
}
