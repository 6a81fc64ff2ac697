//go:build e2e

package suite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestConformanceWhatLiesOnVolumesIsSealedAndMarked: what a step stores from a
// volume is sealed however Argo packs it, and what it takes there is checked; the
// statements name the volume wherever others may have written to it, and its user is
// warned.
func TestConformanceWhatLiesOnVolumesIsSealedAndMarked(t *testing.T) {
	t.Parallel()
	for _, argo := range argos {
		t.Run(argo.module, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("volumes", argo.instance), v1alpha1.ModeEnforce)
			run := honest{path: "shapes/volumes.yaml", fates: fates{
				"make/loose": reason.Sealed, "make/quick": reason.Sealed, "make/tight": reason.Sealed,
				"make/zipped": reason.Sealed, "make/own": reason.Sealed, "use/used": reason.Sealed,
			}}.run(t, ns, "volumes", argo)
			checked(t, podOf(t, run, "use"))
			marked(t, run)
		})
	}
}

// marked holds the statements about shapes/volumes.yaml, and what its user is told,
// to say what lay on a volume.
func marked(t *testing.T, run *lab.Run) {
	t.Helper()
	outputs, sizes, inputs := map[string]string{}, map[string]int64{}, map[string]string{}
	for _, s := range statements(t, run) {
		if s.Builder.Level != provenance.LevelObserved {
			t.Errorf("%s is said to be %s", s.Step.NodeName, s.Builder.Level)
		}
		for _, subject := range s.Subjects {
			outputs[subject.Output], sizes[subject.Output] = subject.Volume, subject.Size
		}
		for _, in := range s.Inputs {
			inputs[in.Name] = in.Volume
		}
	}
	if want := map[string]string{"loose": "scratch", "tight": "scratch", "quick": "work", "zipped": "work", "own": "", "used": ""}; !maps.Equal(outputs, want) {
		t.Errorf("the statements say that outputs lay on %q, want %q", outputs, want)
	}
	// Only main can write to an emptyDir of its own.
	if want := map[string]string{"loose": "", "tight": "", "quick": "work", "zipped": "", "own": ""}; !maps.Equal(inputs, want) {
		t.Errorf("the statements say that inputs lay on %q, want %q", inputs, want)
	}
	// Argo did pack them as it was told.
	if sizes["loose"] < 10_000 || sizes["quick"] >= sizes["loose"] || sizes["tight"] >= sizes["quick"] {
		t.Errorf("packed ever tighter they have %v bytes", sizes)
	}
	for node, want := range map[string][]string{
		"make": {"output loose lies on volume scratch", "output quick lies on volume work", "output tight lies on volume scratch", "output zipped lies on volume work"},
		"use":  {"input quick lies on volume work"},
	} {
		said := warned(t, run, node)
		for _, w := range want {
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "sealed as observed: "+w+",") }) {
				t.Errorf("who submits %s is not warned that %s: %q", node, w, said)
			}
		}
		if len(said) != len(want) {
			t.Errorf("who submits %s is warned of %q", node, said)
		}
	}
}

// unpackedThere stores artifacts from an emptyDir and from a claim as they lie there,
// one of which is a link, and takes each.
const unpackedThere = `
metadata: {name: unpacked}
spec:
  entrypoint: main
  volumes: [{name: scratch, emptyDir: {}}]
  volumeClaimTemplates:
  - metadata: {name: work}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
      - {name: make, template: make}
      - {name: scratched, template: use, depends: make, arguments: {artifacts: [{name: in, from: "{{tasks.make.outputs.artifacts.scratched}}"}]}}
      - {name: claimed, template: use, depends: make, arguments: {artifacts: [{name: in, from: "{{tasks.make.outputs.artifacts.claimed}}"}]}}
      - {name: linked, template: use, depends: make, arguments: {artifacts: [{name: in, from: "{{tasks.make.outputs.artifacts.linked}}"}]}}
  - name: make
    outputs:
      artifacts:
      - {name: scratched, path: /scratch/made, archive: {none: {}}, s3: {key: FOLDER/scratched}}
      - {name: claimed, path: /claim/part/made, archive: {none: {}}, s3: {key: FOLDER/claimed}}
      - {name: linked, path: /claim/linked, archive: {none: {}}, s3: {key: FOLDER/linked}}
    container:
      image: busybox
      command: [sh, -ec, "echo made > /scratch/made; echo made > /claim/part/made; ln -s part/made /claim/linked"]
      volumeMounts: [{name: scratch, mountPath: /scratch}, {name: work, mountPath: /claim}, {name: work, mountPath: /claim/part, subPath: part}]
  - name: use
    inputs: {artifacts: [{name: in, path: /in}]}
    container: {image: busybox, command: [grep, -qx, made, /in]}
`

