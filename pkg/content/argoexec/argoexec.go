// Package argoexec runs Argo's own executor, for tests that compare with it. It
// packs outputs as the emissary does, and unpacks inputs as init does. Its paths
// are constants, so it runs in a root folder of its own, which takes root.
package argoexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Root is a root folder with what argoexec needs.
type Root struct{ dir string }

// New makes one, with the argoexec that ARGOSEAL_BIN_ARGOEXEC names.
func New(t *testing.T) Root {
	t.Helper()
	program := os.Getenv("ARGOSEAL_BIN_ARGOEXEC")
	if program == "" {
		t.Fatal("ARGOSEAL_BIN_ARGOEXEC must name a static argoexec to compare with")
	}
	if os.Geteuid() != 0 {
		t.Fatal("argoexec has to run in a root folder of its own, which needs root")
	}
	a := Root{dir: t.TempDir()}
	for _, d := range []string{"argo/inputs/artifacts", "argo/config", "argo/staging", "var/run/argo", "tmp", "bin", "data"} {
		must(t, os.MkdirAll(a.Path(d), 0o777))
	}
	in, err := os.Open(program)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(a.Path("argoexec"), os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, errors.Join(err, out.Close()))
	// init copies the argoexec of its PATH for main; a small one will do.
	must(t, os.WriteFile(a.Path("bin/argoexec"), []byte("stand-in"), 0o755))
	must(t, os.WriteFile(a.Path("kubeconfig"), []byte(kubeconfig), 0o644))
	return a
}

const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"none",
"clusters":[{"name":"none","cluster":{"server":"https://127.0.0.1:1"}}],
"contexts":[{"name":"none","context":{"cluster":"none","user":"none"}}],
"users":[{"name":"none","user":{"token":"none"}}]}`

// Path is where a path of argoexec's lies.
func (a Root) Path(p string) string { return filepath.Join(a.dir, p) }

// Run runs argoexec on the template that was written to its folder.
func (a Root) Run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return a.RunWith(t, "offloaded", args...)
}

// RunWith runs argoexec on a template, and gives what it said.
func (a Root) RunWith(t *testing.T, template string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/argoexec", args...)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: a.dir}
	c.Dir = "/"
	c.Env = []string{
		"PATH=/bin", "KUBECONFIG=/kubeconfig", "ARGO_POD_NAME=pod", "ARGO_CONTAINER_NAME=main",
		"ARGO_TEMPLATE=" + template, "ARGO_DEADLINE=" + time.Now().Add(time.Hour).Format(time.RFC3339),
	}
	out, err := c.CombinedOutput()
	return string(out), err
}

// template is as much of Argo's template as these tests need.
type template struct {
	Name    string    `json:"name"`
	Inputs  artifacts `json:"inputs"`
	Outputs artifacts `json:"outputs"`
}

type artifacts struct {
	Artifacts []argoArtifact `json:"artifacts"`
}

type argoArtifact struct {
	Name string       `json:"name"`
	Path string       `json:"path"`
	Mode *int32       `json:"mode,omitempty"`
	All  bool         `json:"recurseMode,omitempty"`
	HTTP *argoAddress `json:"http,omitempty"`
	// Archive has one strategy as key, if any.
	Archive map[string]struct{} `json:"archive,omitempty"`
}

type argoAddress struct {
	URL string `json:"url"`
}

func (a Root) write(t *testing.T, path string, content template) {
	t.Helper()
	raw, err := json.Marshal(content)
	must(t, err)
	must(t, os.WriteFile(a.Path(path), raw, 0o644))
}

// Emissary packs the paths as the emissary does when main has ended.
func (a Root) Emissary(t *testing.T, paths []string) (archives [][]byte) {
	t.Helper()
	var tmpl template
	for i, p := range paths {
		tmpl.Outputs.Artifacts = append(tmpl.Outputs.Artifacts, argoArtifact{Name: fmt.Sprint("o", i), Path: p})
	}
	a.write(t, "var/run/argo/template", tmpl)
	if out, err := a.Run(t, "emissary", "--", "/argoexec", "version"); err != nil {
		t.Fatalf("emissary: %v\n%s", err, out)
	}
	for _, p := range paths {
		raw, err := os.ReadFile(a.Path("var/run/argo/outputs/artifacts/" + p + ".tgz"))
		must(t, err)
		archives = append(archives, raw)
	}
	return archives
}

// Input is an object that init downloads and unpacks.
type Input struct {
	Name   string
	Stored []byte
	Mode   *int32
	// Recurse sets Mode on everything.
	Recurse bool
	// By is an archive strategy; none where it is empty or "detect".
	By string
	// Failed is what argoexec said, if it refused.
	Failed string
}

// Init has argoexec unpack each input. An input that it refuses ends its run, so it
// is run again for those after that.
func (a Root) Init(t *testing.T, inputs []*Input) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, in := range inputs {
			if "/"+in.Name == r.URL.Path {
				w.Write(in.Stored)
			}
		}
	}))
	defer server.Close()
	for rest := inputs; len(rest) > 0; {
		var tmpl template
		for _, in := range rest {
			art := argoArtifact{Name: in.Name, Path: "/main/" + in.Name, Mode: in.Mode, All: in.Recurse, HTTP: &argoAddress{URL: server.URL + "/" + in.Name}}
			if in.By != "" && in.By != "detect" {
				art.Archive = map[string]struct{}{in.By: {}}
			}
			tmpl.Inputs.Artifacts = append(tmpl.Inputs.Artifacts, art)
		}
		a.write(t, "argo/config/ARGO_TEMPLATE", tmpl)
		out, err := a.Run(t, "init")
		if err == nil {
			return
		}
		last := strings.LastIndex(out, "Downloading artifact: ")
		if last < 0 {
			t.Fatalf("init: %v\n%s", err, out)
		}
		name, why, _ := strings.Cut(out[last+len("Downloading artifact: "):], "\"")
		at := slices.IndexFunc(rest, func(in *Input) bool { return in.Name == name })
		rest[at].Failed = why
		must(t, os.RemoveAll(a.Path("argo/inputs/artifacts/"+name)))
		must(t, os.RemoveAll(a.Path("argo/inputs/artifacts/"+name+".tmp")))
		must(t, os.RemoveAll(a.Path("argo/inputs/artifacts/"+name+".tmpdir")))
		rest = rest[at+1:]
	}
}

// Unpacked is where Init left an input.
func (a Root) Unpacked(name string) string { return a.Path("argo/inputs/artifacts/" + name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
