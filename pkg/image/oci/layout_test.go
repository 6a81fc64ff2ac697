package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func image(t testing.TB) v1.Image {
	t.Helper()
	i := must(random.Image(30, 2))(t)
	i = mutate.MediaType(i, types.OCIManifestSchema1)
	return mutate.ConfigMediaType(i, types.OCIConfigJSON)
}

// index is one for several platforms.
func index(t testing.TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	var all []mutate.IndexAddendum
	for _, p := range platforms {
		platform := must(v1.ParsePlatform(p))(t)
		all = append(all, mutate.IndexAddendum{Add: image(t), Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), all...)
}

// write makes a layout of images and indexes in a new folder.
func write(t testing.TB, of ...any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	p := must(layout.Write(dir, empty.Index))(t)
	for _, one := range of {
		switch one := one.(type) {
		case v1.Image:
			ok(t, p.AppendImage(one))
		case v1.ImageIndex:
			ok(t, p.AppendIndex(one))
		}
	}
	return dir
}

// member is one of an archive.
type member struct {
	header  tar.Header
	content []byte
}

// members are those of a folder, in the order in which Argo packs, below a name.
func members(t testing.TB, dir, below string) []member {
	t.Helper()
	var all []member
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Join(below, rel))
		switch {
		case d.IsDir() && name == ".":
		case d.IsDir():
			all = append(all, member{header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}})
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			all = append(all, member{header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}})
		default:
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all = append(all, file(name, raw))
		}
		return nil
	}))
	return all
}

func file(name string, content []byte) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}, content}
}

func tarOf(t testing.TB, all []member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range all {
		ok(t, w.WriteHeader(&m.header))
		must(io.Copy(w, bytes.NewReader(m.content)))(t)
	}
	ok(t, w.Close())
	return b.Bytes()
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := must(gzip.NewWriterLevel(&b, gzip.BestSpeed))(t)
	must(z.Write(raw))(t)
	ok(t, z.Close())
	return b.Bytes()
}

// Each way in which a step can hand out a folder that is a layout.
var ways = map[string]func(t *testing.T, dir string) oci.Images{
	"a directory in Argo's archive": func(t *testing.T, dir string) oci.Images {
		return inArchive(t, tarOf(t, members(t, dir, "image")))
	},
	"a directory without an archive": func(t *testing.T, dir string) oci.Images {
		var l oci.Layout
		root := must(os.OpenRoot(filepath.Dir(dir)))(t)
		defer root.Close()
		if _, _, err := content.MeasureDirShowing(t.Context(), root, filepath.Base(dir), 0, false, &l); err != nil {
			t.Fatal(err)
		}
		return l.Images()
	},
	"a builder's tar in Argo's archive": func(t *testing.T, dir string) oci.Images {
		return inArchive(t, tarOf(t, []member{file("image.tar", tarOf(t, shuffled(members(t, dir, ""))))}))
	},
	"a builder's tar without an archive": func(t *testing.T, dir string) oci.Images {
		return inFile(t, tarOf(t, members(t, dir, "")))
	},
	"a compressed tar in Argo's archive": func(t *testing.T, dir string) oci.Images {
		return inArchive(t, tarOf(t, []member{file("image.tar.gz", gzipped(t, tarOf(t, members(t, dir, ""))))}))
	},
	"a compressed tar without an archive": func(t *testing.T, dir string) oci.Images {
		return inFile(t, gzipped(t, tarOf(t, shuffled(members(t, dir, "")))))
	},
}

// shuffled has index.json in front, and ./ before every name, as tar -C writes it.
func shuffled(all []member) []member {
	all = slices.Clone(all)
	slices.Reverse(all)
	for i := range all {
		all[i].header.Name = "./" + all[i].header.Name
	}
	return all
}

