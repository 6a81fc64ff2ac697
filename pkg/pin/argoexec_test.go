//go:build e2e

package pin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/argoexec"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// These tests hold the check in the pod to what the real argoexec leaves.

// TestHonestOutputsHaveTheDigestOfWhatArgoUnpacks packs random trees with
// argoexec's emissary and unpacks them with its init.
func TestHonestOutputsHaveTheDigestOfWhatArgoUnpacks(t *testing.T) {
	a := argoexec.New(t)
	random := rand.New(rand.NewPCG(1, 2))
	var paths []string
	for i := range 150 {
		p := fmt.Sprintf("/data/t%d", i)
		if i%10 == 0 {
			must(t, os.WriteFile(a.Path(p), argoexec.RandomBytes(random), argoexec.RandomMode(random)))
		} else {
			must(t, os.Mkdir(a.Path(p), 0o755))
			argoexec.Grow(t, random, a.Path(p), 0)
		}
		paths = append(paths, p)
	}
	var inputs []*argoexec.Input
	var pins []Pin
	for i, stored := range a.Emissary(t, paths) {
		in := &argoexec.Input{Name: fmt.Sprint("in", i), Stored: stored}
		sum, err := content.Measure(t.Context(), bytes.NewReader(stored))
		must(t, err)
		p := Pin{Input: in.Name, Location: "s3://store/bucket/" + in.Name, SHA256: sum.SHA256, Archive: content.ArchiveTar, Tree: sum.Tree}
		if i%5 == 0 { // files and directories
			mode := int32(0o755 - 0o111*random.IntN(2))
			in.Mode, p.Mode = &mode, &mode
			if i%2 == 0 {
				in.Recurse, p.Recurse, p.Plain = true, true, sum.Plain
			}
		}
		inputs, pins = append(inputs, in), append(pins, p)
	}
	a.Init(t, inputs)
	all := 0
	for i, in := range inputs {
		if in.Recurse && in.Failed != "" { // it cannot follow a link that leads nowhere
			pins[i].Input = ""
			continue
		}
		if in.Recurse {
			all++
		}
		if in.Failed != "" {
			t.Fatalf("argoexec refused its own archive of %s: %s", paths[i], in.Failed)
		}
		if got, err := content.TreeOf(a.Unpacked(in.Name)); err != nil || got != pins[i].Tree && in.Mode == nil {
			t.Errorf("%s: on disk %s (%v), in the archive %s", paths[i], got, err, pins[i].Tree)
		}
	}
	pins = slices.DeleteFunc(pins, func(p Pin) bool { return p.Input == "" })
	if err := CheckInputs(a.Path("argo/inputs/artifacts"), nil, pins, nil); err != nil || all == 0 {
		t.Errorf("%v, with %d inputs on all of which it set a mode", err, all)
	}
}

// recorded gives ARGO_TEMPLATE of a pod that Argo's controller made.
func recorded(t *testing.T, pod string) string {
	t.Helper()
	raw, err := os.ReadFile("../argo/argotest/pods/" + pod + ".json")
	must(t, err)
	var p struct {
		Spec struct {
			InitContainers []struct {
				Env []struct{ Name, Value string }
			}
		}
	}
	must(t, json.Unmarshal(raw, &p))
	for _, e := range p.Spec.InitContainers[0].Env {
		if e.Name == "ARGO_TEMPLATE" {
			return e.Value
		}
	}
	t.Fatalf("%s has no template", pod)
	return ""
}

