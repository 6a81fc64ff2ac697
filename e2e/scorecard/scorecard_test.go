//go:build e2e && linux

package scorecard

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

const (
	checkSpec         = "basic-check-spec"
	bundleValidation  = "olm-bundle-validation"
	haveValidation    = "olm-crds-have-validation"
	haveResources     = "olm-crds-have-resources"
	specDescriptors   = "olm-spec-descriptors"
	statusDescriptors = "olm-status-descriptors"
)

var six = []string{checkSpec, bundleValidation, haveValidation, haveResources, specDescriptors, statusDescriptors}

// result is what the program prints of a test.
type result struct {
	State               string
	Errors, Suggestions []string
}

// program is the original one, alone with a bundle: it looks for that in /bundle, so
// the folder that holds both is all that it sees of the machine.
type program struct{ root string }

func newProgram(t *testing.T) program {
	t.Helper()
	path, err := part.Path(t.Context(), "scorecard-test", "scorecard-test")
	if err != nil {
		t.Fatal(err)
	}
	p := program{root: t.TempDir()}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.root, "scorecard-test"), text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// judge runs all tests on a bundle.
func (p program) judge(t *testing.T, b *bundle) map[string]result {
	t.Helper()
	folder := filepath.Join(p.root, "bundle")
	err := os.RemoveAll(folder)
	for name, text := range b.files(t) {
		path := filepath.Join(folder, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]result{}
	for _, test := range six {
		results[test] = p.run(t, test)
	}
	return results
}

// run has the program run one test.
func (p program) run(t *testing.T, test string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/scorecard-test", test)
	cmd.Dir, cmd.Env = "/", []string{} // of ours it gets nothing
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("%s: %v", test, err)
	}
	var status struct {
		Results []struct {
			result
			Name string
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("%s: %v: %s", test, err, out)
	}
	if len(status.Results) != 1 || status.Results[0].Name != test {
		t.Fatalf("%s: asked for one result of this name, got %s", test, out)
	}
	return status.Results[0].result
}

// TestScorecard: the bundle passes all six, and there is nothing that they suggest. By
// a suggestion alone they tell of an example without spec or status.
func TestScorecard(t *testing.T) {
	for test, r := range newProgram(t).judge(t, makeBundle(t)) {
		if r.State != "pass" || len(r.Errors) > 0 || len(r.Suggestions) > 0 {
			t.Errorf("%s: %+v", test, r)
		}
	}
}

// TestScorecardTells: each of the six fails on a bundle that is broken for it, and
// passes on those that are broken for others.
func TestScorecardTells(t *testing.T) {
	p := newProgram(t)
	for name, c := range map[string]struct {
		breaks func(*testing.T, *bundle)
		// want are the states that are not pass.
		want map[string]string
		// suggests is the test that passes, and has something to suggest.
		suggests string
	}{
		"examples that nobody can read": {
			breaks: func(_ *testing.T, b *bundle) { b.examples += "," },
			want: map[string]string{
				checkSpec: "fail", bundleValidation: "fail", haveValidation: "error", specDescriptors: "error", statusDescriptors: "error",
			},
		},
		// The program lets it pass; TestScorecard does not.
		"an example without a spec": {
			breaks:   func(t *testing.T, b *bundle) { b.edit(t, func(o map[string]any) { delete(o, "spec") }) },
			want:     map[string]string{specDescriptors: "fail"},
			suggests: checkSpec,
		},
		"an example without a status": {
			breaks:   func(t *testing.T, b *bundle) { b.edit(t, func(o map[string]any) { delete(o, "status") }) },
			suggests: statusDescriptors,
		},
		"a CRD that is missing": {
			breaks: func(_ *testing.T, b *bundle) { b.crds = b.crds[1:] },
			want:   map[string]string{bundleValidation: "fail"},
		},
		"a CRD that knows a field of spec no more": {
			breaks: func(_ *testing.T, b *bundle) { forget(b.crds[0], "spec") },
			want:   map[string]string{haveValidation: "fail"},
		},
		"a CRD that knows a field of status no more": {
			breaks: func(_ *testing.T, b *bundle) { forget(b.crds[1], "status") },
			want:   map[string]string{haveValidation: "fail"},
		},
		"no resources": {
			breaks: func(_ *testing.T, b *bundle) { b.owned[1].Resources = nil },
			want:   map[string]string{haveResources: "fail"},
		},
		"a field of spec that is not described": {
			breaks: func(_ *testing.T, b *bundle) { b.owned[0].SpecDescriptors = b.owned[0].SpecDescriptors[1:] },
			want:   map[string]string{specDescriptors: "fail"},
		},
		"a status that is not described": {
			breaks: func(_ *testing.T, b *bundle) { b.owned[1].StatusDescriptors = nil },
			want:   map[string]string{statusDescriptors: "fail"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := makeBundle(t)
			c.breaks(t, b)
			results := p.judge(t, b)
			got := map[string]string{}
			for test, r := range results {
				if r.State != "pass" {
					got[test] = r.State
				}
			}
			if c.want == nil {
				c.want = map[string]string{}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s%+v", d, results)
			}
			if c.suggests != "" && len(results[c.suggests].Suggestions) == 0 {
				t.Errorf("%s suggests nothing", c.suggests)
			}
		})
	}
}

// edit changes the first example.
func (b *bundle) edit(t *testing.T, change func(map[string]any)) {
	t.Helper()
	examples := b.listExamples(t)
	change(examples[0])
	b.setExamples(t, examples)
}

// forget takes a field out of a CRD's schema.
func forget(crd *apiextensionsv1.CustomResourceDefinition, of string) {
	properties := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties[of].Properties
	delete(properties, slices.Sorted(maps.Keys(properties))[0])
}

// TestExamplesAreWhole: those of a kind have every field of its schema between them, and
// a real API server takes them, spec and status, as they are: no field is unknown to it.
func TestExamplesAreWhole(t *testing.T) {
	b := makeBundle(t)
	examples := b.listExamples(t)
	for _, crd := range b.crds {
		properties := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
		for _, half := range []string{"spec", "status"} {
			var all []any
			for _, o := range examples {
				if o["kind"] == crd.Spec.Names.Kind {
					all = append(all, o[half])
				}
			}
			if lacks := missing(half, properties[half], all); len(lacks) > 0 {
				t.Errorf("the examples of %s lack %v", crd.Spec.Names.Kind, lacks)
			}
		}
	}
	api := b.serve(t)
	for _, o := range examples {
		want := &unstructured.Unstructured{Object: o}
		if want.GetNamespace() != "" {
			if err := api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: want.GetNamespace()}}); err != nil {
				t.Fatal(err)
			}
		}
		got := want.DeepCopy()
		if err := api.Create(t.Context(), got, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			t.Errorf("%s: %v", want.GetKind(), err)
			continue
		}
		got.Object["status"] = want.DeepCopy().Object["status"]
		if err := api.Status().Update(t.Context(), got, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			t.Errorf("%s: status: %v", want.GetKind(), err)
		}
		for _, half := range []string{"spec", "status"} {
			if d := cmp.Diff(want.Object[half], got.Object[half]); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", want.GetKind(), half, d)
			}
		}
		if err := api.Delete(t.Context(), got); err != nil { // the next may have its name
			t.Fatal(err)
		}
	}
}

