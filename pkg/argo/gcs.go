package argo

import (
	"encoding/json"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// gcsLocation is a bucket of Google Cloud Storage and a key in it.
type gcsLocation struct {
	Bucket                  string           `json:"bucket"`
	Key                     string           `json:"key"`
	ServiceAccountKeySecret *json.RawMessage `json:"serviceAccountKeySecret"`
}

func (g *gcsLocation) key() string { return g.Key }

func (g *gcsLocation) full() bool { return g.Bucket != "" && g.Key != "" }

func (g *gcsLocation) bucket() (artifact.Location, error) { return artifact.InGCS(g.Bucket), nil }

// doubts has none: Argo asks Google's one server, with TLS. A Secret changes whose
// credentials it shows there, and which server it is only variables can
// (STORAGE_EMULATOR_HOST), of which those of Argo's configuration are admitted alone.
func (g *gcsLocation) doubts() ([]Doubt, bool) { return nil, false }