func inArchive(t testing.TB, raw []byte) oci.Images {
	t.Helper()
	var l oci.Layout
	if _, err := content.MeasureShowing(t.Context(), bytes.NewReader(gzipped(t, raw)), &l); err != nil {
		t.Fatal(err)
	}
	return l.Images()
}

func inFile(t testing.TB, raw []byte) oci.Images {
	t.Helper()
	var l oci.Layout
	sum, err := content.MeasureFileShowing(t.Context(), bytes.NewReader(raw), int64(len(raw)), &l)
	if err != nil {
		t.Fatal(err)
	}
	if string(sum.SHA256) != hashOf[string](raw) {
		t.Fatal("what was shown changed the digest")
	}
	return l.Images()
}

func hashOf[T ~string](raw []byte) T {
	sum := sha256.Sum256(raw)
	return T(hex.EncodeToString(sum[:]))
}

func TestEveryImageOfALayoutIsNamed(t *testing.T) {
	single, many := image(t), index(t, "linux/amd64", "linux/arm64/v8")
	dir := write(t, single, many)
	want := map[string]string{must(single.Digest())(t).Hex: "", must(many.Digest())(t).Hex: ""}
	for _, d := range must(many.IndexManifest())(t).Manifests {
		want[d.Digest.Hex] = d.Platform.String()
	}
	for name, measure := range ways {
		t.Run(name, func(t *testing.T) {
			got := measure(t, dir)
			if len(got) != len(want) {
				t.Fatalf("named are %+v, want %v", got, want)
			}
			for _, i := range got {
				platform, there := want[string(i.Digest)]
				if !there || platform != i.Platform || i.Kind.IsIndex() != (string(i.Digest) == must(many.Digest())(t).Hex) {
					t.Errorf("named is %+v, want platform %q (%v)", i, platform, there)
				}
			}
			ok(t, got.Validate())
		})
	}
}

// edit writes a JSON file of a layout anew.
func edit(t *testing.T, path string, change func(map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	ok(t, json.Unmarshal(must(os.ReadFile(path))(t), &m))
	change(m)
	raw := must(json.Marshal(m))(t)
	ok(t, os.WriteFile(path, raw, 0o644))
	return raw
}

// first is the first entry of a list in a document.
func first(m map[string]any, list string) map[string]any {
	return m[list].([]any)[0].(map[string]any)
}

// blob is the path of what a descriptor names.
func blob(dir string, descriptor map[string]any) string {
	return filepath.Join(dir, "blobs/sha256", strings.TrimPrefix(descriptor["digest"].(string), "sha256:"))
}

// remade changes the manifest of the one image, and has index.json name the new one.
func remade(t *testing.T, dir string, change func(raw []byte) []byte) {
	t.Helper()
	edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
		d := first(m, "manifests")
		raw := change(must(os.ReadFile(blob(dir, d)))(t))
		d["digest"], d["size"] = "sha256:"+hashOf[string](raw), len(raw)
		ok(t, os.WriteFile(blob(dir, d), raw, 0o644))
	})
}

// changed is a manifest with other fields.
func changed(t *testing.T, change func(map[string]any)) func([]byte) []byte {
	return func(raw []byte) []byte {
		var m map[string]any
		ok(t, json.Unmarshal(raw, &m))
		change(m)
		return must(json.Marshal(m))(t)
	}
}

