//go:build e2e

package pin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// These tests hold what we measure, where we say that it lies and what the check in the
// pod expects to what Argo's own drivers store and fetch.

// driven is a store that Argo's driver of a kind talks to.
type driven struct {
	// place is an artifact's place there, as a template gives it.
	place  func(key string) map[string]any
	bucket artifact.Location
	follow bool
	env    []string
	// keys lists what lies below a key; nil where only fetching tells.
	keys func(t *testing.T, prefix string) []string
}

// driver runs Argo's driver.
func (d driven) driver(t *testing.T, verb, key, path string) error {
	t.Helper()
	program := os.Getenv("ARGOSEAL_BIN_ARGO_DRIVER")
	if program == "" {
		t.Fatal("ARGOSEAL_BIN_ARGO_DRIVER must name Argo's drivers: go run ./e2e/cluster build argo-driver")
	}
	spec, err := json.Marshal(d.place(key))
	must(t, err)
	c := exec.CommandContext(t.Context(), program, verb, string(spec), path)
	c.Env = d.env
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// save has Argo store what lies at a path, without an archive.
func (d driven) save(t *testing.T, key, path string) {
	t.Helper()
	if err := d.driver(t, "save", key, path); err != nil {
		t.Fatalf("save %s: %v", key, err)
	}
}

// load has Argo fetch a key as init does: under another name first.
func (d driven) load(t *testing.T, root, input, key string) error {
	t.Helper()
	path := filepath.Join(root, input)
	if err := d.driver(t, "load", key, path+downloading); err != nil {
		return err
	}
	return os.Rename(path+downloading, path)
}

// measured is what the sidecar says of a path that is stored without an archive.
func (d driven) measured(t *testing.T, path string) (content.Sum, content.Files, error) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	if info.IsDir() {
		return content.MeasureDir(t.Context(), dir, filepath.Base(path), content.MaxListing, d.follow)
	}
	sum, err := content.MeasureFile(t.Context(), f, info.Size())
	return sum, nil, err
}

// pinned is what the gate pins of a key with that content.
func (d driven) pinned(t *testing.T, key string, sum content.Sum) Pin {
	t.Helper()
	l, err := d.bucket.At(key)
	must(t, err)
	if sum.Form.IsDirectory() {
		l = l.Prefix()
	}
	return Pin{Input: "in", Location: l.URI(), SHA256: sum.SHA256, Archive: content.ArchiveNone, Tree: sum.Tree}
}

// odd are files whose names say something to URLs.
var odd = [][2]string{{"t/"}, {"t/top", "x"}, {"t/a/"}, {"t/a/b/"}, {"t/a/b/deep", "y"}, {"t/empty/"}, {"t/none", ""}, {"t/a b+c", "z"}, {"t/a%2Fb", "z"}, {"t/q?x#y&z", "z"}, {"t/ü", "z"}}

