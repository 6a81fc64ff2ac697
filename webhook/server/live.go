package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
)

const (
	// getTimeout bounds a single GET: an API server that takes longer is one
	// that does not answer.
	getTimeout = 2 * time.Second
)

var podKind = corev1.SchemeGroupVersion.WithKind("PodList")

var workflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// Live reads the API server itself.
type Live struct {
	// API reads without a cache.
	API  client.Reader
	Pods kubernetes.Interface
	// turns to have a page in memory; nil: there is no need to wait for one.
	turns *fairshare.Share
}

var _ evidence.Source = Live{}

// Producers implements evidence.Source: all pods of the workflow.
func (l Live) Producers(ctx context.Context, namespace, workflow string, _ argo.Input) ([]evidence.Producer, error) {
	return l.all(ctx, namespace, workflow)
}

func (l Live) all(ctx context.Context, namespace, workflow string) ([]evidence.Producer, error) {
	options := metav1.ListOptions{LabelSelector: labels.Set{layout.LabelWorkflow: workflow}.String()}
	var producers []evidence.Producer
	places := 0
	err := l.pages(ctx, namespace, func(ctx context.Context, limit int64, from string) (string, error) {
		options.Limit, options.Continue = limit, from
		page, err := l.Pods.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			one := evidence.AnyProducer(&page.Items[i])
			producers = append(producers, one)
			if places += len(one.Outputs) + len(one.Unsealed); places > maxPlaces {
				return "", tooManyPods("may write more than %d places", maxPlaces)
			}
		}
		return page.Continue, nil
	})
	if err != nil {
		return nil, err
	}
	return producers, nil
}

// Provenance implements evidence.Source.
func (l Live) Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.Provenance{})
}

// Seal implements evidence.Source.
func (l Live) Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.ArtifactSeal{})
}

// SBOM implements evidence.Source.
func (l Live) SBOM(ctx context.Context, namespace, name string) (*v1alpha1.SBOM, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.SBOM{})
}

// Reproduction implements evidence.Source.
func (l Live) Reproduction(ctx context.Context, namespace, name string) (*v1alpha1.Reproduction, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.Reproduction{})
}

const (
	// maxSeals bounds how many ArtifactSeals are read for one decision, and maxSealBytes
	// how much memory those take that are kept. Pods are decided on side by side.
	maxSeals     = 5000
	maxSealBytes = 8 << 20
	// sizeOfSeal is what one takes beside its longer texts.
	sizeOfSeal = 1 << 10
)

// Seals implements evidence.Source. It keeps no labels, and of images only those that it
// was asked for: a seal of an image layout has up to 20 KiB of them.
func (l Live) Seals(ctx context.Context, namespace string, of labels.Set, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	return l.seals(ctx, namespace, labels.SelectorFromSet(of), func(s *v1alpha1.ArtifactSeal) bool {
		s.Spec.Images = slices.DeleteFunc(s.Spec.Images, func(i v1alpha1.SealedImage) bool {
			return !of.Has(v1alpha1.LabelImagePrefix + artifact.DigestLabel(artifact.Digest(i.SHA256)))
		})
		if len(s.Spec.Images) > 0 {
			s.Spec.Images = slices.Clone(s.Spec.Images) // else the list keeps its length in memory
		} else {
			s.Spec.Images = nil
		}
		return wanted == nil || wanted(s)
	})
}

// slim leaves out what nobody asks of a seal that was listed.
func slim(s *v1alpha1.ArtifactSeal) *v1alpha1.ArtifactSeal {
	s.ManagedFields, s.Labels, s.Annotations, s.OwnerReferences, s.Finalizers = nil, nil, nil, nil, nil
	return s
}

// bytesOf is about how much memory a slim seal takes.
func bytesOf(s *v1alpha1.ArtifactSeal) int {
	n := sizeOfSeal + len(s.Spec.Images)*sizeOfImage
	for _, text := range []string{s.Spec.Location.Key, s.Spec.Location.Bucket, s.Spec.Location.Store, s.Spec.Producer.NodeID, s.Spec.Producer.Pod.Name, s.Spec.Producer.Template, s.Spec.Producer.Output, s.Spec.Workflow.Name} {
		n += len(text)
	}
	return n
}

// sizeOfImage is what one in a seal takes, with its texts.
const sizeOfImage = 256

func (l Live) seals(ctx context.Context, namespace string, of labels.Selector, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	var seals []v1alpha1.ArtifactSeal
	read, kept := 0, 0
	options := client.ListOptions{Namespace: namespace, LabelSelector: of}
	err := l.pages(ctx, namespace, func(ctx context.Context, limit int64, from string) (string, error) {
		var page v1alpha1.ArtifactSealList
		options.Limit, options.Continue = limit, from
		if err := l.API.List(ctx, &page, &options); err != nil {
			return "", err
		}
		for i := range page.Items {
			s := slim(&page.Items[i])
			if !wanted(s) {
				continue
			}
			seals = append(seals, *s)
			if kept += bytesOf(s); kept > maxSealBytes {
				return "", tooManySeals()
			}
		}
		if read += len(page.Items); page.Continue != "" && read > maxSeals {
			return "", tooManySeals()
		}
		return page.Continue, nil
	})
	if err != nil {
		return nil, err
	}
	return seals, nil
}

// Pod gets a live pod: nil if there is none.
func (l Live) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return get(ctx, l.API, namespace, name, &corev1.Pod{})
}

// get reads one object: nil if the API server says that it does not exist.
func get[T client.Object](ctx context.Context, api client.Reader, namespace, name string, into T) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	var none T
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, err
	}
	return into, nil
}

