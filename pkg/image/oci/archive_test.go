package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
)

// TestWhatDockerSavesHasItsImages: since Docker 25, and from BuildKit with type=docker, it
// is a layout with a manifest.json beside it. What older ones save, and kaniko and crane as
// a tarball, has no manifest, and so no digest that a registry could know.
func TestWhatDockerSavesHasItsImages(t *testing.T) {
	img := image(t)
	digest := must(img.Digest())(t).Hex
	dir := write(t, img)
	manifest := must(img.Manifest())(t)
	beside := fmt.Sprintf(`[{"Config":"blobs/sha256/%s","RepoTags":["app:v1"],"Layers":["blobs/sha256/%s"]}]`, manifest.Config.Digest.Hex, manifest.Layers[0].Digest.Hex)
	saved := append(members(t, dir, ""), file("manifest.json", []byte(beside)), file("repositories", []byte(`{"app":{"v1":"x"}}`)))
	saved[0].header.Name += "/" // folders, as Docker spells them
	var old bytes.Buffer
	ok(t, tarball.Write(must(name.NewTag("app:v1"))(t), img, &old))
	for form, raw := range map[string]func([]byte) []byte{
		"as it is":   func(raw []byte) []byte { return raw },
		"compressed": func(raw []byte) []byte { return gzipped(t, raw) },
	} {
		if got := inFile(t, raw(tarOf(t, saved))); len(got) != 1 || string(got[0].Digest) != digest {
			t.Errorf("%s, a layout: named are %+v", form, got)
		}
		if got := inFile(t, raw(old.Bytes())); len(got) != 0 {
			t.Errorf("%s, no layout: named are %+v", form, got)
		}
	}
}

// TestArchivesAreUnpackedOnce: whoever loads an image unpacks one archive, and no more.
func TestArchivesAreUnpackedOnce(t *testing.T) {
	raw := tarOf(t, members(t, write(t, image(t)), ""))
	for name, hidden := range map[string][]byte{
		"a tar in a tar":                       tarOf(t, []member{file("image.tar", raw)}),
		"a compressed tar in a tar":            tarOf(t, []member{file("image.tar.gz", gzipped(t, raw))}),
		"compressed twice":                     gzipped(t, gzipped(t, raw)),
		"a tar in a layout's place":            tarOf(t, []member{file("oci-layout", raw)}),
		"a folder around the layout, in a tar": tarOf(t, members(t, write(t, image(t)), "image")),
	} {
		for form, got := range map[string]oci.Images{"as it is": inFile(t, hidden), "in Argo's archive": inArchive(t, tarOf(t, []member{file("out", hidden)}))} {
			if len(got) != 0 {
				t.Errorf("%s, %s: named are %+v", name, form, got)
			}
		}
	}
}

