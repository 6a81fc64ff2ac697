package notary

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// Facts says what can be stated: every fact of the statement, and what the record
// notes of each declared output. An error is the last word, as with Judge.
func (j Judged) Facts(m measurement.Measurement) (provenance.Facts, []v1alpha1.OutputStatus, error) {
	out, err := decideAll(j.witness.Step.Outputs, m)
	if err == nil {
		err = out.refusal()
	}
	if err != nil {
		return provenance.Facts{}, out.noted, err
	}
	f, err := j.rules.assemble(j.witness, j.tag)
	if err != nil {
		return provenance.Facts{}, out.noted, err
	}
	f.Subjects, f.Measured, f.Unsealed, f.Outcome = out.subjects, out.measured, out.unsealed, j.outcome
	return f, out.noted, nil
}

// assemble gathers what the API server, the kubelet and the tag say; the
// checks have passed.
func (r Rules) assemble(w Witness, t tag.Tag) (provenance.Facts, error) {
	defined, err := r.definitionOf(w, t.Definition)
	if err != nil {
		return provenance.Facts{}, err
	}
	inputs, err := inputsOf(w.Step, t.Pins)
	if err != nil {
		return provenance.Facts{}, err
	}
	spec, err := specDigest(w.Pod)
	if err != nil {
		return provenance.Facts{}, err
	}
	start, finish, ok := span(w.Pod)
	if !ok {
		return provenance.Facts{}, reason.New(reason.StructureAltered, "the kubelet reports no times")
	}
	return provenance.Facts{
		Builder:    provenance.Builder{Cluster: r.Cluster, Level: levelOf(w, t, defined)},
		Definition: defined,
		Step: provenance.Step{
			Namespace:      w.Pod.Namespace,
			ServiceAccount: w.Pod.Spec.ServiceAccountName,
			Workflow:       provenance.Ref{Name: w.Workflow.Name, UID: w.Workflow.UID},
			Pod:            provenance.Ref{Name: w.Pod.Name, UID: string(w.Pod.UID)},
			NodeID:         w.Step.NodeID,
			NodeName:       w.Step.NodeName,
		},
		Mode:      t.Mode,
		Verdict:   t.Verdict,
		PodSpec:   spec,
		Additions: r.Identity.Additions.Of(w.Pod),
		Versions: provenance.Versions{
			Argoseal:     r.Version,
			ArgoExecutor: imageOf(w.Pod, layout.ContainerWait),
			Kubelet:      w.Kubelet,
		},
		Images:     imagesOf(w.Pod),
		Mounted:    mountedOf(w.Pod),
		Inputs:     inputs,
		StartedAt:  start,
		FinishedAt: finish,
	}, nil
}

// levelOf is isolated only if nothing is known that could have reached into the
// step. Admission enforced its policies and knew which namespace it was. Every
// guard was there before the pod. The pod keeps to itself. And the step's
// containers are as their template gives them.
func levelOf(w Witness, t tag.Tag, d provenance.Definition) provenance.Level {
	altered := slices.ContainsFunc(d.Overrides, func(o provenance.Override) bool { return strings.HasPrefix(o.Field, argo.PodOverride) })
	if t.Mode != v1alpha1.ModeEnforce || t.Verdict != "" || t.Version < tag.Version || altered ||
		len(argo.Warnings(w.Pod, w.Step)) > 0 ||
		w.Moment.Isolated(w.Pod.CreationTimestamp.Time, w.Workflow.Created, w.Workflow.HasCopies()) != nil {
		return provenance.LevelObserved
	}
	return provenance.LevelIsolated
}

// definitionOf is what the user asked for, as admission saw it.
func (r Rules) definitionOf(w Witness, admitted string) (provenance.Definition, error) {
	d, err := w.Workflow.DefinitionAt(admitted, w.Step.Node())
	if err != nil {
		return provenance.Definition{}, fmt.Errorf("reading the workflow's definition: %w", err)
	}
	out := provenance.Definition{
		Spec:         d.SpecDigest,
		Stored:       d.StoredDigest,
		TemplateBody: w.Step.TemplateDigest,
		Entrypoint:   d.Entrypoint,
		Template:     d.Template,
		Complete:     d.Complete,
		Unstated:     d.Unstated,
	}
	if ref := d.TemplateRef; ref != nil {
		out.WorkflowTemplate = &provenance.WorkflowTemplate{Name: ref.Name, ClusterScope: ref.ClusterScope}
	}
	for _, used := range d.References {
		out.References = append(out.References, provenance.Reference{
			WorkflowTemplate: provenance.WorkflowTemplate{Name: used.Name, ClusterScope: used.ClusterScope},
			Template:         used.Template, SHA256: used.SHA256,
		})
	}
	var given []provenance.Parameter
	for _, p := range d.Parameters {
		given = append(given, provenance.Parameter{Name: p.Name, Value: p.Value})
	}
	if out.Parameters, err = r.Redaction.Parameters(w.Workflow.UID, given); err != nil {
		return provenance.Definition{}, err
	}
	altered, err := argo.Altered(w.Pod, w.Step, w.Workflow)
	if err != nil {
		return provenance.Definition{}, fmt.Errorf("comparing the pod with its template: %w", err)
	}
	if len(altered) > 0 {
		out.Stored = "" // what the pod has beside its template is not in what Argo stored
	}
	for _, o := range slices.Concat(d.Overrides, altered) {
		out.Overrides = append(out.Overrides, provenance.Override{Field: o.Field, SHA256: o.SHA256})
	}
	return out, nil
}

