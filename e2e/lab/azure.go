package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// azureServers maps the host of an endpoint to HOST:PORT: no DNS of this machine knows
// the names that pods know.
var azureServers sync.Map

// AzureAnswersAt says at which address this process reaches what stands for Azure Blob
// Storage at a host. Its containers may be read by anybody.
func AzureAnswersAt(host, address string) { azureServers.Store(host, address) }

// storedInAzure is the digest of what lies there now.
func storedInAzure(ctx context.Context, at artifact.Location) (string, error) {
	if at.Kind == artifact.KindObject {
		blob, err := getAzure(ctx, at, at.Key)
		sum := sha256.Sum256(blob)
		return hex.EncodeToString(sum[:]), err
	}
	raw, err := askAzure(ctx, at, "/"+at.Bucket+"?restype=container&comp=list&prefix="+url.QueryEscape(at.Key))
	if err != nil {
		return "", err
	}
	var list struct {
		Names []string `xml:"Blobs>Blob>Name"`
	}
	if err := xml.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("list %s: %w", at, err)
	}
	return treeBelow(at.Key, list.Names, func(name string) ([]byte, error) { return getAzure(ctx, at, name) })
}

func getAzure(ctx context.Context, at artifact.Location, blob string) ([]byte, error) {
	return askAzure(ctx, at, "/"+at.Bucket+"/"+(&url.URL{Path: blob}).EscapedPath())
}

// askAzure is a GET, without credentials.
func askAzure(ctx context.Context, at artifact.Location, path string) ([]byte, error) {
	address, known := azureServers.Load(at.Store)
	if !known {
		return nil, fmt.Errorf("nobody said where %s answers", at.Store)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.(string)+path, nil)
	if err != nil {
		return nil, err
	}
	request.Host = at.Store
	return ask(request)
}

// ask makes a request of a server of this machine, and reads what a test expects.
func ask(request *http.Request) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{Proxy: nil}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxObject))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", request.URL, answer.Status)
	}
	return body, err
}
