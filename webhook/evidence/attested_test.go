package evidence

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

const sealedAt = "s3://minio:9000/artifacts/a/b.tgz"

var fileA = artifact.Digest(strings.Repeat("a", 64))

// others are who attests beside this cluster's notary: GitHub under certificates in a Rekor
// v1, Chains with a key in a Rekor v2, and the notary of another cluster.
type others struct {
	home, chains, rome *sealtest.Notary
	authority          *sealtest.Authority
	github             *sealtest.LogV1
	domains            map[string]verify.Domain
}

func newOthers(t *testing.T) *others {
	t.Helper()
	o := &others{home: sealtest.NewNotary(t), chains: sealtest.NewNotary(t), rome: sealtest.NewNotary(t), authority: sealtest.NewAuthority(t), github: sealtest.NewLogV1(t)}
	o.github.Time = time.Now().Add(-time.Minute)
	raw, err := json.Marshal(verify.Rules{
		Attests:    []string{sealtest.GitHubBuilder},
		Identities: []verify.IdentityRule{{Issuer: sealtest.GitHubIssuer, Subject: sealtest.GitHubBuilder}},
	})
	check(t, err)
	github, err := verify.ParseDomain("github", verify.Sources{
		TrustedRoot: o.authority.TrustedRoot(t, o.github.TrustedRoot, sealtest.Trust{Certificates: true}), Rules: raw,
	})
	check(t, err)
	home, chains, rome := o.home.Domain(t, v1alpha1.DomainInstalled), o.chains.Domain(t, "chains"), o.rome.Domain(t, "rome")
	home.Builders, chains.Attests, rome.Builders = verify.BuildersOf("home"), []string{sealtest.ChainsBuilder}, verify.BuildersOf("test")
	o.domains = map[string]verify.Domain{"home": home, "github": github, "chains": chains, "rome": rome}
	return o
}

func (o *others) root(t *testing.T) *verify.Root {
	t.Helper()
	r, err := verify.New(o.domains["home"])
	check(t, err)
	for _, name := range []string{"github", "chains", "rome"} {
		if d, ok := o.domains[name]; ok {
			r, err = r.With(d)
			check(t, err)
		}
	}
	return r
}

// attest is a bundle as GitHub's client writes it.
func (o *others) attest(t *testing.T, payload []byte) *protobundle.Bundle {
	t.Helper()
	certificate, key := o.authority.Certify(t, sealtest.GitHubIssuer, sealtest.GitHubBuilder, o.github.Time.Add(-time.Minute))
	b := sealtest.Certified(t, o.github, certificate, key, payload)
	b.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{}
	return b
}

func (o *others) ofGitHub(t *testing.T) v1alpha1.Attested {
	t.Helper()
	return v1alpha1.Attested{
		Domain: "github", Builder: sealtest.GitHubBuilder, BuildType: sealtest.GitHubBuildType,
		Bundle: string(sealtest.JSON(t, o.attest(t, sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: fileA})))),
	}
}

func (o *others) ofChains(t *testing.T) v1alpha1.Attested {
	t.Helper()
	return v1alpha1.Attested{
		Domain: "chains", Builder: sealtest.ChainsBuilder, BuildType: sealtest.ChainsBuildType, Subject: "model.bin",
		Bundle: string(o.chains.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "other.bin", SHA256: artifact.DigestOfText("other")}, sealtest.Built{Name: "model.bin", SHA256: fileA}))),
	}
}

