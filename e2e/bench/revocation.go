package main

import (
	"context"
	"fmt"
	"slices"
)

// promised is when a Revocation counts, in seconds.
const promised = 5.0

// revocation measures how long after a Revocation is asked for a consumer is still
// admitted, by two replicas of the webhook at an API server of their own.
func revocation(ctx context.Context, b *bench) ([]result, error) {
	runs := 2 * b.runs // the slowest is of interest, too, and they are short
	printed, err := goTest(ctx, b, fmt.Sprintf("-run '^TestIntegration$/^webhook$/^a_Revocation_counts_within_seconds$' ./cmd/argoseal-webhook -args -revocations %d", runs))
	if err != nil {
		return nil, err
	}
	stored, err := metrics(printed, "stored-s")
	if err != nil {
		return nil, err
	}
	last, err := metrics(printed, "last-s")
	if err != nil {
		return nil, err
	}
	if len(last) != runs || len(stored) != runs {
		return nil, fmt.Errorf("%d of %d measurements", len(last), runs)
	}
	r := newResult("a Revocation is made, until no consumer is admitted", "s", last, stored)
	slowest := newResult("the slowest of these", "s", []float64{slices.Max(last)}, nil)
	return []result{
		r.hold(slowest.Value <= promised, "at most %.0f s in every run", promised),
		slowest,
	}, nil
}