func testDriver(t *testing.T, d driven) {
	there := contenttest.Plant(t, t.TempDir(), append(slices.Clone(odd), [2]string{"f", "text"}, [2]string{"l/"}, [2]string{"l/file", "x"}, [2]string{"l/link", "-> file"})...)
	// Each key is stored once, under a folder of its own.
	for title, c := range map[string]struct{ what, saved, loaded string }{
		"a file":                          {"f", "1/f", "1/f"},
		"a file with a leading slash":     {"f", "/2/f", "/2/f"},
		"a file with slashes together":    {"f", "3//f", "3//f"},
		"a file of an odd name":           {"f", "4/ä b+c%2F?#&;=@:'", "4/ä b+c%2F?#&;=@:'"},
		"a directory":                     {"t", "5/t", "5/t"},
		"a directory by a slash":          {"t", "6/t/", "6/t"},
		"a directory, fetched by a slash": {"t", "7/t", "7/t/"},
		"a directory in the root":         {"t", "/8/t", "/8/t"},
	} {
		t.Run(title, func(t *testing.T) {
			d.save(t, c.saved, filepath.Join(there, c.what))
			sum, files, err := d.measured(t, filepath.Join(there, c.what))
			must(t, err)
			at, err := d.bucket.At(c.saved)
			must(t, err)
			if d.keys != nil {
				want := []string{at.Key}
				if sum.Form.IsDirectory() {
					want = nil
					for _, f := range files {
						want = append(want, at.Prefix().Key+f.Path)
					}
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, d.keys(t, strings.TrimSuffix(at.Key, "/"))); diff != "" {
					t.Errorf("it lies elsewhere (-want +got):\n%s", diff)
				}
			}
			root := t.TempDir()
			must(t, d.load(t, root, "in", c.loaded))
			if err := CheckInputs(root, nil, []Pin{d.pinned(t, c.loaded, sum)}, nil); err != nil {
				t.Error(err)
			}
			if c.what != "t" {
				return
			}
			for _, part := range []string{"a", "a/b/deep"} {
				root := t.TempDir()
				key := strings.TrimSuffix(c.loaded, "/") + "/" + part
				must(t, d.load(t, root, "in", key))
				sum, err := files.Part(sum.Form, part)
				must(t, err)
				if part == "a" { // beside it lie "a b+c" and "a%2Fb", which Argo fetches, too
					key += "/"
					if d.bucket.Spelled("x/") == "x" {
						err = CheckInputs(root, nil, []Pin{d.pinned(t, key, sum)}, nil)
						if reason.Of(err) != reason.InputAltered || !strings.Contains(err.Error(), "every object whose key begins with its key") {
							t.Errorf("%s: got %v", part, err)
						}
						continue
					}
					must(t, os.RemoveAll(filepath.Join(root, "in")))
					must(t, d.load(t, root, "in", key))
				}
				if err := CheckInputs(root, nil, []Pin{d.pinned(t, key, sum)}, nil); err != nil {
					t.Errorf("%s: %v", part, err)
				}
			}
		})
	}
	t.Run("a directory with a link", func(t *testing.T) {
		d.save(t, "9/l", filepath.Join(there, "l"))
		sum, _, err := d.measured(t, filepath.Join(there, "l"))
		if d.follow {
			if reason.Of(err) != reason.OutputUnreadable {
				t.Errorf("it is measured: %v", err)
			}
			d.follow = false // as if Argo left links out here, too
			sum, _, err = d.measured(t, filepath.Join(there, "l"))
			must(t, err)
			root := t.TempDir()
			must(t, d.load(t, root, "in", "9/l"))
			if err := CheckInputs(root, nil, []Pin{d.pinned(t, "9/l", sum)}, nil); reason.Of(err) != reason.InputAltered {
				t.Errorf("it comes back as it was measured, and need not be refused: %v", err)
			}
			return
		}
		must(t, err)
		root := t.TempDir()
		must(t, d.load(t, root, "in", "9/l"))
		if err := CheckInputs(root, nil, []Pin{d.pinned(t, "9/l", sum)}, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("one whose key another's begins with", func(t *testing.T) {
		d.save(t, "10/out", filepath.Join(there, "t"))
		d.save(t, "10/out-2", filepath.Join(there, "t"))
		sum, _, err := d.measured(t, filepath.Join(there, "t"))
		must(t, err)
		root := t.TempDir()
		must(t, d.load(t, root, "in", "10/out"))
		if err := CheckInputs(root, nil, []Pin{d.pinned(t, "10/out", sum)}, nil); reason.Of(err) != reason.InputAltered {
			t.Errorf("got %v", err)
		}
		// A file is found by its own name.
		d.save(t, "10/file", filepath.Join(there, "f"))
		d.save(t, "10/file.sig", filepath.Join(there, "f"))
		sum, _, err = d.measured(t, filepath.Join(there, "f"))
		must(t, err)
		root = t.TempDir()
		must(t, d.load(t, root, "in", "10/file"))
		if err := CheckInputs(root, nil, []Pin{d.pinned(t, "10/file", sum)}, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		root := t.TempDir()
		if err := d.load(t, root, "in", "11/nothing"); err == nil {
			t.Error("it is there")
		}
		l, err := d.bucket.At("11/nothing")
		must(t, err)
		if err := CheckInputs(root, nil, []Pin{{Input: "in", Location: l.URI(), Archive: content.ArchiveNone, Absent: true}}, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("an empty file", func(t *testing.T) {
		d.save(t, "12/empty", filepath.Join(there, "t/none"))
		sum, _, err := d.measured(t, filepath.Join(there, "t/none"))
		must(t, err)
		root := t.TempDir()
		must(t, d.load(t, root, "in", "12/empty"))
		var want reason.Code
		if d.bucket.Scheme == artifact.SchemeAzure { // so the sidecar refuses it
			want = reason.InputAltered
		}
		if err := CheckInputs(root, nil, []Pin{d.pinned(t, "12/empty", sum)}, nil); reason.Of(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}

func TestArgosDriverOfGCS(t *testing.T) {
	program := os.Getenv("ARGOSEAL_BIN_FAKE_GCS_SERVER")
	if program == "" {
		t.Fatal("ARGOSEAL_BIN_FAKE_GCS_SERVER must name a server: go run ./e2e/cluster build fake-gcs-server")
	}
	const bucket = "artifacts"
	data := t.TempDir()
	must(t, os.Mkdir(filepath.Join(data, bucket), 0o755))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := listener.Addr().String()
	must(t, listener.Close())
	host, port, err := net.SplitHostPort(at)
	must(t, err)
	server := exec.CommandContext(t.Context(), program, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-data", data,
		"-external-url", "http://"+at, "-public-host", at, "-log-level", "error")
	server.Stderr = os.Stderr
	must(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: nil}}
	get := func(ctx context.Context, path string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
		if err != nil {
			return nil, err
		}
		r, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK {
			return nil, errors.Join(err, errors.New(r.Status))
		}
		return body, err
	}
	for tries := 0; ; tries++ {
		if _, err := get(t.Context(), "/storage/v1/b/"+bucket); err == nil {
			break
		} else if tries > 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	gcs := driven{
		place: func(key string) map[string]any {
			return map[string]any{"gcs": map[string]any{"bucket": bucket, "key": key}}
		},
		bucket: artifact.InGCS(bucket),
		follow: true,
		env:    []string{"STORAGE_EMULATOR_HOST=http://" + at},
		keys: func(t *testing.T, prefix string) []string {
			t.Helper()
			body, err := get(t.Context(), "/storage/v1/b/"+bucket+"/o?prefix="+url.QueryEscape(prefix))
			must(t, err)
			var list struct{ Items []struct{ Name string } }
			must(t, json.Unmarshal(body, &list))
			names := map[string]bool{}
			for _, o := range list.Items {
				names[o.Name] = true
			}
			return slices.Sorted(maps.Keys(names))
		},
	}
	testDriver(t, gcs)
	// It writes to the very file that is there, whose mode and name stay.
	t.Run("a name that leads to argoexec", func(t *testing.T) {
		gcs.save(t, "13/out", contenttest.Plant(t, t.TempDir(), [2]string{"a", "x"}))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://"+at+"/upload/storage/v1/b/"+bucket+"/o?uploadType=media&name="+url.QueryEscape("13/out/../../run/argoexec"), strings.NewReader("evil"))
		must(t, err)
		r, err := client.Do(request)
		must(t, err)
		must(t, r.Body.Close())
		base := t.TempDir()
		must(t, os.Mkdir(filepath.Join(base, "inputs"), 0o755))
		must(t, os.Rename(left(t, "argoexec", "template"), filepath.Join(base, "run")))
		must(t, gcs.load(t, filepath.Join(base, "inputs"), "in", "13/out"))
		if written, err := os.ReadFile(filepath.Join(base, "run", "argoexec")); err != nil || string(written) != "evil" {
			t.Fatalf("Argo wrote %q (%v, %s)", written, err, r.Status)
		}
		if err := CheckRun(filepath.Join(base, "run"), contenttest.SumOfX, image(t)); reason.Of(err) != reason.InputAltered {
			t.Errorf("got %v", err)
		}
	})
}

// TestArgosDriverOfAzure needs an Azurite (npm, Node 22), for which no Go module
// stands in: ARGOSEAL_AZURITE names its HOST:PORT, and it has to have the container
// artifacts of the account devstoreaccount1.
func TestArgosDriverOfAzure(t *testing.T) {
	at := os.Getenv("ARGOSEAL_AZURITE")
	if at == "" {
		t.Skip("ARGOSEAL_AZURITE names no Azurite: it is an npm package, which nothing else here needs Node for, and no Go module stands in for it")
	}
	// Argo takes the account from the host, and no DNS knows that name.
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", at, r.In.Host
	}})
	t.Cleanup(proxy.Close)
	const endpoint = "http://devstoreaccount1.blob.example.com:10000"
	bucket, err := artifact.InAzure(endpoint, "artifacts")
	must(t, err)
	testDriver(t, driven{
		place: func(key string) map[string]any {
			return map[string]any{"azure": map[string]any{
				"endpoint": endpoint, "container": "artifacts", "blob": key, "accountKeySecret": map[string]any{"name": "s", "key": "k"},
			}}
		},
		bucket: bucket,
		env: []string{
			"HTTP_PROXY=" + proxy.URL,
			// Azurite's, and no secret: learn.microsoft.com/azure/storage/common/storage-use-azurite
			"SECRET=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
		},
	})
}