// seals is a seal of another cluster's, of a step with such facts.
func (o *others) seals(t *testing.T, by *sealtest.Notary, change func(*provenance.Facts)) v1alpha1.Attested {
	t.Helper()
	f := sealtest.Facts(sealedAt, fileA)
	if change != nil {
		change(&f)
	}
	payload, err := provenance.Build(f)
	check(t, err)
	return v1alpha1.Attested{Domain: "rome", Builder: f.Builder.ID(), BuildType: provenance.BuildType, Bundle: string(by.Bundle(t, payload))}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatOthersAttestIsPinned(t *testing.T) {
	o := newOthers(t)
	seal := o.seals(t, o.rome, nil)
	named := seal
	named.Subject = sealedAt
	for name, c := range map[string]struct {
		of   v1alpha1.Attested
		want Attested
	}{
		"GitHub, under a certificate":          {o.ofGitHub(t), Attested{SHA256: fileA}},
		"Chains, with a key":                   {o.ofChains(t), Attested{SHA256: fileA, KeyHint: o.chains.Signer.Hint()}},
		"the seal of another cluster":          {seal, Attested{Tree: artifact.Digest(strings.Repeat("1", 64)), KeyHint: o.rome.Signer.Hint()}},
		"the seal of another cluster, by name": {named, Attested{Tree: artifact.Digest(strings.Repeat("1", 64)), KeyHint: o.rome.Signer.Hint()}},
	} {
		t.Run(name, func(t *testing.T) {
			got, no := NewVerified(1<<20).Attested(o.root(t), c.of, time.Now())
			if no != nil {
				t.Fatal(no)
			}
			if ours := got.Statement != nil; ours != (c.of.Domain == "rome") {
				t.Errorf("the statement is %v", got.Statement)
			}
			if ours := got.Subject.URI == sealedAt && got.Subject.SHA256 != ""; ours != (c.of.Domain == "rome") {
				t.Errorf("the subject is %v", got.Subject)
			}
			got.Statement, got.Subject = nil, provenance.Subject{}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Each of these has a twin above that holds.
func TestWhatOthersAttestHasToHold(t *testing.T) {
	o := newOthers(t)
	stranger := sealtest.NewNotary(t)
	with := func(of v1alpha1.Attested, change func(*v1alpha1.Attested)) v1alpha1.Attested {
		change(&of)
		return of
	}
	spoilt := func(change func(*protobundle.Bundle)) v1alpha1.Attested {
		of := o.ofGitHub(t)
		b := sealtest.Bundle(t, []byte(of.Bundle))
		change(b)
		of.Bundle = string(sealtest.JSON(t, b))
		return of
	}
	states := func(payload string) v1alpha1.Attested {
		of := o.ofGitHub(t)
		of.Bundle = string(sealtest.JSON(t, o.attest(t, []byte(payload))))
		return of
	}
	github := string(sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: fileA}))
	evil := "https://github.com/acme/model/.github/workflows/evil.yml@refs/heads/main"
	for name, c := range map[string]struct {
		of   v1alpha1.Attested
		want reason.Code
	}{
		"another builder":                               {with(o.ofChains(t), func(of *v1alpha1.Attested) { of.Builder = sealtest.GitHubBuilder }), reason.BuilderNotTrusted},
		"a builder in other letters":                    {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Builder = strings.ToUpper(of.Builder) }), reason.BuilderNotTrusted},
		"a builder for which the domain does not speak": {with(states(strings.Replace(github, sealtest.GitHubBuilder, evil, 1)), func(of *v1alpha1.Attested) { of.Builder = evil }), reason.BuilderNotTrusted},
		"a statement of another builder":                {states(strings.Replace(github, sealtest.GitHubBuilder, evil, 1)), reason.BuilderNotTrusted},
		"another build type":                            {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.BuildType += "1" }), reason.StatementInvalid},
		"another domain":                                {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Domain = "chains" }), reason.BuilderNotTrusted},
		"a domain that is not there":                    {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Domain = "gitlab" }), reason.BuilderNotTrusted},
		"a signer whom nobody trusts": {with(o.ofChains(t), func(of *v1alpha1.Attested) {
			of.Bundle = string(stranger.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "model.bin", SHA256: fileA})))
		}), reason.SignatureInvalid},
		"another subject": {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Subject = "other.bin" }), reason.SubjectMismatch},
		"one of several":  {with(o.ofChains(t), func(of *v1alpha1.Attested) { of.Subject = "" }), reason.SubjectMismatch},
		"another payload": {spoilt(func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().Payload = []byte(strings.Replace(github, "aaaa", "bbbb", 1))
		}), reason.SignatureInvalid},
		"another signature": {spoilt(func(b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures[0].Sig[8] ^= 1 }), reason.SignatureInvalid},
		"no entry of a log": {spoilt(func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }), reason.LogEntryInvalid},
		"many signatures": {spoilt(func(b *protobundle.Bundle) {
			e := b.GetDsseEnvelope()
			e.Signatures = append(e.Signatures, e.Signatures[0])
		}), reason.BundleInvalid},
		"many entries of logs": {spoilt(func(b *protobundle.Bundle) {
			m := b.GetVerificationMaterial()
			for range 4 {
				m.TlogEntries = append(m.TlogEntries, m.TlogEntries[0])
			}
		}), reason.BundleInvalid},
		"no bundle":                     {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Bundle = "{}" }), reason.BundleInvalid},
		"a bundle that is too large":    {with(o.ofGitHub(t), func(of *v1alpha1.Attested) { of.Bundle += strings.Repeat(" ", v1alpha1.MaxAttestation) }), reason.BundleInvalid},
		"a statement that is too large": {states(strings.Replace(github, "model.bin", strings.Repeat("m", 49<<10), 1)), reason.BundleInvalid},
		"an unknown predicate":          {states(strings.Replace(github, "https://slsa.dev/provenance/v1", "https://spdx.dev/Document", 1)), reason.StatementInvalid},

		// Ours is not theirs, and theirs is not ours.
		"our own seal as theirs": {with(o.seals(t, o.rome, nil), func(of *v1alpha1.Attested) {
			of.Builder, of.BuildType = sealtest.ChainsBuilder, sealtest.ChainsBuildType
		}), reason.BuilderNotTrusted},
		"our own seal by who attests for another": {with(o.ofChains(t), func(of *v1alpha1.Attested) {
			of.Bundle = string(o.chains.Bundle(t, sealtest.Payload(t, sealedAt, fileA)))
		}), reason.StatementInvalid},
		"a seal by who may only attest": {with(o.seals(t, o.chains, nil), func(of *v1alpha1.Attested) { of.Domain = "chains" }), reason.BuilderNotTrusted},
		"theirs as a seal of another cluster": {with(o.seals(t, o.rome, nil), func(of *v1alpha1.Attested) {
			of.Bundle = string(o.rome.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "x", SHA256: fileA})))
		}), reason.StatementInvalid},
		"theirs by another cluster's notary": {with(o.ofChains(t), func(of *v1alpha1.Attested) {
			of.Domain = "rome"
			of.Bundle = string(o.rome.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "model.bin", SHA256: fileA})))
		}), reason.BuilderNotTrusted},
		"a seal of this cluster's":  {o.seals(t, o.home, func(f *provenance.Facts) { f.Builder.Cluster = "home" }), reason.BuilderNotTrusted},
		"a seal of another level":   {with(o.seals(t, o.rome, nil), func(of *v1alpha1.Attested) { of.Builder = strings.Replace(of.Builder, "observed", "isolated", 1) }), reason.BuilderNotTrusted},
		"a seal of another version": {with(o.seals(t, o.rome, nil), func(of *v1alpha1.Attested) { of.BuildType = strings.TrimSuffix(of.BuildType, "2") + "1" }), reason.StatementInvalid},
		"a seal of another place":   {with(o.seals(t, o.rome, nil), func(of *v1alpha1.Attested) { of.Subject = sealedAt + "x" }), reason.SubjectMismatch},
		"a seal of a step that failed": {o.seals(t, o.rome, func(f *provenance.Facts) {
			f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
		}), reason.ProducerFailed},
		"a seal of a laxer mode": {o.seals(t, o.rome, func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit }), reason.ModeTooLow},
	} {
		t.Run(name, func(t *testing.T) {
			if got, no := NewVerified(1<<20).Attested(o.root(t), c.of, time.Now()); no == nil || no.Code != c.want || got != (Attested{}) {
				t.Errorf("got %+v, %v, want %s", got, no, c.want)
			}
		})
	}
}