// TestALayoutThatLiesHasNoImages: each of these is a layout with one image, changed. None
// is named, in whatever way it is handed out; without the change, it is.
func TestALayoutThatLiesHasNoImages(t *testing.T) {
	manifest := func(t *testing.T, dir string) map[string]any {
		var m map[string]any
		ok(t, json.Unmarshal(must(os.ReadFile(filepath.Join(dir, "index.json")))(t), &m))
		return first(m, "manifests")
	}
	layer := func(t *testing.T, dir string) string {
		var m map[string]any
		ok(t, json.Unmarshal(must(os.ReadFile(blob(dir, manifest(t, dir))))(t), &m))
		return blob(dir, first(m, "layers"))
	}
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"its manifest has other bytes": func(t *testing.T, dir string) {
			path := blob(dir, manifest(t, dir))
			raw := must(os.ReadFile(path))(t)
			ok(t, os.WriteFile(path, bytes.Replace(raw, []byte(`"schemaVersion":2`), []byte(`"schemaVersion": 2`), 1), 0o644))
		},
		"its layer has other bytes of the same size": func(t *testing.T, dir string) {
			path := layer(t, dir)
			raw := must(os.ReadFile(path))(t)
			raw[len(raw)-1] ^= 1
			ok(t, os.WriteFile(path, raw, 0o644))
		},
		"a layer is missing": func(t *testing.T, dir string) { ok(t, os.Remove(layer(t, dir))) },
		"the config is missing": func(t *testing.T, dir string) {
			var m map[string]any
			ok(t, json.Unmarshal(must(os.ReadFile(blob(dir, manifest(t, dir))))(t), &m))
			ok(t, os.Remove(blob(dir, m["config"].(map[string]any))))
		},
		"the manifest is missing": func(t *testing.T, dir string) { ok(t, os.Remove(blob(dir, manifest(t, dir)))) },
		"a layer has another size": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) { first(m, "layers")["size"] = 7 }))
		},
		"a layer that is not there has no size": func(t *testing.T, dir string) {
			path := layer(t, dir)
			ok(t, os.WriteFile(path, []byte("x"), 0o644))
			remade(t, dir, changed(t, func(m map[string]any) { first(m, "layers")["size"] = -1 }))
		},
		"the manifest has another size": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) { first(m, "manifests")["size"] = 7 })
		},
		"the manifest is another kind than the index says": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
				first(m, "manifests")["mediaType"] = string(types.DockerManifestSchema2)
			})
		},
		"the manifest is huge": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) { m["annotations"] = map[string]string{"a": strings.Repeat("x", 1<<20)} }))
		},
		"a layer has a long type": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) { first(m, "layers")["mediaType"] = strings.Repeat("x", 300) }))
		},
		"the manifest is deep": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte {
				return []byte(strings.TrimSuffix(string(raw), "}") + `,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}")
			})
		},
		"the manifest has a hundred thousand layers": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte {
				return []byte(strings.Replace(string(raw), `"layers":[`, `"layers":[`+strings.Repeat("{},", 100_000), 1))
			})
		},
		"its layers are there twice": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte {
				return []byte(strings.Replace(string(raw), `"layers":[`, `"layers":[],"layers":[`, 1))
			})
		},
		"its layers are there in capitals, too": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte {
				return []byte(strings.Replace(string(raw), `"layers":[`, `"Layers":[],"layers":[`, 1))
			})
		},
		"its layers are there in another alphabet, too": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte {
				return []byte(strings.Replace(string(raw), `"layers":[`, `"layerſ":[],"layers":[`, 1))
			})
		},
		"it is an image and an index at once": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) { m["manifests"] = []any{} }))
		},
		"it is followed by another document": func(t *testing.T, dir string) {
			remade(t, dir, func(raw []byte) []byte { return append(raw, "{}"...) })
		},
		"it is a chart": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) {
				m["config"].(map[string]any)["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
			}))
		},
		"it is an artifact": func(t *testing.T, dir string) {
			remade(t, dir, changed(t, func(m map[string]any) { m["artifactType"] = "application/x" }))
		},
		"a builder says that it is for no platform": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
				first(m, "manifests")["platform"] = map[string]string{"os": "unknown", "architecture": "unknown"}
			})
		},
		"no file says that it is a layout": func(t *testing.T, dir string) { ok(t, os.Remove(filepath.Join(dir, "oci-layout"))) },
		"it is of another version": func(t *testing.T, dir string) {
			ok(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o644))
		},
		"it has no index":    func(t *testing.T, dir string) { ok(t, os.Remove(filepath.Join(dir, "index.json"))) },
		"its index is empty": func(t *testing.T, dir string) { ok(t, os.Truncate(filepath.Join(dir, "index.json"), 0)) },
		"its index is no JSON": func(t *testing.T, dir string) {
			ok(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"`), 0o644))
		},
		"the manifest is named with another kind of digest": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
				d := first(m, "manifests")
				d["digest"] = strings.Replace(d["digest"].(string), "sha256:", "sha512:", 1)
			})
		},
		"an index lists itself": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
				d := first(m, "manifests")
				raw := must(json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": string(types.OCIImageIndex), "manifests": []any{
					map[string]any{"mediaType": string(types.OCIImageIndex), "digest": "sha256:" + strings.Repeat("0", 64), "size": 1},
				}}))(t)
				d["mediaType"], d["digest"], d["size"] = string(types.OCIImageIndex), "sha256:"+hashOf[string](raw), len(raw)
				ok(t, os.WriteFile(blob(dir, d), raw, 0o644))
			})
		},
		"an index of an index": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
				d := first(m, "manifests")
				for range 2 {
					raw := must(json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": string(types.OCIImageIndex), "manifests": []any{d}}))(t)
					d = map[string]any{"mediaType": string(types.OCIImageIndex), "digest": "sha256:" + hashOf[string](raw), "size": len(raw)}
					ok(t, os.WriteFile(blob(dir, d), raw, 0o644))
				}
				m["manifests"] = []any{d}
			})
		},
		"two hundred manifests": func(t *testing.T, dir string) {
			for n := range 200 {
				raw := fmt.Appendf(nil, `{"schemaVersion":2,"config":{},"annotations":{"n":"%d"}}`, n)
				ok(t, os.WriteFile(filepath.Join(dir, "blobs/sha256", hashOf[string](raw)), raw, 0o644))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			honest := write(t, image(t))
			if got := ways["a builder's tar without an archive"](t, honest); len(got) != 1 {
				t.Fatalf("the honest one has %+v", got)
			}
			spoil(t, honest)
			for way, measure := range ways {
				if got := measure(t, honest); len(got) != 0 {
					t.Errorf("%s: named are %+v", way, got)
				}
			}
		})
	}
}

