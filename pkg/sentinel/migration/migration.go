// Package migration has the API server rewrite every object of a resource, so
// that each is encrypted with the key that the server writes with.
//
// It never sees the content: it lists names, and sends a change that changes
// nothing, which the API server stores only if the object lies under another
// key. So no update of anybody's is lost, and to begin again costs little. It
// trusts the API server to do so; whether it did is for a scan of etcd to say.
package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

const (
	// page is how many objects are listed at once. Servers are looked at between pages, so one
	// has to take seconds, also with slow servers.
	page = 100
	// workers write at once, and each rests after a write for as long as that took, at most
	// for longestRest. So servers have time for others, whatever they are: a rotation may take
	// minutes longer, and nobody waits for it, but for those whose reads it slows
	// (docs/sentinel-results.md).
	workers     = 2
	longestRest = time.Second
)

// Record is how far a migration has come. It may be lost: then all is done again.
type Record struct {
	// Resource is the index of the resource at work.
	Resource int
	// Continue is where its list goes on.
	Continue string
	// Done is how many objects were rewritten, or found to need no rewriting; not those
	// that could not be.
	Done int64
	// Finished says that all lists came to their end. Whether objects are left a scan says.
	Finished bool
}

// Migrator rewrites objects.
type Migrator struct {
	Client metadata.Interface
	// Limit of objects in a page; zero takes a sensible one.
	Limit int64
}

// Page rewrites the next page and says how far it came. An object that cannot be
// rewritten holds up no other: the record goes on behind it, and the error names it. Where
// the page was not gone through, the record is the one that was given. All API servers must
// write with the same key: only then does a conflict mean that somebody else
// has rewritten the object.
func (m Migrator) Page(ctx context.Context, resources []schema.GroupVersionResource, r Record) (Record, error) {
	if r.Resource >= len(resources) {
		r.Finished = true
		return r, nil
	}
	client := m.Client.Resource(resources[r.Resource])
	list, err := client.List(ctx, metav1.ListOptions{Limit: m.limit(), Continue: r.Continue})
	if apierrors.IsResourceExpired(err) {
		// The server gives a token that goes on after the last name, in a newer
		// state: what is new since was written with the new key.
		r.Continue = continueOf(err)
		return r, nil
	}
	if apierrors.IsBadRequest(err) && r.Continue != "" {
		r.Continue = "" // the token is no good, so this resource is done again
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("list %s: %w", resources[r.Resource].Resource, err)
	}
	var done, failed atomic.Int64
	var g errgroup.Group // without a context of its own: one failure ends no other
	g.SetLimit(workers)
	for i := range list.Items {
		g.Go(func() error {
			began := time.Now()
			err := rewrite(ctx, client, &list.Items[i])
			rest(ctx, time.Since(began))
			if err != nil {
				failed.Add(1)
				return fmt.Errorf("rewrite %s %s/%s: %w", resources[r.Resource].Resource, list.Items[i].Namespace, list.Items[i].Name, err)
			}
			done.Add(1)
			return nil
		})
	}
	err = g.Wait()
	if err != nil && ctx.Err() != nil {
		return r, err // the page is done again
	}
	if others := failed.Load() - 1; others > 0 {
		err = fmt.Errorf("%w (and %d others of this page)", err, others)
	}
	r.Done += done.Load()
	if r.Continue = list.Continue; r.Continue == "" {
		r.Resource++
		r.Finished = r.Resource == len(resources)
	}
	return r, err
}

// Serves says whether the API serves any object of a resource.
func (m Migrator) Serves(ctx context.Context, resource schema.GroupVersionResource) (bool, error) {
	list, err := m.Client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
	return err == nil && len(list.Items) > 0, err
}

func (m Migrator) limit() int64 {
	if m.Limit > 0 {
		return m.Limit
	}
	return page
}

// rewrite sends the object's UID, so that one of the same name that was made
// since is left alone: it lies under the new key.
func rewrite(ctx context.Context, client metadata.Getter, o *metav1.PartialObjectMetadata) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.UID}})
	if err != nil {
		return err
	}
	var scoped metadata.ResourceInterface = client
	if o.Namespace != "" {
		scoped = client.Namespace(o.Namespace)
	}
	_, err = scoped.Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "argoseal-sentinel"})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// rest waits for so long, or until all is to end.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(d, longestRest)):
	}
}

// continueOf is the token in the answer that says that one has expired; empty
// begins anew.
func continueOf(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	return status.Status().Continue
}