// Of an attestation of GitHub's the issuer, the workflow whose certificate it is, the kind of
// predicate and the digest have to be the very ones, whatever the statement says of itself.
func TestGitHubsAttestationsAreByTheVeryWorkflow(t *testing.T) {
	o := newOthers(t)
	payload := sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: fileA})
	by := func(issuer, subject string, payload []byte) v1alpha1.Attested {
		certificate, key := o.authority.Certify(t, issuer, subject, o.github.Time.Add(-time.Minute))
		of := o.ofGitHub(t)
		of.Bundle = string(sealtest.JSON(t, sealtest.Certified(t, o.github, certificate, key, payload)))
		return of
	}
	got, no := NewVerified(1<<20).Attested(o.root(t), by(sealtest.GitHubIssuer, sealtest.GitHubBuilder, payload), time.Now())
	if no != nil || got != (Attested{SHA256: fileA}) {
		t.Fatalf("what is genuine: got %+v, %v", got, no)
	}
	workflow := func(from, to string) string {
		t.Helper()
		other := strings.Replace(sealtest.GitHubBuilder, from, to, 1)
		if other == sealtest.GitHubBuilder {
			t.Fatalf("%s is not in %s", from, other)
		}
		return other
	}
	spdx := []byte(strings.Replace(string(payload), "https://slsa.dev/provenance/v1", "https://spdx.dev/Document", 1))
	for name, c := range map[string]struct {
		of   v1alpha1.Attested
		want reason.Code
	}{
		"another issuer":                     {by("https://gitlab.com", sealtest.GitHubBuilder, payload), reason.SignatureInvalid},
		"an issuer of an enterprise of its":  {by(sealtest.GitHubIssuer+"/acme", sealtest.GitHubBuilder, payload), reason.SignatureInvalid},
		"another workflow of the repository": {by(sealtest.GitHubIssuer, workflow("release.yml", "pr.yml"), payload), reason.SignatureInvalid},
		"another branch":                     {by(sealtest.GitHubIssuer, workflow("heads/main", "pull/1/merge"), payload), reason.SignatureInvalid},
		"another repository of the owner":    {by(sealtest.GitHubIssuer, workflow("acme/model", "acme/model2"), payload), reason.SignatureInvalid},
		"another owner":                      {by(sealtest.GitHubIssuer, workflow("acme/", "acme2/"), payload), reason.SignatureInvalid},
		"another predicate":                  {by(sealtest.GitHubIssuer, sealtest.GitHubBuilder, spdx), reason.StatementInvalid},
	} {
		if got, no := NewVerified(1<<20).Attested(o.root(t), c.of, time.Now()); no == nil || no.Code != c.want || got != (Attested{}) {
			t.Errorf("%s: got %+v, %v, want %s", name, got, no, c.want)
		}
	}
	// The digest that is pinned is the one that was attested.
	other := by(sealtest.GitHubIssuer, sealtest.GitHubBuilder, sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: artifact.DigestOfText("other")}))
	if got, no := NewVerified(1<<20).Attested(o.root(t), other, time.Now()); no != nil || got.SHA256 != artifact.DigestOfText("other") {
		t.Errorf("another digest: got %+v, %v", got, no)
	}
}