// imagesOf says what every container ran, by the kubelet's word. If the kubelet
// reports no digest and the pod's spec pins one, the spec counts.
func imagesOf(pod *corev1.Pod) []provenance.Image {
	var images []provenance.Image
	for _, s := range statuses(pod) {
		if s.State.Terminated == nil || s.ImageID == "" {
			continue
		}
		images = append(images, provenance.NewImage(s.Name, imageOf(pod, s.Name), s.ImageID))
	}
	return images
}

// mountedOf says which images were mounted as volumes, by the kubelet's word and
// the spec's, as imagesOf. The kubelet reports their digests from Kubernetes 1.35
// on, if it is told to.
func mountedOf(pod *corev1.Pod) []provenance.Image {
	reported := map[string]string{}
	for _, s := range statuses(pod) {
		for _, m := range s.VolumeMounts {
			if m.VolumeStatus != nil && m.VolumeStatus.Image != nil {
				reported[m.Name] = m.VolumeStatus.Image.ImageRef
			}
		}
	}
	var images []provenance.Image
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil && v.Image.Reference != "" {
			images = append(images, provenance.NewImage(v.Name, v.Image.Reference, reported[v.Name]))
		}
	}
	return images
}

// inputsOf says what the step consumed: what admission pinned.
func inputsOf(step *argo.Step, pins []pin.Pin) ([]provenance.Input, error) {
	places := make(map[string]argo.Input, len(step.Inputs))
	for _, in := range step.PinnedInputs() {
		places[in.Name] = in
	}
	var inputs []provenance.Input
	for _, pin := range pins {
		in, ok := places[pin.Input]
		if !ok || !in.LiesAt(pin.Location) {
			return nil, reason.New(reason.TagInvalid, "the tag pins input %q at %s, which the template does not have", pin.Input, artifact.Shown(pin.Location))
		}
		if pin.Absent {
			continue // and was, or main would not have started
		}
		volume := ""
		if in.Mount() != nil && !in.Mount().Own {
			volume = in.Mount().Volume
		}
		if pin.Files != "" {
			several, err := partsOf(pin, step.WorkflowUID, volume)
			if err != nil {
				return nil, reason.Wrap(reason.TagInvalid, err, "the tag pins input %q at %s: %v", pin.Input, artifact.Shown(pin.Location), err)
			}
			inputs = append(inputs, several...)
			continue
		}
		input := provenance.Input{
			Name:    pin.Input,
			URI:     artifact.Public(pin.Location),
			SHA256:  pin.SHA256,
			Archive: pin.Archive,
			Tree:    pin.Tree,
			Seal:    pin.Seal,
			Policy:  pin.Policy,
			Volume:  volume,
		}
		if pin.Policy == "" {
			at, err := artifact.ParseLocation(cmp.Or(pin.Within, pin.Location))
			if err != nil {
				return nil, reason.Wrap(reason.TagInvalid, err, "the tag pins input %q at %s: %v", pin.Input, artifact.Shown(pin.Location), err)
			}
			input.Seal = cmp.Or(pin.One(), artifact.SealName(at, step.WorkflowUID))
		}
		inputs = append(inputs, input)
	}
	return inputs, nil
}

// partsOf lists the parts of an input that several steps stored, each with its
// own seal.
func partsOf(pin pin.Pin, workflowUID, volume string) ([]provenance.Input, error) {
	below, err := artifact.ParseLocation(pin.Location)
	if err != nil {
		return nil, err
	}
	parts, err := pin.Parts()
	if err != nil {
		return nil, err
	}
	var inputs []provenance.Input
	for _, part := range parts {
		at := below
		at.Key += part.Path
		name, dir := strings.CutSuffix(part.Path, "/")
		if !dir {
			at.Kind = artifact.KindObject
		}
		if err := at.Validate(); err != nil {
			return nil, err
		}
		inputs = append(inputs, provenance.Input{
			Name: pin.Input + "/" + name, URI: at.URI(), SHA256: part.SHA256, Archive: content.ArchiveNone,
			Tree: part.Tree, Seal: cmp.Or(part.Seal, artifact.SealName(at, workflowUID)), Volume: volume,
		})
	}
	return inputs, nil
}

// specDigest is the digest of the pod's spec as it was admitted: the stored spec
// without the node, which the scheduler added later.
func specDigest(pod *corev1.Pod) (artifact.Digest, error) {
	spec := pod.Spec
	spec.NodeName = ""
	raw, err := json.Marshal(&spec)
	if err != nil {
		return "", fmt.Errorf("encoding the pod's spec: %w", err)
	}
	sum := sha256.Sum256(raw)
	return artifact.Digest(hex.EncodeToString(sum[:])), nil
}

// imageOf is the image that the pod's spec names for a container.
func imageOf(pod *corev1.Pod, name string) string {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if c.Name == name {
				return c.Image
			}
		}
	}
	return ""
}