// TestWhatIsNotThereWholeIsNotNamed: an index without one of its images is none, its
// other images are.
func TestWhatIsNotThereWholeIsNotNamed(t *testing.T) {
	many := index(t, "linux/amd64", "linux/arm64")
	dir := write(t, many)
	gone, stays := must(many.IndexManifest())(t).Manifests[0].Digest.Hex, must(many.IndexManifest())(t).Manifests[1].Digest.Hex
	ok(t, os.Remove(filepath.Join(dir, "blobs/sha256", gone)))
	for way, measure := range ways {
		if got := measure(t, dir); len(got) != 1 || string(got[0].Digest) != stays || got[0].Platform != "linux/arm64" {
			t.Errorf("%s: named are %+v", way, got)
		}
	}
}

// TestABuildersOwnAttestationsAreNoImages, and an index that has some is whole with them.
func TestABuildersOwnAttestationsAreNoImages(t *testing.T) {
	dir := write(t, index(t, "linux/amd64", "unknown/unknown"))
	for way, measure := range ways {
		got := measure(t, dir)
		if len(got) != 2 || !slices.ContainsFunc(got, func(i oci.Image) bool { return i.Kind.IsIndex() }) || !slices.ContainsFunc(got, func(i oci.Image) bool { return i.Platform == "linux/amd64" }) {
			t.Errorf("%s: named are %+v", way, got)
		}
	}
}

