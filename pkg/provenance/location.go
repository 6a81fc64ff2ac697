package provenance

import (
	"fmt"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// checkURI accepts the one spelling of an artifact's location and nothing else.
func checkURI(uri string) error {
	if _, err := artifact.ParseLocation(uri); err != nil {
		return fmt.Errorf("location %.200q: %w", uri, err)
	}
	return nil
}

// Location is the location that the subject's URI spells.
func (s Subject) Location() (artifact.Location, error) { return artifact.ParseLocation(s.URI) }
