package pages

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// How many objects are in memory at once, as large as they come. etcd stores 1.5 MiB for each;
// a pod of that size can have 24,000 containers, some 25 MiB when it is decoded.
const (
	perPage     = 25
	podsPerPage = 8
)

// NewInformer makes an informer, as cache.Options has it.
type NewInformer = func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer

// Informers is for cache.Options beside the same ByObject, whose transforms it applies to each
// page. They have to let pass what they have made: the informer applies them once more.
func Informers(of map[client.Object]cache.ByObject) NewInformer {
	leave := map[string]toolscache.TransformFunc{}
	for o, by := range of {
		leave[kindOf(o)] = by.Transform
	}
	return func(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		return toolscache.NewSharedIndexInformer(paged(lw, sizeOf(example), leave[kindOf(example)]), example, resync, indexers)
	}
}

// kindOf tells kinds apart. All metadata is of one type.
func kindOf(o runtime.Object) string {
	if m, is := o.(*metav1.PartialObjectMetadata); is {
		return m.GroupVersionKind().String()
	}
	return fmt.Sprintf("%T", o)
}

func sizeOf(example runtime.Object) int64 {
	if _, is := example.(*corev1.Pod); is {
		return podsPerPage
	}
	return perPage
}

// paged lists by notes, and watches as before.
func paged(lw toolscache.ListerWatcher, size int64, leave toolscache.TransformFunc) toolscache.ListerWatcher {
	whole, ok := lw.(*toolscache.ListWatch)
	if !ok || whole.ListWithContextFunc == nil {
		return lw // controller-runtime makes none such
	}
	if leave == nil {
		leave = func(o any) (any, error) { return o, nil }
	}
	notes := *whole
	notes.ListFunc = nil
	notes.ListWithContextFunc = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return list(ctx, whole.ListWithContextFunc, o, size, leave)
	}
	return &notes
}

// list gives all that there is, of now, however little of it is asked for. Who takes any
// version gets all at once, and an older one may be forgotten. If the pages cannot be read to
// their end (410 after some minutes), that is an error: half a list is not a list, and nobody
// falls back to a whole one.
func list(ctx context.Context, ask toolscache.ListWithContextFunc, o metav1.ListOptions, size int64, leave toolscache.TransformFunc) (runtime.Object, error) {
	o.Limit, o.Continue, o.ResourceVersion, o.ResourceVersionMatch = size, "", "", ""
	all := &metainternalversion.List{}
	for {
		page, err := ask(ctx, o)
		if err != nil {
			return nil, err
		}
		if err := meta.EachListItemWithAlloc(page, func(item runtime.Object) error {
			left, err := leave(item)
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