// TestInitLeavesWhatVerifyWantsBesideTheInputs runs argoexec's init on
// templates as the controller writes them: the template that it writes anew is
// the same text, and nothing else is in its folders.
func TestInitLeavesWhatVerifyWantsBesideTheInputs(t *testing.T) {
	text := recorded(t, "script")
	for title, template := range map[string]string{
		"a container":         recorded(t, "produce"),
		"raw inputs":          recorded(t, "everything"),
		"a raw one with mode": strings.Replace(recorded(t, "everything"), `"raw":{"data":"a=b"}`, `"mode":493,"raw":{"data":"a=b"}`, 1),
		"a script":            text,
		"a script with more":  strings.Replace(text, "it is", `\u003cé\u0026\u2028\t日本\u003e`, 1),
	} {
		t.Run(title, func(t *testing.T) {
			a := argoexec.New(t)
			if out, err := a.RunWith(t, template, "init"); err != nil {
				t.Fatalf("init: %v\n%s", err, out)
			}
			for _, program := range []string{"", a.Path("bin/argoexec")} {
				if err := CheckRun(a.Path("var/run/argo"), contenttest.DigestOf(template), program); err != nil {
					t.Errorf("compared with %q: %v", program, err)
				}
			}
			var parsed struct {
				Script *struct{ Source string }
				Inputs struct {
					Artifacts []struct {
						Name, Path string
						Mode       *int32
						Raw        *struct{ Data string }
					}
				}
			}
			must(t, json.Unmarshal([]byte(template), &parsed))
			if parsed.Script != nil {
				if err := CheckStaging(a.Path("argo/staging"), contenttest.DigestOf(parsed.Script.Source)); err != nil {
					t.Error(err)
				}
			}
			must(t, os.WriteFile(a.Unpacked("pinned"), []byte("x"), 0o644))
			var raws []Raw
			for _, in := range parsed.Inputs.Artifacts {
				if in.Raw != nil && !strings.HasPrefix(in.Path, "/scratch/") {
					raws = append(raws, Raw{Input: in.Name, SHA256: contenttest.DigestOf(in.Raw.Data), Mode: in.Mode})
				}
			}
			if err := CheckInputs(a.Path("argo/inputs/artifacts"), nil, []Pin{pinOf(t, "pinned", a.Unpacked("pinned"))}, raws); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWhatArgoWritesOutsideIsFound has argoexec unpack archives that write into a folder
// of Argo's.
func TestWhatArgoWritesOutsideIsFound(t *testing.T) {
	for title, c := range map[string]struct {
		archive []tar.Header
		want    reason.Code
		wrote   string
	}{
		"a new file": {[]tar.Header{
			{Name: "out", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "out/a/b/c/d/e/f", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "out/a/b/c/d/e/f/up", Typeflag: tar.TypeSymlink, Linkname: "../../../../..", Mode: 0o777},
			{Name: "out/y", Typeflag: tar.TypeSymlink, Linkname: "a/b/c/d/e/f/up/../../../../../..", Mode: 0o777},
			{Name: "out/y/var/run/argo/ctr/main/exitcode", Typeflag: tar.TypeReg, Size: 4, Mode: 0o644},
		}, reason.InputExtra, "var/run/argo/ctr/main/exitcode"},
		// Argo looks only at the folder of what it writes, and so writes through a link.
		"argoexec": {[]tar.Header{
			{Name: "out", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "out/p", Typeflag: tar.TypeSymlink, Linkname: ".", Mode: 0o777},
			{Name: "out/q", Typeflag: tar.TypeSymlink, Linkname: "p/p/p/p/p/../../../../../var/run/argo/argoexec", Mode: 0o777},
			{Name: "out/q", Typeflag: tar.TypeReg, Size: 4, Mode: 0o755, ModTime: time.Unix(1, 0), AccessTime: time.Unix(1, 0), Format: tar.FormatPAX},
		}, reason.InputAltered, "var/run/argo/argoexec"},
	} {
		t.Run(title, func(t *testing.T) {
			a := argoexec.New(t)
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			w := tar.NewWriter(z)
			for _, h := range c.archive {
				must(t, w.WriteHeader(&h))
				if h.Typeflag == tar.TypeReg {
					_, err := w.Write([]byte("evil"))
					must(t, err)
				}
			}
			must(t, errors.Join(w.Close(), z.Close()))
			in := &argoexec.Input{Name: "in", Stored: packed.Bytes()}
			a.Init(t, []*argoexec.Input{in})
			if written, err := os.ReadFile(a.Path(c.wrote)); in.Failed != "" || err != nil || !strings.HasPrefix(string(written), "evil") {
				t.Fatalf("argoexec wrote %q (%v) there, and said %s", written, err, in.Failed)
			}
			template, err := os.ReadFile(a.Path("var/run/argo/template"))
			must(t, err)
			for _, program := range []string{"", a.Path("bin/argoexec")} {
				if err := CheckRun(a.Path("var/run/argo"), contenttest.DigestOf(string(template)), program); reason.Of(err) != c.want {
					t.Errorf("compared with %q: got %v, want %s", program, err, c.want)
				}
			}
		})
	}
}

// TestSeveralDownloadsReplaceArgoexecInOrder has argoexec fetch three inputs that together
// replace it: neither its mode nor the order of times tells. The twin's are honest.
func TestSeveralDownloadsReplaceArgoexecInOrder(t *testing.T) {
	const evil = "#!/bin/sh\nexit 0\n"
	honest := func() []byte {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		w := tar.NewWriter(z)
		must(t, errors.Join(w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644}), w.Close(), z.Close()))
		return packed.Bytes()
	}
	for title, c := range map[string]struct {
		first, last []byte
		store       argoexec.Dotted
		left        string
		want        reason.Code
	}{
		"honest": {honest(), honest(), argoexec.Dotted{"thing": "x"}, "stand-in", ""},
		"attack": {
			argoexec.Through(t, "/var/run/argo/"+argoexec.Part("argoexec"), evil[:5], 0o555),
			argoexec.Through(t, "/var/run/argo/template", "{", 0o444),
			argoexec.Dotted{"thing/x": "x", "thing/../../../../var/run/argo/argoexec": evil},
			evil, reason.InputAltered,
		},
	} {
		t.Run(title, func(t *testing.T) {
			a := argoexec.New(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/first":
					_, _ = w.Write(c.first)
				case "/last":
					_, _ = w.Write(c.last)
				default:
					c.store.ServeHTTP(w, r)
				}
			}))
			t.Cleanup(server.Close)
			must(t, os.MkdirAll(a.Path("argo/secret/s"), 0o755))
			must(t, os.WriteFile(a.Path("argo/secret/s/k"), []byte("none"), 0o644))
			s3 := fmt.Sprintf(`{"endpoint":%q,"insecure":true,"bucket":%q,"key":"thing","accessKeySecret":{"name":"s","key":"k"},"secretKeySecret":{"name":"s","key":"k"}}`,
				strings.TrimPrefix(server.URL, "http://"), argoexec.DottedBucket)
			template := fmt.Sprintf(`{"name":"use","inputs":{"artifacts":[{"name":"a","path":"/a","http":{"url":%q}},{"name":"b","path":"/b","archive":{"none":{}},"s3":%s},{"name":"c","path":"/c","http":{"url":%q}}]},"container":{"image":"x"}}`,
				server.URL+"/first", s3, server.URL+"/last")
			if out, err := a.RunWith(t, template, "init"); err != nil {
				t.Fatalf("init: %v\n%s", err, out)
			}
			if have, err := os.ReadFile(a.Path("var/run/argo/argoexec")); err != nil || string(have) != c.left {
				t.Fatalf("init left %q (%v)", have, err)
			}
			text, err := os.ReadFile(a.Path("var/run/argo/template"))
			must(t, err)
			digest := contenttest.DigestOf(string(text))
			if err := CheckRun(a.Path("var/run/argo"), digest, ""); err != nil {
				t.Errorf("the order tells: %v", err)
			}
			if err := CheckRun(a.Path("var/run/argo"), digest, a.Path("bin/argoexec")); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
