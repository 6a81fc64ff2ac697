package provenance

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/reason"
	fields "github.com/argoseal/argoseal/pkg/version"
)

// predecessors are statements of version 1. The code of commit 1170783 made them;
// they are never written anew.
func predecessors(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/v1/*.json")
	if err != nil || len(paths) < 8 {
		t.Fatalf("kept are %v, %v", paths, err)
	}
	statements := map[string][]byte{}
	for _, path := range paths {
		if statements[strings.TrimSuffix(filepath.Base(path), ".json")], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return statements
}

// Seals outlive the release that made them.
func TestStatementsOfThePredecessorAreReadToTheByte(t *testing.T) {
	for name, payload := range predecessors(t) {
		t.Run(name, func(t *testing.T) {
			statement, err := Parse(payload)
			if err != nil {
				t.Fatal(err)
			}
			if statement.Version != 1 || statement.Step.Namespace != "ml" || len(statement.Subjects) == 0 {
				t.Errorf("it says %+v", statement)
			}
			if again, err := buildAs(statement.Facts, 1); err != nil || !bytes.Equal(again, payload) {
				t.Errorf("built again it is %s, %v", again, err)
			}
			for what, spoilt := range map[string][]byte{
				"another field":    bytes.Replace(payload, []byte(`"internalParameters":{`), []byte(`"internalParameters":{"a":1,`), 1),
				"another spelling": bytes.Replace(payload, []byte(`"mode":"enforce"`), []byte(`"mode":"\u0065nforce"`), 1),
				"a line break":     append(bytes.Clone(payload), '\n'),
			} {
				if _, err := Parse(spoilt); reason.Of(err) != reason.StatementInvalid {
					t.Errorf("with %s: %v", what, err)
				}
			}
		})
	}
}

func TestTheFactsOfThePredecessorAreThoseItWasGiven(t *testing.T) {
	statement, err := Parse(predecessors(t)["everything-set"])
	if err != nil {
		t.Fatal(err)
	}
	want := example().sorted()
	if diff := cmp.Diff(want.Subjects, statement.Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Step, statement.Step); diff != "" {
		t.Errorf("step (-want +got):\n%s", diff)
	}
	if statement.InvocationID() != want.InvocationID() || statement.BuilderID() != want.Builder.ID() {
		t.Errorf("it is about %s by %s", statement.InvocationID(), statement.BuilderID())
	}
}

// A field without `since:"2"` would be one that version 1 had, and statements of
// it would be read which the release that made them could not have made.
func TestVersion1HasTheFieldsThatItHad(t *testing.T) {
	kept, err := os.ReadFile("testdata/v1/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(kept)), fields.Fields(wireStatement{}, 1)); diff != "" {
		t.Errorf("fields of version 1 (-kept +now); give a new one the tag since:\n%s", diff)
	}
}

func TestAStatementOfALaterReleaseIsTooNew(t *testing.T) {
	payload := build(t, example())
	later := func(version string) []byte {
		return bytes.Replace(payload, []byte(BuildType), []byte(buildTypePrefix+version), 1)
	}
	for name, p := range map[string][]byte{
		"the next":                later("3"),
		"one with other fields":   bytes.Replace(later("12"), []byte(`"internalParameters":{`), []byte(`"internalParameters":{"later":[1],`), 1),
		"one of another spelling": append(later("9999"), ' '),
	} {
		if _, err := Parse(p); reason.Of(err) != reason.TooNew || !reason.Of(err).Retryable() {
			t.Errorf("%s: %v, want the code TooNew, which is retried", name, err)
		}
	}
	for name, p := range map[string][]byte{
		"no version":                  later(""),
		"version 0":                   later("0"),
		"a version of other digits":   later("02"),
		"a version that is no number": later("3-rc"),
		"a version without end":       later("99999"),
		"another predicate":           bytes.Replace(later("3"), []byte(PredicateType), []byte("https://slsa.dev/provenance/v2"), 1),
		"another type":                bytes.Replace(later("3"), []byte("in-toto.io/Statement/v1"), []byte("in-toto.io/Statement/v2"), 1),
		"more than may be read":       append(later("3"), bytes.Repeat([]byte(" "), MaxPayload)...),
		"what is no statement":        []byte(`{"buildType":"` + buildTypePrefix + `3"}`),
	} {
		if _, err := Parse(p); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("%s: %v, want the code StatementInvalid", name, err)
		}
	}
}
