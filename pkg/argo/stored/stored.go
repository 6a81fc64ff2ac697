package stored

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// room is shared out by all that is read, in bytes of memory, and one more goes on
	// whatever the others have: so all together is room and what the largest unpacks to.
	room = 48 << 20
	// maxText bounds what the API server says, in bytes: etcd stores 1.5 MiB, unless its
	// limit was raised. firstPart is what one has room for at first, and twice as much each
	// time that it has used it up.
	maxText   = 8 << 20
	firstPart = 32 << 10
	// patience is how long room is waited for.
	patience = 3 * time.Second
)

// Source gets the JSON of an object of Argo's group; namespace is empty for what has none.
// Its errors are those of the API server.
type Source func(ctx context.Context, resource, namespace, name string) (io.ReadCloser, error)

// FromAPI asks an API server.
func FromAPI(api rest.Interface) Source {
	return func(ctx context.Context, resource, namespace, name string) (io.ReadCloser, error) {
		r := api.Get().AbsPath("/apis", layout.Group, layout.Version).Resource(resource).Name(name).SetHeader("Accept", "application/json")
		if namespace != "" {
			r = r.Namespace(namespace)
		}
		return r.Stream(ctx)
	}
}

// Reader reads what is stored. It is safe for concurrent use.
type Reader struct {
	source Source
	room   *fairshare.Share
}

// Of is for whom something is read: a namespace. It is its own host, too, because all comes
// from one API server: so each may have half of what the others leave, and none of them all.
func Of(namespace string) fairshare.Party {
	return fairshare.Party{Host: namespace, Namespace: namespace}
}

// NewReader has all of its room.
func NewReader(source Source) *Reader { return &Reader{source: source, room: fairshare.New(room)} }

// Text is an object's JSON, with the room that it takes. Whoever has one closes it.
type Text struct {
	JSON []byte
	hold *fairshare.Hold
}

// Close gives the room back.
func (t *Text) Close() { t.hold.Release() }

// Grow waits for room for what the text is made into, in bytes.
func (t *Text) Grow(ctx context.Context, n int64) error { return grow(ctx, t.hold, n) }

// Workflow reads a Workflow's JSON, for somebody.
func (r *Reader) Workflow(ctx context.Context, of fairshare.Party, namespace, name string) (*Text, error) {
	return r.text(ctx, of, "workflows", namespace, name)
}

func (r *Reader) text(ctx context.Context, of fairshare.Party, resource, namespace, name string) (*Text, error) {
	t := &Text{hold: r.room.Enter(of, nil)}
	err := grow(ctx, t.hold, firstPart)
	if err == nil {
		t.JSON, err = r.read(ctx, t.hold, resource, namespace, name)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// read has room for all that it has read.
func (r *Reader) read(ctx context.Context, hold *fairshare.Hold, resource, namespace, name string) (raw []byte, err error) {
	body, err := r.source(ctx, resource, namespace, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	raw = make([]byte, 0, firstPart)
	for {
		n, err := body.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF):
			return raw, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s %s: %w", resource, name, err)
		case len(raw) < cap(raw):
			continue
		case len(raw) >= maxText:
			return nil, reason.New(reason.DefinitionTooLarge, "%s %s has more than %d MiB", resource, name, maxText>>20)
		}
		if err := grow(ctx, hold, int64(cap(raw))); err != nil {
			return nil, err
		}
		raw = append(make([]byte, 0, 2*cap(raw)), raw...)
	}
}

// grow waits for more room, and not for long: whoever has it may need it for as long as it
// likes.
func grow(ctx context.Context, hold *fairshare.Hold, n int64) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := hold.Grow(within, n); err != nil {
		return noRoom(hold.Namespace)
	}
	return nil
}

func noRoom(namespace string) error {
	return reason.New(reason.Overloaded, "other large workflows are read, or too many of namespace %.253s", namespace)
}
