package oci

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Bounds of an archive that is compressed itself, in bytes of what it unpacks to.
const (
	// maxBefore is how far the first file of a layout is looked for. Most compressed
	// archives have none, and cost no more than that.
	maxBefore = 1 << 20
	// maxUnpacked, and maxRatio for each byte that is stored, bound the whole: layers are
	// compressed already, and those that are not become a tenth.
	maxUnpacked = 64 << 20
	maxRatio    = 32
)

// gzipMagic begins what is compressed by gzip.
const gzipMagic = "\x1f\x8b"

// unpack reads the output as a tar archive of a layout, as builders write it: the layout's
// files are at its top, in any order. It may be compressed by gzip, once. If it is none,
// it has no images. What follows the archive's end is not looked at, as nobody who unpacks
// it does.
func (l *Layout) unpack(content io.Reader) {
	stored := &stored{from: content, until: l.Until}
	buffered := bufio.NewReaderSize(stored, 32<<10)
	var from io.Reader = buffered
	if start, _ := buffered.Peek(len(gzipMagic)); string(start) == gzipMagic {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			l.broken = true
			return
		}
		from = &inflated{from: z, stored: stored, layout: l}
	}
	archive := tar.NewReader(struct{ io.Reader }{from}) // it must not seek
	for !l.broken {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			l.broken = true // none, cut off, or too large
			return
		}
		l.member(h, archive)
	}
}

// stored counts what is read of the output, until there is no more time.
type stored struct {
	from  io.Reader
	until <-chan struct{}
	n     int64
}

var errLate = errors.New("there is no more time")

// Read reads and counts.
func (s *stored) Read(p []byte) (int, error) {
	select {
	case <-s.until:
		return 0, errLate
	default:
	}
	n, err := s.from.Read(p)
	s.n += int64(n)
	return n, err
}

// inflated is what a compressed archive unpacks to, within bounds.
type inflated struct {
	from   io.Reader
	stored *stored
	layout *Layout
	n      int64
}

var errTooMuch = errors.New("it unpacks to more than is read of it")

// Read reads as much as is allowed by now.
func (i *inflated) Read(p []byte) (int, error) {
	limit := int64(maxBefore)
	if i.layout.begun {
		limit = maxUnpacked + maxRatio*i.stored.n
	}
	if i.n >= limit {
		return 0, errTooMuch
	}
	n, err := i.from.Read(p[:min(int64(len(p)), limit-i.n)])
	i.n += int64(n)
	return n, err
}

// member takes one entry. Nothing in the archive may be a link: what it leads to, whoever
// unpacks decides, and later entries may be written through it. Nor may it have headers for
// all entries that follow, or a file with a folder's name, which readers take differently.
func (l *Layout) member(h *tar.Header, content io.Reader) {
	name := l.clean(h.Name)
	inside := wanted(name) || name == blobsName || strings.HasPrefix(name, blobsName+"/")
	switch {
	case h.Typeflag == tar.TypeLink, h.Typeflag == tar.TypeSymlink, h.Typeflag == tar.TypeXGlobalHeader,
		h.Typeflag != tar.TypeDir && strings.HasSuffix(h.Name, "/"):
		l.broken = true
	case l.broken || !inside:
	case h.Typeflag == tar.TypeDir:
		l.broken = wanted(name) // a directory at a file's place
	case h.Typeflag != tar.TypeReg || sparse(h):
		l.broken = true
	case wanted(name):
		l.begun = true
		hash := sha256.New()
		both := io.TeeReader(content, hash)
		l.read(name, both)
		if _, err := io.Copy(hash, content); err != nil {
			l.broken = true
			return
		}
		l.place(name, h.Size, artifact.DigestOf(hash))
	}
}

// sparse says that a file claims more bytes than the archive has of it: some lines could
// keep us hashing for days.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
