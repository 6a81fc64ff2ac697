//go:build e2e

package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

	"github.com/argoseal/argoseal/pkg/reason"
)

// These tests compare our reading of archives with the real argoexec's
// unpacking. ARGOSEAL_BIN_ARGOEXEC names a static argoexec; its paths are constants,
// so it runs in a root folder of its own, which needs root.

// argo is a root folder with what argoexec needs.
type argo struct{ root string }

func newArgo(t *testing.T) argo {
	t.Helper()
	program := os.Getenv("ARGOSEAL_BIN_ARGOEXEC")
	if program == "" {
		t.Fatal("ARGOSEAL_BIN_ARGOEXEC must name a static argoexec to compare with")
	}
	if os.Geteuid() != 0 {
		t.Fatal("argoexec has to run in a root folder of its own, which needs root")
	}
	a := argo{root: t.TempDir()}
	for _, d := range []string{"argo/inputs/artifacts", "argo/config", "argo/staging", "var/run/argo", "tmp", "bin", "data"} {
		must(t, os.MkdirAll(a.path(d), 0o777))
	}
	in, err := os.Open(program)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(a.path("argoexec"), os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, errors.Join(err, out.Close()))
	// init copies the argoexec of its PATH for main; a small one will do.
	must(t, os.WriteFile(a.path("bin/argoexec"), []byte("stand-in"), 0o755))
	must(t, os.WriteFile(a.path("kubeconfig"), []byte(kubeconfig), 0o644))
	return a
}

