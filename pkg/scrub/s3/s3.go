// Package s3 reads objects of S3 endpoints, for package scrub: it has no call that writes.
package s3

import (
	"context"
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

// callTimeout bounds the wait for an answer's beginning; its body takes what the limit
// allows.
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
	body, info, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, missing(err)
	}
	return &slowly{ctx: ctx, ReadCloser: body, limit: s.limit}, info.Size, nil
}

// List implements scrub.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string, most int) ([]string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends the listing where it is left
	var keys []string
	for o := range s.core.Client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
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

// slowly reads no faster than a limit allows.
type slowly struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // io.Reader has none
	limit *rate.Limiter
}

// Read implements io.Reader.
func (s *slowly) Read(b []byte) (int, error) {
	if s.limit != nil && s.limit.Limit() != rate.Inf {
		b = b[:min(len(b), s.limit.Burst())]
		if err := s.limit.WaitN(s.ctx, len(b)); err != nil {
			return 0, fmt.Errorf("waiting: %w", err)
		}
	}
	return s.ReadCloser.Read(b) //nolint:wrapcheck // io.EOF has to stay what it is
}
