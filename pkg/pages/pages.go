package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// maxPage bounds the text of a page, in bytes, so that one has hundreds of small objects,
	// or few large ones. Decoded, a pod of 24,000 containers takes 17 times as much.
	maxPage = 4 << 20
	// firstItems is how many objects are asked for at first: each page that arrives whole has
	// the next one be twice as long.
	firstItems = 8
	maxItems   = 512
	// calm is how many pages have to arrive after one that was too long, before they are longer
	// again.
	calm = 8
)

// bounded is the key of a request's context for a *bool: Bound says there that it is bounded.
type bounded struct{}

// Bound is for rest.Config.Wrap: answers to pages end with an error beyond maxPage. Without
// it pages stay as short as the first one.
func Bound(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if is, ok := r.Context().Value(bounded{}).(*bool); ok && err == nil {
		*is = true
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxPage)
	}
	return answer, err
}

// WrappedRoundTripper is for those who look for a connection's own transport.
func (t transport) WrappedRoundTripper() http.RoundTripper { return t.next }

// NewInformer makes an informer, as cache.Options has it.
type NewInformer = func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer

// Informers is for cache.Options beside the same ByObject, whose transforms it applies to each
// page. They have to let pass what they have made: the informer applies them once more.
func Informers(of map[client.Object]cache.ByObject) NewInformer {
	transforms := map[string]toolscache.TransformFunc{}
	for o, by := range of {
		transforms[kindOf(o)] = by.Transform
	}
	return func(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		return toolscache.NewSharedIndexInformer(paged(lw, transforms[kindOf(example)]), example, resync, indexers)
	}
}

// kindOf tells kinds apart. All metadata is of one type.
func kindOf(o runtime.Object) string {
	if m, is := o.(*metav1.PartialObjectMetadata); is {
		return m.GroupVersionKind().String()
	}
	return fmt.Sprintf("%T", o)
}

// paged lists by notes, and watches as before.
func paged(lw toolscache.ListerWatcher, transform toolscache.TransformFunc) toolscache.ListerWatcher {
	whole, ok := lw.(*toolscache.ListWatch)
	if !ok || whole.ListWithContextFunc == nil {
		return lw // controller-runtime makes none such
	}
	if transform == nil {
		transform = func(o any) (any, error) { return o, nil }
	}
	notes := *whole
	notes.ListWithContextFunc = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return list(ctx, whole.ListWithContextFunc, o, transform)
	}
	return &notes
}

// list gives all that there is, of now, however little of it is asked for. Who takes any
// version gets all at once, and an older one may be forgotten. If the pages cannot be read to
// their end (410 after some minutes), that is an error: half a list is not a list, and nobody
// falls back to a whole one.
func list(ctx context.Context, ask toolscache.ListWithContextFunc, o metav1.ListOptions, transform toolscache.TransformFunc) (runtime.Object, error) {
	o.Limit, o.Continue, o.ResourceVersion, o.ResourceVersionMatch = firstItems, "", "", ""
	all := &metainternalversion.List{}
	for arrived := calm; ; arrived++ {
		page, more, err := next(ctx, ask, o)
		if errors.As(err, new(*http.MaxBytesError)) {
			o.Limit, arrived = max(1, o.Limit/4), 0
			continue
		}
		if err != nil {
			return nil, err
		}
		if more && arrived >= calm {
			o.Limit = min(2*o.Limit, maxItems)
		}
		if err := meta.EachListItemWithAlloc(page, func(item runtime.Object) error {
			left, err := transform(item)
			if err != nil {
				return err
			}
			note, is := left.(runtime.Object)
			if !is {
				return fmt.Errorf("of a %T the transform leaves a %T", item, left)
			}
			all.Items = append(all.Items, note)
			return nil
		}); err != nil {
			return nil, err
		}
		of, err := meta.ListAccessor(page)
		if err != nil {
			return nil, err
		}
		all.ResourceVersion = of.GetResourceVersion()
		if o.Continue = of.GetContinue(); o.Continue == "" {
			return all, nil
		}
	}
}

// next asks for a page, and says whether the next one may be longer. A single object is what
// the API server has stored, and that is bounded there.
func next(ctx context.Context, ask toolscache.ListWithContextFunc, o metav1.ListOptions) (page runtime.Object, more bool, err error) {
	if o.Limit > 1 {
		// client-go logs an answer that is too long as an error, which is none here.
		ctx = context.WithValue(log.IntoContext(ctx, logr.Discard()), bounded{}, &more)
	}
	page, err = ask(ctx, o)
	return page, more || o.Limit == 1, err
}
