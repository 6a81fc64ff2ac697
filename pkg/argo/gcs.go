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

// doubts has none: Argo asks Google's one server, with TLS, and a key of another
// universe of Google's is refused by Google's client. Which server it is, only Argo's
// configuration can change (STORAGE_EMULATOR_HOST), as of all variables.
func (g *gcsLocation) doubts() ([]Doubt, bool) { return nil, false }
