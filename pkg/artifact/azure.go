package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// SchemeAzure is Azure Blob Storage.
const SchemeAzure Scheme = "azure"

// Azure keeps the name of a blob as it is spelled, with two exceptions: it takes
// backslashes for slashes, and clients drop dots at the end of a segment
// (learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
// Argo takes an empty blob for a directory (azure.ArtifactDriver.Load), and makes
// the file before it asks for the blob (azure.DownloadFile).
func init() {
	register(StoreKind{
		Scheme: SchemeAzure, Name: "azure", Title: "Azure", URIScheme: "azure",
		check: func(l Location) error {
			switch {
			case !azureHost.MatchString(l.Store):
				return fmt.Errorf("store %q is not HOST or HOST:PORT", l.Store)
			case !azureContainer.MatchString(l.Bucket):
				return fmt.Errorf("container %q is none of Azure's", l.Bucket)
			case strings.Contains(l.Key, `\`):
				return fmt.Errorf("blob %q has a backslash, which is a slash in Azure", l.Key)
			}
			for segment := range strings.SplitSeq(l.Key, "/") {
				if strings.HasSuffix(segment, ".") {
					return fmt.Errorf("blob %q has a segment that ends in a dot, which Azure may drop", l.Key)
				}
			}
			return nil
		},
		NewPlace:             func() Place { return &azurePlace{} },
		Fields:               []string{"endpoint", "container", "blob"},
		EmptyFileIsDirectory: true, LeavesEmptyFile: true, ListsByPrefix: true,
	})
}

var (
	azureHost = regexp.MustCompile(`^(\[[0-9a-f:.]+\]|[a-z0-9.-]*[a-z0-9])(:[1-9][0-9]{0,4})?$`)
	// azureContainer matches names of containers, those that Azure gives itself included.
	azureContainer = regexp.MustCompile(`^(\$root|\$web|\$logs|[a-z0-9](-?[a-z0-9]){2,62})$`)
)

// InAzure is the container at an endpoint, or says why it is none. The endpoint is
// the URL of an account's service, such as https://ACCOUNT.blob.core.windows.net.
// With TLS or without, it is the same place, and the default port makes no
// difference. Errors do not quote the endpoint, which may have credentials.
func InAzure(endpoint, container string) (Location, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http":
		return Location{}, errors.New("endpoint is not https://HOST")
	case u.User != nil, strings.ContainsAny(endpoint, "?#"):
		return Location{}, errors.New("endpoint has more than a host")
	case u.Path != "" && u.Path != "/":
		return Location{}, errors.New("endpoint has a path: give a host that names the account")
	}
	host := strings.ToLower(u.Host)
	if !azureHost.MatchString(host) {
		return Location{}, errors.New("endpoint is not https://HOST in its plain spelling")
	}
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return Location{Scheme: SchemeAzure, Store: host, Bucket: container}, nil
}

// azurePlace is a container of Azure Blob Storage and a blob in it.
type azurePlace struct {
	Endpoint         string           `json:"endpoint"`
	Container        string           `json:"container"`
	Blob             string           `json:"blob"`
	AccountKeySecret *json.RawMessage `json:"accountKeySecret"`
	UseSDKCreds      bool             `json:"useSDKCreds"`
}

// GetKey implements Place.
func (a *azurePlace) GetKey() string { return a.Blob }

// Full implements Place.
func (a *azurePlace) Full() bool { return a.Endpoint != "" && a.Container != "" && a.Blob != "" }

// In implements Place.
func (a *azurePlace) In() (Location, error) { return InAzure(a.Endpoint, a.Container) }

// Uncertain implements Place.
func (a *azurePlace) Uncertain() (u Uncertain) {
	if !strings.HasPrefix(strings.ToLower(a.Endpoint), "https:") {
		u.PlainHTTP = "its endpoint is not https"
	}
	return u
}
