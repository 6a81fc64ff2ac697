package content

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// MeasurePacked reads an archive that Argo's emissary packed of one file or
// directory. It gives what MeasureFile or MeasureDir gives of that file or
// directory, once Argo has unpacked it to store it without an archive. It refuses
// as OutputUnreadable what Argo does not pack so, or would not unpack. An error of
// r or the context is returned as it is. It needs memory for the list of files,
// which has at most room bytes. follows is MeasureDir's.
func MeasurePacked(ctx context.Context, r io.Reader, room int, follows bool) (Sum, Files, error) {
	source := &kept{untilEnd: untilEnd{ctx, r}}
	p := &packed{names: newUnpacking(), store: &storing{ctx: ctx, form: FormDirectory, room: min(room, MaxListing), follows: follows}, manifest: newManifest()}
	refusal := guard(func() error { return p.read(source) })
	switch {
	case source.err != nil:
		return Sum{}, nil, source.err
	case refusal != nil:
		return Sum{}, nil, unreadable(refusal)
	case p.file.Form != "":
		return p.file, nil, nil
	case p.dirs == nil:
		return Sum{}, nil, unreadable(errors.New("archive has nothing that Argo would unpack"))
	case len(p.store.empty) > 0 && p.store.empty[0] == rootPath:
		return Sum{}, nil, reason.New(reason.OutputAbsent, "the directory has no file, so Argo stores nothing")
	}
	d := p.manifest.digest()
	return Sum{Form: p.store.form, Size: p.store.size, SHA256: d, Tree: d}, p.store.list, nil
}

// kept keeps the first error that is not io.EOF, because readers above it hide
// errors.
type kept struct {
	untilEnd
	err error
}

// Read reads unless an error was kept.
func (k *kept) Read(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.untilEnd.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		k.err = err
	}
	return n, err
}

// packed is what becomes of an archive's one top-level entry in a store.
type packed struct {
	names    *unpacking
	store    *storing
	manifest *manifest
	// file is set where the top-level entry is a file.
	file Sum
	// dirs lead to where the reading is, the top-level one first.
	dirs []string
}

func (p *packed) read(r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("reading the gzip header: %w", err)
	}
	archive := tar.NewReader(z)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := p.entry(h, archive); err != nil {
			return err
		}
	}
}

// entry takes one header. The first has to be the file or directory that was
// packed. Every later one has to lie in a directory with a header of its own.
func (p *packed) entry(h *tar.Header, content io.Reader) error {
	if err := p.names.next(h.Name); err != nil {
		return err
	}
	for n := len(p.dirs); n > 1 && !strings.HasPrefix(h.Name, p.dirs[n-1]+"/"); n-- {
		p.dirs = p.dirs[:n-1]
	}
	_, below, nested := strings.Cut(h.Name, "/")
	switch {
	case !nested && p.dirs == nil && p.file.Form == "":
	case nested && p.dirs != nil && path.Dir(h.Name) == p.dirs[len(p.dirs)-1]:
	default:
		return fmt.Errorf("%.80q is neither the one top-level entry nor in a directory before it", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if !nested {
			below = rootPath
		}
		p.dirs = append(p.dirs, h.Name)
		p.store.dir(below)
		return nil
	case tar.TypeReg:
		return p.regular(h, content, below, nested)
	case tar.TypeSymlink:
		if nested {
			return p.store.link(below)
		}
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		if nested {
			return nil // Argo does not unpack them
		}
	}
	return fmt.Errorf("%.80q is of type %q, which Argo never packs there", h.Name, h.Typeflag)
}

// regular takes a file: as one of a directory's stored files, or as the output
// itself.
func (p *packed) regular(h *tar.Header, content io.Reader, below string, nested bool) error {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%.80q is stored sparsely, as Argo never packs", h.Name)
		}
	}
	sum, lookalike, err := hashLooking(content)
	if err != nil {
		return fmt.Errorf("reading %.80q: %w", h.Name, err)
	}
	if nested {
		if lookalike {
			p.store.form = FormLookalikes
		}
		return p.store.file(p.manifest, below, sum, h.Size)
	}
	p.file = Sum{Form: FormFile, Size: h.Size, SHA256: sum, Tree: FileTree(sum)}
	if lookalike {
		p.file.Form = FormLookalike
	}
	return nil
}

// hashLooking reads a file once: its digest, and whether Argo would take it for an
// archive. What looks like gzip is read on both sides of a pipe.
func hashLooking(content io.Reader) (artifact.Digest, bool, error) {
	h := sha256.New()
	var start [2]byte
	n, err := io.ReadFull(content, start[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", false, err
	}
	h.Write(start[:n])
	if err != nil || string(start[:]) != string(gzipMagic) {
		_, err := io.CopyBuffer(h, struct{ io.Reader }{content}, make([]byte, copyBuffer))
		return artifact.DigestOf(h), false, err
	}
	from, to := io.Pipe()
	looks := make(chan bool, 1)
	go func() {
		found := false
		failed := guard(func() error {
			found = looksPacked(io.MultiReader(strings.NewReader(string(gzipMagic)), from))
			return nil
		})
		looks <- found && failed == nil
		_ = from.CloseWithError(errSeen)
	}()
	err = copyBoth(h, to, content)
	_ = to.CloseWithError(io.EOF)
	return artifact.DigestOf(h), <-looks, err
}

// errSeen says that whoever looked at a file has seen enough.
var errSeen = errors.New("seen")

// copyBoth writes everything to h, and to the pipe for as long as it is read.
func copyBoth(h io.Writer, to io.Writer, content io.Reader) error {
	buffer := make([]byte, copyBuffer)
	for {
		n, err := content.Read(buffer)
		_, _ = h.Write(buffer[:n])
		if to != nil {
			if _, gone := to.Write(buffer[:n]); gone != nil {
				to = nil
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
