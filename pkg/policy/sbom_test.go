package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

const asksSBOM = `require: {sbom: {by: [scanner], formats: [spdx]}}`

// Whoever forgets to look, or shows nothing, is refused; and nobody looks where no policy
// asks.
func TestNobodyIsAdmittedWithoutAnSBOM(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, asksSBOM), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, c := good()
	st.FinishedAt = now
	down := reason.New(reason.LookupFailed, "down")
	shows := func(domain string, formats ...sbom.Format) Described {
		return func(c *SBOMCase) *reason.Error { c.Show(domain, "k", formats); return nil }
	}
	for name, tc := range map[string]struct {
		look Described
		want reason.Code
	}{
		"nobody looks":    {nil, reason.Internal},
		"nothing is seen": {func(*SBOMCase) *reason.Error { return nil }, reason.SBOMMissing},
		"it fails":        {func(*SBOMCase) *reason.Error { return down }, reason.LookupFailed},
		"another domain":  {shows("other", sbom.SPDX), reason.SBOMMissing},
		"no format":       {shows("scanner"), reason.SBOMMissing},
		"another format":  {shows("scanner", sbom.CycloneDX), reason.SBOMMissing},
		"the right one":   {shows("scanner", sbom.CycloneDX, sbom.SPDX), ""},
	} {
		v := set.Sealed(st, nil, Others{Described: tc.look}, c, now)
		if v.Allowed != (tc.want == "") || !v.Allowed && v.Refusal.Code != tc.want {
			t.Errorf("%s: %+v", name, v)
		}
		if no := set.others(Others{Described: tc.look}); (no == nil) != (tc.want == "") {
			t.Errorf("%s, of an image: %v", name, no)
		}
	}
	looked := func(*SBOMCase) *reason.Error { t.Error("somebody looks"); return down }
	if v := none(t).Sealed(st, nil, Others{Described: looked}, c, now); !v.Allowed {
		t.Errorf("where no policy asks: %+v", v)
	}
	var zero SBOMCase
	if zero.Settled() || zero.Refusal() == nil || (*SBOMCase)(nil).Refusal() == nil || zero.Wanted() != nil {
		t.Error("the zero value admits")
	}
}

// Without formats both count; and a refusal says who asks, whom, for what, and why each has
// not been enough.
func TestARefusalSaysWhoHasNoSBOM(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, `require: {sbom: {by: [one, two]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	no := set.described(func(c *SBOMCase) *reason.Error {
		c.Reject("one", reason.New(reason.SignatureInvalid, "the bundle names the key x"))
		c.Show("two", "k", nil)
		return nil
	})
	for _, want := range []string{"ClusterProvenancePolicy c", "one or two", "[spdx cyclonedx]", "domain one: SignatureInvalid: the bundle names the key x", "domain two: it has one in []", "argoseal sbom --publish"} {
		if !strings.Contains(no.Error(), want) {
			t.Errorf("%q lacks %q", no.Error(), want)
		}
	}
	for _, f := range sbom.Formats {
		if no := set.described(func(c *SBOMCase) *reason.Error { c.Show("two", "k", []sbom.Format{f}); return nil }); no != nil {
			t.Errorf("%s: %v", f, no)
		}
	}
}

// A key that a Revocation names counts for nothing here, too.
func TestWhoseKeyIsRevokedHasNoSBOM(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, asksSBOM), nil)
	if err != nil {
		t.Fatal(err)
	}
	show := func(c *SBOMCase) *reason.Error { c.Show("scanner", "stolen", sbom.Formats); return nil }
	if no := set.described(show); no != nil {
		t.Fatal(no)
	}
	set = set.Revoking([]v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{"stolen"}}}})
	if no := set.described(show); no == nil || !strings.Contains(no.Detail, "Revoked: signing key stolen") {
		t.Errorf("with a key that is revoked: %v", no)
	}
}

// Each domain may cost a read for each input, and tenants write policies, too.
func TestPoliciesNameSoManyDomainsForSBOMsAtMost(t *testing.T) {
	var own []v1alpha1.ProvenancePolicy
	for i := range maxAllBy + 1 {
		p := ownOf(t, fmt.Sprintf(`require: {sbom: {by: [d%d]}}`, i))
		p[0].Name = fmt.Sprintf("p%d", i)
		own = append(own, p...)
	}
	if _, err := NewSet("team", nil, own[:maxAllBy]); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	if _, err := NewSet("team", nil, own); reason.Of(err) != reason.PolicyInvalid {
		t.Errorf("one more: %v", err)
	}
}
