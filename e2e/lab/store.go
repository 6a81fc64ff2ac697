package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// Put stores an object in the artifact bucket, as somebody with the bucket's
// credentials would.
func (l *Lab) Put(ctx context.Context, key string, content []byte) error {
	_, err := l.S3.PutObject(ctx, part.S3Bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// Get reads an object of the artifact bucket. Objects in tests are small.
func (l *Lab) Get(ctx context.Context, key string) ([]byte, error) {
	o, err := l.S3.GetObject(ctx, part.S3Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	defer func() { _ = o.Close() }()
	content, err := io.ReadAll(o)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return content, nil
}

// Tarball is an archive with one file, as Argo would make it.
func Tarball(name, content string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	// Writing to memory does not fail.
	_ = t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg})
	_, _ = t.Write([]byte(content))
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}
