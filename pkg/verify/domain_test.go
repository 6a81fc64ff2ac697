package verify_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

const uri = "s3://minio:9000/artifacts/a.tgz"

// domainOf is the domain of a notary for a cluster, with what rules say beside that.
func domainOf(tb testing.TB, name, cluster string, n *sealtest.Notary, rules verify.Rules) verify.Domain {
	tb.Helper()
	if rules.Builders == nil {
		rules.Builders = verify.BuildersOf(cluster)
	}
	raw, err := json.Marshal(rules)
	if err != nil {
		tb.Fatal(err)
	}
	d, err := verify.ParseDomain(name, verify.Sources{TrustedRoot: n.TrustedRoot(), Keys: n.Signer.PublicKeyPEM(), Rules: raw})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func rootOf(tb testing.TB, domains ...verify.Domain) *verify.Root {
	tb.Helper()
	r, err := verify.New(domains...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// sealedFor is a seal by a notary that names a cluster's builder.
func sealedFor(tb testing.TB, n *sealtest.Notary, cluster string) []byte {
	tb.Helper()
	facts := sealtest.Facts(uri, digest("a"))
	facts.Builder.Cluster = cluster
	payload, err := provenance.Build(facts)
	if err != nil {
		tb.Fatal(err)
	}
	return n.Bundle(tb, payload)
}

func wants(t *testing.T, err error, want reason.Code) {
	t.Helper()
	if got := reason.Of(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// A key of one domain says nothing of another's builders, and a log of one has nothing
// of another's signers. Under one root without domains, both count.
func TestASignerSpeaksForTheBuildersOfItsDomainOnly(t *testing.T) {
	home, abroad := sealtest.NewNotary(t), sealtest.NewNotary(t)
	root := rootOf(t, domainOf(t, "home", "home", home, verify.Rules{}), domainOf(t, "abroad", "abroad", abroad, verify.Rules{}))

	result, err := root.Inspect(sealedFor(t, home, "home"))
	if err != nil || result.Domain != "home" {
		t.Errorf("home's seal of its own: %+v, %v", result, err)
	}
	if result, err = root.Inspect(sealedFor(t, abroad, "abroad")); err != nil || result.Domain != "abroad" {
		t.Errorf("the other's seal of its own: %+v, %v", result, err)
	}
	_, err = root.Inspect(sealedFor(t, abroad, "home"))
	wants(t, err, reason.BuilderNotTrusted)
	// Signed by home's key, and logged where only the other domain looks.
	log := sealtest.NewLog(t)
	strange := home.At(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	other := domainOf(t, "other", "other", sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot}), verify.Rules{})
	with, err := root.With(other)
	if err != nil {
		t.Fatal(err)
	}
	_, err = with.Inspect(sealedFor(t, strange, "home"))
	wants(t, err, reason.LogEntryInvalid)

	// A level is a builder of its own.
	low := domainOf(t, "home", "home", home, verify.Rules{Builders: verify.BuildersOf("home")[:1]})
	_, err = rootOf(t, low).Inspect(sealedFor(t, home, "home"))
	wants(t, err, reason.BuilderNotTrusted)
}

func TestDomainsAreApart(t *testing.T) {
	home, abroad := sealtest.NewNotary(t), sealtest.NewNotary(t)
	root := rootOf(t, domainOf(t, "home", "home", home, verify.Rules{}))
	for name, d := range map[string]verify.Domain{
		"of the same name":              domainOf(t, "home", "abroad", abroad, verify.Rules{}),
		"for the same builder":          domainOf(t, "abroad", "home", abroad, verify.Rules{}),
		"with the same key":             domainOf(t, "abroad", "abroad", home, verify.Rules{}),
		"without a name":                domainOf(t, "", "abroad", abroad, verify.Rules{}),
		"for no builder":                domainOf(t, "abroad", "abroad", abroad, verify.Rules{Builders: []string{}}),
		"for another's builder":         domainOf(t, "abroad", "abroad", abroad, verify.Rules{Builders: []string{"https://example.com/builder"}}),
		"with more logs than there are": domainOf(t, "abroad", "abroad", abroad, verify.Rules{Logs: 2}),
		"with less than one log":        domainOf(t, "abroad", "abroad", abroad, verify.Rules{Logs: -1}),
	} {
		if _, err := root.With(d); err == nil {
			t.Errorf("a second domain %s is taken", name)
		}
	}
	if _, err := root.With(domainOf(t, "abroad", "abroad", abroad, verify.Rules{})); err != nil {
		t.Error(err)
	}
	if _, err := verify.New(); err == nil {
		t.Error("no domain is a root")
	}
	if _, err := verify.New(verify.Domain{Name: "zero"}); err == nil {
		t.Error("the zero domain is trusted")
	}
}

func at(day int) *time.Time {
	t := time.Date(2026, 6, day, 12, 0, 0, 0, time.UTC)
	return &t
}

func TestAKeyCountsInItsPeriod(t *testing.T) {
	n := sealtest.NewNotary(t)
	bundle := sealedFor(t, n, "home")
	root := func(rule verify.KeyRule) *verify.Root {
		rule.Hint = n.Signer.Hint()
		return rootOf(t, domainOf(t, "home", "home", n, verify.Rules{Keys: []verify.KeyRule{rule}}))
	}
	ended := verify.KeyRule{ValidUntil: at(10)}
	for name, c := range map[string]struct {
		rule     verify.KeyRule
		recorded *time.Time
		now      *time.Time
		want     reason.Code
	}{
		"on record before it ended":                  {ended, at(9), at(20), ""},
		"on record in the second that it ended":      {ended, at(10), at(20), ""},
		"on record after it ended":                   {ended, at(11), at(20), reason.SignerExpired},
		"ended, and nobody knows when":               {ended, nil, at(20), reason.SignerExpired},
		"will end, and nobody knows when":            {ended, nil, at(9), ""},
		"begins later":                               {verify.KeyRule{ValidFrom: at(10)}, at(9), at(9), reason.SignerExpired},
		"on record before it began, and it has":      {verify.KeyRule{ValidFrom: at(10)}, at(9), at(20), ""},
		"compromised, on record before":              {verify.KeyRule{CompromisedFrom: at(10)}, at(9), at(20), reason.SignerCompromised},
		"compromised, on record after":               {verify.KeyRule{CompromisedFrom: at(10)}, at(11), at(20), reason.SignerCompromised},
		"compromised, and nobody knows when":         {verify.KeyRule{CompromisedFrom: at(10)}, nil, at(20), reason.SignerCompromised},
		"compromised later than it ended, on record": {verify.KeyRule{ValidUntil: at(10), CompromisedFrom: at(15)}, at(9), at(20), reason.SignerCompromised},
	} {
		t.Run(name, func(t *testing.T) {
			var recorded time.Time
			if c.recorded != nil {
				recorded = *c.recorded
			}
			_, err := root(c.rule).At(func() time.Time { return *c.now }).InspectRecorded(bundle, recorded)
			wants(t, err, c.want)
		})
	}
	if _, err := rootOf(t, domainOf(t, "home", "home", n, verify.Rules{})).Inspect(bundle); err != nil {
		t.Errorf("a key without limits: %v", err)
	}
}

// sigstore-go looks at no period of a log that gives no times.
func TestALogsKeyCountsInItsPeriod(t *testing.T) {
	n := sealtest.NewNotary(t)
	bundle := sealedFor(t, n, "home")
	d := domainOf(t, "home", "home", n, verify.Rules{})
	const start = `"start": "2026-01-01T00:00:00Z"`
	ended := strings.Replace(string(d.TrustedRoot), start, `"end": "2026-06-10T12:00:00Z", `+start, 1)
	if ended == string(d.TrustedRoot) {
		t.Fatalf("the root is not changed: %s", ended)
	}
	open := d
	d.TrustedRoot = []byte(ended)
	if err := withSigstoreAlone(t, d.TrustedRoot, n, sealtest.Bundle(t, bundle)); err != nil {
		t.Fatalf("sigstore-go refuses it already, so this tests nothing: %v", err)
	}
	for name, c := range map[string]struct {
		d        verify.Domain
		recorded time.Time
		want     reason.Code
	}{
		"before its end":               {d, *at(9), ""},
		"after its end":                {d, *at(11), reason.LogExpired},
		"ended, nobody knows when":     {d, time.Time{}, reason.LogExpired},
		"without an end":               {open, *at(11), ""},
		"without an end, not recorded": {open, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rootOf(t, c.d).At(func() time.Time { return *at(20) }).InspectRecorded(bundle, c.recorded)
			wants(t, err, c.want)
		})
	}
	_, err := rootOf(t, open).At(func() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }).Inspect(bundle)
	wants(t, err, reason.LogExpired)
}

// One key under two names is one log: whoever has it could make both entries.
func TestTwoLogsAreOfTwoKeys(t *testing.T) {
	private, public, err := seal.NewLogKey()
	if err != nil {
		t.Fatal(err)
	}
	first, again, other := sealtest.NewLogWith(t, private, public), sealtest.NewLogAt(t, "elsewhere", private, public), sealtest.NewLogV1(t)
	n := sealtest.NewNotaryWith(t, sealtest.Backend{Log: first, TrustedRoot: first.TrustedRoot})
	with := func(trusted []byte) (*verify.Root, error) {
		d := domainOf(t, "home", "home", n, verify.Rules{})
		d.TrustedRoot, d.Logs = trusted, 2
		return verify.New(d)
	}
	parsed, err := root.NewTrustedRootFromJSON(first.TrustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	one := slices.Collect(maps.Values(parsed.RekorLogs()))[0]
	if _, err := with(sealtest.TrustedRootOf(t, one, again.TrustedRoot)); err == nil {
		t.Error("a root with two names of one key has two logs")
	}
	trusted, err := with(sealtest.TrustedRootOf(t, other.Log, first.TrustedRoot, again.TrustedRoot))
	if err != nil {
		t.Fatal(err)
	}
	b := sealtest.Bundle(t, sealedFor(t, n, "home"))
	second, err := again.Append(t.Context(), b.GetDsseEnvelope(), n.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	third, err := other.Append(t.Context(), b.GetDsseEnvelope(), n.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	entries := b.GetVerificationMaterial().GetTlogEntries()
	b.VerificationMaterial.TlogEntries = append(slices.Clone(entries), second)
	_, err = trusted.Inspect(sealtest.JSON(t, b))
	wants(t, err, reason.LogEntryInvalid)
	for _, honest := range [][]*protorekor.TransparencyLogEntry{append(slices.Clone(entries), third), append(slices.Clone(entries), second, third)} {
		b.VerificationMaterial.TlogEntries = honest
		_, err = trusted.Inspect(sealtest.JSON(t, b))
		wants(t, err, "")
	}
}

func TestRulesThatWouldNotBeAppliedAreRefused(t *testing.T) {
	n := sealtest.NewNotary(t)
	hint := n.Signer.Hint()
	for name, rules := range map[string]string{
		"nonsense":                           `nonsense`,
		"an unknown field":                   `{"builder": "x"}`,
		"a limit of a key that is not there": `{"keys": [{"hint": "x", "validUntil": "2026-01-01T00:00:00Z"}]}`,
		"a limit that is none":               fmt.Sprintf(`{"keys": [{"hint": %q}]}`, hint),
		"two limits of one key":              fmt.Sprintf(`{"keys": [{"hint": %q, "validUntil": "2026-01-01T00:00:00Z"}, {"hint": %q, "validUntil": "2027-01-01T00:00:00Z"}]}`, hint, hint),
		"a limit said twice":                 fmt.Sprintf(`{"keys": [{"hint": %q, "validUntil": "2026-01-01T00:00:00Z", "validUntil": "2027-01-01T00:00:00Z"}]}`, hint),
		"a period that ends first":           fmt.Sprintf(`{"keys": [{"hint": %q, "validFrom": "2026-01-02T00:00:00Z", "validUntil": "2026-01-01T00:00:00Z"}]}`, hint),
		"an identity of any issuer":          `{"identities": [{"subject": "a"}]}`,
		"an identity of any subject":         `{"identities": [{"issuer": "a"}]}`,
		"a repository that is no URL":        `{"identities": [{"issuer": "a", "subject": "a", "sourceRepository": "acme/model"}]}`,
		"an identity of two kinds":           `{"identities": [{"issuer": "a", "subject": "a", "subjectPattern": "a"}]}`,
		"a pattern that is none":             `{"identities": [{"issuer": "a", "subjectPattern": "("}]}`,
		"a pattern that ends ours":           `{"identities": [{"issuer": "a", "subjectPattern": "a)|(?:b"}]}`,
		"more than the bound":                `{"builders": []}` + strings.Repeat(" ", 256<<10),
	} {
		if d, err := verify.ParseDomain("d", verify.Sources{TrustedRoot: n.TrustedRoot(), Keys: n.Signer.PublicKeyPEM(), Rules: []byte(rules)}); err == nil {
			t.Errorf("%s is taken: %+v", name, d)
		}
	}
	d, err := verify.ParseDomain("d", verify.Sources{Rules: []byte(`{"identities": [{"issuer": "a", "subjectPattern": "https://x|y"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	pattern := d.Identities[0].SubjectPattern
	if pattern.MatchString("https://xx") || pattern.MatchString("ay") || pattern.MatchString("y\n") || !pattern.MatchString("y") || !pattern.MatchString("https://x") {
		t.Errorf("%s does not match in full", pattern)
	}
}

func TestEverythingOfADomainIsInTheVersion(t *testing.T) {
	n := sealtest.NewNotary(t)
	limit := func(r verify.KeyRule) verify.Rules {
		r.Hint = n.Signer.Hint()
		return verify.Rules{Keys: []verify.KeyRule{r}}
	}
	var versions []string
	for _, d := range []verify.Domain{
		domainOf(t, "home", "home", n, verify.Rules{}), domainOf(t, "other", "home", n, verify.Rules{}), domainOf(t, "home", "other", n, verify.Rules{}),
		domainOf(t, "home", "home", n, limit(verify.KeyRule{ValidFrom: at(1)})), domainOf(t, "home", "home", n, limit(verify.KeyRule{ValidUntil: at(1)})),
		domainOf(t, "home", "home", n, limit(verify.KeyRule{CompromisedFrom: at(1)})),
		domainOf(t, "home", "home", n, verify.Rules{Identities: []verify.IdentityRule{{Issuer: "a", Subject: "b"}}}),
		domainOf(t, "home", "home", n, verify.Rules{Identities: []verify.IdentityRule{{Issuer: "a", SubjectPattern: "b"}}}),
		domainOf(t, "home", "home", n, verify.Rules{Identities: []verify.IdentityRule{{Issuer: "a", Subject: "b", SourceRepository: "https://c"}}}),
	} {
		version := rootOf(t, d).Version()
		if slices.Contains(versions, version) {
			t.Errorf("another domain has the version of one before: %+v", d)
		}
		versions = append(versions, version)
		if rootOf(t, d).Version() != version {
			t.Error("the same domain has two versions")
		}
	}
}

// A key that is skipped would be missing where somebody needs it.
func TestAFileOfKeysHasKeysOnly(t *testing.T) {
	one, two := string(sealtest.NewNotary(t).Signer.PublicKeyPEM()), string(sealtest.NewNotary(t).Signer.PublicKeyPEM())
	for name, c := range map[string]struct {
		file string
		want int // keys; 0: it is refused
	}{
		"two":                          {one + two, 2},
		"with empty lines":             {"\n\n" + one + " \n\r\n" + two + "\n\n", 2},
		"without the last newline":     {strings.TrimSpace(one), 1},
		"none":                         {"", 0},
		"that run into each other":     {strings.TrimSpace(one) + two, 0},
		"the last of which is cut off": {one + two[:len(two)/2], 0},
		"the first of which is":        {one[:len(one)/2] + "\n" + two, 0},
		"with a word before":           {"key\n" + one, 0},
		"with a word between":          {one + "key\n" + two, 0},
		"with a word after":            {one + "key", 0},
	} {
		keys, err := verify.ParseKeys([]byte(c.file))
		if len(keys) != c.want || (err == nil) != (c.want > 0 || c.file == "") {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

// Keys that have ended stay as long as there are seals of theirs: a new one each day for
// years, each with its period.
func TestADomainHasRoomForKeysThatHaveEnded(t *testing.T) {
	n := sealtest.NewNotary(t)
	file := n.Signer.PublicKeyPEM()
	var rules verify.Rules
	for i := range 800 {
		key, err := seal.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		s, err := seal.LoadSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		from, until := at(1).AddDate(0, 0, i), at(2).AddDate(0, 0, i)
		file = append(file, s.PublicKeyPEM()...)
		rules.Keys = append(rules.Keys, verify.KeyRule{Hint: s.Hint(), ValidFrom: &from, ValidUntil: &until})
	}
	rules.Builders = verify.BuildersOf("home")
	raw, err := rules.JSON()
	if err != nil {
		t.Fatal(err)
	}
	d, err := verify.ParseDomain("home", verify.Sources{TrustedRoot: n.TrustedRoot(), Keys: file, Rules: raw})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rootOf(t, d).Inspect(sealedFor(t, n, "home")); err != nil {
		t.Error(err)
	}
}

// Who builds is not, by that, trusted about second runs, nor the other way round.
func TestOnlyRebuildersAreTrustedAboutSecondRuns(t *testing.T) {
	notary := sealtest.NewNotary(t)
	payload := sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64)))
	sealed, again := notary.Bundle(t, payload), notary.Reproduction(t, sealtest.Reproduced(t, payload))
	for rules, c := range map[string]struct{ builds, reproduces bool }{
		`{"builders": ["https://argoseal.dev/builders/v1/test/observed"]}`: {true, false},
		`{"reproduces": true}`: {false, true},
		`{"reproduces": true, "builders": ["https://argoseal.dev/builders/v1/test/observed"]}`:   {true, true},
		`{"reproduces": false, "builders": ["https://argoseal.dev/builders/v1/other/isolated"]}`: {false, false},
	} {
		d, err := verify.ParseDomain("one", verify.Sources{TrustedRoot: notary.TrustedRoot(), Keys: notary.Signer.PublicKeyPEM(), Rules: []byte(rules)})
		if err != nil {
			t.Fatal(err)
		}
		root, err := verify.New(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.Verify(sealed); (err == nil) != c.builds {
			t.Errorf("%s: a seal: %v", rules, err)
		}
		signed, err := root.Payload(again)
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.MayReproduce(); (err == nil) != c.reproduces {
			t.Errorf("%s: a second run: %v", rules, err)
		}
		// What is written is what was read.
		sources, err := d.Sources()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := verify.ParseDomain("one", sources); err != nil || read.Reproduces != c.reproduces {
			t.Errorf("%s: written and read: %+v, %v", rules, read, err)
		}
	}
	if err := (&verify.Signed{}).MayDescribe(); reason.Of(err) != reason.BuilderNotTrusted {
		t.Errorf("of an SBOM that nobody signed: %v", err)
	}
	if err := (&verify.Signed{}).MayReproduce(); reason.Of(err) != reason.BuilderNotTrusted {
		t.Errorf("what nobody signed: %v", err)
	}
	if _, err := verify.New(verify.Domain{Name: "one", TrustedRoot: notary.TrustedRoot(), Keys: notary.Domain(t, "x").Keys, Logs: 1}); err == nil {
		t.Error("a domain that speaks for nothing is trusted")
	}
}

// Who says that there are SBOMs seals nothing by that, and nobody else is trusted about
// them: not who builds or reproduces, and not a key that speaks for any builder.
func TestOnlyDescribersAreTrustedAboutSBOMs(t *testing.T) {
	notary := sealtest.NewNotary(t)
	about := artifact.Digest(strings.Repeat("a", 64))
	sealed, described := notary.Bundle(t, sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", about)), notary.Reference(t, sealtest.Described(about, sbom.SPDX))
	again := notary.Reproduction(t, sealtest.Reproduced(t, sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", about)))
	for rules, c := range map[string]struct{ builds, describes bool }{
		`{"reproduces": true}`: {false, false},
		`{"builders": ["https://argoseal.dev/builders/v1/test/observed"], "reproduces": true}`: {true, false},
		`{"describes": true}`: {false, true},
		`{"describes": true, "builders": ["https://argoseal.dev/builders/v1/test/observed"]}`: {true, true},
	} {
		d, err := verify.ParseDomain("one", verify.Sources{TrustedRoot: notary.TrustedRoot(), Keys: notary.Signer.PublicKeyPEM(), Rules: []byte(rules)})
		if err != nil {
			t.Fatal(err)
		}
		root, err := verify.New(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.Verify(sealed); (err == nil) != c.builds {
			t.Errorf("%s: a seal: %v", rules, err)
		}
		signed, err := root.Payload(described)
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.MayDescribe(); (err == nil) != c.describes {
			t.Errorf("%s: an SBOM: %v", rules, err)
		}
		second, err := root.Payload(again)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.MayReproduce(); (err == nil) != strings.Contains(rules, "reproduces") {
			t.Errorf("%s: a second run: %v", rules, err)
		}
		sources, err := d.Sources()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := verify.ParseDomain("one", sources); err != nil || read.Describes != c.describes {
			t.Errorf("%s: written and read: %+v, %v", rules, read, err)
		}
	}
	signed, err := notary.Root.Payload(described)
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.MayDescribe(); reason.Of(err) != reason.BuilderNotTrusted {
		t.Errorf("by a notary that speaks for any builder: %v", err)
	}
}