const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"none",
"clusters":[{"name":"none","cluster":{"server":"https://127.0.0.1:1"}}],
"contexts":[{"name":"none","context":{"cluster":"none","user":"none"}}],
"users":[{"name":"none","user":{"token":"none"}}]}`

func (a argo) path(p string) string { return filepath.Join(a.root, p) }

func (a argo) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return a.runWith(t, "offloaded", args...)
}

func (a argo) runWith(t *testing.T, template string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/argoexec", args...)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: a.root}
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
	HTTP *argoAddress `json:"http,omitempty"`
	// Archive has one strategy as key, if any.
	Archive map[Archive]struct{} `json:"archive,omitempty"`
}

type argoAddress struct {
	URL string `json:"url"`
}

func (a argo) write(t *testing.T, path string, content template) {
	t.Helper()
	raw, err := json.Marshal(content)
	must(t, err)
	must(t, os.WriteFile(a.path(path), raw, 0o644))
}

// emissary packs the paths as the emissary does when main has ended.
func (a argo) emissary(t *testing.T, paths []string) (archives [][]byte) {
	t.Helper()
	var tmpl template
	for i, p := range paths {
		tmpl.Outputs.Artifacts = append(tmpl.Outputs.Artifacts, argoArtifact{Name: fmt.Sprint("o", i), Path: p})
	}
	a.write(t, "var/run/argo/template", tmpl)
	if out, err := a.run(t, "emissary", "--", "/argoexec", "version"); err != nil {
		t.Fatalf("emissary: %v\n%s", err, out)
	}
	for _, p := range paths {
		raw, err := os.ReadFile(a.path("var/run/argo/outputs/artifacts/" + p + ".tgz"))
		must(t, err)
		archives = append(archives, raw)
	}
	return archives
}

// input is an object that init downloads and unpacks.
type input struct {
	name   string
	stored []byte
	mode   *int32
	by     Archive // "" or ArchiveDetect for none
	failed string  // what argoexec said, if it refused
}

// init has argoexec unpack each input; one that it refuses ends the run, so it
// goes on with the next one.
func (a argo) init(t *testing.T, inputs []*input) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, in := range inputs {
			if "/"+in.name == r.URL.Path {
				w.Write(in.stored)
			}
		}
	}))
	defer server.Close()
	for rest := inputs; len(rest) > 0; {
		var tmpl template
		for _, in := range rest {
			art := argoArtifact{Name: in.name, Path: "/main/" + in.name, Mode: in.mode, HTTP: &argoAddress{URL: server.URL + "/" + in.name}}
			if in.by != "" && in.by != ArchiveDetect {
				art.Archive = map[Archive]struct{}{in.by: {}}
			}
			tmpl.Inputs.Artifacts = append(tmpl.Inputs.Artifacts, art)
		}
		a.write(t, "argo/config/ARGO_TEMPLATE", tmpl)
		out, err := a.run(t, "init")
		if err == nil {
			return
		}
		last := strings.LastIndex(out, "Downloading artifact: ")
		if last < 0 {
			t.Fatalf("init: %v\n%s", err, out)
		}
		name, why, _ := strings.Cut(out[last+len("Downloading artifact: "):], "\"")
		at := slices.IndexFunc(rest, func(in *input) bool { return in.name == name })
		rest[at].failed = why
		must(t, os.RemoveAll(a.path("argo/inputs/artifacts/"+name)))
		must(t, os.RemoveAll(a.path("argo/inputs/artifacts/"+name+".tmp")))
		must(t, os.RemoveAll(a.path("argo/inputs/artifacts/"+name+".tmpdir")))
		rest = rest[at+1:]
	}
}

func (a argo) unpacked(name string) string { return a.path("argo/inputs/artifacts/" + name) }

// TestHonestOutputsHaveTheDigestOfWhatArgoUnpacks packs random trees with
// argoexec's emissary and unpacks them with its init.
func TestHonestOutputsHaveTheDigestOfWhatArgoUnpacks(t *testing.T) {
	a := newArgo(t)
	random := rand.New(rand.NewPCG(1, 2))
	var paths []string
	for i := range 150 {
		p := fmt.Sprintf("/data/t%d", i)
		if i%10 == 0 {
			must(t, os.WriteFile(a.path(p), randomBytes(random), randomMode(random)))
		} else {
			must(t, os.Mkdir(a.path(p), 0o755))
			growTree(t, random, a.path(p), 0)
		}
		paths = append(paths, p)
	}
	var inputs []*input
	var pins []Pin
	for i, stored := range a.emissary(t, paths) {
		in := &input{name: fmt.Sprint("in", i), stored: stored}
		sum := mustMeasure(t, stored)
		pin := Pin{Input: in.name, Location: "s3://store/bucket/" + in.name, SHA256: sum.SHA256, Archive: ArchiveTar, Tree: sum.Tree}
		if i%5 == 0 { // files and directories
			mode := int32(0o755 - 0o111*random.IntN(2))
			in.mode, pin.Mode = &mode, &mode
		}
		inputs, pins = append(inputs, in), append(pins, pin)
	}
	a.init(t, inputs)
	for i, in := range inputs {
		if in.failed != "" {
			t.Fatalf("argoexec refused its own archive of %s: %s", paths[i], in.failed)
		}
		if got, err := TreeOf(a.unpacked(in.name)); err != nil || got != pins[i].Tree && in.mode == nil {
			t.Errorf("%s: on disk %s (%v), in the archive %s", paths[i], got, err, pins[i].Tree)
		}
	}
	if err := CheckInputs(a.path("argo/inputs/artifacts"), nil, pins, nil); err != nil {
		t.Error(err)
	}
}

// TestNoArchiveIsReadOtherwiseThanArgoUnpacksIt mutates archives at random:
// what we accept, argoexec either refuses or unpacks to the same tree.
func TestNoArchiveIsReadOtherwiseThanArgoUnpacksIt(t *testing.T) {
	a := newArgo(t)
	random := rand.New(rand.NewPCG(3, 4))
	var accepted []*input
	trees := map[string]Digest{}
	refused := 0
	for i := range 3000 {
		stored := hostile(random)
		sum, err := Measure(t.Context(), bytes.NewReader(stored))
		if err != nil {
			refused++
			continue
		}
		in := &input{name: fmt.Sprint("in", i), stored: stored}
		accepted, trees[in.name] = append(accepted, in), sum.Tree
	}
	a.init(t, accepted)
	same, failed := 0, map[string]int{}
	for _, in := range accepted {
		if in.failed != "" {
			failed[why(in.failed)]++
			continue
		}
		got, err := TreeOf(a.unpacked(in.name))
		if err != nil || got != trees[in.name] {
			kept := filepath.Join(os.TempDir(), "argoseal-differential.tgz")
			t.Errorf("%s: argoexec left %s (%v), we said %s; the archive is kept as %s", in.name, got, err, trees[in.name], kept)
			must(t, os.WriteFile(kept, in.stored, 0o644))
		}
		same++
	}
	t.Logf("%d refused by us, %d read alike, refused by argoexec only: %v", refused, same, failed)
	if refused < 300 || same < 300 {
		t.Error("the archives are not mixed enough to tell anything")
	}
}

// TestArgoUnpacksWhatOurTableSays runs the table of archives of the unit tests
// through argoexec: it pins down which of our refusals are Argo's as well.
func TestArgoUnpacksWhatOurTableSays(t *testing.T) {
	a := newArgo(t)
	var inputs []*input
	trees := map[string]Digest{}
	names := map[string]string{}
	for title, c := range readableArchives() {
		in := &input{name: fmt.Sprint("in", len(inputs)), stored: c.stored}
		inputs = append(inputs, in)
		trees[in.name], names[in.name] = mustMeasure(t, c.stored).Tree, title
	}
	a.init(t, inputs)
	for _, in := range inputs {
		got, err := TreeOf(a.unpacked(in.name))
		if in.failed != "" || err != nil || got != trees[in.name] {
			t.Errorf("%s: argoexec left %s (%v, %s), we said %s", names[in.name], got, err, in.failed, trees[in.name])
		}
	}
}

// TestWhatIsFetchedIsWhatArgoLeaves has argoexec fetch stored bytes of every
// form by every strategy: what Fetched says is what lies on the disk, and where
// a file was taken for an archive, it was argoexec that did.
func TestWhatIsFetchedIsWhatArgoLeaves(t *testing.T) {
	a := newArgo(t)
	type stored struct {
		bytes []byte
		sum   Sum
	}
	all := map[string]stored{}
	for title, c := range readableArchives() {
		all["tar: "+title] = stored{c.stored, mustMeasure(t, c.stored)}
		all["tar as file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	for title, c := range readableZips() {
		sum, err := measureZip(t.Context(), c.stored)
		must(t, err)
		all["zip: "+title] = stored{c.stored, sum}
		all["zip as file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	for title, c := range packedFiles() {
		all["file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	var inputs []*input
	titles, want := map[string]string{}, map[string]Digest{}
	for title, s := range all {
		for _, by := range []Archive{ArchiveDetect, ArchiveTar, ArchiveZip, ArchiveNone} {
			in := &input{name: fmt.Sprint("in", len(inputs)), stored: s.bytes, by: by}
			tree, _, err := s.sum.Fetched(by)
			if err != nil && (by != ArchiveDetect || s.sum.Form != FormLookalike) {
				continue
			}
			inputs, titles[in.name] = append(inputs, in), title+", by "+string(by)
			if err == nil {
				want[in.name] = tree
			}
		}
	}
	a.init(t, inputs)
	for _, in := range inputs {
		got, err := TreeOf(a.unpacked(in.name))
		tree, fetched := want[in.name]
		switch {
		case fetched && (in.failed != "" || err != nil || got != tree):
			t.Errorf("%s: argoexec left %s (%v, %s), we said %s", titles[in.name], got, err, in.failed, tree)
		case !fetched && in.failed == "" && got == FileTree(digestOfString(string(in.stored))):
			t.Errorf("%s: argoexec left it as it is", titles[in.name])
		}
	}
	t.Logf("%d inputs", len(inputs))
}

// TestNoZipIsReadOtherwiseThanArgoUnpacksIt mutates zips at random: what we
// accept, argoexec either refuses or unpacks to the same tree.
func TestNoZipIsReadOtherwiseThanArgoUnpacksIt(t *testing.T) {
	a := newArgo(t)
	random := rand.New(rand.NewPCG(5, 6))
	var accepted []*input
	trees := map[string]Digest{}
	refused := 0
	for i := range 3000 {
		stored := hostileZip(random)
		sum, err := measureZip(t.Context(), stored)
		if err != nil {
			refused++
			continue
		}
		in := &input{name: fmt.Sprint("in", i), stored: stored, by: ArchiveZip}
		accepted, trees[in.name] = append(accepted, in), sum.Tree
	}
	a.init(t, accepted)
	same, failed := 0, map[string]int{}
	for _, in := range accepted {
		if in.failed != "" {
			failed[why(in.failed)]++
			continue
		}
		got, err := TreeOf(a.unpacked(in.name))
		if err != nil || got != trees[in.name] {
			t.Errorf("%s: argoexec left %s (%v), we said %s", in.name, got, err, trees[in.name])
		}
		same++
	}
	t.Logf("%d refused by us, %d read alike, refused by argoexec only: %v", refused, same, failed)
	if refused < 300 || same < 300 {
		t.Error("the zips are not mixed enough to tell anything")
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
			a := newArgo(t)
			if out, err := a.runWith(t, template, "init"); err != nil {
				t.Fatalf("init: %v\n%s", err, out)
			}
			if err := CheckRun(a.path("var/run/argo"), digestOfString(template)); err != nil {
				t.Error(err)
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
				if err := CheckStaging(a.path("argo/staging"), digestOfString(parsed.Script.Source)); err != nil {
					t.Error(err)
				}
			}
			must(t, os.WriteFile(a.unpacked("pinned"), []byte("x"), 0o644))
			var raws []Raw
			for _, in := range parsed.Inputs.Artifacts {
				if in.Raw != nil && !strings.HasPrefix(in.Path, "/scratch/") {
					raws = append(raws, Raw{Input: in.Name, SHA256: digestOfString(in.Raw.Data), Mode: in.Mode})
				}
			}
			if err := CheckInputs(a.path("argo/inputs/artifacts"), nil, []Pin{pinOf(t, "pinned", a.unpacked("pinned"))}, raws); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestALinkThatArgoWritesThroughIsNeverInATree has argoexec unpack an archive
// that writes outside of its folder. That nobody seals such a tree protects,
// and what is written into a folder of Argo's is found.
func TestALinkThatArgoWritesThroughIsNeverInATree(t *testing.T) {
	a := newArgo(t)
	in := &input{name: "in", stored: gz(pack(
		dir("out"), dir("out/a/b/c/d/e/f"), link("out/a/b/c/d/e/f/up", "../../../../.."),
		link("out/y", "a/b/c/d/e/f/up/../../../../../.."), file("out/y/var/run/argo/ctr/main/exitcode", "0"),
	))}
	a.init(t, []*input{in})
	if _, err := os.Stat(a.path("var/run/argo/ctr/main/exitcode")); in.failed != "" || err != nil {
		t.Fatalf("argoexec no longer writes outside: %v, %s", err, in.failed)
	}
	if d, err := TreeOf(a.unpacked("in")); err == nil {
		t.Errorf("the tree has the digest %s", d)
	}
	template, err := os.ReadFile(a.path("var/run/argo/template"))
	must(t, err)
	if err := CheckRun(a.path("var/run/argo"), digestOfString(string(template))); reason.Of(err) != reason.InputExtra {
		t.Errorf("got %v, want InputExtra", err)
	}
}

// why shortens what argoexec said to something that can be counted.
func why(out string) string {
	for _, known := range []string{
		"illegal symlink target", "illegal file path", "file name too long", "not a directory",
		"is a directory", "file exists", "unexpected EOF", "corrupt", "invalid",
	} {
		if strings.Contains(out, known) {
			return known
		}
	}
	return "other"
}
