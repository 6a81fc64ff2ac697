package server

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// What is kept of objects that are watched: what decisions need, as CBOR arrays, in a
// third of the memory. Nobody but this process reads them.

// squeezed is a text: digests and UIDs as bytes, and what is neither as it is.
type squeezed []byte

const (
	asText = iota
	asHex
	asUID
)

func squeeze(text string) squeezed {
	how, digits := byte(asHex), text
	if len(text) == 36 {
		how, digits = asUID, strings.ReplaceAll(text, "-", "")
	}
	if raw, err := hex.DecodeString(digits); err == nil && len(raw) > 0 {
		if s := append(squeezed{how}, raw...); s.String() == text {
			return s
		}
	}
	if text == "" {
		return nil
	}
	return append(squeezed{asText}, text...)
}

func (s squeezed) String() string {
	if len(s) == 0 {
		return ""
	}
	switch raw := s[1:]; s[0] {
	case asHex:
		return hex.EncodeToString(raw)
	case asUID:
		if x := hex.EncodeToString(raw); len(x) == 32 {
			return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
		}
		return ""
	}
	return string(s[1:])
}

// seconds is a time as the API server has it; 0 is none.
type seconds int64

func inSeconds(t time.Time) seconds {
	if t.IsZero() {
		return 0
	}
	return seconds(t.Unix())
}

func (s seconds) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

// packedLocation is an artifact.Location.
type packedLocation struct {
	_                                struct{} `cbor:",toarray"`
	Scheme, Store, Bucket, Key, Kind string
}

func packLocation(l artifact.Location) packedLocation {
	return packedLocation{Scheme: string(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)}
}

func (p packedLocation) location() artifact.Location {
	return artifact.Location{Scheme: artifact.Scheme(p.Scheme), Store: p.Store, Bucket: p.Bucket, Key: p.Key, Kind: artifact.Kind(p.Kind)}
}

// packedSeal is an ArtifactSeal.
type packedSeal struct {
	_ struct{} `cbor:",toarray"`
	// Name is empty for the one that location and workflow give.
	Name                        squeezed
	Location                    packedLocation
	Workflow                    string
	WorkflowUID, SHA256, Tree   squeezed
	PodUID                      squeezed
	Provenance                  squeezed // empty: the pod's UID
	Finished, Created, Recorded seconds
	Shared                      bool
}

func packSeal(s *v1alpha1.ArtifactSeal) packedSeal {
	l, by := evidence.LocationOf(s), s.Spec.Producer
	p := packedSeal{
		Location: packLocation(l), Workflow: s.Spec.Workflow.Name, WorkflowUID: squeeze(string(s.Spec.Workflow.UID)),
		SHA256: squeeze(s.Spec.SHA256), Tree: squeeze(s.Spec.TreeDigest), PodUID: squeeze(string(by.Pod.UID)),
		Finished: inSeconds(by.FinishedAt.Time), Created: inSeconds(by.PodCreatedAt.Time), Recorded: inSeconds(by.RecordedAt.Time),
		Shared: s.Spec.Shared,
	}
	if s.Name != artifact.SealName(l, string(s.Spec.Workflow.UID)) {
		p.Name = squeeze(s.Name)
	}
	if s.Spec.Provenance != string(by.Pod.UID) {
		p.Provenance = squeeze(s.Spec.Provenance)
	}
	return p
}

func (p packedSeal) seal(namespace string) v1alpha1.ArtifactSeal {
	l, pod, workflow := p.Location.location(), p.PodUID.String(), p.WorkflowUID.String()
	s := v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.Name.String()},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Scheme: p.Location.Scheme, Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: p.Location.Kind},
			Workflow: v1alpha1.ObjectRef{Name: p.Workflow, UID: types.UID(workflow)},
			SHA256:   p.SHA256.String(), TreeDigest: p.Tree.String(), Provenance: p.Provenance.String(), Shared: p.Shared,
			Producer: v1alpha1.Producer{
				Pod:        v1alpha1.ObjectRef{UID: types.UID(pod)},
				FinishedAt: metav1.NewTime(p.Finished.time()), PodCreatedAt: metav1.NewTime(p.Created.time()), RecordedAt: metav1.NewTime(p.Recorded.time()),
			},
		},
	}
	if s.Name == "" {
		s.Name = artifact.SealName(l, workflow)
	}
	if s.Spec.Provenance == "" {
		s.Spec.Provenance = pod
	}
	return s
}

