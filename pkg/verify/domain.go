package verify

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/provenance"
)

// Bounds of what a domain is read from, in bytes and in numbers.
const (
	maxTrustedRoot = 1 << 20
	maxKeysPEM     = 256 << 10
	maxRules       = 256 << 10
	// maxSigners leaves room for keys that have ended. Each is needed as long as
	// there are seals of it. With a new key each day, there is room for nearly
	// three years.
	maxSigners  = 1024
	maxBuilders = 64
	// maxBuilderID is the length of a builder id of others, in bytes.
	maxBuilderID = 2 << 10
	maxLogs      = 4
	maxPattern   = 1 << 10
)

// A pattern of a subject stands between these, so that it has to match the whole
// subject.
const (
	anchored   = `\A(?:`
	unanchored = `)\z`
)

// Domain is one notion of whom to trust: who signs, for which builders, which
// logs have to have the seal, and when each of these counts. It trusts nothing that
// it does not name; the zero value trusts nothing.
type Domain struct {
	// Name is a DNS label; refusals and results have it.
	Name string
	// TrustedRoot is a standard Sigstore trusted_root.json: keys of logs, certificate
	// and timestamp authorities, each with its period.
	TrustedRoot []byte
	// Keys and Identities are the signers, by public key and by certificate.
	Keys       []Key
	Identities []Identity
	// Builders are the builder ids that the signers may speak for, exactly.
	Builders []string
	// AnyBuilder: they may speak for all, and the caller compares the builder. No
	// rules can say so; it is for people who name a key on a command line.
	AnyBuilder bool
	// Reproduces: the signers are trusted about what they have run again (statements of
	// provenance.ReproductionType). With it a domain may have no builders.
	Reproduces bool
	// Describes: the signers are trusted about SBOMs (statements of
	// provenance.ReferenceType). With it a domain may have no builders.
	Describes bool
	// Attests are builder ids of others, exactly, for which the signers may speak of inputs
	// from outside, where a policy names the domain. None is one of ours: see Builders.
	// With some a domain may have no builders.
	Attests []string
	// Logs is how many logs of the trusted root have to have the seal, at least one.
	Logs int
}

// Identity is a signer by certificate. The trusted root's authorities issue it, to
// whom Subject says, on the word of Issuer.
type Identity struct {
	Issuer string
	// Subject is the certificate's subject alternative name, exactly; or
	// SubjectPattern matches it, the whole of it.
	Subject        string
	SubjectPattern *regexp.Regexp
	// SourceRepository, where there is one, is the repository that the certificate says
	// the workflow ran for (1.3.6.1.4.1.57264.1.12), exactly. A workflow that others call
	// is the subject whoever calls it.
	SourceRepository string
	Period
}

// Sources are what a domain is written in: three files, which are keys of ConfigMaps,
// too.
type Sources struct {
	// TrustedRoot is the trusted_root.json.
	TrustedRoot []byte
	// Keys are public keys, PEM (SPKI).
	Keys []byte
	// Rules is the domain.json; see the type Rules. Empty: no rules.
	Rules []byte
}

// Rules are what a domain.json says beside keys and trusted root.
type Rules struct {
	Builders []string `json:"builders,omitempty"`
	// Keys limit keys; one that is not named here counts at all times.
	Keys       []KeyRule      `json:"keys,omitempty"`
	Identities []IdentityRule `json:"identities,omitempty"`
	// Reproduces: what the signers say of second runs counts, where a policy asks.
	Reproduces bool `json:"reproduces,omitempty"`
	// Describes: what the signers say of SBOMs counts, where a policy asks.
	Describes bool `json:"describes,omitempty"`
	// Attests are builders of others, whose artifacts a policy may admit on the signers' word.
	Attests []string `json:"attests,omitempty"`
	// Logs is how many logs have to have a seal; 0 is one.
	Logs int `json:"logs,omitempty"`
}

// KeyRule limits a key that stands among a domain's public keys.
type KeyRule struct {
	Hint            string     `json:"hint"`
	ValidFrom       *time.Time `json:"validFrom,omitempty"`
	ValidUntil      *time.Time `json:"validUntil,omitempty"`
	CompromisedFrom *time.Time `json:"compromisedFrom,omitempty"`
}

