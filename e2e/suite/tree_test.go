//go:build e2e

package suite

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/lab"
)

// hashes are what Argo makes of a node's name; they depend on the workflow's.
var hashes = regexp.MustCompile(`-[0-9]{6,10}\b`)

// tree prints a finished workflow so that two runs of the same compare equal:
// every node under its parent, with phase, message and outputs, and what artifacts
// it was given. Where these lie is said as Argo says it: by store and bucket only
// if the workflow names them, so two clusters' compare equal too.
func tree(r *lab.Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Phase, r.Message)
	child := map[string]bool{}
	for _, n := range r.Nodes {
		for _, c := range n.Children {
			child[c] = true
		}
	}
	var roots []string
	for id := range r.Nodes {
		if !child[id] {
			roots = append(roots, id)
		}
	}
	branch(&b, r, roots, 1, map[string]bool{})
	text := strings.NewReplacer(r.Namespace, "NAMESPACE", r.Name, "WORKFLOW").Replace(b.String())
	return hashes.ReplaceAllString(text, "-HASH")
}

func branch(b *strings.Builder, r *lab.Run, ids []string, depth int, seen map[string]bool) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(x, y string) int { return strings.Compare(r.Nodes[x].Name, r.Nodes[y].Name) })
	for _, id := range ids {
		n := r.Nodes[id]
		// What a node makes can be printed: it was parsed from JSON.
		outputs, _ := json.Marshal(n.Outputs)
		fmt.Fprintf(b, "%s%s (%s, %s) %s %s %s\n", strings.Repeat("  ", depth), n.DisplayName, n.Type, n.TemplateName, n.Phase, n.Message, outputs)
		if len(n.Inputs.Artifacts) > 0 {
			given, _ := json.Marshal(n.Inputs.Artifacts)
			fmt.Fprintf(b, "%sgiven %s\n", strings.Repeat("  ", depth+2), given)
		}
		if !seen[id] {
			seen[id] = true
			branch(b, r, n.Children, depth+1, seen)
		}
	}
}

// links lists a run's nodes with their whole names and children: what a tree leaves out,
// and what tells why a node stands in one twice.
func links(r *lab.Run) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(r.Nodes)) {
		n := r.Nodes[id]
		fmt.Fprintf(&b, "  %s is %q, %s %s, children %q\n", id, n.Name, n.Type, n.Phase, n.Children)
	}
	return b.String()
}

var update = flag.Bool("update", false, "write the trees of honest workflows that have none in testdata/trees, as they are without Argoseal")

// sameAsWithout holds a run to what the same workflow comes to where there is
// no Argoseal: the tree of that name in testdata or, where there is none, what it comes to
// there now, which -update writes.
func sameAsWithout(t *testing.T, name string, run *lab.Run, tree func(*lab.Run) string, without func(ns, name string) *lab.Run) {
	t.Helper()
	golden := filepath.Join("testdata", "trees", name+".txt")
	want, err := os.ReadFile(golden)
	if errors.Is(err, fs.ErrNotExist) {
		other := without(namespace(t, slug("without", run.Name), plain), run.Name+"-plain")
		want, err = []byte(tree(other)), nil
		if *update {
			err = os.WriteFile(golden, want, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(run); got != string(want) {
		t.Errorf("with Argoseal:\n%s\nwithout (%s):\n%s\nits nodes:\n%s", got, golden, want, links(run))
	}
}

// TestTheTreeOfARunTellsRunsApart holds the comparison itself to notice.
func TestTheTreeOfARunTellsRunsApart(t *testing.T) {
	run := func(ns string, change func(*lab.Node)) *lab.Run {
		pod := lab.Node{ID: ns + "-1234567890", Name: ns + ".make", DisplayName: "make", Type: "Pod", Phase: "Succeeded"}
		pod.Outputs.Result = "made by " + ns + ", in-" + ns
		at := func(name string) []lab.Artifact {
			return []lab.Artifact{{Name: name, S3: &lab.S3{Endpoint: "store", Bucket: "bucket", Key: ns + "/" + name}}}
		}
		pod.Inputs.Artifacts, pod.Outputs.Artifacts = at("in"), at("out")
		change(&pod)
		root := lab.Node{ID: ns, Name: ns, DisplayName: ns, Type: "Steps", Phase: "Succeeded", Children: []string{pod.ID}}
		return &lab.Run{Namespace: "in-" + ns, Name: ns, Phase: "Succeeded", Nodes: map[string]lab.Node{root.ID: root, pod.ID: pod}}
	}
	same := tree(run("here", func(*lab.Node) {}))
	if other := tree(run("there", func(*lab.Node) {})); other != same {
		t.Errorf("two runs of the same differ:\n%s\n%s", same, other)
	}
	for name, change := range map[string]func(*lab.Node){
		"phase":   func(n *lab.Node) { n.Phase = "Failed" },
		"message": func(n *lab.Node) { n.Message = "main: Error (exit code 1)" },
		"result":  func(n *lab.Node) { n.Outputs.Result = "" },
		"child":   func(n *lab.Node) { n.DisplayName = "another" },
		"key":     func(n *lab.Node) { n.Outputs.Artifacts[0].S3.Key = "another" },
		"bucket":  func(n *lab.Node) { n.Outputs.Artifacts[0].S3.Bucket = "another" },
		"store":   func(n *lab.Node) { n.Outputs.Artifacts[0].S3.Endpoint = "another" },
		"input":   func(n *lab.Node) { n.Inputs.Artifacts[0].S3.Key = "another" },
	} {
		if tree(run("here", change)) == same {
			t.Errorf("a change of the %s is not noticed", name)
		}
	}
}
