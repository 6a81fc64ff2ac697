package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

func attestedBy(domain string) *v1alpha1.Attested {
	return &v1alpha1.Attested{Domain: domain, Builder: "https://builder.test", BuildType: "https://build.test/v1", Bundle: "{}"}
}

// modelsOf is a policy with so many entries, each about a place of its own.
func modelsOf(name string, n int) v1alpha1.ClusterProvenancePolicy {
	p := v1alpha1.ClusterProvenancePolicy{}
	p.Name, p.Spec.Allow = name, &v1alpha1.Allow{}
	for i := range n {
		p.Spec.Allow.S3 = append(p.Spec.Allow.S3, v1alpha1.S3Input{Location: fmt.Sprintf("s3://store/%s/%d", name, i), Content: v1alpha1.Content{Attested: attestedBy("theirs")}})
	}
	return p
}

func TestAnAttestedEntryIsSaidInFull(t *testing.T) {
	if p := modelsOf("m", maxAttested); CheckCluster(&p) != nil {
		t.Fatal(CheckCluster(&p))
	}
	long := strings.Repeat("x", maxAttestedName+1)
	for name, change := range map[string]func(*v1alpha1.Attested){
		"no domain":                func(a *v1alpha1.Attested) { a.Domain = "" },
		"any domain":               func(a *v1alpha1.Attested) { a.Domain = "*" },
		"the installation's own":   func(a *v1alpha1.Attested) { a.Domain = v1alpha1.DomainInstalled },
		"no builder":               func(a *v1alpha1.Attested) { a.Builder = "" },
		"no build type":            func(a *v1alpha1.Attested) { a.BuildType = "" },
		"no bundle":                func(a *v1alpha1.Attested) { a.Bundle = "" },
		"a long builder":           func(a *v1alpha1.Attested) { a.Builder = long },
		"a long build type":        func(a *v1alpha1.Attested) { a.BuildType = long },
		"a long subject":           func(a *v1alpha1.Attested) { a.Subject = long },
		"a bundle too large":       func(a *v1alpha1.Attested) { a.Bundle = strings.Repeat(" ", v1alpha1.MaxAttestation+1) },
		"a digest, too, of a file": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := modelsOf("m", 1)
			if change == nil {
				p.Spec.Allow.S3[0].SHA256 = digestA
			} else {
				change(p.Spec.Allow.S3[0].Attested)
			}
			if err := CheckCluster(&p); reason.Of(err) != reason.PolicyInvalid {
				t.Errorf("it says %v", err)
			}
			if _, err := NewSet("team", []v1alpha1.ClusterProvenancePolicy{p}, nil); reason.Of(err) != reason.PolicyInvalid {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// Each may cost a verification, so there are not many of a policy, nor about one input.
func TestAttestedEntriesAreBounded(t *testing.T) {
	p := modelsOf("m", maxAttested+1)
	if err := CheckCluster(&p); reason.Of(err) != reason.PolicyInvalid {
		t.Errorf("one policy: %v", err)
	}
	asked := 0
	look := func(v1alpha1.Attested) (Attestation, *reason.Error) {
		asked++
		return Attestation{SHA256: artifact.Digest(digestA)}, nil
	}
	same := func(name string, n int) v1alpha1.ClusterProvenancePolicy {
		p := modelsOf(name, n)
		for i := range p.Spec.Allow.S3 {
			p.Spec.Allow.S3[i].Location = "s3://store/b/same"
		}
		return p
	}
	for name, c := range map[string]struct {
		policies []v1alpha1.ClusterProvenancePolicy
		input    string
		want     reason.Code
	}{
		"too many about one input":             {[]v1alpha1.ClusterProvenancePolicy{same("a", maxAttested), same("b", 1)}, "s3://store/b/same", reason.PolicyInvalid},
		"the twin: as many as there may be":    {[]v1alpha1.ClusterProvenancePolicy{same("a", maxAttested-1), same("b", 1)}, "s3://store/b/same", ""},
		"the twin: each about another":         {[]v1alpha1.ClusterProvenancePolicy{modelsOf("a", maxAttested), modelsOf("b", maxAttested)}, "s3://store/b/3", ""},
		"the twin: and one that none is about": {[]v1alpha1.ClusterProvenancePolicy{same("a", maxAttested), same("b", maxAttested), modelsOf("c", 1)}, "s3://store/c/0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := NewSet("team", c.policies, nil)
			if err != nil {
				t.Fatal(err)
			}
			asked = 0
			a := set.External(External{URI: c.input}, look)
			if code := reason.Of(asError(a.Refusal)); code != c.want || a.Allowed != (c.want == "") || asked > maxAttested {
				t.Errorf("got %+v, asked %d times", a, asked)
			}
		})
	}
}

func asError(no *reason.Error) error {
	if no == nil {
		return nil
	}
	return no
}

// Only the entries that match are asked about, with the bundle that they have.
func TestOnlyEntriesThatMatchAreAskedAbout(t *testing.T) {
	p := modelsOf("m", 3)
	p.Spec.Allow.S3[1].Attested.Bundle = "the second"
	set, err := NewSet("team", []v1alpha1.ClusterProvenancePolicy{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	look := func(a v1alpha1.Attested) (Attestation, *reason.Error) {
		asked++
		if a != *p.Spec.Allow.S3[1].Attested {
			t.Errorf("asked about %+v", a)
		}
		return Attestation{SHA256: artifact.Digest(digestA)}, nil
	}
	if a := set.External(External{URI: "s3://store/m/1"}, look); !a.Allowed || a.SHA256 != artifact.Digest(digestA) || asked != 1 {
		t.Errorf("got %+v, asked %d times", a, asked)
	}
	if a := set.External(External{URI: "s3://store/m/7"}, look); a.Allowed || asked != 1 {
		t.Errorf("got %+v, asked %d times", a, asked)
	}
	for name, look := range map[string]Attests{
		"nobody looks":   nil,
		"nothing at all": func(v1alpha1.Attested) (Attestation, *reason.Error) { return Attestation{}, nil },
		"no digest":      func(v1alpha1.Attested) (Attestation, *reason.Error) { return Attestation{Tree: "abc"}, nil },
	} {
		if a := set.External(External{URI: "s3://store/m/1"}, look); a.Allowed {
			t.Errorf("%s: got %+v", name, a)
		}
	}
	// What may hold later says so itself.
	later := func(v1alpha1.Attested) (Attestation, *reason.Error) {
		return Attestation{}, reason.New(reason.TrustedRootNotReady, "")
	}
	if a := set.External(External{URI: "s3://store/m/1"}, later); a.Allowed || !a.Refusal.Code.Retryable() {
		t.Errorf("got %+v", a)
	}
}

// What others attest is pinned, whichever place it comes from: nothing lies there that could
// be anything.
func TestAttestedContentIsNotAnyContent(t *testing.T) {
	p := modelsOf("m", 1)
	outside := AnyContent([]v1alpha1.ClusterProvenancePolicy{p})
	l, err := artifact.NewObject("store", "m", "0")
	if err != nil {
		t.Fatal(err)
	}
	if outside(l) {
		t.Error("it is any content")
	}
	p.Spec.Allow.S3[0].Content = v1alpha1.Content{AnyContent: true}
	if !AnyContent([]v1alpha1.ClusterProvenancePolicy{p})(l) {
		t.Error("any content is not")
	}
}

func TestAPolicySaysWhichEntriesDoNotHold(t *testing.T) {
	p := modelsOf("m", 3)
	p.Spec.Allow.S3[1].Attested.Domain = "other"
	problems, of := Unattested(&p, func(a v1alpha1.Attested) *reason.Error {
		if a.Domain == "other" {
			return reason.New(reason.SignatureInvalid, "nobody signed it")
		}
		return nil
	})
	if of != 3 || len(problems) != 1 || problems[0] != "allow.s3[1]: SignatureInvalid: nobody signed it" {
		t.Errorf("got %q of %d", problems, of)
	}
	p.Spec.Allow.S3[0].Attested.Domain = ""
	if problems, of := Unattested(&p, nil); of != 0 || problems != nil {
		t.Errorf("of an invalid policy: %q of %d", problems, of)
	}
}
