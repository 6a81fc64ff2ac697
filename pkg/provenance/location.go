package provenance

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// checkURI accepts the one spelling of an artifact's location and nothing else.
func checkURI(uri string) error {
	location, err := parseLocation(uri)
	if err != nil {
		return fmt.Errorf("location %.200q: %w", uri, err)
	}
	if err := location.Validate(); err != nil {
		return fmt.Errorf("location %.200q: %w", uri, err)
	}
	if location.URI() != uri {
		return fmt.Errorf("location %.200q is not in its canonical spelling", uri)
	}
	return nil
}

func parseLocation(uri string) (artifact.Location, error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	segments := strings.Split(rest, "/")
	if !ok || len(segments) < 3 {
		return artifact.Location{}, errors.New("want s3://STORE/BUCKET/KEY")
	}
	kind := artifact.KindObject
	if strings.HasSuffix(rest, "/") {
		kind = artifact.KindPrefix
		segments = segments[:len(segments)-1]
	}
	for i, segment := range segments[1:] {
		unescaped, err := url.PathUnescape(segment)
		if err != nil {
			return artifact.Location{}, err
		}
		segments[i+1] = unescaped
	}
	return artifact.Location{
		Store: segments[0], Bucket: segments[1], Key: strings.Join(segments[2:], "/"), Kind: kind,
	}, nil
}

// Location is the location that the subject's URI spells.
func (s Subject) Location() (artifact.Location, error) { return parseLocation(s.URI) }
