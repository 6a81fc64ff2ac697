package content

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// MeasureFile reads an output that was staged as it is, of so many bytes: twice,
// because what it looks like is in its beginning only. An error of r or the
// context is returned as such.
func MeasureFile(ctx context.Context, r io.ReaderAt, size int64) (Sum, error) {
	return MeasureFileShowing(ctx, r, size, nil)
}

// MeasureFileShowing is MeasureFile, and shows the file to the observer.
func MeasureFileShowing(ctx context.Context, r io.ReaderAt, size int64, to Observer) (Sum, error) {
	source := &interruptible{ctx: ctx, r: r}
	sum := Sum{Form: FormFile, Size: size}
	err := guard(func() (err error) {
		if looksPacked(io.NewSectionReader(source, 0, size)) {
			sum.Form = FormLookalike
		}
		sum.SHA256, err = source.hash(size, to)
		return err
	})
	if err != nil {
		return Sum{}, err
	}
	sum.Tree = FileTree(sum.SHA256)
	return sum, nil
}

// looksPacked is executor.go's isTarball: a gzip header, and a first header of
// a tar archive behind it.
func looksPacked(r io.Reader) bool {
	z, err := gzip.NewReader(r)
	if err != nil {
		return false
	}
	_, err = tar.NewReader(z).Next()
	return err == nil
}

// interruptible reads until its context ends. It keeps the first error that is
// not the end, for readers behind which every error looks alike.
type interruptible struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt has no other place for it
	r   io.ReaderAt
	err error
}

// ReadAt reads unless an error was kept or the context has ended.
func (i *interruptible) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("offset before the beginning") // where a zip points to is its own fault
	}
	if i.err == nil && i.ctx.Err() != nil {
		i.err = context.Cause(i.ctx)
	}
	if i.err != nil {
		return 0, i.err
	}
	n, err := i.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}

// hash gives the digest of the first so many bytes, all of which have to be
// there, or the error that was kept.
func (i *interruptible) hash(size int64, to Observer) (artifact.Digest, error) {
	if i.err != nil {
		return "", i.err
	}
	content := &counted{r: io.NewSectionReader(i, 0, size)}
	sum, err := hashShowing(to, outputName, content, sha256.New(), make([]byte, copyBuffer))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the stored bytes: %w", err)
	case content.n != size:
		return "", fmt.Errorf("reading the stored bytes: there are %d of %d", content.n, size)
	}
	return sum, nil
}

// outputName stands for the name of an output that has none of its own.
const outputName = "output"

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

// Read reads and counts.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
