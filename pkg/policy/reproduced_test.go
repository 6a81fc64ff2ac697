package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const asksOne = `require: {reproduced: {by: [rebuilder]}}`

// Whoever forgets to look, or shows nothing, is refused; and nobody looks where no policy
// asks.
func TestNobodyIsAdmittedWithoutLooking(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, asksOne), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, c := good()
	st.FinishedAt = now
	down := reason.New(reason.LookupFailed, "down")
	for name, tc := range map[string]struct {
		look Remade
		want reason.Code
	}{
		"nobody looks":    {nil, reason.Internal},
		"nothing is seen": {func(*ReproductionCase) *reason.Error { return nil }, reason.ReproductionMissing},
		"it fails":        {func(*ReproductionCase) *reason.Error { return down }, reason.LookupFailed},
		"another domain":  {func(c *ReproductionCase) *reason.Error { c.Show("other", "k", nil); return nil }, reason.ReproductionMissing},
		"the right one":   {func(c *ReproductionCase) *reason.Error { c.Show("rebuilder", "k", nil); return nil }, ""},
		"a caveat":        {func(c *ReproductionCase) *reason.Error { c.Show("rebuilder", "k", []string{"x"}); return nil }, reason.ReproductionMissing},
	} {
		v := set.Sealed(st, nil, Others{Remade: tc.look}, c, now)
		if v.Allowed != (tc.want == "") || !v.Allowed && v.Refusal.Code != tc.want {
			t.Errorf("%s: %+v", name, v)
		}
		m := manifest()
		m.Others.Remade = tc.look
		if no := set.others(m.Others); (no == nil) != (tc.want == "") {
			t.Errorf("%s, of an image: %v", name, no)
		}
	}
	looked := func(*ReproductionCase) *reason.Error { t.Error("somebody looks"); return down }
	if v := none(t).Sealed(st, nil, Others{Remade: looked}, c, now); !v.Allowed {
		t.Errorf("where no policy asks: %+v", v)
	}
	var zero ReproductionCase
	if zero.Settled() || zero.Refusal() == nil || (*ReproductionCase)(nil).Refusal() == nil {
		t.Error("the zero value admits")
	}
}

// A refusal says who asks, whom, and why each has not been enough.
func TestARefusalSaysWhoHasNotMadeItAgain(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, `require: {reproduced: {by: [one, two]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	no := set.remade(func(c *ReproductionCase) *reason.Error {
		c.Reject("one", reason.New(reason.SignatureInvalid, "the bundle names the key x"))
		c.Reject("two", errors.New(strings.Repeat("long ", 1000)))
		return nil
	})
	for _, want := range []string{"ClusterProvenancePolicy c", "one or two", "domain one: SignatureInvalid: the bundle names the key x", "domain two: long", "--publish"} {
		if !strings.Contains(no.Error(), want) {
			t.Errorf("%q lacks %q", no.Error(), want)
		}
	}
	if n := len(no.Detail); n > 1000 {
		t.Errorf("it has %d bytes", n)
	}
}

// A key that a Revocation names counts for nothing here, too.
func TestWhoseKeyIsRevokedHasMadeNothingAgain(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, asksOne), nil)
	if err != nil {
		t.Fatal(err)
	}
	show := func(c *ReproductionCase) *reason.Error { c.Show("rebuilder", "stolen", nil); return nil }
	if no := set.remade(show); no != nil {
		t.Fatal(no)
	}
	set = set.Revoking([]v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{"stolen"}}}})
	if no := set.remade(show); no == nil || !strings.Contains(no.Detail, "Revoked: signing key stolen") {
		t.Errorf("with a key that is revoked: %v", no)
	}
}

// Each domain may cost a read for each input, and tenants write policies, too.
func TestPoliciesNameSoManyDomainsAtMost(t *testing.T) {
	var own []v1alpha1.ProvenancePolicy
	for i := range maxAllBy + 1 {
		p := ownOf(t, fmt.Sprintf(`require: {reproduced: {by: [d%d]}}`, i))
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