// Who signs and who logs count for a time.
func TestWhatOthersAttestEndsWithTheirTime(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *others)
		of     func(*others, *testing.T) v1alpha1.Attested
		want   reason.Code
	}{
		"all count":                   {func(*testing.T, *others) {}, (*others).ofChains, ""},
		"a key that has ended":        {func(_ *testing.T, o *others) { o.domains["chains"].Keys[0].End = time.Now().Add(-time.Minute) }, (*others).ofChains, reason.SignerExpired},
		"a stolen key":                {func(_ *testing.T, o *others) { o.domains["chains"].Keys[0].Compromised = time.Now().Add(time.Hour) }, (*others).ofChains, reason.SignerCompromised},
		"an identity that has ended":  {func(_ *testing.T, o *others) { o.domains["github"].Identities[0].End = time.Now().Add(-time.Hour) }, (*others).ofGitHub, reason.SignerExpired},
		"an identity that ends later": {func(_ *testing.T, o *others) { o.domains["github"].Identities[0].End = time.Now().Add(time.Hour) }, (*others).ofGitHub, ""},
		"a log that has ended": {func(t *testing.T, o *others) {
			d := o.domains["github"]
			o.github.Log.ValidityPeriodEnd = o.github.Time.Add(-time.Hour)
			d.TrustedRoot = o.authority.TrustedRoot(t, sealtest.TrustedRootOf(t, o.github.Log), sealtest.Trust{Certificates: true})
			o.domains["github"] = d
		}, (*others).ofGitHub, reason.SignatureInvalid},
		"a log that the domain does not trust": {func(t *testing.T, o *others) {
			d := o.domains["github"]
			d.TrustedRoot = o.authority.TrustedRoot(t, sealtest.NewLogV1(t).TrustedRoot, sealtest.Trust{Certificates: true})
			o.domains["github"] = d
		}, (*others).ofGitHub, reason.LogEntryInvalid},
		"fewer logs than the domain asks for": {func(t *testing.T, o *others) {
			d := o.domains["github"]
			d.TrustedRoot = o.authority.TrustedRoot(t, sealtest.TrustedRootOf(t, o.github.Log, sealtest.NewLogV1(t).TrustedRoot), sealtest.Trust{Certificates: true})
			d.Logs = 2
			o.domains["github"] = d
		}, (*others).ofGitHub, reason.LogEntryInvalid},
		"an authority that the domain does not trust": {func(t *testing.T, o *others) {
			d := o.domains["github"]
			d.TrustedRoot = sealtest.NewAuthority(t).TrustedRoot(t, o.github.TrustedRoot, sealtest.Trust{Certificates: true})
			o.domains["github"] = d
		}, (*others).ofGitHub, reason.SignatureInvalid},
		"a domain that is there no more": {func(_ *testing.T, o *others) { delete(o.domains, "chains") }, (*others).ofChains, reason.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOthers(t)
			of := c.of(o, t)
			c.change(t, o)
			_, no := NewVerified(1<<20).Attested(o.root(t), of, time.Now())
			if got := reason.Of(errorOf(no)); got != c.want {
				t.Errorf("got %v, want %q", no, c.want)
			}
		})
	}
}

