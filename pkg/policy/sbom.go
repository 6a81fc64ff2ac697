package policy

import (
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

// sbomBy is what a policy asks of SBOMs; the zero value asks nothing.
type sbomBy struct {
	domains []string
	// formats that count, never empty where there are domains.
	formats []sbom.Format
}

func readSBOM(r *v1alpha1.SBOMBy) (sbomBy, error) {
	if r == nil {
		return sbomBy{}, nil
	}
	if err := checkBy(r.By); err != nil {
		return sbomBy{}, err
	}
	if r.Formats == nil {
		return sbomBy{r.By, sbom.Formats}, nil
	}
	if len(r.Formats) == 0 {
		return sbomBy{}, fmt.Errorf("formats: an empty list is none, and no list at all is both")
	}
	out := sbomBy{domains: r.By}
	for _, name := range r.Formats {
		f := sbom.Format(name)
		if !slices.Contains(sbom.Formats, f) || slices.Contains(out.formats, f) {
			return sbomBy{}, fmt.Errorf("formats: %.80q is none, or is given twice", name)
		}
		out.formats = append(out.formats, f)
	}
	return out, nil
}

func describers(r required) []string { return r.sbom.domains }

// describers are all domains that policies name for SBOMs, each once, sorted.
func (s Set) describers() []string { return s.domains(describers) }

// Described looks for statements that there is an SBOM of what a seal is about, and shows
// them to the case. It is only asked where a policy wants one.
type Described func(*SBOMCase) *reason.Error

// described is the refusal for a seal of which a policy wants an SBOM.
func (s Set) described(look Described) *reason.Error {
	c := &SBOMCase{s.asking(describers)}
	switch {
	case len(c.open) == 0:
		return nil
	case look == nil:
		return reason.New(reason.Internal, "nobody looks for SBOMs")
	}
	if no := look(c); no != nil {
		return no
	}
	return c.Refusal()
}

// SBOMCase is one seal before the policies that want an SBOM of what it is about.
// Statements are shown to it, until it is settled. The zero value refuses.
type SBOMCase struct{ byOthers }

// Show shows a verified statement of a domain that there are SBOMs in these formats of just
// the bytes that are to be admitted, and the hint of the key that signed it.
func (c *SBOMCase) Show(domain, key string, formats []sbom.Format) {
	held := c.satisfy(domain, key, func(r required) bool {
		return slices.ContainsFunc(formats, func(f sbom.Format) bool { return slices.Contains(r.sbom.formats, f) })
	})
	if held && len(c.open) > 0 {
		c.Reject(domain, fmt.Errorf("it has one in %v", formats))
	}
}

// Refusal is the result once no more statements come: nil admits.
func (c *SBOMCase) Refusal() *reason.Error {
	if c == nil {
		return errNotRead
	}
	return c.refusal(reason.SBOMMissing, func(r required) string { return fmt.Sprintf("for an SBOM in %v", r.sbom.formats) })
}