// IdentityRule is an identity of certificates; of subject and subjectPattern it has one.
type IdentityRule struct {
	Issuer           string     `json:"issuer"`
	Subject          string     `json:"subject,omitempty"`
	SubjectPattern   string     `json:"subjectPattern,omitempty"`
	SourceRepository string     `json:"sourceRepository,omitempty"`
	ValidFrom        *time.Time `json:"validFrom,omitempty"`
	ValidUntil       *time.Time `json:"validUntil,omitempty"`
}

// ParseRules reads a domain.json. What it does not know it refuses: a limit that is
// misspelt would be none.
func ParseRules(rules []byte) (Rules, error) {
	var r Rules
	if len(rules) > maxRules {
		return r, fmt.Errorf("rules have %d bytes, at most %d are allowed", len(rules), maxRules)
	}
	if err := yaml.UnmarshalStrict(rules, &r); err != nil {
		return Rules{}, fmt.Errorf("rules: %w", err)
	}
	return r, nil
}

// ParseDomain reads a domain. One without a log, a signer or a builder is made all the
// same, and trusts nothing: see New.
func ParseDomain(name string, s Sources) (Domain, error) {
	d := Domain{Name: name, TrustedRoot: s.TrustedRoot, Logs: 1}
	var err error
	if d.Keys, err = ParseKeys(s.Keys); err != nil {
		return Domain{}, fmt.Errorf("public keys: %w", err)
	}
	rules, err := ParseRules(s.Rules)
	if err != nil {
		return Domain{}, err
	}
	if rules.Logs != 0 {
		d.Logs = rules.Logs
	}
	d.Builders, d.Reproduces, d.Describes, d.Attests = rules.Builders, rules.Reproduces, rules.Describes, rules.Attests
	for _, rule := range rules.Keys {
		if err := d.limit(rule); err != nil {
			return Domain{}, err
		}
	}
	for _, rule := range rules.Identities {
		identity, err := rule.identity()
		if err != nil {
			return Domain{}, err
		}
		d.Identities = append(d.Identities, identity)
	}
	return d, nil
}

// ParseInstalled is ParseDomain for that of an installation itself. What others attest is asked
// of domains that a policy names, and none names this one.
func ParseInstalled(name string, s Sources) (Domain, error) {
	d, err := ParseDomain(name, s)
	if err == nil && len(d.Attests) > 0 {
		return Domain{}, fmt.Errorf("rules: domain %s has attests, which count in a domain of their own alone: move them and their signers there (argoseal trust add)", name)
	}
	return d, err
}

// limit applies a rule. A rule for a key that is not there is an error: it was
// meant for some key that is.
func (d *Domain) limit(rule KeyRule) error {
	for i := range d.Keys {
		key := &d.Keys[i]
		if key.Hint != rule.Hint {
			continue
		}
		if key.limited() {
			return fmt.Errorf("rules have two limits for the key %s", rule.Hint)
		}
		key.Period = period(rule.ValidFrom, rule.ValidUntil)
		if rule.CompromisedFrom != nil {
			key.Compromised = *rule.CompromisedFrom
		}
		if !key.limited() {
			return fmt.Errorf("rules name the key %s and say nothing of it", rule.Hint)
		}
		return key.check()
	}
	return fmt.Errorf("rules are about the key %.80q, which is not among the public keys", rule.Hint)
}

func (r IdentityRule) identity() (Identity, error) {
	id := Identity{Issuer: r.Issuer, Subject: r.Subject, SourceRepository: r.SourceRepository, Period: period(r.ValidFrom, r.ValidUntil)}
	switch {
	case r.Issuer == "":
		return id, errors.New("an identity has no issuer")
	case (r.Subject == "") == (r.SubjectPattern == ""):
		return id, errors.New("an identity has either a subject or a subjectPattern")
	case r.SourceRepository != "" && !strings.HasPrefix(r.SourceRepository, "https://"): // it would fit no certificate
		return id, fmt.Errorf("sourceRepository is %.200q, want a URL like https://github.com/acme/model", r.SourceRepository)
	case len(r.SubjectPattern) > maxPattern:
		return id, fmt.Errorf("subjectPattern has %d bytes, at most %d are allowed", len(r.SubjectPattern), maxPattern)
	case r.SubjectPattern != "":
		// Compile the pattern alone first: one that closes our group would else be
		// accepted.
		if _, err := regexp.Compile(r.SubjectPattern); err != nil {
			return id, fmt.Errorf("subjectPattern: %w", err)
		}
		pattern, err := regexp.Compile(anchored + r.SubjectPattern + unanchored)
		if err != nil {
			return id, fmt.Errorf("subjectPattern: %w", err)
		}
		id.SubjectPattern = pattern
	}
	return id, id.check()
}