// TestWhatIsCompressedIsUnpackedWithinBounds: of a layout so much, and a multiple of what is
// stored; of anything else no more than shows that it is none.
func TestWhatIsCompressedIsUnpackedWithinBounds(t *testing.T) {
	all := members(t, write(t, image(t)), "")
	none := make([]byte, 80<<20)
	zeros := func(name string, megabytes int) member { return file(name, none[:megabytes<<20]) }
	named := func(raw []byte) oci.Images { // nobody hashes all of it beside
		var l oci.Layout
		l.File("image", bytes.NewReader(raw))
		return l.Images()
	}
	for name, c := range map[string]struct {
		members    []member
		compressed int
	}{
		"a layer of 16 MiB that is hardly anything": {append(slices.Clone(all), zeros("blobs/sha256/"+strings.Repeat("0", 64), 16)), 1},
		"one of 80 MiB":                    {append(slices.Clone(all), zeros("blobs/sha256/"+strings.Repeat("0", 64), 80)), 0},
		"another file of 80 MiB behind it": {append(slices.Clone(all), zeros("x", 80)), 0},
		"another file of 2 MiB before it":  {append([]member{zeros("x", 2)}, all...), 0},
		"a small one before it":            {append([]member{file("x", []byte("x"))}, all...), 1},
	} {
		raw := tarOf(t, c.members)
		if got := named(gzipped(t, raw)); len(got) != c.compressed {
			t.Errorf("%s: named are %+v", name, got)
		}
		if got := named(raw); len(got) != 1 { // it is that large, and no bomb
			t.Errorf("%s, not compressed: named are %+v", name, got)
		}
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestOtherArchivesCostLittle: most compressed archives have no image, and are hashed by
// somebody else.
func TestOtherArchivesCostLittle(t *testing.T) {
	var b bytes.Buffer
	z := must(gzip.NewWriterLevel(&b, gzip.NoCompression))(t)
	must(z.Write(tarOf(t, []member{file("source.c", make([]byte, 8<<20))})))(t)
	ok(t, z.Close())
	var l oci.Layout
	content := &counted{Reader: &b}
	l.File("source.tar.gz", content)
	if content.n > 2<<20 || len(l.Images()) != 0 {
		t.Errorf("%d bytes were read, named are %+v", content.n, l.Images())
	}
}

// TestThereIsAnEndToTheTime: an archive that is read too late has no images, and its digest
// all the same.
func TestThereIsAnEndToTheTime(t *testing.T) {
	raw := tarOf(t, members(t, write(t, image(t)), ""))
	for form, raw := range map[string][]byte{"as it is": raw, "compressed": gzipped(t, raw)} {
		over := make(chan struct{})
		for want, until := range [](chan struct{}){over, nil} {
			l := oci.Layout{Until: until}
			if until != nil {
				close(until)
			}
			sum, err := content.MeasureFileShowing(t.Context(), bytes.NewReader(raw), int64(len(raw)), &l)
			if err != nil || string(sum.SHA256) != hashOf[string](raw) || len(l.Images()) != want {
				t.Errorf("%s: %v, named are %+v, want %d", form, err, l.Images(), want)
			}
		}
	}
}

// retyped makes another kind of entry of the one with a name, which has no other header.
func retyped(t *testing.T, raw []byte, name string, kind byte, more map[int]string) []byte {
	t.Helper()
	raw = bytes.Clone(raw)
	at := bytes.Index(raw, []byte(name+"\x00"))
	if at < 0 || at%512 != 0 {
		t.Fatalf("%q is at %d", name, at)
	}
	h := raw[at : at+512]
	h[156] = kind
	for offset, text := range more {
		copy(h[offset:], text)
	}
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

// record spells one extended header: its own length, key and value.
func record(key, value string) string {
	for n := len(key) + len(value) + 3; ; n++ {
		if r := fmt.Sprintf("%d %s=%s\n", n, key, value); len(r) == n {
			return r
		}
	}
}

// TestWhatIsStoredSparselyIsNoBlob: some lines could claim more than can ever be hashed.
// Here is a layer of zeros, of which the archive has nothing.
func TestWhatIsStoredSparselyIsNoBlob(t *testing.T) {
	zeros := make([]byte, 1024)
	img := must(mutate.AppendLayers(image(t), v1.Layer(static.NewLayer(zeros, types.OCILayer))))(t)
	all := members(t, write(t, img), "")
	if got := inFile(t, tarOf(t, all)); len(got) != 1 {
		t.Fatalf("the honest one has %+v", got)
	}
	i := slices.IndexFunc(all, func(m member) bool { return bytes.Equal(m.content, zeros) })
	place := all[i].header.Name
	pax := slices.Insert(slices.Clone(all), i, file("pax", []byte(record("GNU.sparse.numblocks", "1")+record("GNU.sparse.map", "1024,0")+record("GNU.sparse.size", "1024"))))
	pax[i+1] = file(place, nil)
	old := slices.Clone(all)
	old[i] = file(place, nil)
	old[i].header.Format = tar.FormatGNU
	for name, raw := range map[string][]byte{
		"by extended headers":  retyped(t, tarOf(t, pax), "pax", tar.TypeXHeader, nil),
		"by GNU's old headers": retyped(t, tarOf(t, old), place, tar.TypeGNUSparse, map[int]string{483: "00000002000\x00"}),
	} {
		if !bytes.Equal(unpacked(raw)[place], zeros) {
			t.Fatalf("%s: it unpacks to something else", name)
		}
		for form, raw := range map[string][]byte{"as it is": raw, "compressed": gzipped(t, raw)} {
			if got := inFile(t, raw); len(got) != 0 {
				t.Errorf("%s, %s: named are %+v", name, form, got)
			}
		}
	}
}

// TestLongNamesAreOtherFiles: names that only further headers give are looked at as any
// other, whichever headers these are.
func TestLongNamesAreOtherFiles(t *testing.T) {
	all := members(t, write(t, image(t)), "")
	long := strings.Repeat("long/", 60) + "name"
	for name, c := range map[string]struct {
		more   member
		images int
	}{
		"a long name (GNU)":                    {member{header: tar.Header{Name: long, Typeflag: tar.TypeReg, Format: tar.FormatGNU}}, 1},
		"a long name (PAX)":                    {member{header: tar.Header{Name: long, Typeflag: tar.TypeReg, Format: tar.FormatPAX}}, 1},
		"a long way around (GNU)":              {member{header: tar.Header{Name: "x/" + long + "/../../index.json", Typeflag: tar.TypeReg, Format: tar.FormatGNU}}, 0},
		"a long way out (PAX)":                 {member{header: tar.Header{Name: "../" + long, Typeflag: tar.TypeReg, Format: tar.FormatPAX}}, 0},
		"an absolute name":                     {file("/etc/passwd", []byte("x")), 0},
		"the index again (PAX)":                {member{header: tar.Header{Name: "index.json", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": "x"}}}, 0},
		"attributes of a file (PAX)":           {member{header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}}}, 1},
		"a device at a blob's place":           {member{header: tar.Header{Name: "blobs/sha256/" + strings.Repeat("0", 64), Typeflag: tar.TypeChar}}, 0},
		"a file that is said to be contiguous": {member{header: tar.Header{Name: "blobs/sha256/" + strings.Repeat("0", 64), Typeflag: tar.TypeCont}}, 0},
	} {
		raw := tarOf(t, append(slices.Clone(all), c.more))
		for form, raw := range map[string][]byte{"as it is": raw, "compressed": gzipped(t, raw)} {
			if got := inFile(t, raw); len(got) != c.images {
				t.Errorf("%s, %s: named are %+v", name, form, got)
			}
		}
	}
}

// TestWhatIsCompressedBadlyHasNoImages, and costs nobody a digest: inFile compares it.
func TestWhatIsCompressedBadlyHasNoImages(t *testing.T) {
	raw := gzipped(t, tarOf(t, members(t, write(t, image(t)), "")))
	if got := inFile(t, raw); len(got) != 1 {
		t.Fatalf("the honest one has %+v", got)
	}
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 0xff
	for name, raw := range map[string][]byte{
		"cut off": raw[:len(raw)/2], "its beginning alone": raw[:2], "a bit of its header": append([]byte("\x1f\x8b\x07"), raw[3:]...), "other bytes in it": flipped,
	} {
		if got := inFile(t, raw); len(got) != 0 {
			t.Errorf("%s: named are %+v", name, got)
		}
	}
	if got := inFile(t, append(bytes.Clone(raw), "what follows"...)); len(got) != 1 {
		t.Errorf("with something behind it named are %+v", got)
	}
}
