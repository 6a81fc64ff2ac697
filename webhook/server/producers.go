package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/store"
)

// anywhere stands among the keys of producers for every location, of a pod that cannot
// be read.
const anywhere = "*"

// underPrefix stands before a prefix, for every pod that writes below it.
const underPrefix = "/"

// Producers knows the pods of all workflows from what is watched, as far as there is room
// for them. Of each it keeps what the gate needs, a few hundred bytes: a cluster can have
// tens of thousands of finished ones.
type Producers struct {
	pods *store.Store
	// Live reads everything else.
	Live
}

var _ evidence.Source = (*Producers)(nil)

// NewProducers keeps at most so many bytes of pods. It knows nothing until it watches.
func NewProducers(live Live, most int, c clock.PassiveClock) *Producers {
	return &Producers{pods: store.New("Pod", most, packProducer, c), Live: live}
}

// feed keeps it up to date: the pods of workflows.
func (p *Producers) feed(api client.WithWatch) *store.Feed {
	return &store.Feed{
		Store: p.pods, API: api, Object: &corev1.Pod{}, NewList: func() client.ObjectList { return &corev1.PodList{} }, Selector: ofWorkflows(),
	}
}

func ofWorkflows() labels.Selector {
	exists, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil { // it is a constant
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*exists)
}

// packProducer keeps of a pod what the gate needs. It is found by workflow and location it
// writes, where an object and the prefix under its key are one.
func packProducer(object client.Object) (store.Packed, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return store.Packed{}, fmt.Errorf("watch of pods: unexpected %T", object)
	}
	kept, p := packPod(pod)
	text, err := pack(kept)
	return store.Packed{Text: text, Keys: locations(p)}, err
}

func locations(p evidence.Producer) []uint64 {
	if p.Pod == "" { // it has no tag
		return nil
	}
	if p.Unreadable {
		return []uint64{store.Key(p.Workflow, anywhere)}
	}
	var keys []uint64
	for _, o := range p.Outputs {
		keys = append(keys, store.Key(p.Workflow, artifact.LocationName(o.Prefix())))
		for _, l := range o.Above() {
			keys = append(keys, store.Key(p.Workflow, underPrefix+artifact.LocationName(l)))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Ready is a readiness check: all pods have been seen once.
func (p *Producers) Ready(*http.Request) error {
	if !p.pods.Synced() {
		return errNotSynced
	}
	return nil
}

var errNotSynced = errors.New("the pods have not been listed yet")

// Producers implements evidence.Source. If some pods of the namespace are left out, the API
// server is asked for all of the workflow.
func (p *Producers) Producers(ctx context.Context, namespace, workflow string, in argo.Input) ([]evidence.Producer, error) {
	wanted := []string{anywhere, underPrefix + artifact.LocationName(in.Location().Prefix())}
	for _, l := range append(in.Above(), in.Location()) {
		wanted = append(wanted, artifact.LocationName(l.Prefix()))
	}
	slices.Sort(wanted)
	var producers []evidence.Producer
	seen := map[string]bool{}
	for _, l := range slices.Compact(wanted) {
		texts, all := p.pods.Find(namespace, store.Key(workflow, l))
		if !all {
			return p.all(ctx, namespace, workflow)
		}
		for _, text := range texts {
			kept, err := unpack[packedPod](text)
			if err != nil {
				return p.all(ctx, namespace, workflow)
			}
			if one := kept.producer(namespace); !seen[one.UID] && one.Workflow == workflow {
				seen[one.UID] = true
				producers = append(producers, one)
			}
		}
	}
	return producers, nil
}

// at is what is kept of a tagged pod, if that is the pod as it is.
func (p *Producers) at(pod *metav1.PartialObjectMetadata) (evidence.Producer, bool) {
	text, found, _ := p.pods.Get(pod.Namespace, pod.Name)
	if !found {
		return evidence.Producer{}, false
	}
	kept, err := unpack[packedPod](text)
	if err != nil || !kept.Tagged || kept.UID.String() != string(pod.UID) || pod.UID == "" || kept.Version != pod.ResourceVersion || pod.ResourceVersion == "" {
		return evidence.Producer{}, false
	}
	return kept.producer(pod.Namespace), true
}
