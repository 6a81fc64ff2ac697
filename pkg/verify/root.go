package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/argoseal/argoseal/pkg/reason"
)

// maxDomains is how many domains there may be at once.
const maxDomains = 32

// Root is what verification trusts: domains. It is immutable and safe for concurrent
// use; the zero value trusts nothing.
type Root struct {
	domains []*trusted
	version string
	now     func() time.Time
}

// trusted is a domain, ready for use.
type trusted struct {
	Domain
	material root.TrustedMaterial
	logs     map[string]*root.TransparencyLog
	// authorities issue certificates to signers.
	authorities map[string]bool
	// hasTSA and hasCT: the trusted root has timestamp authorities, and logs of
	// certificates.
	hasTSA, hasCT bool
}

var domainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// New makes a root of domains. Each has to have a log, a signer and a builder. No
// two may have the same key or builder, or the same identity from one authority: it
// would be unclear who speaks.
func New(domains ...Domain) (*Root, error) {
	r := &Root{now: time.Now}
	for _, d := range domains {
		with, err := r.With(d)
		if err != nil {
			return nil, err
		}
		r = with
	}
	if len(r.domains) == 0 {
		return nil, errors.New("there is no domain")
	}
	return r, nil
}

// With is this root and one domain more.
func (r *Root) With(d Domain) (*Root, error) {
	made, err := d.load()
	if err != nil {
		return nil, fmt.Errorf("domain %.80q: %w", d.Name, err)
	}
	if len(r.domains) == maxDomains {
		return nil, fmt.Errorf("domain %s: there are %d already", d.Name, maxDomains)
	}
	for _, other := range r.domains {
		if err := other.apart(made); err != nil {
			return nil, fmt.Errorf("domain %s: %w", d.Name, err)
		}
	}
	version, err := d.digest()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(r.version + version))
	return &Root{domains: append(slices.Clone(r.domains), made), version: hex.EncodeToString(sum[:]), now: r.now}, nil
}

// NewRoot makes a root of one domain, of a trusted_root.json and public keys that
// somebody named, each PEM with one or several. Its signers may speak for any builder,
// at any time: the caller compares the statement's builder with the one it expects.
func NewRoot(trustedRootJSON []byte, keysPEM ...[]byte) (*Root, error) {
	d := Domain{Name: "given", TrustedRoot: trustedRootJSON, AnyBuilder: true, Logs: 1}
	for _, pemBytes := range keysPEM {
		keys, err := ParseKeys(pemBytes)
		if err != nil {
			return nil, fmt.Errorf("notary's public key: %w", err)
		}
		for _, key := range keys {
			if !slices.ContainsFunc(d.Keys, func(k Key) bool { return k.Hint == key.Hint }) {
				d.Keys = append(d.Keys, key)
			}
		}
	}
	return New(d)
}

// At is this root as it is at another time, for tests of periods.
func (r *Root) At(now func() time.Time) *Root {
	c := *r
	c.now = now
	return &c
}

// AnyLog is this root where one log is enough for a bundle, whatever its domains ask for:
// to look at what a log answers before the others have.
func (r *Root) AnyLog() *Root {
	if r == nil {
		return nil
	}
	c := *r
	c.domains = make([]*trusted, len(r.domains))
	for i, d := range r.domains {
		one := *d
		one.Logs = 1
		c.domains[i] = &one
	}
	return &c
}

// Version identifies the root's content. Verified facts may be kept under it, the
// digest of the bundle and the time of its record.
func (r *Root) Version() string { return r.version }

// KeyHints are those of all keys, sorted; see KeyHint.
func (r *Root) KeyHints() []string {
	hints := map[string]bool{}
	for _, d := range r.domains {
		for _, k := range d.Keys {
			hints[k.Hint] = true
		}
	}
	return slices.Sorted(maps.Keys(hints))
}

// Domains are what the root trusts, in the order they were given.
func (r *Root) Domains() []Domain {
	var all []Domain
	for _, d := range r.domains {
		all = append(all, d.Domain)
	}
	return all
}

