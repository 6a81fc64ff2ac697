package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Now is the API server's time, in whole seconds. The times that it is compared
// with are the API server's, too, and a node's clock may be weeks off. To learn it,
// the server is asked to make the probe, as a dry run.
func Now(ctx context.Context, api client.Client, probe client.Object) (time.Time, error) {
	if err := api.Create(ctx, probe, client.DryRunAll); err != nil {
		return time.Time{}, fmt.Errorf("asking the API server for the time: %w", err)
	}
	made := probe.GetCreationTimestamp()
	if made.IsZero() {
		return time.Time{}, errors.New("the API server does not say what time it is")
	}
	return made.Time, nil
}
