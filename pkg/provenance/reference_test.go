package provenance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

func referenceExample() DocumentReference {
	return DocumentReference{Name: "s3://minio:9000/artifacts/model.tgz", About: []About{{OfFile, digest("3")}}, Documents: []ReferredDocument{{
		SHA256: digest("4"), URI: "https://example.com/model.spdx.json", MediaType: sbom.SPDX.MediaType(),
	}}}
}

func TestAReferenceIsReadAsItWasBuilt(t *testing.T) {
	r := referenceExample()
	payload, err := BuildReference(r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseReference(payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, *read); d != "" {
		t.Errorf("(-built +read):\n%s", d)
	}
	if KindOf(payload) != KindReference {
		t.Errorf("it is of kind %d", KindOf(payload))
	}
	if s, err := Check(payload); err != nil || s != nil {
		t.Errorf("checked, it is %v, %v", s, err)
	}
	if _, err := Parse(payload); reason.Of(err) != reason.StatementInvalid {
		t.Errorf("as a seal: %v", err)
	}
	// The example of in-toto's page, without its comments.
	const others = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"registry.example.com/my-project/my-image","digest":{"sha256":"886a77e9b9c993e221d1843e3af5b1fbeea26d8962995e8562174a6aba0c7cc9","sha512":"aa"}}],
		"predicateType":"https://in-toto.io/attestation/reference/v0.1","predicate":{"attester":{"id":"https://my-builder.com/v1"},"more":1,
		"references":[{"downloadLocation":"https://cloud.com/my-sboms/sbom.spdx.json","digest":{"sha256":"3b0d19b348f1e46a571c6e9df32897637c20dd9803261c2fc9cbe38b0c8422c4"},"mediaType":"application/spdx+json"}]}}`
	read, err = ParseReference([]byte(others))
	if err != nil {
		t.Fatal(err)
	}
	const known = "886a77e9b9c993e221d1843e3af5b1fbeea26d8962995e8562174a6aba0c7cc9"
	for _, of := range []DigestKind{"", OfFile, OfTree, OfImage} {
		if f := read.Speaks(About{of, known}); f != nil {
			t.Errorf("nobody has said that it is a %q, and it speaks of %v", of, f)
		}
	}
	read, err = ParseReference([]byte(strings.Replace(others, `"name":"reg`, `"annotations":{"other":{"x":[1]},"argoseal.dev/digest-of":"image"},"name":"reg`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if f := read.Speaks(About{OfImage, known}); len(f) != 1 || f[0] != sbom.SPDX {
		t.Errorf("it speaks of %v", f)
	}
	for _, about := range []About{{OfImage, digest("3")}, {OfFile, known}, {OfTree, known}, {"", known}} {
		if f := read.Speaks(about); f != nil {
			t.Errorf("of %v it speaks of %v", about, f)
		}
	}
	for _, about := range []About{{}, {OfFile, ""}, {"", digest("3")}} {
		if f := (&DocumentReference{About: []About{about}, Documents: r.Documents}).Speaks(about); f != nil {
			t.Errorf("of nothing it speaks of %v", f)
		}
	}
}

func TestWhatIsNoReference(t *testing.T) {
	for name, change := range map[string]func(*DocumentReference){
		"about nothing":         func(r *DocumentReference) { r.About = nil },
		"about no digest":       func(r *DocumentReference) { r.About[0].SHA256 = "x" },
		"about too much":        func(r *DocumentReference) { r.About = make([]About, maxReferences+1) },
		"no document":           func(r *DocumentReference) { r.Documents = nil },
		"too many documents":    func(r *DocumentReference) { r.Documents = make([]ReferredDocument, maxReferences+1) },
		"a document of nothing": func(r *DocumentReference) { r.Documents[0].SHA256 = "" },
		"no place":              func(r *DocumentReference) { r.Documents[0].URI = "" },
		"a place in two lines":  func(r *DocumentReference) { r.Documents[0].URI = "a\nb" },
		"no media type":         func(r *DocumentReference) { r.Documents[0].MediaType = "" },
	} {
		r := referenceExample()
		change(&r)
		if _, err := BuildReference(r); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	payload, err := BuildReference(referenceExample())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "{",
		"another type":      strings.Replace(string(payload), "Statement/v1", "Statement/v0.1", 1),
		"another predicate": strings.Replace(string(payload), "reference/v0.1", "reference/v0.2", 1),
		"no attester":       strings.Replace(string(payload), Attester, "", 1),
		"too long":          string(payload) + strings.Repeat(" ", MaxPayload),
	} {
		if _, err := ParseReference([]byte(text)); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A statement with the whole document has it as it was, but for spaces; and nothing else is
// signed under the names of the formats.
func TestAWholeSBOMIsStated(t *testing.T) {
	for format, document := range map[sbom.Format]string{
		sbom.SPDX:      `{ "spdxVersion": "SPDX-2.3", "packages": [ {"name": "a <b> & c", "n": 1.50} ] }`,
		sbom.CycloneDX: `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a"}]}`,
	} {
		payload, err := BuildSBOM("x", digest("3"), format, []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if format == sbom.SPDX && !strings.Contains(string(payload), `{"spdxVersion":"SPDX-2.3","packages":[{"name":"a <b> & c","n":1.50}]}`) {
			t.Errorf("stated is %s", payload)
		}
		if KindOf(payload) != KindSBOM {
			t.Errorf("it is of kind %d", KindOf(payload))
		}
		if s, err := Check(payload); err != nil || s != nil {
			t.Errorf("checked, it is %v, %v", s, err)
		}
		if _, err := ParseReference(payload); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("as a reference: %v", err)
		}
		other := sbom.SPDX
		if format == other {
			other = sbom.CycloneDX
		}
		if _, err := BuildSBOM("x", digest("3"), other, []byte(document)); err == nil {
			t.Errorf("%s is stated as %s", format, other)
		}
		if _, err := BuildSBOM("x", "", format, []byte(document)); err == nil {
			t.Error("it is about nothing")
		}
		large := strings.Replace(document, "[", `[{"x":"`+strings.Repeat("x", MaxPayload)+`"},`, 1)
		if _, err := BuildSBOM("x", digest("3"), format, []byte(large)); err == nil {
			t.Error("one without room is stated")
		}
		if _, err := Check([]byte(strings.Replace(string(payload), "2.3", "9.9", 1) + " ")); format == sbom.SPDX && reason.Of(err) != reason.StatementInvalid {
			t.Errorf("no document: %v", err)
		}
	}
	if _, err := BuildSBOM("x", digest("3"), "", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{}]}`)); err == nil {
		t.Error("a statement of no type is made")
	}
}