// load checks a domain and makes what sigstore-go verifies with.
func (d Domain) load() (*trusted, error) {
	if !domainName.MatchString(d.Name) {
		return nil, errors.New("its name is no DNS label")
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if len(d.TrustedRoot) > maxTrustedRoot {
		return nil, fmt.Errorf("trusted root has %d bytes, at most %d are allowed", len(d.TrustedRoot), maxTrustedRoot)
	}
	parsed, err := root.NewTrustedRootFromJSON(d.TrustedRoot)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	t := &trusted{Domain: d, logs: parsed.RekorLogs(), authorities: authorities(parsed), hasTSA: len(parsed.TimestampingAuthorities()) > 0, hasCT: len(parsed.CTLogs()) > 0}
	if n := keyCount(maps.Values(t.logs)); n < d.Logs {
		return nil, fmt.Errorf("trusted root has transparency logs of %d keys, and %d have to have a seal", n, d.Logs)
	}
	// Periods are checked here. sigstore-go would check none if a log gives no
	// times.
	keys := map[string]*root.ExpiringKey{}
	for _, key := range d.Keys {
		verifier, err := signature.LoadDefaultVerifier(key.Public)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		keys[key.Hint] = root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	}
	t.material = root.TrustedMaterialCollection{root.NewTrustedPublicKeyMaterialFromMapping(keys), parsed}
	return t, nil
}

// keyCount counts logs by their keys. The id of a log may have its host in it, so that one
// key, of one operator, could be there as two logs.
func keyCount(logs iter.Seq[*root.TransparencyLog]) int {
	keys := map[string]bool{}
	for log := range logs {
		if raw, err := x509.MarshalPKIXPublicKey(log.PublicKey); err == nil {
			keys[string(raw)] = true
		}
	}
	return len(keys)
}

// apart refuses two domains of which it would be unclear which one speaks.
func (t *trusted) apart(other *trusted) error {
	if t.Name == other.Name {
		return errors.New("there is one of that name already")
	}
	for _, key := range other.Keys {
		if t.key(key.Hint) != nil {
			return fmt.Errorf("the key %s is domain %s's already", key.Hint, t.Name)
		}
	}
	for _, builder := range other.Builders {
		if slices.Contains(t.Builders, builder) {
			return fmt.Errorf("the builder %s is domain %s's already", builder, t.Name)
		}
	}
	if !t.shareAuthority(other) {
		return nil
	}
	for _, id := range other.Identities {
		for _, mine := range t.Identities {
			if mine.meets(id) {
				return fmt.Errorf("the identity %.200q by %.200q is domain %s's already, and an authority of both issues it", id.Subject+id.pattern(), id.Issuer, t.Name)
			}
		}
	}
	return nil
}

// shareAuthority says whether a certificate could hold under both domains.
func (t *trusted) shareAuthority(other *trusted) bool {
	for certificate := range t.authorities {
		if other.authorities[certificate] {
			return true
		}
	}
	return false
}

// authorities are the certificates of who issues certificates to signers, roots and those
// below.
func authorities(trusted root.TrustedMaterial) map[string]bool {
	all := map[string]bool{}
	for _, authority := range trusted.FulcioCertificateAuthorities() {
		fulcio, ok := authority.(*root.FulcioCertificateAuthority)
		if !ok {
			continue
		}
		for _, c := range append(slices.Clone(fulcio.Intermediates), fulcio.Root) {
			if c != nil {
				all[string(c.RawSubjectPublicKeyInfo)] = true
			}
		}
	}
	return all
}

func (i Identity) pattern() string {
	if i.SubjectPattern == nil {
		return ""
	}
	return i.SubjectPattern.String()
}

// policy is the identity as sigstore-go compares it.
func (i Identity) policy() (sigstore.CertificateIdentity, error) {
	want, err := sigstore.NewShortCertificateIdentity(i.Issuer, "", i.Subject, i.pattern())
	want.SourceRepositoryURI = i.SourceRepository
	return want, err
}

// meets says whether one certificate could have both identities, as far as anybody
// can tell. Nobody can for two different patterns. Then a certificate that fits
// both is refused when it comes.
func (i Identity) meets(other Identity) bool {
	switch {
	case i.Issuer != other.Issuer:
		return false
	case i.SourceRepository != other.SourceRepository && i.SourceRepository != "" && other.SourceRepository != "":
		return false
	case i.SubjectPattern == nil && other.SubjectPattern == nil:
		return i.Subject == other.Subject
	case other.SubjectPattern == nil:
		return i.SubjectPattern.MatchString(other.Subject)
	case i.SubjectPattern == nil:
		return other.SubjectPattern.MatchString(i.Subject)
	}
	return i.pattern() == other.pattern()
}

func (t *trusted) key(hint string) *Key {
	for i := range t.Keys {
		if t.Keys[i].Hint == hint {
			return &t.Keys[i]
		}
	}
	return nil
}

// digest hashes all that a domain says.
func (d Domain) digest() (string, error) {
	type key struct {
		Hint        string
		Period      Period
		Compromised time.Time
	}
	type identity struct {
		Issuer, Subject, Pattern string
		Period                   Period
		Repository               string `json:",omitempty"` // what others have been hashed without it
	}
	said := struct {
		Name       string
		Root       []byte
		Keys       []key
		Identities []identity
		Builders   []string
		Any        bool
		Reproduces bool
		Describes  bool `json:",omitempty"` // what others have been hashed without it
		Attests    []string
		Logs       int
	}{Name: d.Name, Root: d.TrustedRoot, Builders: d.Builders, Any: d.AnyBuilder, Reproduces: d.Reproduces, Describes: d.Describes, Attests: d.Attests, Logs: d.Logs}
	for _, k := range d.Keys {
		said.Keys = append(said.Keys, key{k.Hint, k.Period, k.Compromised})
	}
	for _, i := range d.Identities {
		said.Identities = append(said.Identities, identity{Issuer: i.Issuer, Subject: i.Subject, Pattern: i.pattern(), Period: i.Period, Repository: i.SourceRepository})
	}
	raw, err := json.Marshal(said)
	if err != nil {
		return "", fmt.Errorf("hash a domain: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// mayState says whether a domain's signers may speak for the builder of a statement.
func (t *trusted) mayState(builder string) *reason.Error {
	if t.AnyBuilder || slices.Contains(t.Builders, builder) {
		return nil
	}
	return reason.New(reason.BuilderNotTrusted, "it is signed by domain %s, which may not speak for builder %.200s", t.Name, builder)
}

// verifier makes sigstore-go's for so many logs, which all have to hold.
func (t *trusted) verifier(logs int, timed, certificate bool) (*sigstore.Verifier, error) {
	options := []sigstore.VerifierOption{sigstore.WithTransparencyLog(logs), sigstore.WithoutStatementPredicate()}
	if timed {
		options = append(options, sigstore.WithObserverTimestamps(1))
	} else {
		options = append(options, sigstore.WithNoObserverTimestamps())
	}
	if certificate && t.hasCT {
		options = append(options, sigstore.WithSignedCertificateTimestamps(1))
	}
	v, err := sigstore.NewVerifier(t.material, options...)
	if err != nil {
		return nil, fmt.Errorf("make verifier: %w", err)
	}
	return v, nil
}
