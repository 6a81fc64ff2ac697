//go:build e2e

package suite

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/text"
)

// What the README's commands name, and what a user puts there.
const (
	readmeNamespace = "my-workflows"
	readmeRegistry  = "registry.example.com/argoseal"
	readmeValues    = "bin/images/values.yaml"
)

// countsAfter is how long after it is set a mode counts for certain: the notary has to hear
// of it, and pods' times are whole seconds. What is made before says GuardsNotHeld.
const countsAfter = 5 * time.Second

// readmeElsewhere are the README's commands that this test does not run, with the
// reason.
var readmeElsewhere = map[string]string{
	"make demo": "it raises the cluster that this test runs on, and plays scenes that the suite plays (demo_test.go)",
	"make test": "this test is a part of it",
}

// readmeCommands are the commands that the README shows, in its order.
func readmeCommands(t *testing.T, root string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(raw)) {
		if command, prompted := strings.CutPrefix(line, "$ "); prompted {
			command, _, _ = strings.Cut(command, "  #")
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// TestConformanceCommandsOfTheREADME runs them one after the other, as they stand there, but
// for the names of a registry and a namespace, which are a user's own:
//   - what is pushed is for this machine's architecture, into a folder of the test: the
//     images that other tests run stay as they are;
//   - helm asks the API server for a dry run: the suite begins with `make install`, which
//     is the same command, and other tests run on what that put there.
func TestConformanceCommandsOfTheREADME(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "readme", plain)
	l, root, out := cluster(t), stage(t).Root, t.TempDir()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	replace := strings.NewReplacer(
		readmeNamespace, ns,
		readmeRegistry, strings.TrimPrefix(server.URL, "http://")+"/argoseal",
		readmeValues, filepath.Join(out, "values.yaml"),
	)
	var ran []string
	for _, command := range readmeCommands(t, root) {
		if why, elsewhere := readmeElsewhere[command]; elsewhere {
			t.Logf("$ %s\nnot here: %s", command, why)
			ran = append(ran, command)
			continue
		}
		words := strings.Fields(replace.Replace(command))
		switch {
		case words[0] == "make" && words[1] == "images-push":
			words = append(words, "IMAGES=go run ./e2e/images --arch "+runtime.GOARCH+" --out "+out)
		case words[0] == "helm":
			words = append(words, "--dry-run=server", "--hide-secret")
		}
		said := shell(t, root, l.Kubeconfig, words)
		ran = append(ran, words[0]+" "+words[1])
		switch command {
		case "kubectl label namespace " + readmeNamespace + " " + v1alpha1.LabelMode + "=audit":
			if err := l.SetMode(t.Context(), ns, v1alpha1.ModeAudit); err != nil { // everybody knows it by now
				t.Fatal(err)
			}
			time.Sleep(countsAfter)
			sealsSomething(t, ns)
		case "kubectl get provenances,artifactseals -n " + readmeNamespace:
			for _, kind := range []string{"provenance.argoseal.dev/", "artifactseal.argoseal.dev/"} {
				if !strings.Contains(said, kind) {
					t.Errorf("it shows no %s", kind)
				}
			}
		case "kubectl label --overwrite namespace " + readmeNamespace + " " + v1alpha1.LabelMode + "=enforce":
			if err := l.SetMode(t.Context(), ns, v1alpha1.ModeEnforce); err != nil {
				t.Fatal(err)
			}
			time.Sleep(countsAfter)
			sealsSomething(t, ns)
		}
	}
	// A README that shows none of them would pass, else.
	for _, want := range []string{"make demo", "make test", "make images-push", "helm upgrade", "kubectl label", "kubectl get"} {
		if !slices.Contains(ran, want) {
			t.Errorf("the README does not show `%s` any more, or not in a line of its own that begins with $", want)
		}
	}
}

// sealsSomething runs Argo's example, and waits until a seal is there of what it made.
func sealsSomething(t *testing.T, ns string) {
	t.Helper()
	wf, err := lab.Example(t.Context(), "examples/artifact-passing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	name, err := cluster(t).Submit(t.Context(), ns, wf)
	if err != nil {
		t.Fatal(err)
	}
	run := finish(t, ns, name)
	if run.Phase != "Succeeded" {
		t.Fatalf("want Succeeded: %s", run)
	}
	err = lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		seals, err := cluster(t).Seals(ctx, ns, run.UID)
		return len(seals) > 0, err
	})
	if err != nil {
		t.Fatalf("nothing of %s is sealed: %v", run, err)
	}
}

// shell runs a command as a user of the README does: in the repository, with its tools
// on the path.
func shell(t *testing.T, root, kubeconfig string, words []string) string {
	t.Helper()
	path := os.Getenv("PATH")
	for recipe, program := range map[string]string{"helm": "helm", "kubernetes": "kubectl"} {
		file, err := part.Path(t.Context(), recipe, program)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Dir(file) + string(filepath.ListSeparator) + path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	// Not exec's own look-up, which knows the path of this process.
	cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{"PATH=" + path, "KUBECONFIG=" + kubeconfig}, words...)...)
	cmd.Dir = root
	said, err := cmd.CombinedOutput()
	t.Logf("$ %s\n%s", strings.Join(words, " "), text.Cut(string(said), 4000))
	if err != nil {
		t.Fatalf("%s: %v", words[0], err)
	}
	return string(said)
}