func TestALayoutHasABoundedNumberOfBlobs(t *testing.T) {
	all := members(t, write(t, image(t)), "")
	blobs := len(all) - 4 // a manifest, a config and layers; not two folders and two files
	for n := range 4096 - blobs {
		raw := fmt.Append(nil, n)
		all = append(all, file("blobs/sha256/"+hashOf[string](raw), raw))
	}
	if got := inFile(t, tarOf(t, all)); len(got) != 1 {
		t.Errorf("named are %+v", got)
	}
	all = append(all, file("blobs/sha256/"+hashOf[string]([]byte("one more")), []byte("one more")))
	if got := inFile(t, tarOf(t, all)); len(got) != 0 {
		t.Errorf("of one more blob named are %+v", got)
	}
}

// An image beside one that is named by another kind of digest is named.
func TestOtherDigestsHideNoImage(t *testing.T) {
	dir := write(t, image(t))
	edit(t, filepath.Join(dir, "index.json"), func(m map[string]any) {
		m["manifests"] = append(m["manifests"].([]any), map[string]any{"mediaType": string(types.OCIManifestSchema1), "digest": "sha512:" + strings.Repeat("0", 128), "size": 1})
	})
	if got := inFile(t, tarOf(t, members(t, dir, ""))); len(got) != 1 {
		t.Errorf("named are %+v", got)
	}
}

// Blobs that look like documents, and are none, cost what documents cost.
func TestALayoutHasABoundedNumberOfParts(t *testing.T) {
	all := members(t, write(t, image(t)), "")
	other := func(n int) member {
		raw := fmt.Appendf(nil, `{"n":%d,"x":[%s0]}`, n, strings.Repeat("0,", 30_000))
		return file("blobs/sha256/"+hashOf[string](raw), raw)
	}
	for n := range 8 {
		all = append(all, other(n))
	}
	if got := inFile(t, tarOf(t, all)); len(got) != 1 {
		t.Errorf("named are %+v", got)
	}
	all = append(all, other(8))
	if got := inFile(t, tarOf(t, all)); len(got) != 0 {
		t.Errorf("of one more such blob named are %+v", got)
	}
}

func TestALayoutHasABoundedNumberOfImages(t *testing.T) {
	var platforms []string
	for n := range oci.MaxImages {
		platforms = append(platforms, fmt.Sprintf("linux/a%d", n))
	}
	for less, want := range []int{0, oci.MaxImages} { // the index is one, too
		if got := inFile(t, tarOf(t, members(t, write(t, index(t, platforms[less:]...)), ""))); len(got) != want {
			t.Errorf("of %d images %d are named, want %d", len(platforms)-less+1, len(got), want)
		}
	}
}

// TestLinksAreNoBlobs, whatever they lead to: in a store there are none.
func TestLinksAreNoBlobs(t *testing.T) {
	for name, link := range map[string]string{"all blobs": "blobs", "those of a kind": "blobs/sha256", "the index": "index.json"} {
		dir := write(t, image(t))
		path := filepath.Join(dir, link)
		ok(t, os.Rename(path, path+"-really"))
		ok(t, os.Symlink(filepath.Base(path)+"-really", path))
		for way, measure := range ways {
			if got := measure(t, dir); len(got) != 0 {
				t.Errorf("%s, %s: named are %+v", name, way, got)
			}
		}
	}
}

