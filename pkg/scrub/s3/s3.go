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

// callTimeout bounds the wait for an answer's beginning, and for each piece of its body,
// which takes as long as the limit allows.
const callTimeout = 30 * time.Second

// Store reads an S3 endpoint.
type Store struct {
	core  *minio.Core
	limit *rate.Limiter
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
	return &Store{core: core, limit: o.Limit}, nil
}

// Open implements scrub.Store.
func (s *Store) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, info, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		cancel(nil)
		return nil, 0, missing(err)
	}
	return &slowly{ctx: ctx, cancel: cancel, body: body, limit: s.limit, idle: callTimeout}, info.Size, nil
}

// List implements scrub.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string, most int) ([]string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends the listing where it is left
	var keys []string
	for o := range s.core.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("listing %s/%s: %w", bucket, prefix, o.Err)
		}
		if keys = append(keys, o.Key); len(keys) > most {
			break
		}
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

// errIdle ends the reading of a body of which nothing comes any more.
var errIdle = errors.New("the store has stopped sending")

// slowly reads no faster than a limit allows, and gives up where nothing comes.
type slowly struct {
	ctx    context.Context //nolint:containedctx // io.Reader has none
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	limit  *rate.Limiter
	idle   time.Duration
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
	n, err := s.body.Read(b)
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