func errorOf(no *reason.Error) error {
	if no == nil {
		return nil
	}
	return no
}

type countingOthers struct {
	Verifier
	calls int
}

func (c *countingOthers) Others(bundle []byte, domain string) (*verify.Signed, error) {
	c.calls++
	return c.Verifier.Others(bundle, domain)
}

// A bundle is verified once a minute under each root, whether it holds or not; each entry
// is another case.
func TestWhatOthersAttestIsRememberedForAMinute(t *testing.T) {
	o := newOthers(t)
	good, at := o.ofChains(t), time.Date(2026, 12, 2, 10, 0, 5, 0, time.UTC)
	bad := good
	bad.BuildType = "another"
	verified, root := NewVerified(1<<20), &countingOthers{Verifier: o.root(t)}
	for range 3 {
		if a, no := verified.Attested(root, good, at); no != nil || a.SHA256 != fileA {
			t.Fatalf("got %+v, %v", a, no)
		}
		if a, no := verified.Attested(root, bad, at); no == nil || a != (Attested{}) {
			t.Fatalf("got %+v, %v", a, no)
		}
	}
	if root.calls != 2 {
		t.Errorf("two entries were verified %d times", root.calls)
	}
	if _, no := verified.Attested(root, good, at.Add(time.Minute)); no != nil || root.calls != 3 {
		t.Errorf("a minute later it says %v, and was verified %d times", no, root.calls)
	}
	delete(o.domains, "chains")
	if _, no := verified.Attested(o.root(t), good, at); no == nil {
		t.Error("what one root accepts, another was not asked about")
	}
	if _, no := verified.Attested(nil, good, at); no == nil || no.Code != reason.TrustedRootNotReady {
		t.Errorf("without a root it says %v", no)
	}
}

// slowOthers takes its time.
type slowOthers struct {
	Verifier
	calls atomic.Int32
}

func (c *slowOthers) Others(bundle []byte, domain string) (*verify.Signed, error) {
	c.calls.Add(1)
	time.Sleep(200 * time.Millisecond)
	return c.Verifier.Others(bundle, domain)
}

// A minute begins for all pods at once. The twin: another entry is another case.
func TestWhatManyAskAtOnceIsVerifiedOnce(t *testing.T) {
	o := newOthers(t)
	good, at := o.ofChains(t), time.Date(2026, 12, 2, 10, 0, 5, 0, time.UTC)
	bad := good
	bad.BuildType = "another"
	verified, root := NewVerified(1<<20), &slowOthers{Verifier: o.root(t)}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if a, no := verified.Attested(root, good, at); no != nil || a.SHA256 != fileA {
				t.Errorf("got %+v, %v", a, no)
			}
		})
		all.Go(func() {
			if a, no := verified.Attested(root, bad, at); no == nil || a != (Attested{}) {
				t.Errorf("got %+v, %v", a, no)
			}
		})
	}
	all.Wait()
	if n := root.calls.Load(); n != 2 {
		t.Errorf("two entries were verified %d times", n)
	}
}