// TestAnArchiveThatCanBeReadInTwoWaysHasNoImages: who unpacks it gets what is there last,
// or first, or what a link leads to.
func TestAnArchiveThatCanBeReadInTwoWaysHasNoImages(t *testing.T) {
	dir := write(t, image(t))
	all := members(t, dir, "")
	if got := inFile(t, tarOf(t, all)); len(got) != 1 {
		t.Fatalf("the honest one has %+v", got)
	}
	find := func(name string) member {
		return all[slices.IndexFunc(all, func(m member) bool { return strings.HasPrefix(m.header.Name, name) && m.header.Typeflag == tar.TypeReg })]
	}
	someBlob := find("blobs/sha256/")
	other := file(someBlob.header.Name, []byte("other"))
	for name, spoilt := range map[string][]member{
		"its index twice":               append(slices.Clone(all), find("index.json")),
		"its index twice, spelled ./":   append(slices.Clone(all), file("./index.json", find("index.json").content)),
		"oci-layout twice":              append(slices.Clone(all), find("oci-layout")),
		"a blob twice":                  append(slices.Clone(all), other),
		"a blob twice, the lie first":   append([]member{other}, all...),
		"a link at a blob's place":      append(slices.Clone(all), member{header: tar.Header{Name: someBlob.header.Name, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}),
		"a hard link at a blob's place": append(slices.Clone(all), member{header: tar.Header{Name: someBlob.header.Name, Typeflag: tar.TypeLink, Linkname: "index.json"}}),
		"blobs are a link":              append([]member{{header: tar.Header{Name: "blobs", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}}}, all...),
		"a folder at the index's place": append(slices.Clone(all), member{header: tar.Header{Name: "index.json/", Typeflag: tar.TypeDir}}),
		"a way around":                  append(slices.Clone(all), file("x/../index.json", []byte("{}"))),
		"a path with two slashes":       append(slices.Clone(all), file("blobs//sha256/"+strings.Repeat("0", 64), []byte("{}"))),
		"a link beside the layout":      append([]member{{header: tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "blobs"}}}, all...),
		"a hard link beside it":         append(slices.Clone(all), member{header: tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "index.json"}}),
		"a header for all entries":      append([]member{{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}}, all...),
		"something else in its blobs":   append(slices.Clone(all), file("blobs/sha256/"+strings.Repeat("0", 64)+"/x", []byte("{}"))),
	} {
		t.Run(name, func(t *testing.T) {
			raw := tarOf(t, spoilt)
			if got := inFile(t, raw); len(got) != 0 {
				t.Errorf("named are %+v", got)
			}
			if got := inArchive(t, tarOf(t, []member{file("image.tar", raw)})); len(got) != 0 {
				t.Errorf("in an archive named are %+v", got)
			}
		})
	}
	beside := append([]member{file("manifest.json", []byte("[]")), {header: tar.Header{Name: "x/", Typeflag: tar.TypeDir}}}, all...)
	if got := inFile(t, tarOf(t, beside)); len(got) != 1 {
		t.Errorf("with a file and a folder beside it named are %+v", got)
	}
	// Go writes no file with a folder's name. These two names have one checksum.
	raw := tarOf(t, append(slices.Clone(all), file("AA~", []byte("x"))))
	if got := inFile(t, raw); len(got) != 1 {
		t.Errorf("with another file named are %+v", got)
	}
	if got := inFile(t, bytes.Replace(raw, []byte("AA~\x00"), []byte("hi/\x00"), 1)); len(got) != 0 {
		t.Errorf("with a file that has a folder's name named are %+v", got)
	}
	cut := tarOf(t, all)
	if got := inFile(t, cut[:len(cut)-3*512]); len(got) != 0 {
		t.Errorf("of one that was cut off named are %+v", got)
	}
}

// TestAnImageIsOneLine: as the sidecar's message has it.
func TestAnImageIsOneLine(t *testing.T) {
	i := oci.Image{Digest: hashOf0(), Kind: oci.KindManifest, Platform: "linux/arm64/v8"}
	for _, i := range []oci.Image{i, {Digest: i.Digest, Kind: oci.KindDockerList}} {
		if got, err := oci.ParseLine(i.Line()); err != nil || got != i {
			t.Errorf("%q is %+v (%v)", i.Line(), got, err)
		}
	}
	for _, line := range []string{"", "manifest", "manifest ", "x " + i.Line()[9:], i.Line() + " ", i.Line() + "/x", "index" + i.Line()[8:], strings.ToUpper(i.Line()), strings.Replace(i.Line(), " ", "  ", 1)} {
		if got, err := oci.ParseLine(line); err == nil {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}
