package evidence

import (
	"context"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/verify"
)

// SBOMCase is a seal of which policies want an SBOM of what it is about.
type SBOMCase interface {
	// Wanted are the domains whose statements may count.
	Wanted() []string
	// Settled says whether no further statement changes anything.
	Settled() bool
	// Show shows a statement that holds, and Reject says why there is none.
	Show(domain, key string, formats []sbom.Format)
	Reject(domain string, why error)
}

// Described shows the case what others have signed about SBOMs of these bytes, as one of the
// things that they are, in the namespace of the seal. The refusal is for what could not be
// read; whether the case is satisfied, it says itself.
func (v *View) Described(ctx context.Context, namespace string, sha256 artifact.Digest, as []provenance.DigestKind, c SBOMCase) *reason.Error {
	for _, of := range as {
		for _, domain := range c.Wanted() {
			if c.Settled() {
				return nil
			}
			about := provenance.About{Of: of, SHA256: sha256}
			found, no := v.sbom(ctx, namespace, about, domain)
			switch {
			case no != nil:
				return no
			case found.why != nil:
				c.Reject(domain, found.why)
				continue
			}
			if formats := found.facts.Speaks(about); len(formats) > 0 {
				c.Show(domain, found.key, formats)
			} else {
				c.Reject(domain, reason.New(reason.SubjectMismatch, "its SBOM is about something else than this %s, or what it names is none", of))
			}
		}
	}
	return nil
}

// DigestsOf says as what an SBOM may be about a sealed artifact: a directory by its tree, and
// a file as itself, or as the image whose manifest it is, which no archive can be.
func DigestsOf(form content.Form) []provenance.DigestKind {
	switch {
	case form.IsDirectory():
		return []provenance.DigestKind{provenance.OfTree}
	case form == content.FormFile:
		return []provenance.DigestKind{provenance.OfFile, provenance.OfImage}
	}
	return []provenance.DigestKind{provenance.OfFile}
}

// sbom is what a domain has signed about an SBOM of these bytes.
func (v *View) sbom(ctx context.Context, namespace string, about provenance.About, domain string) (found[provenance.DocumentReference], *reason.Error) {
	return readPublished(ctx, v, published[provenance.DocumentReference]{
		kind: "SBOM", missing: reason.SBOMMissing, none: " of this " + string(about.Of), most: v1alpha1.MaxSBOM,
		get: func(ctx context.Context, namespace, name string) (string, bool, error) {
			s, err := v.source.SBOM(ctx, namespace, name)
			if s == nil || err != nil {
				return "", false, err
			}
			return s.Spec.Bundle, true, nil
		},
		may: (*verify.Signed).MayDescribe, parse: provenance.ParseReference, read: v.sboms,
	}, namespace, v1alpha1.SBOMName(string(about.SHA256), string(about.Of), domain), domain)
}
