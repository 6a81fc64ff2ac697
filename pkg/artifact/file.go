package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// MeasureFile reads an output that was staged as it is, of so many bytes: twice,
// because what it looks like is in its beginning only. An error of r or the
// context is returned as such.
func MeasureFile(ctx context.Context, r io.ReaderAt, size int64) (Sum, error) {
	sum := Sum{Form: FormFile, Size: size}
	source := &interruptible{ctx: ctx, r: io.NewSectionReader(r, 0, size)}
	err := guard(func() error {
		if looksPacked(source) {
			sum.Form = FormLookalike
		}
		return source.err
	})
	if err != nil {
		return Sum{}, err
	}
	content := sha256.New()
	source = &interruptible{ctx: ctx, r: io.NewSectionReader(r, 0, size)}
	n, err := io.CopyBuffer(content, source, make([]byte, copyBuffer))
	switch {
	case err != nil:
		return Sum{}, fmt.Errorf("reading the stored bytes: %w", err)
	case n != size:
		return Sum{}, fmt.Errorf("reading the stored bytes: there are %d of %d", n, size)
	}
	sum.SHA256 = digestOf(content)
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
	ctx context.Context //nolint:containedctx // io.Reader has no other place for it
	r   io.Reader
	err error
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.err == nil && i.ctx.Err() != nil {
		i.err = context.Cause(i.ctx)
	}
	if i.err != nil {
		return 0, i.err
	}
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}
