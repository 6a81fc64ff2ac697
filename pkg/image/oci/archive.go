package oci

import (
	"archive/tar"
	"crypto/sha256"
	"io"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// unpack reads the output as a tar archive of a layout, as builders write it: the layout's
// files are at its top, in any order. If it is none, it has no images. What follows the
// archive's end is not looked at, as nobody who unpacks it does.
func (l *Layout) unpack(content io.Reader) {
	archive := tar.NewReader(struct{ io.Reader }{content}) // it must not seek
	for !l.broken {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			l.broken = true // none, or cut off
			return
		}
		l.member(h, archive)
	}
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
