package verify_test

import (
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// certified is a cluster whose notary signs under certificates.
type certified struct {
	name      string
	authority *sealtest.Authority
	log       seal.Log
	trusted   []byte
}

var both = sealtest.Trust{Certificates: true, Timestamps: true}

func newCertified(t *testing.T, name string) certified {
	t.Helper()
	log := sealtest.NewLog(t)
	authority := sealtest.NewAuthority(t)
	return certified{name, authority, log, authority.TrustedRoot(t, log.TrustedRoot, both)}
}

func (c certified) domain(t *testing.T, identities ...verify.IdentityRule) verify.Domain {
	t.Helper()
	if identities == nil {
		identities = []verify.IdentityRule{{Issuer: sealtest.Issuer, Subject: sealtest.Subject}}
	}
	raw, err := json.Marshal(verify.Rules{Builders: verify.BuildersOf(c.name), Identities: identities})
	if err != nil {
		t.Fatal(err)
	}
	d, err := verify.ParseDomain(c.name, verify.Sources{TrustedRoot: c.trusted, Rules: raw})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seal is a seal of the cluster's, with a timestamp, under a certificate of then.
func (c certified) seal(t *testing.T, issuer, subject string, from time.Time) *protobundle.Bundle {
	t.Helper()
	facts := sealtest.Facts(uri, digest("a"))
	facts.Builder.Cluster = c.name
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := c.authority.Certify(t, issuer, subject, from)
	b := sealtest.Certified(t, c.log, certificate, key, payload)
	b.VerificationMaterial.TimestampVerificationData = c.authority.Timestamp(t, b.GetDsseEnvelope().GetSignatures()[0].GetSig())
	return b
}

func (c certified) now(t *testing.T) *protobundle.Bundle {
	t.Helper()
	return c.seal(t, sealtest.Issuer, sealtest.Subject, time.Now().Add(-time.Minute))
}

// A certificate that was good when an authority saw the signature makes a seal, for ever;
// one that was not, or is somebody else's, makes none.
func TestASealUnderACertificateCounts(t *testing.T) {
	home, abroad := newCertified(t, "home"), newCertified(t, "abroad")
	root := rootOf(t, home.domain(t))
	good := home.now(t)
	result, err := root.Inspect(sealtest.JSON(t, good))
	if err != nil || result.Identity != sealtest.Subject || result.KeyHint != "" || result.Domain != "home" || time.Since(result.Proven).Abs() > time.Minute {
		t.Fatalf("got %+v, %v", result, err)
	}
	later := root.At(func() time.Time { return time.Now().AddDate(3, 0, 0) })
	if _, err := later.Inspect(sealtest.JSON(t, good)); err != nil {
		t.Errorf("in three years: %v", err)
	}
	if _, err := rootOf(t, home.domain(t, verify.IdentityRule{Issuer: sealtest.Issuer, SubjectPattern: "https://kubernetes.io/namespaces/[^/]+/serviceaccounts/argoseal-notary"})).Inspect(sealtest.JSON(t, good)); err != nil {
		t.Errorf("by a pattern: %v", err)
	}
	for name, b := range map[string]*protobundle.Bundle{
		"another subject":                  home.seal(t, sealtest.Issuer, sealtest.Subject+"x", time.Now()),
		"another issuer":                   home.seal(t, sealtest.Issuer+"x", sealtest.Subject, time.Now()),
		"a certificate that had ended":     home.seal(t, sealtest.Issuer, sealtest.Subject, time.Now().Add(-time.Hour)),
		"a certificate that had not begun": home.seal(t, sealtest.Issuer, sealtest.Subject, time.Now().Add(time.Hour)),
		"another authority's certificate":  abroad.now(t),
		"another authority, in home's log": certified{"home", abroad.authority, home.log, nil}.now(t),
		"an authority in another's log":    certified{"home", home.authority, abroad.log, nil}.now(t),
		"another authority's timestamp": spoil(good, func(m *protobundle.VerificationMaterial) {
			m.TimestampVerificationData = abroad.authority.Timestamp(t, sig(good))
		}),
		"a timestamp of something else": spoil(good, func(m *protobundle.VerificationMaterial) {
			m.TimestampVerificationData = home.authority.Timestamp(t, []byte("x"))
		}),
		"a certificate of the same identity": spoil(good, func(m *protobundle.VerificationMaterial) {
			m.Content = home.now(t).GetVerificationMaterial().GetContent()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := root.Inspect(sealtest.JSON(t, b))
			if code := reason.Of(err); code != reason.SignatureInvalid && code != reason.LogEntryInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	// Rekor v2 proves no time, and a certificate that has one only by its own word proves none.
	_, err = root.Inspect(sealtest.JSON(t, spoil(good, func(m *protobundle.VerificationMaterial) { m.TimestampVerificationData = nil })))
	wants(t, err, reason.SignatureInvalid)
	_, err = root.Inspect(sealtest.JSON(t, spoil(good, func(m *protobundle.VerificationMaterial) { m.GetCertificate().RawBytes = []byte("x") })))
	wants(t, err, reason.BundleInvalid)
	hour := time.Hour
	_, err = rootOf(t, home.domain(t, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, ValidUntil: in(-hour)})).Inspect(sealtest.JSON(t, good))
	wants(t, err, reason.SignerExpired)
	// Of two periods of one identity one is enough.
	if _, err = rootOf(t, home.domain(t,
		verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, ValidUntil: in(-hour)},
		verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, ValidFrom: in(-hour)},
	)).Inspect(sealtest.JSON(t, good)); err != nil {
		t.Errorf("in the second period: %v", err)
	}
}

func in(d time.Duration) *time.Time {
	at := time.Now().Add(d)
	return &at
}

func sig(b *protobundle.Bundle) []byte { return b.GetDsseEnvelope().GetSignatures()[0].GetSig() }

// spoil is a bundle with other material; its envelope is shared.
func spoil(b *protobundle.Bundle, change func(*protobundle.VerificationMaterial)) *protobundle.Bundle {
	m := b.GetVerificationMaterial()
	other := &protobundle.VerificationMaterial{TlogEntries: m.GetTlogEntries(), TimestampVerificationData: m.GetTimestampVerificationData()}
	if c := m.GetCertificate(); c != nil {
		other.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: c.GetRawBytes()}}
	} else {
		other.Content = m.GetContent()
	}
	change(other)
	return &protobundle.Bundle{MediaType: b.GetMediaType(), Content: b.GetContent(), VerificationMaterial: other}
}

