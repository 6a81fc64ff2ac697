// Package s3 reads objects of S3 endpoints, for package scrub: it has no call that writes.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/time/rate"

	"github.com/argoseal/argoseal/pkg/scrub"
)

// Options say how one S3 endpoint is reached.
type Options struct {
	// Endpoint is HOST or HOST:PORT, as in the locations of seals.
	Endpoint string
	Region   string
	// Insecure speaks HTTP.
	Insecure bool
	// Credentials may read, and nothing else.
	Credentials *credentials.Credentials
	// Limit is shared by all stores: bytes a second.
	Limit *rate.Limiter
}

const (
	// callTimeout bounds the wait for the beginning of an answer, and for each
	// piece of its body. The body as a whole takes as long as the limit makes it.
	callTimeout = 30 * time.Second
	// openTimeout bounds the wait for an object, tries included, and listTimeout
	// that for a list. Else one store could keep all others from being compared.
	openTimeout = 3 * time.Minute
	listTimeout = 10 * time.Minute
	// slowest is how many bytes a second come at least, beside callTimeout.
	slowest = 64 << 10
)

// Store reads an S3 endpoint.
type Store struct {
	core  *minio.Core
	limit *rate.Limiter
	// opening and listing are openTimeout and listTimeout.
	opening, listing time.Duration
}

// New asks nobody anything yet.
func New(o Options) (*Store, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = callTimeout
	transport.DisableCompression = true // the bytes as they are stored
	core, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds: o.Credentials, Secure: !o.Insecure, Region: o.Region, Transport: transport, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", o.Endpoint, err)
	}
	return &Store{core: core, limit: o.Limit, opening: openTimeout, listing: listTimeout}, nil
}

// Open implements scrub.Store.
func (s *Store) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := time.AfterFunc(s.opening, func() { cancel(errIdle) })
	defer over.Stop()
	body, info, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		cancel(nil)
		return nil, 0, missing(err)
	}
	return &slowly{ctx: ctx, cancel: cancel, body: body, limit: s.limit, idle: callTimeout}, info.Size, nil
}

// List implements scrub.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string, most int) ([]string, error) {
	ctx, stop := context.WithTimeoutCause(ctx, s.listing, errIdle)
	defer stop() // ends the listing where it is left
	var keys []string
	for o := range s.core.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("listing %s/%s: %w", bucket, prefix, o.Err)
		}
		if keys = append(keys, o.Key); len(keys) > most {
			return keys, nil
		}
	}
	if ctx.Err() != nil { // it has not come to its end
		return nil, fmt.Errorf("listing %s/%s: %w", bucket, prefix, context.Cause(ctx))
	}
	return keys, nil
}

// missing tells an object that is not there from a store that does not answer. A bucket
// that is gone takes all its objects with it.
func missing(err error) error {
	switch code := minio.ToErrorResponse(err).Code; code {
	case minio.NoSuchKey, minio.NoSuchBucket:
		return fmt.Errorf("%w (%s)", scrub.ErrMissing, code)
	default:
		return fmt.Errorf("reading: %w", err)
	}
}

var (
	// errIdle ends the reading of what does not come any more.
	errIdle = errors.New("the store has stopped sending")
	// errSlow ends that of what comes so slowly that it would take days.
	errSlow = errors.New("the store sends too slowly")
)

// slowly reads no faster than a limit allows, and gives up where nothing comes, or little.
type slowly struct {
	ctx    context.Context //nolint:containedctx // io.Reader has none
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	limit  *rate.Limiter
	idle   time.Duration
	// waited is how long for got bytes.
	waited time.Duration
	got    int64
}

// Read implements io.Reader.
func (s *slowly) Read(b []byte) (int, error) {
	if s.limit != nil && s.limit.Limit() != rate.Inf {
		b = b[:min(len(b), s.limit.Burst())]
		if err := s.limit.WaitN(s.ctx, len(b)); err != nil {
			return 0, fmt.Errorf("waiting: %w", err)
		}
	}
	watch := time.AfterFunc(s.idle, func() { s.cancel(errIdle) })
	defer watch.Stop()
	began := time.Now()
	n, err := s.body.Read(b)
	s.waited, s.got = s.waited+time.Since(began), s.got+int64(n)
	if err == nil && s.waited > s.idle+time.Duration(s.got/slowest)*time.Second {
		return n, errSlow
	}
	if err != nil && context.Cause(s.ctx) != nil {
		err = context.Cause(s.ctx)
	}
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is
}

// Close implements io.Closer.
func (s *slowly) Close() error {
	s.cancel(nil)
	return s.body.Close() //nolint:wrapcheck // nothing to add
}