// missing are the fields of a schema that none of some values has.
func missing(path string, s apiextensionsv1.JSONSchemaProps, values []any) []string {
	if s.Items != nil {
		var items []any
		for _, v := range values {
			list, _ := v.([]any)
			items = append(items, list...)
		}
		return missing(path+"[]", *s.Items.Schema, items)
	}
	var lacks []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		var below []any
		for _, v := range values {
			if fields, ok := v.(map[string]any); ok && fields[name] != nil {
				below = append(below, fields[name])
			}
		}
		if len(below) == 0 {
			lacks = append(lacks, path+"."+name)
			continue
		}
		lacks = append(lacks, missing(path+"."+name, s.Properties[name], below)...)
	}
	return lacks
}

// serve starts an API server that has the bundle's CRDs.
func (b *bundle) serve(t *testing.T) client.Client {
	t.Helper()
	apiserver, errServer := part.Path(t.Context(), "kubernetes", "kube-apiserver")
	etcd, errEtcd := part.Path(t.Context(), "etcd", "etcd")
	if err := errors.Join(errServer, errEtcd); err != nil {
		t.Fatal(err)
	}
	environment := &envtest.Environment{
		CRDs: b.crds,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: apiserver}, Etcd: &envtest.Etcd{Path: etcd},
		},
	}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// TestTheBundleIsNoWayToInstall: what the chart has and a bundle has no place for.
// Everything else of the chart is in it.
func TestTheBundleIsNoWayToInstall(t *testing.T) {
	b := makeBundle(t)
	var got []string
	for _, o := range b.leftOut {
		kind, _, _ := strings.Cut(o, " ")
		got = append(got, kind)
	}
	slices.Sort(got)
	want := []string{"DaemonSet", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	if d := cmp.Diff(want, slices.Compact(got)); d != "" {
		t.Errorf("(-want +got):\n%s%v", d, b.leftOut)
	}
}
