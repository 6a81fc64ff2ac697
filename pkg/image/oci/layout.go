package oci

import (
	"bytes"
	"cmp"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Bounds of what is kept of a layout: some MiB at most. A layout that has more has no
// images.
const (
	maxBlobs     = 4096
	maxDocuments = 128
	// maxDescriptors is how many descriptors all documents may have.
	maxDescriptors = 8192
	// maxRead is how many bytes are read as JSON, documents or not: a second's work.
	maxRead = 64 << 20
)

// lies stands for the size of a blob whose name is not its digest: nobody who follows a
// digest gets it.
const lies = -1

// Names in a layout.
const (
	markerName    = "oci-layout"
	indexName     = "index.json"
	blobsName     = "blobs"
	blobsPrefix   = "blobs/sha256/"
	digestPrefix  = "sha256:"
	layoutVersion = "1.0.0"
)

// Layout is what was seen so far of an output that may be one. The zero value has seen
// nothing. It is not safe for concurrent use.
type Layout struct {
	// Until is closed once there is no more time for archives: one that is not read to
	// its end by then has no images. Nil gives all the time that it takes.
	Until <-chan struct{}
	// top is the first part of all paths.
	top string
	// broken says that there are no images, whatever else comes.
	broken bool
	blobs  map[artifact.Digest]int64
	docs   map[artifact.Digest]*document
	// index and marker are the two files of the layout itself.
	index, marker *document
	descriptors   int
	// jsonRead is how many bytes were read as JSON.
	jsonRead int64
	// tokens is how many parts all documents had that were read as JSON.
	tokens int
	// last is the document that was read from the file that was shown last.
	last *document
	// archive says that the output is one file, and what was in that.
	archive bool
	// begun says that the archive has a file of a layout.
	begun bool
}

// File shows a regular file, by its path, which begins with the output's own name. It
// reads as much of the content as is wanted of it. What comes of it counts once Sum has
// said what the file was.
func (l *Layout) File(name string, content io.Reader) {
	defer l.guard()
	top, below, nested := strings.Cut(name, "/")
	l.last = nil
	switch {
	case l.broken:
	case l.top != "" && (l.top != top || !nested || l.archive):
		l.broken = true
	case !nested:
		l.top, l.archive = top, true
		l.unpack(content)
	default:
		l.top = top
		l.read(below, content)
	}
}

// Sum says what the file was that was shown last.
func (l *Layout) Sum(name string, size int64, sum artifact.Digest) {
	if _, below, nested := strings.Cut(name, "/"); nested && !l.broken && !l.archive {
		l.place(below, size, sum)
	}
}

// guard makes a layout of none of which a library panicked: hostile bytes must not cost
// the step its seal.
func (l *Layout) guard() {
	if p := recover(); p != nil {
		l.broken = true
	}
}

// wanted says whether a path means anything in a layout.
func wanted(name string) bool {
	return name == markerName || name == indexName || strings.HasPrefix(name, blobsPrefix)
}

// read reads a document, if the file is one.
func (l *Layout) read(name string, content io.Reader) {
	l.last = nil
	if !wanted(name) {
		return
	}
	var start [1]byte
	if _, err := io.ReadFull(content, start[:]); err != nil || start[0] != '{' {
		return // a layer, most likely
	}
	var raw bytes.Buffer
	raw.WriteByte(start[0])
	n, err := raw.ReadFrom(io.LimitReader(content, maxDocument))
	if l.jsonRead += n; l.jsonRead > maxRead {
		l.broken = true
	}
	if err != nil || n == maxDocument || l.broken {
		return
	}
	d, parts, err := parse(raw.Bytes())
	if l.tokens += parts; l.tokens > maxTokensOfAll {
		l.broken = true
	} else if err == nil {
		l.last = d
	}
}

// place notes what lies at a path: once.
func (l *Layout) place(name string, size int64, sum artifact.Digest) {
	d := l.last
	l.last = nil
	switch {
	case name == markerName:
		l.broken = l.broken || l.marker != nil || d == nil || d.ImageLayoutVersion != layoutVersion
		l.marker = &document{} // nothing else of it is needed
	case name == indexName:
		l.broken = l.broken || l.index != nil || d == nil || d.kind() != KindIndex
		l.index = d
		l.count(d)
	case strings.HasPrefix(name, blobsPrefix):
		l.blob(name[len(blobsPrefix):], size, sum, d)
	}
}

// blob notes one by its name. A path that is there twice, as only an archive can have
// it, is in doubt.
func (l *Layout) blob(name string, size int64, sum artifact.Digest, d *document) {
	named, err := artifact.ParseDigest(name)
	_, twice := l.blobs[named]
	if l.broken = l.broken || twice || err != nil && l.archive; l.broken || err != nil {
		return
	}
	if l.blobs == nil {
		l.blobs, l.docs = map[artifact.Digest]int64{}, map[artifact.Digest]*document{}
	}
	if named != sum {
		size = lies
	}
	if l.blobs[named] = size; size != lies && d != nil && d.kind() != "" {
		l.docs[sum] = d
		l.count(d)
	}
	l.broken = l.broken || len(l.blobs) > maxBlobs || len(l.docs) > maxDocuments
}

func (l *Layout) count(d *document) {
	if d != nil {
		l.descriptors += len(d.Layers) + len(d.Manifests) + 1
		l.broken = l.broken || l.descriptors > maxDescriptors
	}
}

// Images are those that lie whole in the layout, and that its index.json names: itself,
// or as one of an index that it names. Indexes of indexes are not followed.
func (l *Layout) Images() Images {
	if l.broken || l.marker == nil || l.index == nil {
		return nil
	}
	found := map[artifact.Digest]Image{}
	for _, d := range l.index.Manifests {
		if index := l.document(d); index != nil && index.kind().IsIndex() {
			l.fromIndex(d, index, found)
			continue
		}
		l.add(d, found)
	}
	if len(found) > MaxImages {
		return nil
	}
	var images Images
	for _, i := range found {
		images = append(images, i)
	}
	slices.SortFunc(images, func(a, b Image) int { return cmp.Compare(a.Digest, b.Digest) })
	if images.Validate() != nil {
		return nil
	}
	return images
}

// fromIndex names the images of an index, and the index if all that it lists is there.
func (l *Layout) fromIndex(at descriptor, index *document, found map[artifact.Digest]Image) {
	whole, images := index.isImage(), 0
	for _, d := range index.Manifests {
		if !l.whole(d) {
			whole = false
			continue
		}
		if l.add(d, found) {
			images++
		}
	}
	if whole && images > 0 {
		found[digestOf(at)] = Image{Digest: digestOf(at), Kind: index.kind()}
	}
}

// add names an image that is whole.
func (l *Layout) add(d descriptor, found map[artifact.Digest]Image) bool {
	if !l.whole(d) || d.Platform.none() {
		return false
	}
	m := l.document(d)
	if !m.isImage() {
		return false
	}
	i := Image{Digest: digestOf(d), Kind: m.kind(), Platform: d.Platform.of()}
	if before, again := found[i.Digest]; again && before.Platform != i.Platform {
		i.Platform = ""
	}
	found[i.Digest] = i
	return true
}

// whole says that a manifest is there, with all that it names.
func (l *Layout) whole(d descriptor) bool {
	m := l.document(d)
	if m == nil || m.kind().IsIndex() || !l.has(*m.Config) {
		return false
	}
	return !slices.ContainsFunc(m.Layers, func(layer descriptor) bool { return !l.has(layer) })
}

// document is the one that a descriptor names; nil if it is not there as it is named.
func (l *Layout) document(d descriptor) *document {
	m := l.docs[digestOf(d)]
	if m == nil || !l.has(d) || m.kind().MediaType() != d.MediaType {
		return nil
	}
	return m
}

// has says whether what a descriptor names lies there, in the size that it says.
func (l *Layout) has(d descriptor) bool {
	size, there := l.blobs[digestOf(d)]
	return there && size != lies && size == d.Size
}

// digestOf is the SHA-256 that a descriptor names; empty for any other digest.
func digestOf(d descriptor) artifact.Digest {
	hex, ok := strings.CutPrefix(d.Digest, digestPrefix)
	if !ok {
		return ""
	}
	digest, _ := artifact.ParseDigest(hex)
	return digest
}

// clean is a path as archives of layouts spell it: with ./ before it, or not. Whatever
// else could lead into the layout when somebody unpacks it, breaks it.
func (l *Layout) clean(name string) string {
	short := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if short != "" && path.Clean("/"+short) != "/"+short && short != "." {
		l.broken = true
	}
	return short
}
