package stored

import (
	"context"
	"sync"

	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// What a value takes once it is decoded, in bytes: an object is a map of one entry, a
	// member an entry of a larger one, with a short text in it. TestWhatIsDecodedTakesNoMore
	// measures it.
	sizeOfObject = 360
	sizeOfMember = 128
	sizeOfList   = 48
	// copies are how many there are of a definition while it is read: as it is decoded, as
	// it is changed, and as it is spelled for its digest.
	copies = 3
	// MaxDefinition is the most that a definition may take once it is read, in bytes. One of 3,000
	// steps takes a third of it, and one that fills an object in etcd with such steps two
	// thirds.
	MaxDefinition = 24 << 20
	// largestTemplates is the most that all templates may take that one decision reads.
	largestTemplates = 3 * MaxDefinition
)

// sizeOf is about what texts take once they are decoded, with what is made of them.
func sizeOf(texts ...[]byte) int64 {
	var c jsonsize.Count
	size := int64(1 << 10)
	for _, text := range texts {
		c = c.Plus(jsonsize.Of(text))
		size += int64(len(text))
	}
	return size + sizeOfObject*c.Objects + sizeOfMember*c.Members + sizeOfList*c.Lists
}

func tooLarge(what string, size, most int64) error {
	return reason.New(reason.DefinitionTooLarge, "%s unpacks to some %d MiB, and %d are read", what, size>>20, most>>20)
}

// Essence is the text of what counts of a Workflow. Whoever has one closes it.
type Essence struct {
	*definition.Essence
	text *Text
}

// Essence reads what counts of a Workflow, for somebody.
func (r *Reader) Essence(ctx context.Context, of fairshare.Party, namespace, name string) (*Essence, error) {
	text, err := r.Workflow(ctx, of, namespace, name)
	if err != nil {
		return nil, err
	}
	essence, err := definition.ReadEssence(text.JSON)
	if err != nil {
		text.Close()
		return nil, reason.Wrap(reason.OwnerMismatch, err, "Workflow %s cannot be read: %v", name, err)
	}
	text.JSON = nil // the essence has its own copies of what counts
	return &Essence{essence, text}, nil
}

// Close gives the room back, unless it is a definition's by now.
func (e *Essence) Close() {
	if e.text != nil {
		e.text.Close()
	}
}

// Parse counts, waits for room, and decodes. The definition has its room until the session
// ends that ctx is of.
func (e *Essence) Parse(ctx context.Context) (*Definition, error) {
	size := sizeOf(e.Parts()...)
	if size > MaxDefinition {
		return nil, tooLarge("the definition of Workflow "+e.Metadata.Name, size, MaxDefinition)
	}
	if err := e.text.Grow(ctx, copies*size); err != nil {
		return nil, err
	}
	wf, err := e.Essence.Parse()
	if err != nil {
		return nil, err
	}
	hold := e.text.hold
	e.text = nil
	hold.Shrink(size)
	d := &Definition{Workflow: wf, Size: size, hold: hold, users: 1}
	begun(ctx).atEnd(d, d.done)
	return d, nil
}

// Definition is a Workflow that was read. Those who use it at a time share the room for it.
type Definition struct {
	Workflow *definition.Workflow
	// Size is what it takes in memory, in bytes.
	Size int64

	mu    sync.Mutex
	hold  *fairshare.Hold
	users int
}

// Use has the definition stay in room until the session ends that ctx is of. It is false if
// there is none: then it is to be forgotten.
func (d *Definition) Use(ctx context.Context) bool {
	s := begun(ctx)
	if s == nil || s.has(d) {
		return true
	}
	if !d.enter() {
		return false
	}
	s.atEnd(d, d.done)
	return true
}

func (d *Definition) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == 0 && !d.hold.Try(d.Size) {
		return false
	}
	d.users++
	return true
}

func (d *Definition) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users == 0 {
		d.hold.Release()
	}
}

// Template reads a WorkflowTemplate or ClusterWorkflowTemplate, for somebody: what it is
// called, and its spec.
func (r *Reader) Template(ctx context.Context, of fairshare.Party, namespace string, ref graph.Ref) (map[string]any, error) {
	resource := "workflowtemplates"
	if ref.ClusterScope {
		resource, namespace = "clusterworkflowtemplates", ""
	}
	s := begun(ctx)
	if s == nil {
		var end func()
		ctx, end = Begin(ctx)
		defer end()
		s = begun(ctx)
	}
	s.reading.Lock() // its templates share one hold
	defer s.reading.Unlock()
	hold := s.templates(r, of)
	defer func() { hold.Shrink(s.kept) }()
	if err := grow(ctx, hold, firstPart); err != nil {
		return nil, err
	}
	raw, err := r.read(ctx, hold, resource, namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	essence, err := definition.ReadEssence(raw)
	if err != nil {
		return nil, reason.Wrap(reason.OriginUnknown, err, "%s cannot be read: %v", ref, err)
	}
	size := sizeOf(essence.Spec)
	if size > MaxDefinition {
		return nil, tooLarge(ref.String(), size, MaxDefinition)
	}
	more := size - s.sizes[ref] // who decides again reads it again, and has dropped what was read
	if s.kept+more > largestTemplates {
		return nil, tooLarge("all that is referred to, with "+ref.String()+",", s.kept+more, largestTemplates)
	}
	if err := grow(ctx, hold, copies*size); err != nil {
		return nil, err
	}
	object := map[string]any{
		"apiVersion": essence.APIVersion, "kind": essence.Kind,
		"metadata": map[string]any{"name": essence.Metadata.Name, "namespace": essence.Metadata.Namespace},
	}
	if essence.Spec != nil {
		var spec any
		if err := kjson.Unmarshal(essence.Spec, &spec); err != nil {
			return nil, reason.Wrap(reason.OriginUnknown, err, "%s cannot be read: %v", ref, err)
		}
		object["spec"] = spec
	}
	s.kept += more
	s.sizes[ref] = size
	return object, nil
}