// packedRecord is a Provenance, without bundle, envelope and lists of files.
type packedRecord struct {
	_       struct{} `cbor:",toarray"`
	UID     squeezed
	Version string
	Created seconds
	Pod     string
	// Sealed is the status of that condition; empty: there is none.
	Sealed, Reason, Message string
	Outputs                 []packedOutput
}

type packedOutput struct {
	_                               struct{} `cbor:",toarray"`
	Name, Location, Reason, Message string
}

func packRecord(p *v1alpha1.Provenance) packedRecord {
	r := packedRecord{UID: squeeze(string(p.UID)), Version: p.ResourceVersion, Created: inSeconds(p.CreationTimestamp.Time), Pod: p.Spec.Pod.Name}
	for _, c := range p.Status.Conditions {
		if c.Type != v1alpha1.ConditionSealed {
			continue
		}
		r.Sealed, r.Reason = string(c.Status), c.Reason
		if c.Status != metav1.ConditionTrue {
			r.Message = c.Message // of what is sealed nobody asks for it
		}
		break
	}
	for _, o := range p.Status.Outputs {
		r.Outputs = append(r.Outputs, packedOutput{Name: o.Name, Location: o.Location, Reason: o.Reason, Message: o.Message})
	}
	return r
}

func (r packedRecord) provenance(namespace, name string) *v1alpha1.Provenance {
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(r.UID.String()), ResourceVersion: r.Version,
			CreationTimestamp: metav1.NewTime(r.Created.time()),
		},
		Spec: v1alpha1.ProvenanceSpec{Pod: v1alpha1.ObjectRef{Name: r.Pod, UID: types.UID(name)}},
	}
	if r.Sealed != "" {
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionStatus(r.Sealed), Reason: r.Reason, Message: r.Message}}
	}
	for _, o := range r.Outputs {
		p.Status.Outputs = append(p.Status.Outputs, v1alpha1.OutputStatus{Name: o.Name, Location: o.Location, Reason: o.Reason, Message: o.Message})
	}
	return p
}

// packedPod is a pod of a workflow. One without a tag is nothing but its name: it is never
// sealed, and nobody asks for it.
type packedPod struct {
	_                        struct{} `cbor:",toarray"`
	Tagged                   bool
	Pod, Version             string
	UID                      squeezed
	Workflow, Node, Template string
	Tag                      string
	Outputs                  []packedLocation
	Unsealed                 []packedUnsealed
	Unreadable, Finished     bool
	Created, Ended           seconds
}

type packedUnsealed struct {
	_        struct{} `cbor:",toarray"`
	Location packedLocation
	Reason   string
}

func packPod(pod *corev1.Pod) (packedPod, evidence.Producer) {
	p, tagged := evidence.NewProducer(pod)
	if !tagged {
		return packedPod{}, p
	}
	k := packedPod{
		Tagged: true, Pod: p.Pod, Version: pod.ResourceVersion, UID: squeeze(p.UID), Workflow: p.Workflow, Node: p.Node, Template: p.Template, Tag: p.Tag,
		Unreadable: p.Unreadable, Finished: p.Finished, Created: inSeconds(p.Created), Ended: inSeconds(p.Ended),
	}
	for _, l := range p.Outputs {
		k.Outputs = append(k.Outputs, packLocation(l))
	}
	for l, code := range p.Unsealed {
		k.Unsealed = append(k.Unsealed, packedUnsealed{Location: packLocation(l), Reason: string(code)})
	}
	return k, p
}

func (k packedPod) producer(namespace string) evidence.Producer {
	p := evidence.Producer{
		Namespace: namespace, Pod: k.Pod, UID: k.UID.String(), Workflow: k.Workflow, Node: k.Node, Template: k.Template, Tag: k.Tag,
		Unreadable: k.Unreadable, Finished: k.Finished, Created: k.Created.time(), Ended: k.Ended.time(),
	}
	for _, l := range k.Outputs {
		p.Outputs = append(p.Outputs, l.location())
	}
	for _, u := range k.Unsealed {
		if p.Unsealed == nil {
			p.Unsealed = map[artifact.Location]reason.Code{}
		}
		p.Unsealed[u.Location.location()] = reason.Code(u.Reason)
	}
	return p
}

// pack spells what is kept of an object.
func pack(kept any) (string, error) {
	raw, err := cbor.Marshal(kept)
	return string(raw), err
}

// unpack reads it.
func unpack[T any](text string) (kept T, err error) {
	if err := cbor.Unmarshal([]byte(text), &kept); err != nil {
		return kept, fmt.Errorf("what is kept of an object: %w", err)
	}
	return kept, nil
}
