package argo

import (
	"encoding/json"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// azureLocation is a container of Azure Blob Storage and a blob in it.
type azureLocation struct {
	Endpoint         string           `json:"endpoint"`
	Container        string           `json:"container"`
	Blob             string           `json:"blob"`
	AccountKeySecret *json.RawMessage `json:"accountKeySecret"`
	UseSDKCreds      bool             `json:"useSDKCreds"`
}

func (a *azureLocation) key() string { return a.Blob }

func (a *azureLocation) full() bool { return a.Endpoint != "" && a.Container != "" && a.Blob != "" }

func (a *azureLocation) bucket() (artifact.Location, error) {
	return artifact.InAzure(a.Endpoint, a.Container)
}

func (a *azureLocation) doubts() (d []Doubt, unproven bool) {
	if !strings.HasPrefix(strings.ToLower(a.Endpoint), "https:") {
		return []Doubt{{v1alpha1.DoubtPlainHTTP, "its endpoint is not https"}}, true
	}
	return nil, false
}
