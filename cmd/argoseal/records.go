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
	next, resumed, told := "", false, false
	for {
		var page v1alpha1.ProvenanceList
		err := api.List(ctx, &page, client.InNamespace(namespace), client.Limit(pageOfRecords), client.Continue(next))
		if goOn := continueOf(err); goOn != "" && !resumed {
			if !told {
				_, _ = fmt.Fprintln(tell, "The API server does not know any more how things were when this began. It goes on with how they are: records that came meanwhile may be left out.")
			}
			next, resumed, told = goOn, true, true
			continue
		}
		if err != nil {
			return fmt.Errorf("listing provenances: %w", err)
		}
		for i := range page.Items {
			if err := look(&page.Items[i]); err != nil {
				return err
			}
		}
		if next, resumed = page.Continue, false; next == "" {
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