// Each cluster's notary has the same name, so domains have the same identity: their
// authorities tell them apart. Where these do not, nobody may speak for both.
func TestDomainsWithOneIdentityAreToldApart(t *testing.T) {
	home, abroad := newCertified(t, "home"), newCertified(t, "abroad")
	root := rootOf(t, home.domain(t), abroad.domain(t))
	for _, c := range []certified{home, abroad} {
		if result, err := root.Inspect(sealtest.JSON(t, c.now(t))); err != nil || result.Domain != c.name {
			t.Errorf("%s's seal: %+v, %v", c.name, result, err)
		}
	}
	// Abroad's notary states something of home's builder.
	_, err := root.Inspect(sealtest.JSON(t, certified{"home", abroad.authority, abroad.log, nil}.now(t)))
	wants(t, err, reason.BuilderNotTrusted)

	// One authority, one log, and so one notary: for both it cannot speak.
	twin := certified{"twin", home.authority, home.log, home.trusted}
	pattern := verify.IdentityRule{Issuer: sealtest.Issuer, SubjectPattern: "https://kubernetes.io/.*"}
	for name, theirs := range map[string]verify.IdentityRule{
		"the same": {Issuer: sealtest.Issuer, Subject: sealtest.Subject}, "a pattern of it": pattern,
	} {
		if _, err := verify.New(home.domain(t), twin.domain(t, theirs)); err == nil {
			t.Errorf("%s is loaded", name)
		}
		if _, err := verify.New(twin.domain(t, theirs), home.domain(t)); err == nil {
			t.Errorf("%s is loaded, the other way round", name)
		}
	}
	if _, err := verify.New(home.domain(t, pattern), twin.domain(t, pattern)); err == nil {
		t.Error("one pattern twice is loaded")
	}
	if _, err := verify.New(home.domain(t), twin.domain(t, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject + "-2"})); err != nil {
		t.Errorf("two identities of one authority: %v", err)
	}
	if _, err := verify.New(home.domain(t), twin.domain(t, verify.IdentityRule{Issuer: sealtest.Issuer + "-2", Subject: sealtest.Subject})); err != nil {
		t.Errorf("two issuers of one authority: %v", err)
	}
	// What two patterns have in common nobody can tell before it comes.
	ambiguous := rootOf(t, home.domain(t, pattern), twin.domain(t, verify.IdentityRule{Issuer: sealtest.Issuer, SubjectPattern: ".*/argoseal-notary"}))
	_, err = ambiguous.Inspect(sealtest.JSON(t, home.now(t)))
	wants(t, err, reason.SignatureInvalid)
	if result, err := ambiguous.Inspect(sealtest.JSON(t, home.seal(t, sealtest.Issuer, "https://kubernetes.io/namespaces/argoseal-system/serviceaccounts/other", time.Now()))); err != nil || result.Domain != "home" {
		t.Errorf("what one of them has alone: %+v, %v", result, err)
	}
}

