package provenance

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	intoto "github.com/in-toto/attestation/go/v1"
)

// versionNumber is how a build type spells its version.
var versionNumber = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

func buildType(version int) string { return buildTypePrefix + strconv.Itoa(version) }

// versionOf finds the version of a statement without reading more of it than
// every version has: a later one may have fields that this release does not know.
// Nothing that it read is used for anything else, so it need not be strict.
func versionOf(payload []byte) (int, error) {
	var wire struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			BuildDefinition struct {
				BuildType string `json:"buildType"`
			} `json:"buildDefinition"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(payload, &wire); err != nil {
		return 0, fmt.Errorf("not a statement of build type %s: %w", BuildType, err)
	}
	built := wire.Predicate.BuildDefinition.BuildType
	number, ours := strings.CutPrefix(built, buildTypePrefix)
	switch {
	case wire.Type != intoto.StatementTypeUri:
		return 0, fmt.Errorf("statement type is %.200q, want %s", wire.Type, intoto.StatementTypeUri)
	case wire.PredicateType != PredicateType:
		return 0, fmt.Errorf("predicate type is %.200q, want %s", wire.PredicateType, PredicateType)
	case !ours || !versionNumber.MatchString(number):
		return 0, fmt.Errorf("build type is %.200q, want %s", built, BuildType)
	}
	return strconv.Atoi(number)
}
