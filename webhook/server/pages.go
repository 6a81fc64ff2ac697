package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// pageSize is how many objects are asked for at a time, where they are of ordinary size.
	pageSize = 250
	// largestPage bounds what the API server answers, in bytes: one pod alone can have a
	// MiB and a half, and so can what it says of itself beside that. Of larger ones fewer
	// are asked for.
	largestPage = 16 << 20
	// largestListing bounds the bytes of a workflow's pods that are read for one decision,
	// and maxPlaces the places that they may write.
	largestListing = 256 << 20
	maxPlaces      = 100_000
	// pagesAtOnce bounds the pages that are in memory at a time, shared out by namespace.
	pagesAtOnce = 4
)

// NewLive reads the API server, with little of it in memory at a time. The clients need
// Bounded.
func NewLive(api client.Reader, pods kubernetes.Interface) Live {
	return Live{API: api, Pods: pods, turns: fairshare.New(pagesAtOnce)}
}

var (
	errPage    = errors.New("the page has too many bytes")
	errListing = errors.New("the list has too many bytes")
)

// allowance is how many bytes a page, and all of them, may yet have.
type allowance struct{ page, all int64 }

type allowanceKey struct{}

// Bounded has a client read no more of an answer than a list allows; see rest.Config.Wrap.
func Bounded(next http.RoundTripper) http.RoundTripper { return bounded{next} }

type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if allowed, ok := r.Context().Value(allowanceKey{}).(*allowance); ok && err == nil {
		answer.Body = &boundedBody{answer.Body, allowed}
	}
	return answer, err
}

type boundedBody struct {
	io.ReadCloser
	*allowance
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.page, b.all = b.page-int64(n), b.all-int64(n)
	switch {
	case b.all < 0:
		return n, errListing
	case b.page < 0:
		return n, errPage
	}
	return n, err
}

// pages reads a list, in pages as large as there is room for.
func (l Live) pages(ctx context.Context, namespace string, read func(ctx context.Context, limit int64, from string) (next string, err error)) error {
	allowed := &allowance{all: largestListing}
	ctx = context.WithValue(ctx, allowanceKey{}, allowed)
	limit, from := int64(pageSize), ""
	for {
		release, err := l.turn(ctx, namespace)
		if err != nil {
			return err
		}
		allowed.page = largestPage
		next, err := read(ctx, limit, from)
		release()
		switch {
		case errors.Is(err, errPage) && limit > 1:
			limit = max(1, limit/5)
		case errors.Is(err, errListing):
			return tooManyPods("have more than %d MiB together", largestListing>>20)
		case err != nil:
			return err
		case next == "":
			return nil
		default:
			from = next
		}
	}
}

func tooManyPods(format string, args ...any) error {
	return reason.New(reason.PrefixUnsupported, "the pods of this workflow "+format, args...).Advise("Make it several workflows")
}

// turn waits for room for a page.
func (l Live) turn(ctx context.Context, namespace string) (release func(), err error) {
	if l.turns == nil {
		return func() {}, nil
	}
	return l.turns.Acquire(ctx, fairshare.Party{Namespace: namespace}, 1)
}
