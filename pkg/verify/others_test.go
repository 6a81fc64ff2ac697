package verify_test

import (
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// attestsFor are the rules of a domain that speaks for these builders of others.
func attestsFor(builders ...string) verify.Rules {
	return verify.Rules{Builders: []string{}, Attests: builders}
}

// Who attests for builders of others seals nothing, and who seals does not attest by that.
func TestWhoAttestsSealsNothing(t *testing.T) {
	home, theirs := sealtest.NewNotary(t), sealtest.NewNotary(t)
	root := rootOf(t, domainOf(t, "home", "test", home, verify.Rules{}), domainOf(t, "theirs", "", theirs, attestsFor(sealtest.ChainsBuilder)))
	seal, statement := sealtest.Payload(t, uri, digest("a")), sealtest.Chains(t, sealtest.Built{Name: "x", SHA256: digest("a")})
	if _, err := root.Verify(home.Bundle(t, seal)); err != nil {
		t.Fatal(err)
	}
	_, err := root.Verify(theirs.Bundle(t, seal))
	wants(t, err, reason.BuilderNotTrusted)
	_, err = root.Verify(theirs.Attest(t, statement))
	wants(t, err, reason.StatementInvalid)

	signed, err := root.Others(theirs.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "y", SHA256: digest("a")})), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	wants(t, signed.MayAttest(sealtest.ChainsBuilder), "")
	for _, other := range []string{sealtest.GitHubBuilder, "", sealtest.ChainsBuilder + "/", strings.ToUpper(sealtest.ChainsBuilder)} {
		wants(t, signed.MayAttest(other), reason.BuilderNotTrusted)
	}
	wants(t, signed.MayState(verify.BuildersOf("test")[0]), reason.BuilderNotTrusted)
	wants(t, signed.MayReproduce(), reason.BuilderNotTrusted)

	bundle := home.Attest(t, statement)
	if signed, err = root.Others(bundle, "home"); err != nil {
		t.Fatal(err)
	}
	wants(t, signed.MayAttest(sealtest.ChainsBuilder), reason.BuilderNotTrusted)
	_, err = root.Others(bundle, "theirs")
	wants(t, err, reason.BuilderNotTrusted)
	_, err = (*verify.Root)(nil).Others(bundle, "home")
	wants(t, err, reason.TrustedRootNotReady)
	wants(t, (&verify.Signed{}).MayAttest(sealtest.ChainsBuilder), reason.BuilderNotTrusted)
}

// Sigstore's clients write that there are no timestamps. Ours does not, and a seal that does is
// none.
func TestABundleOfOthersMaySayThatItHasNoTimestamps(t *testing.T) {
	n := sealtest.NewNotary(t)
	root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{}))
	b := sealtest.Bundle(t, n.Bundle(t, sealtest.Payload(t, uri, digest("a"))))
	b.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{}
	empty := sealtest.JSON(t, b)
	if !strings.Contains(string(empty), `"timestampVerificationData":{}`) {
		t.Fatalf("it is %s", empty)
	}
	if _, err := root.Others(empty, "home"); err != nil {
		t.Error(err)
	}
	_, err := root.Payload(empty)
	wants(t, err, reason.BundleInvalid)
	_, err = root.Others([]byte("{}"), "home")
	wants(t, err, reason.BundleInvalid)
	_, err = root.Others([]byte(`{"verificationMaterial":null}`), "home")
	wants(t, err, reason.BundleInvalid)
}

// They also call the media type as it was; whoever looks for a seal does not take that.
func TestABundleOfOthersMayBeCalledAsBefore(t *testing.T) {
	n := sealtest.NewNotary(t)
	root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{}))
	for mediaType, theirs := range map[string]reason.Code{
		"application/vnd.dev.sigstore.bundle+json;version=0.3":  "",
		"application/vnd.dev.sigstore.bundle+json; version=0.3": reason.BundleInvalid,
		"application/vnd.dev.sigstore.bundle+json;version=0.2":  reason.BundleInvalid,
		"application/vnd.dev.sigstore.bundle+json":              reason.BundleInvalid,
		"": reason.BundleInvalid,
	} {
		b := sealtest.Bundle(t, n.Bundle(t, sealtest.Payload(t, uri, digest("a"))))
		b.MediaType = mediaType
		raw := sealtest.JSON(t, b)
		if _, err := root.Others(raw, "home"); reason.Of(err) != theirs {
			t.Errorf("%q, as theirs: %v, want %q", mediaType, err, theirs)
		}
		if _, err := root.Payload(raw); reason.Of(err) != reason.BundleInvalid {
			t.Errorf("%q, as a seal: %v", mediaType, err)
		}
	}
}

// What a domain attests for is written and read again, is a part of its version, and is none
// of our builders.
func TestADomainSaysForWhomItAttests(t *testing.T) {
	n := sealtest.NewNotary(t)
	d := domainOf(t, "theirs", "", n, attestsFor(sealtest.ChainsBuilder))
	sources, err := d.Sources()
	if err != nil {
		t.Fatal(err)
	}
	read, err := verify.ParseDomain("theirs", sources)
	if err != nil || len(read.Attests) != 1 || read.Attests[0] != sealtest.ChainsBuilder {
		t.Errorf("written and read: %+v, %v", read, err)
	}
	one := rootOf(t, d)
	if other := rootOf(t, domainOf(t, "theirs", "", n, attestsFor(sealtest.GitHubBuilder))); one.Version() == other.Version() {
		t.Error("two domains have one version")
	}
	var many []string
	for i := range 65 {
		many = append(many, sealtest.ChainsBuilder+strings.Repeat("x", i))
	}
	for name, builders := range map[string][]string{
		"none":                   {},
		"an empty one":           {""},
		"one of ours":            {verify.BuildersOf("test")[0]},
		"one like ours":          {"HTTPS://argoseal.dev/anything"},
		"one that is too long":   {strings.Repeat("x", 2049)},
		"more than there may be": many,
	} {
		if _, err := verify.New(domainOf(t, "theirs", "", n, attestsFor(builders...))); err == nil {
			t.Errorf("%s: it is trusted", name)
		}
	}
}