const (
	// rememberedWorkflow is how long a Workflow that was read may admit pods: the two
	// calls for one pod, and those that Argo makes together, read it once. A guard
	// keeps everybody but Argo's controllers from changing what a Workflow runs, and
	// what others may change, its parameters, is no reason to refuse.
	rememberedWorkflow = 2 * time.Second
	// rememberedDefinitions bounds the definitions that are kept, in bytes of memory, beside
	// those that are in use.
	rememberedDefinitions = 40 << 20
	// maxNames bounds the Workflows that are remembered by name.
	maxNames = 1024
)

// Workflows reads Workflows, and remembers what they say: by what it was read from, so
// that the same is read once, and for a moment by their names.
type Workflows struct {
	Live
	stored *stored.Reader
	clock  clock.PassiveClock
	parsed *memory.Memory[[sha256.Size]byte, *stored.Definition]

	mu     sync.Mutex
	recent map[types.NamespacedName]seenWorkflow
}

// seenWorkflow is what a Workflow was read from. What that says is in parsed alone: else what
// is forgotten there would stay in memory.
type seenWorkflow struct {
	digest [sha256.Size]byte
	// version is its resource version; empty for none.
	version string
	at      time.Time
}

var _ gate.Definitions = (*Workflows)(nil)

// NewWorkflows remembers nothing yet.
func NewWorkflows(live Live, c clock.PassiveClock) *Workflows {
	return &Workflows{
		Live: live, clock: c, recent: map[types.NamespacedName]seenWorkflow{},
		stored: stored.NewReader(stored.FromAPI(live.Pods.CoreV1().RESTClient())),
		parsed: memory.New[[sha256.Size]byte, *stored.Definition](rememberedDefinitions),
	}
}

// Template gets a live WorkflowTemplate or ClusterWorkflowTemplate: nil if there
// is none.
func (w *Workflows) Template(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error) {
	object, err := w.stored.Template(ctx, stored.Of(namespace), namespace, ref)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

// Workflow gets a live Workflow: nil if there is none.
func (w *Workflows) Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error) {
	now := w.clock.Now() // before it is read
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if seen, d := w.seen(ctx, key); d != nil && w.stands(ctx, key, seen.version) {
		seen.at = now
		w.remember(key, seen)
		return d.Workflow, nil
	}
	d, seen, err := w.read(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	seen.at = now
	w.remember(key, seen)
	if d == nil {
		return nil, nil
	}
	return d.Workflow, nil
}

// stands asks whether a Workflow is still as it was read: Argo makes the pods of a loop
// one after another, before it writes what it did, and a Workflow has a megabyte. What
// cannot be known is read whole.
func (w *Workflows) stands(ctx context.Context, name types.NamespacedName, version string) bool {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	// A table without its objects is the shortest that an API server says, and has the
	// object's version.
	raw, err := w.Pods.CoreV1().RESTClient().Get().
		AbsPath("/apis", layout.Group, layout.Version).Namespace(name.Namespace).Resource("workflows").Name(name.Name).
		SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").
		Param("includeObject", string(metav1.IncludeNone)).Do(ctx).Raw()
	var table metav1.PartialObjectMetadata
	return err == nil && json.Unmarshal(raw, &table) == nil && table.Kind == "Table" && table.ResourceVersion == version
}

// Recent is the Workflow of that name and UID if it was read just now; nil if not.
func (w *Workflows) Recent(ctx context.Context, namespace, name, uid string) *definition.Workflow {
	_, d := w.seen(ctx, types.NamespacedName{Namespace: namespace, Name: name})
	if d == nil || d.Workflow.UID != uid {
		return nil
	}
	return d.Workflow
}

// seen is the Workflow of that name if it was read just now, and is still remembered.
func (w *Workflows) seen(ctx context.Context, name types.NamespacedName) (seenWorkflow, *stored.Definition) {
	w.mu.Lock()
	seen, is := w.recent[name]
	w.mu.Unlock()
	if !is || w.clock.Since(seen.at) > rememberedWorkflow {
		return seenWorkflow{}, nil
	}
	d, is := w.parsed.Get(seen.digest)
	if !is || !d.Use(ctx) {
		return seenWorkflow{}, nil
	}
	return seen, d
}

// remember notes what a Workflow was read from, and forgets what does not count any more.
func (w *Workflows) remember(name types.NamespacedName, read seenWorkflow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.recent, func(_ types.NamespacedName, seen seenWorkflow) bool { return read.at.Sub(seen.at) > rememberedWorkflow })
	if read.version == "" {
		delete(w.recent, name)
		return
	}
	if _, known := w.recent[name]; known || len(w.recent) < maxNames {
		w.recent[name] = read
	}
}

// read gets a Workflow's JSON and reads what counts of it, unless it has just that: nil if
// there is no such Workflow.
func (w *Workflows) read(ctx context.Context, namespace, name string) (*stored.Definition, seenWorkflow, error) {
	within, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	essence, err := w.stored.Essence(within, stored.Of(namespace), namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, seenWorkflow{}, nil
	case err != nil:
		return nil, seenWorkflow{}, err
	}
	defer essence.Close()
	seen := seenWorkflow{version: essence.Metadata.ResourceVersion}
	if seen.digest, err = essence.Digest(); err != nil {
		return nil, seenWorkflow{}, err
	}
	if known, ok := w.parsed.Get(seen.digest); ok && known.Use(ctx) {
		return known, seen, nil
	}
	d, err := essence.Parse(ctx)
	if err != nil {
		return nil, seenWorkflow{}, err
	}
	w.parsed.Add(seen.digest, d, int(d.Size))
	return d, seen, nil
}
