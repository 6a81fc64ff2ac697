package sealtest

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/sbom"
)

// Described is what somebody states who has an SBOM of a file with these bytes.
func Described(about artifact.Digest, format sbom.Format) provenance.DocumentReference {
	return DescribedAs(provenance.OfFile, about, format)
}

// DescribedAs is the same about something that may not be a file.
func DescribedAs(of provenance.DigestKind, about artifact.Digest, format sbom.Format) provenance.DocumentReference {
	return provenance.DocumentReference{Name: "artifact", About: []provenance.About{{Of: of, SHA256: about}}, Documents: []provenance.ReferredDocument{{
		SHA256: artifact.DigestOfText("the document"), URI: "https://example.com/sbom.json", MediaType: format.MediaType(),
	}}}
}

// Reference is such a statement, signed and logged.
func (n *Notary) Reference(tb testing.TB, r provenance.DocumentReference) []byte {
	tb.Helper()
	payload, err := provenance.BuildReference(r)
	check(tb, err)
	return n.Bundle(tb, payload)
}
