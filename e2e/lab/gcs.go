package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// maxObject bounds what is read of an object. Objects in tests are small.
const maxObject = 16 << 20

// storedInGCS is the digest of what lies in the development cluster's GCS now.
func (l *Lab) storedInGCS(ctx context.Context, at artifact.Location) (string, error) {
	if at.Kind == artifact.KindObject {
		object, err := l.getGCS(ctx, at.Bucket, at.Key)
		sum := sha256.Sum256(object)
		return hex.EncodeToString(sum[:]), err
	}
	raw, err := askGCS(ctx, "/storage/v1/b/"+at.Bucket+"/o?prefix="+url.QueryEscape(at.Key))
	if err != nil {
		return "", err
	}
	var list struct{ Items []struct{ Name string } }
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("list %s: %w", at, err)
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.Name)
	}
	return treeBelow(at.Key, names, func(name string) ([]byte, error) { return l.getGCS(ctx, at.Bucket, name) })
}

// treeBelow is the digest of the directory that objects whose names begin with a key are.
func treeBelow(key string, names []string, get func(name string) ([]byte, error)) (string, error) {
	dir, err := os.MkdirTemp("", "argoseal-lab-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, name := range names {
		object, err := get(name)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, strings.TrimPrefix(name, key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, object, 0o600); err != nil {
			return "", err
		}
	}
	tree, err := content.TreeOf(dir)
	return string(tree), err
}

// getGCS reads an object.
func (l *Lab) getGCS(ctx context.Context, bucket, key string) ([]byte, error) {
	return askGCS(ctx, "/download/storage/v1/b/"+bucket+"/o/"+url.PathEscape(key)+"?alt=media")
}

// askGCS is a GET of the development cluster's GCS, which asks for no credentials.
func askGCS(ctx context.Context, path string) ([]byte, error) {
	l, err := layout.Default()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.GCSEndpoint()+path, nil)
	if err != nil {
		return nil, err
	}
	return ask(request)
}
