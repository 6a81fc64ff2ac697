package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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

// Clear removes what lies below a folder: an earlier run may have left something.
func (l *Lab) Clear(ctx context.Context, folder string) error {
	for o := range l.S3.ListObjects(ctx, part.S3Bucket, minio.ListObjectsOptions{Prefix: folder, Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("list %s: %w", folder, o.Err)
		}
		if err := l.S3.RemoveObject(ctx, part.S3Bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			return fmt.Errorf("remove %s: %w", o.Key, err)
		}
	}
	return nil
}

// Get reads an object of a bucket. Objects in tests are small.
func (l *Lab) Get(ctx context.Context, bucket, key string) ([]byte, error) {
	o, err := l.S3.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
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

// digest is the SHA-256 of an object of a bucket, of any size.
func (l *Lab) digest(ctx context.Context, bucket, key string) (string, error) {
	o, err := l.S3.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return "", fmt.Errorf("get %s: %w", key, err)
	}
	defer func() { _ = o.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, o); err != nil {
		return "", fmt.Errorf("get %s: %w", key, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// GetAll reads the objects below a key of a bucket, which ends in a
// slash, into a folder. The folder gets Argo's names and no executable file.
func (l *Lab) GetAll(ctx context.Context, bucket, key, folder string) error {
	for o := range l.S3.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: key, Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("list %s: %w", key, o.Err)
		}
		content, err := l.Get(ctx, bucket, o.Key)
		if err != nil {
			return err
		}
		path := filepath.Join(folder, strings.TrimPrefix(o.Key, key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
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