// TestConformanceWhatIsStoredFromVolumesIsReadWhereItLies: the statement names the
// volume from which Argo stored it. Where a link lies, Argo stores what it leads to, in
// whichever container: that is not sealed.
func TestConformanceWhatIsStoredFromVolumesIsReadWhereItLies(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "unpacked", mode)
		run := finish(t, ns, submit(t, ns, strings.ReplaceAll(unpackedThere, "FOLDER", ns)))
		for _, name := range []string{"scratched", "claimed"} {
			if use, _ := run.Node(name); use.Phase != "Succeeded" {
				t.Errorf("%s is %s: %s", name, use.Phase, run)
			}
		}
		switch use, _ := run.Node("linked"); {
		case mode == plain && use.Phase != "Succeeded":
			t.Errorf("it is not refused, it does not work: %s", run)
		case mode != plain && (use.Phase != "Error" || !refuses(use.Message, reason.NotSealed)):
			t.Errorf("want it refused as %s: %s", reason.NotSealed, run)
		}
		if mode == plain {
			return
		}
		producer, _ := run.Node("make")
		if got, want := records(t, run, producer), (fates{"scratched": reason.Sealed, "claimed": reason.Sealed, "linked": reason.OutputUnreadable}); !maps.Equal(got, want) {
			t.Errorf("the producer's record says %v, want %v", got, want)
		}
		volumes := map[string]string{}
		for _, s := range statements(t, run) {
			for _, subject := range s.Subjects {
				if volumes[subject.Output] = subject.Volume; s.Builder.Level != provenance.LevelObserved {
					t.Errorf("%s is said to be %s", s.Step.NodeName, s.Builder.Level)
				}
			}
		}
		if want := map[string]string{"scratched": "scratch", "claimed": "work"}; !maps.Equal(volumes, want) {
			t.Errorf("the statements say that outputs lay on %q, want %q", volumes, want)
		}
	})
}

// statements are what a workflow's seals state, one for each pod.
func statements(t *testing.T, run *lab.Run) map[string]*provenance.Statement {
	t.Helper()
	seals, err := cluster(t).Seals(t.Context(), run.Namespace, run.UID)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*provenance.Statement{}
	for i := range seals {
		s, err := cluster(t).Check(t.Context(), &seals[i])
		if err != nil {
			t.Fatal(err)
		}
		all[s.Step.Pod.Name] = s
	}
	return all
}

// heard keeps the warnings that the API server gives.
type heard []string

// HandleWarningHeader is called for each of them.
func (h *heard) HandleWarningHeader(_ int, _, text string) { *h = append(*h, text) }

// warned is what the API server says to Argo's controller when it makes a node's
// pod: it is asked again, for a pod that is there already.
func warned(t *testing.T, run *lab.Run, display string) []string {
	t.Helper()
	l, pod := cluster(t), podOf(t, run, display)
	var said heard
	config := rest.CopyConfig(l.Config)
	config.WarningHandler = &said
	config.Impersonate.UserName = "system:serviceaccount:" + part.ArgoNamespace + ":argo"
	argo, err := client.New(config, client.Options{Scheme: l.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	again := copyOf(lab.WithoutOurs(pod))
	again.Name = pod.Name
	// As Argo does, it asks once more where the API server has no time to ask the webhook.
	err = wait.PollUntilContextTimeout(t.Context(), time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		said = nil
		err := argo.Create(ctx, again.DeepCopy(), client.DryRunAll)
		switch {
		case apierrors.IsAlreadyExists(err):
			return true, nil
		case apierrors.IsInternalError(err), apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err):
			return false, nil
		case err == nil:
			err = errors.New("it is not there any more")
		}
		return false, err
	})
	if err != nil {
		t.Fatalf("it cannot be asked for again: %v", err)
	}
	return said
}
