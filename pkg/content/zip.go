package content

import (
	"archive/zip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

const (
	// maxDirectory is how many bytes of a zip's central directory are read. What
	// archive/zip makes of them it keeps in memory, several times as large.
	maxDirectory = 2 << 20
	// zipEnd is the length of the record at the end, zipEndMagic its beginning.
	zipEnd      = 22
	zipEndMagic = "PK\x05\x06"
	// zipMode is what archive/zip says of a file about whose mode nothing is
	// stored; Argo stores nothing.
	zipMode fs.FileMode = 0o666
)

// MeasureZip reads a staged zip of so many bytes, and gives the digest of its bytes
// and of the tree that they unpack to. It refuses as OutputUnreadable a zip that
// Argo would not unpack, or did not make. An error of r or the context is returned
// as it is. The bound on the central directory also bounds memory and the number of
// entries, to some ten thousand.
func MeasureZip(ctx context.Context, r io.ReaderAt, size int64) (Sum, error) {
	source := &interruptible{ctx: ctx, r: r}
	sum := Sum{Form: FormZip, Size: size}
	refusal := guard(func() (err error) {
		sum.Tree, err = unzip(source, size)
		return err
	})
	if source.err != nil {
		return Sum{}, source.err
	}
	if refusal != nil {
		return Sum{}, unreadable(refusal)
	}
	var err error
	if sum.SHA256, err = source.hash(size, nil); err != nil {
		return Sum{}, err
	}
	return sum, nil
}

// unzip follows executor.go's unzip, as unpack follows its untar. The reader is
// the one that Argo has, so both see the same entries.
func unzip(r io.ReaderAt, size int64) (artifact.Digest, error) {
	if err := checkZipEnd(r, size); err != nil {
		return "", err
	}
	// An input without a strategy gets the zip itself only if it is nothing else.
	if looksPacked(io.NewSectionReader(r, 0, size)) {
		return "", errors.New("it is tar+gzip as well")
	}
	source := &thrifty{ReaderAt: r, left: maxDirectory}
	archive, err := zip.NewReader(source, size)
	if err != nil {
		return "", fmt.Errorf("reading the directory of the zip: %w", err)
	}
	source.all = true
	u := newUnpacking()
	for _, f := range archive.File {
		if err := u.zipped(f); err != nil {
			return "", err
		}
	}
	tree, _, err := u.digest() // no file is executable
	return tree, err
}

// checkZipEnd wants the end record to be at the end and to describe the whole zip,
// as Argo writes it. Then archive/zip has nothing to search or guess. It also
// bounds the number of entries, for which archive/zip makes room: zip64 could claim
// any number.
func checkZipEnd(r io.ReaderAt, size int64) error {
	var end [zipEnd]byte
	if size < zipEnd {
		return errors.New("it is too short for a zip")
	}
	if _, err := r.ReadAt(end[:], size-zipEnd); err != nil && err != io.EOF {
		return fmt.Errorf("reading the end of the zip: %w", err)
	}
	if !strings.HasPrefix(string(end[:]), zipEndMagic) || binary.LittleEndian.Uint16(end[20:]) != 0 {
		return errors.New("it does not end as a zip of Argo's does")
	}
	entries, length, offset := binary.LittleEndian.Uint16(end[10:]), binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	switch {
	case entries == 0xffff, length == 0xffff, offset == 0xffffffff: // the second one is archive/zip's own
		return errors.New("it has 65535 entries or more, or 4 GiB or more, which is not supported")
	case int64(offset)+int64(length) != size-zipEnd:
		return errors.New("its directory is not directly before its end, or something is in front of it")
	}
	return nil
}

// zipped takes one entry as Argo does, or refuses it. Argo packs neither
// directories nor modes, and makes an empty file of everything that is no regular
// file. A single file has its absolute path as name, which Argo makes relative when
// it unpacks.
func (u *unpacking) zipped(f *zip.File) error {
	name := strings.TrimPrefix(f.Name, "/")
	if err := u.next(name); err != nil {
		return err
	}
	if f.Mode() != zipMode {
		return fmt.Errorf("%.80q has mode %s, Argo packs none", name, f.Mode())
	}
	content, err := f.Open()
	if err != nil {
		return fmt.Errorf("reading %.80q: %w", name, err)
	}
	defer content.Close()
	return u.regular(name, false, content)
}

// errDirectory says that a zip has too many entries, or too long ones.
var errDirectory = fmt.Errorf("its directory has more than %d bytes, which is not supported", maxDirectory)

// thrifty lets only so many bytes be read, until all is set.
type thrifty struct {
	io.ReaderAt
	left int
	all  bool
}

// ReadAt reads if what is left allows it.
func (t *thrifty) ReadAt(p []byte, off int64) (int, error) {
	if !t.all {
		if t.left -= len(p); t.left < 0 {
			return 0, errDirectory
		}
	}
	return t.ReaderAt.ReadAt(p, off)
}
