package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/time/rate"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/scrub"
	scrubber "github.com/argoseal/argoseal/pkg/scrub/controller"
	"github.com/argoseal/argoseal/pkg/scrub/s3"
)

// maxStoresFile bounds the file of stores, in bytes.
const maxStoresFile = 1 << 20

// storeEntry is one store in the file that --stores names.
type storeEntry struct {
	// Endpoint is HOST or HOST:PORT, as templates name it.
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	// Insecure speaks HTTP.
	Insecure bool `json:"insecure"`
	// Credentials is a folder with the files accessKey and secretKey, which are read
	// anew when they change. Empty: what the environment or the machine gives.
	Credentials string `json:"credentials"`
	// Compare says whose seals are compared where.
	Compare scrub.Scope `json:"compare"`
}

// readStores opens the stores of a file.
func readStores(path string, limit *rate.Limiter) (map[string]scrubber.Store, error) {
	if path == "" {
		return nil, reason.New(reason.UsageInvalid, "--stores is missing: name a file that lists the artifact stores")
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxStoresFile {
		return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: it cannot be read, or has more than %d bytes", path, maxStoresFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("stores: %w", err)
	}
	var file struct {
		Stores []storeEntry `json:"stores"`
	}
	if err := yaml.UnmarshalStrict(raw, &file); err != nil {
		return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: %v", path, err)
	}
	stores := map[string]scrubber.Store{}
	for n, e := range file.Stores {
		endpoint := artifact.InS3(e.Endpoint, "").Store
		if _, twice := stores[endpoint]; endpoint == "" || twice {
			return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: stores[%d]: the endpoint %.100q is empty, or stands there twice", path, n, e.Endpoint)
		}
		if err := e.Compare.Validate(); err != nil {
			return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: stores[%d]: compare: %v", path, n, err)
		}
		s, err := s3.New(s3.Options{Endpoint: e.Endpoint, Region: e.Region, Insecure: e.Insecure, Credentials: e.credentials(), Limit: limit})
		if err != nil {
			return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: stores[%d]: %v", path, n, err)
		}
		stores[endpoint] = scrubber.Store{Store: s, Scope: e.Compare}
	}
	if len(stores) == 0 {
		return nil, reason.New(reason.UsageInvalid, "--stores=%.200s: it lists no store", path)
	}
	return stores, nil
}

func (e storeEntry) credentials() *credentials.Credentials {
	if e.Credentials == "" {
		return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
	}
	return credentials.New(&folder{path: e.Credentials})
}

// folder has the keys of a mounted Secret.
type folder struct {
	path string
	read string
}

// keys is the text of both files.
func (f *folder) keys() (access, secret string, err error) {
	a, err := os.ReadFile(filepath.Join(f.path, "accessKey"))
	if err != nil {
		return "", "", fmt.Errorf("credentials: %w", err)
	}
	s, err := os.ReadFile(filepath.Join(f.path, "secretKey"))
	if err != nil {
		return "", "", fmt.Errorf("credentials: %w", err)
	}
	return strings.TrimSpace(string(a)), strings.TrimSpace(string(s)), nil
}

// Retrieve implements credentials.Provider.
func (f *folder) Retrieve() (credentials.Value, error) {
	access, secret, err := f.keys()
	if err != nil {
		return credentials.Value{}, err
	}
	f.read = access + "\n" + secret
	return credentials.Value{AccessKeyID: access, SecretAccessKey: secret, SignerType: credentials.SignatureV4}, nil
}

// RetrieveWithCredContext implements credentials.Provider.
func (f *folder) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return f.Retrieve()
}

// IsExpired implements credentials.Provider: the kubelet puts new keys in place.
func (f *folder) IsExpired() bool {
	access, secret, err := f.keys()
	return err == nil && f.read != access+"\n"+secret
}
