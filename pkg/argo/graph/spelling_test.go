package graph

import (
	"strings"
	"testing"
)

// Argo reads no field of an artifact under a name in other letters, and Go's encoding/json
// does. A definition with such a name is not read: nobody knows which of the two Argo takes.
func TestFieldsOfArtifactsAreSpelledAsArgoSpellsThem(t *testing.T) {
	// with is an artifact of these fields, by is a use of what the step a made, with this
	// beside it.
	with := func(fields string) string {
		return steps("    - [{name: a, template: make}]\n    - [{name: b, template: use, arguments: {artifacts: [{" + fields + "}]}}]\n")
	}
	const made = `from: '{{steps.a.outputs.artifacts.art}}'`
	by := func(field string) string { return with("name: in, " + made + ", " + field) }
	for name, fields := range map[string]string{
		"where it comes from": `name: in, From: '{{steps.a.outputs.artifacts.art}}'`,
		"its name":            `Name: in, ` + made,
	} {
		if _, err := parse(t, with(fields)); err == nil || !strings.Contains(err.Error(), "upper and lower case count") {
			t.Errorf("%s: it is read: %v", name, err)
		}
	}
	for name, field := range map[string]string{
		"an expression":                   `fromexpression: "true?x:y"`,
		"one in other letters of Unicode": `"fromExpre\u017f\u017fion": "true?x:y"`,
		"a store":                         `S3: {key: x}`,
		"a store in other letters":        `"\u017f3": {key: x}`,
		"a store's key":                   `s3: {Key: x}`,
		"a store, twice":                  `s3: {key: x}, S3: {key: y}`,
		"a store without anything":        `GCS: null`,
		"raw":                             `RAW: {data: x}`,
		"raw content":                     `raw: {Data: x}`,
		"a part":                          `subpath: x`,
		"whether it is optional":          `OPTIONAL: true`,
		"another store":                   `Git: {repo: x}`,
	} {
		if _, err := parse(t, by(field)); err == nil || !strings.Contains(err.Error(), "upper and lower case count") {
			t.Errorf("%s: it is read: %v", name, err)
		}
	}
	// Twin: what is spelled as Argo spells it, what this package does not read, and what is
	// not there.
	for name, field := range map[string]string{
		"all of it":         `s3: {key: x, bucket: b}, raw: {data: x}, subPath: x, optional: true, git: {repo: x}, globalName: g`,
		"other fields":      `mode: 420, archive: {none: {}}, deleted: true, recurseMode: true, artifactGC: {strategy: Never}, archiveLogs: true`,
		"fields of a later": `ofTheFuture: {Key: x}`,
		"nothing in it":     `s3: null, raw: null`,
	} {
		g, err := parse(t, by(field))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o, err := g.Origins("wf[1].b", "in"); err != nil || len(o.Outputs) != 1 {
			t.Errorf("%s: it comes from %v, %v", name, o, err)
		}
	}
}
