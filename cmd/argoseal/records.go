package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// pageOfRecords is how many records are listed at a time: each may have a MiB.
const pageOfRecords = 50

// eachRecord goes through the records of a namespace, or of all, page by page. An API server
// keeps for some minutes alone how things were when that began. Whoever takes longer goes on
// behind the last name, as things are by then, and is told so.
func eachRecord(ctx context.Context, api client.Reader, namespace string, tell io.Writer, look func(*v1alpha1.Provenance) error) error {
	return eachPage(ctx, api, namespace, tell, "provenances", func(list v1alpha1.ProvenanceList) error { return eachOf(list.Items, look) })
}

// eachWhole is eachRecord for what is on record of whole workflows.
func eachWhole(ctx context.Context, api client.Reader, namespace string, tell io.Writer, look func(*v1alpha1.WorkflowProvenance) error) error {
	return eachPage(ctx, api, namespace, tell, "workflow provenances", func(list v1alpha1.WorkflowProvenanceList) error { return eachOf(list.Items, look) })
}

func eachOf[T any](items []T, look func(*T) error) error {
	for i := range items {
		if err := look(&items[i]); err != nil {
			return err
		}
	}
	return nil
}

// listOf is a kind of list.
type listOf[T any] interface {
	*T
	client.ObjectList
}

func eachPage[T any, L listOf[T]](ctx context.Context, api client.Reader, namespace string, tell io.Writer, what string, look func(T) error) error {
	next, resumed, warned := "", false, false
	for {
		var page T
		err := api.List(ctx, L(&page), client.InNamespace(namespace), client.Limit(pageOfRecords), client.Continue(next))
		if goOn := continueOf(err); goOn != "" && !resumed {
			if !warned {
				_, _ = fmt.Fprintln(tell, "The API server does not know any more how things were when this began. It goes on with how they are: records that came meanwhile may be left out.")
			}
			next, resumed, warned = goOn, true, true
			continue
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", what, err)
		}
		if err := look(page); err != nil {
			return err
		}
		if next, resumed = L(&page).GetContinue(), false; next == "" {
			return nil
		}
	}
}

// continueOf is where to go on, as an API server says for which a list began too long ago;
// empty for every other error.
func continueOf(err error) string {
	var status apierrors.APIStatus
	if apierrors.IsResourceExpired(err) && errors.As(err, &status) {
		return status.Status().Continue
	}
	return ""
}