// A workflow that others can call is the subject whoever calls it: then an identity asks for the
// repository, too, which the certificate names.
func TestAnIdentityMayAskForTheRepository(t *testing.T) {
	const acme = "https://github.com/acme/model"
	home := newCertified(t, "home")
	payload := sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: digest("a")})
	root := func(repository string) *verify.Root {
		d := home.domain(t, verify.IdentityRule{Issuer: sealtest.GitHubIssuer, Subject: sealtest.GitHubBuilder, SourceRepository: repository})
		d.Attests = []string{sealtest.GitHubBuilder}
		return rootOf(t, d)
	}
	for name, c := range map[string]struct {
		says, asks string
		want       reason.Code
	}{
		"the one that is asked for": {acme, acme, ""},
		"any":                       {acme, "", ""},
		"another one":               {acme + "2", acme, reason.SignatureInvalid},
		"a part of it":              {acme, "https://github.com/acme", reason.SignatureInvalid},
		"none":                      {"", acme, reason.SignatureInvalid},
	} {
		certificate, key := home.authority.CertifyFor(t, sealtest.GitHubIssuer, sealtest.GitHubBuilder, c.says, time.Now().Add(-time.Minute))
		b := sealtest.Certified(t, home.log, certificate, key, payload)
		b.VerificationMaterial.TimestampVerificationData = home.authority.Timestamp(t, sig(b))
		if _, err := root(c.asks).Others(sealtest.JSON(t, b), "home"); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := root(c.asks).CheckCertificate(certificate.Raw, time.Now()); reason.Of(err) != c.want {
			t.Errorf("%s, its certificate: %v, want %q", name, err, c.want)
		}
	}
	// Two domains may have one workflow, for a repository each.
	for name, c := range map[string]struct {
		other string
		ok    bool
	}{"another one": {acme + "2", true}, "the same": {acme, false}, "any": {"", false}} {
		rule := verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, SourceRepository: acme}
		theirs := rule
		theirs.SourceRepository = c.other
		twin := certified{"twin", home.authority, home.log, home.trusted}
		if _, err := verify.New(home.domain(t, rule), twin.domain(t, theirs)); (err == nil) != c.ok {
			t.Errorf("of two domains one has %s: %v", name, err)
		}
	}
	// No notary's certificate names one.
	if (verify.Identity{Issuer: "a", Subject: "b", SourceRepository: acme}).Is("a", "b") || !(verify.Identity{Issuer: "a", Subject: "b"}).Is("a", "b") {
		t.Error("an identity with a repository is one without")
	}
}

// A timestamp of an authority proves how old a seal is, under a key, too: then what was
// signed before the key got into other hands counts yet.
func TestATimestampProvesTheAgeOfASealUnderAKey(t *testing.T) {
	authority, n := sealtest.NewAuthority(t), sealtest.NewNotary(t)
	under := func(trust sealtest.Trust, from *time.Time) *verify.Root {
		d := domainOf(t, "home", "home", n, verify.Rules{Keys: []verify.KeyRule{{Hint: n.Signer.Hint(), CompromisedFrom: from}}})
		d.TrustedRoot = authority.TrustedRoot(t, n.TrustedRoot(), trust)
		return rootOf(t, d)
	}
	b := sealtest.Bundle(t, sealedFor(t, n, "home"))
	plain := sealtest.JSON(t, b)
	b.VerificationMaterial.TimestampVerificationData = authority.Timestamp(t, sig(b))
	stamped := sealtest.JSON(t, b)
	b.VerificationMaterial.TimestampVerificationData = sealtest.NewAuthority(t).Timestamp(t, sig(b))
	foreign := sealtest.JSON(t, b)

	result, err := under(both, in(time.Hour)).Inspect(stamped)
	if err != nil || time.Since(result.Proven).Abs() > time.Minute {
		t.Errorf("older than the theft: %+v, %v", result, err)
	}
	for name, c := range map[string]struct {
		bundle []byte
		root   *verify.Root
		want   reason.Code
	}{
		"younger than the theft":               {stamped, under(both, in(-time.Hour)), reason.SignerCompromised},
		"without a timestamp":                  {plain, under(both, in(time.Hour)), reason.SignerCompromised},
		"of another authority":                 {foreign, under(both, in(time.Hour)), reason.LogEntryInvalid},
		"of an authority that nobody trusts":   {stamped, under(sealtest.Trust{}, in(time.Hour)), reason.BundleInvalid},
		"of one that issues certificates only": {stamped, under(sealtest.Trust{Certificates: true}, in(time.Hour)), reason.BundleInvalid},
	} {
		if _, err := c.root.Inspect(c.bundle); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
