package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

// The document, what it is about, and those that were published of it before.

// documents names the document, and beside it one in each other format that the same key has
// published before: they are as true as they were. With --replace only what this run names is
// signed. It also gives the bundle that it saw there.
func (o *sbomOptions) documents(ctx context.Context, api client.Client, at client.ObjectKey, about described, format sbom.Format, document []byte) ([]provenance.ReferredDocument, string, error) {
	own, err := o.referred(format, document)
	if err != nil {
		return nil, "", err
	}
	documents := []provenance.ReferredDocument{own}
	var before v1alpha1.SBOM
	switch err := api.Get(ctx, at, &before); {
	case apierrors.IsNotFound(err):
		return documents, "", nil
	case err != nil:
		return nil, "", reason.Wrap(reason.LookupFailed, err, "SBOM %s: %v", at, err)
	}
	signed, err := o.attest.root.Payload([]byte(before.Spec.Bundle))
	if err != nil || o.attest.replace {
		return documents, before.Spec.Bundle, nil //nolint:nilerr // another's: publish says what becomes of it
	}
	r, err := provenance.ParseReference(signed.Payload)
	if err != nil || !slices.Contains(r.About, about.stated()) {
		return documents, before.Spec.Bundle, nil //nolint:nilerr // it says nothing of these bytes, under whatever name it was put
	}
	known := []sbom.Format{format, ""}
	for _, d := range r.Documents {
		if f := sbom.FormatOf(d.MediaType); !slices.Contains(known, f) {
			known, documents = append(known, f), append(documents, d)
		}
	}
	return documents, before.Spec.Bundle, nil
}

// referred names the document.
func (o *sbomOptions) referred(format sbom.Format, document []byte) (provenance.ReferredDocument, error) {
	d := provenance.ReferredDocument{SHA256: artifact.DigestOfText(string(document)), URI: o.location, MediaType: format.MediaType()}
	if d.URI == "" {
		raw, err := hex.DecodeString(string(d.SHA256))
		if err != nil {
			return d, err
		}
		d.URI = "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(raw)
	}
	return d, nil
}

// described is what an SBOM is about.
type described struct {
	// name is the location of what was sealed, or the image.
	name   string
	sha256 artifact.Digest
	of     provenance.DigestKind
	// ref is the image, if it is one.
	ref name.Digest
}

func (d described) stated() provenance.About { return provenance.About{Of: d.of, SHA256: d.sha256} }

// documented finds what the flags name among what was sealed, and gets its SBOM.
func (o *sbomOptions) documented(ctx context.Context, s *provenance.Statement) (described, []byte, error) {
	if o.image != "" {
		about, err := o.imageOf(s)
		if err != nil {
			return about, nil, err
		}
		document, err := o.ofImage(ctx, about)
		return about, document, err
	}
	if !o.syft {
		c, err := contentOf(ctx, o.artifact, strings.NewReader(""))
		if err != nil {
			return described{}, nil, err
		}
		about, err := o.sealedAs(s, c)
		if err != nil {
			return about, nil, err
		}
		document, err := o.given()
		return about, document, err
	}
	own, err := copied(ctx, o.artifact)
	if err != nil {
		return described{}, nil, err
	}
	defer own.remove()
	about, err := o.sealedAs(s, own.contents)
	if err != nil {
		return about, nil, err
	}
	document, err := o.scan(ctx, own.source(), about.name)
	return about, document, err
}

// given is the document in a file.
func (o *sbomOptions) given() ([]byte, error) {
	document, err := readBounded(o.document, sbom.MaxDocument)
	if err == nil && len(document) > sbom.MaxDocument {
		err = usage(fmt.Errorf("--sbom has more than %d bytes", sbom.MaxDocument))
	}
	return document, err
}

// sealedAs is the output that has these contents.
func (o *sbomOptions) sealedAs(s *provenance.Statement, c contents) (described, error) {
	var found described
	for _, subject := range s.Subjects {
		if subject.SHA256 != c.digest || o.of != "" && subject.Output != o.of || c.kind != kindUnknown && subject.Form.IsDirectory() != (c.kind == kindFolder) {
			continue
		}
		of := provenance.OfFile
		if subject.Form.IsDirectory() {
			of = provenance.OfTree
		}
		switch found.of {
		case "":
			found = described{name: subject.URI, sha256: c.digest, of: of}
		case of:
		default:
			return described{}, usage(fmt.Errorf("the step has sealed sha256:%s as a file and as a directory: say which, by --output", c.digest))
		}
	}
	if found.of != "" {
		return found, nil
	}
	which := "any output"
	if o.of != "" {
		which = "output " + o.of
	}
	return described{}, reason.New(reason.DigestMismatch, "the artifact is sha256:%s, and that is not what the step has sealed as %s", c.digest, which)
}