// check refuses what would trust everything, or nothing.
func (d Domain) check() error {
	switch {
	case len(d.Keys)+len(d.Identities) == 0:
		return errors.New("it has no public key and no identity of a signer")
	case len(d.Keys)+len(d.Identities) > maxSigners:
		return fmt.Errorf("it has %d signers, at most %d are allowed", len(d.Keys)+len(d.Identities), maxSigners)
	case d.AnyBuilder && len(d.Builders) != 0:
		return errors.New("its signers speak for any builder, and it lists some")
	case !d.AnyBuilder && !d.Reproduces && !d.Describes && len(d.Builders)+len(d.Attests) == 0:
		return errors.New("it lists no builder that its signers may speak for")
	case len(d.Builders) > maxBuilders || len(d.Attests) > maxBuilders:
		return fmt.Errorf("it lists %d builders and attests for %d, at most %d are allowed of each", len(d.Builders), len(d.Attests), maxBuilders)
	case d.Logs < 1 || d.Logs > maxLogs:
		return fmt.Errorf("it asks for %d logs, want 1 to %d", d.Logs, maxLogs)
	}
	for _, b := range d.Builders {
		if _, err := provenance.ParseBuilderID(b); err != nil {
			return err
		}
	}
	for _, b := range d.Attests {
		switch {
		case b == "" || len(b) > maxBuilderID:
			return fmt.Errorf("it attests for a builder of %d bytes, want 1 to %d", len(b), maxBuilderID)
		case provenance.IsOurs(b):
			return fmt.Errorf("it attests for %.200q, a builder of Argoseal's: that stands under builders", b)
		}
	}
	return nil
}

// BuildersOf are the builder ids of a cluster, of both levels.
func BuildersOf(cluster string) []string {
	var ids []string
	for _, level := range []provenance.Level{provenance.LevelIsolated, provenance.LevelObserved} {
		ids = append(ids, provenance.Builder{Cluster: cluster, Level: level}.ID())
	}
	return ids
}

// Sources writes a domain as ParseDomain reads it.
func (d Domain) Sources() (Sources, error) {
	s := Sources{TrustedRoot: d.TrustedRoot}
	rules := Rules{Builders: d.Builders, Reproduces: d.Reproduces, Describes: d.Describes, Attests: d.Attests, Logs: d.Logs}
	some := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	for _, k := range d.Keys {
		spki, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			return Sources{}, fmt.Errorf("marshal public key: %w", err)
		}
		s.Keys = append(s.Keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})...)
		if k.limited() {
			rules.Keys = append(rules.Keys, KeyRule{Hint: k.Hint, ValidFrom: some(k.Start), ValidUntil: some(k.End), CompromisedFrom: some(k.Compromised)})
		}
	}
	for _, i := range d.Identities {
		rule := IdentityRule{Issuer: i.Issuer, Subject: i.Subject, SourceRepository: i.SourceRepository, ValidFrom: some(i.Start), ValidUntil: some(i.End)}
		if i.SubjectPattern != nil {
			rule.SubjectPattern = strings.TrimSuffix(strings.TrimPrefix(i.SubjectPattern.String(), anchored), unanchored)
		}
		rules.Identities = append(rules.Identities, rule)
	}
	var err error
	s.Rules, err = rules.JSON()
	return s, err
}

// JSON writes rules as a domain.json.
func (r Rules) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("marshal rules: %w", err)
	}
	return append(raw, '\n'), nil
}
