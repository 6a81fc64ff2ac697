package seal

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sigstore/sigstore-go/pkg/root"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// maxToken bounds a token, in bytes: a ServiceAccount's has some 1 KiB.
	maxToken = 16 << 10
	// minLeft is how long a certificate has to count yet when something is signed under it,
	// or sent to a log that says when: a timestamp and an answer of the log fit into it.
	minLeft = time.Minute
	// maxUse is how long a key is used at most, however long its certificate counts.
	maxUse = 5 * time.Minute
	// maxChain bounds an answer, in bytes: a chain has some 4 KiB.
	maxChain = 128 << 10
	// signingPath is where Fulcio certifies keys.
	signingPath = "/api/v2/signingCert"
	// serviceAccount begins the subject of a ServiceAccount's token, and accountURI the name
	// that Fulcio gives it in a certificate.
	serviceAccount = "system:serviceaccount:"
	accountURI     = "https://kubernetes.io/namespaces/%s/serviceaccounts/%s"
)

// Fulcio signs with keys that live for minutes, in memory alone. Fulcio certifies each for
// the ServiceAccount of this process, on the word of a token that the cluster's API server
// has issued. It is safe for concurrent use.
type Fulcio struct {
	url, tokenFile  string
	issuer, subject string
	timeout         time.Duration
	clock           clock.PassiveClock
	client          *http.Client
	counted         *prometheus.CounterVec

	// turn is held by the one who asks.
	turn chan struct{}
	mu   sync.Mutex
	// held is the last good one, and checked the version of the root that it holds under.
	held    *Signer
	renew   time.Time
	checked string
	// pause is a time in which Fulcio is not asked.
	pause pause
}

// NewFulcio makes a client of the Fulcio at a URL, and reads from a file with a token whom
// Fulcio has to certify. The token is read anew each time: it is replaced before it ends.
// One answer takes at most timeout. Because the token is sent, the URL has to be https, or
// of this very machine.
func NewFulcio(baseURL, tokenFile string, timeout time.Duration, c clock.PassiveClock) (*Fulcio, error) {
	host, err := logHost(baseURL)
	if err != nil {
		return nil, fmt.Errorf("fulcio: %w", err)
	}
	if ip := net.ParseIP(host); !strings.HasPrefix(baseURL, "https://") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("fulcio at %.200q is not https: whoever reads the token on its way signs as the notary", baseURL)
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("timeout of %s for Fulcio is not positive", timeout)
	}
	f := &Fulcio{
		url: strings.TrimRight(baseURL, "/"), tokenFile: tokenFile, timeout: timeout, clock: c, client: logClient(),
		counted: countCertificates(), turn: make(chan struct{}, 1),
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	if f.issuer, f.subject, err = identityIn(token); err != nil {
		return nil, err
	}
	return f, nil
}

// Identity is whom Fulcio has to certify: the token's issuer, and what Fulcio calls the
// ServiceAccount.
func (f *Fulcio) Identity() (issuer, subject string) { return f.issuer, f.subject }

// CheckFulcio refuses a trusted root under which no certificate holds.
func CheckFulcio(trustedRootJSON []byte) error {
	trusted, err := root.NewTrustedRootFromJSON(trustedRootJSON)
	if err != nil {
		return reason.Wrap(reason.CertificateFailed, err, "the trusted root cannot be read: %v", err)
	}
	if len(trusted.FulcioCertificateAuthorities()) == 0 {
		return reason.New(reason.CertificateFailed, "the notary is to sign under certificates of Fulcio, and the trusted root has none of its authorities")
	}
	return nil
}

// Works has Fulcio certify a key, to show that it will do so under that trusted root once the
// identity of the token is trusted.
func (f *Fulcio) Works(ctx context.Context, trustedRootJSON []byte) error {
	if err := CheckFulcio(trustedRootJSON); err != nil {
		return err
	}
	trusted, err := verify.New(verify.Domain{
		Name: v1alpha1.DomainInstalled, TrustedRoot: trustedRootJSON, Logs: 1, AnyBuilder: true,
		Identities: []verify.Identity{{Issuer: f.issuer, Subject: f.subject}},
	})
	if err != nil {
		return reason.Wrap(reason.CertificateFailed, err, "trusted root: %v", err)
	}
	_, err = f.signer(ctx, trusted.At(f.clock.Now))
	return err
}

// standing implements Signs. Other clusters' notaries may have the same name: it signs for
// its own installation alone, whatever their domains say.
func (f *Fulcio) standing(d verify.Domain) (standing, bool) {
	is, mine := standing{who: "the identity " + f.subject}, false
	if d.Name != v1alpha1.DomainInstalled {
		return is, false
	}
	for _, id := range d.Identities {
		if !id.Is(f.issuer, f.subject) {
			continue
		}
		if !mine || id.End.IsZero() || !is.end.IsZero() && id.End.After(is.end) {
			is.end = id.End // the one that counts longest
		}
		mine = true
	}
	return is, mine
}

// signer implements Signs. Where Fulcio is away it goes on with the key before, as long as
// its certificate counts.
func (f *Fulcio) signer(ctx context.Context, trusted *verify.Root) (*Signer, error) {
	before, due := f.look(trusted)
	if before != nil && !due {
		return before, nil
	}
	select {
	case f.turn <- struct{}{}:
	default:
		if before != nil {
			return before, nil // somebody asks already
		}
		select {
		case f.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, reason.Wrap(reason.CertificateFailed, ctx.Err(), "fulcio is being asked: %v", ctx.Err())
		}
	}
	defer func() { <-f.turn }()
	if before, due = f.look(trusted); before != nil && !due {
		return before, nil // it was asked meanwhile
	}
	fresh, err := f.certified(ctx, trusted)
	switch {
	case err == nil:
		return fresh, nil
	case before != nil:
		return before, nil
	}
	return nil, reason.Wrap(reason.CertificateFailed, err, "fulcio at %.200s: %s", f.url, text.Cut(err.Error(), maxLogMessage))
}

// look gives the signer that may sign, nil if there is none, and says whether it is time for
// another.
func (f *Fulcio) look(trusted *verify.Root) (*Signer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	if f.held == nil || now.Add(minLeft).After(f.held.certificate.NotAfter) {
		return nil, true
	}
	if f.checked != trusted.Version() {
		if f.check(f.held.certificate.Raw, trusted, later(now, f.held.certificate.NotBefore)) != nil {
			return nil, true
		}
		f.checked = trusted.Version()
	}
	return f.held, !now.Before(f.renew)
}

// check says whether a certificate is ours now, by the trusted root.
func (f *Fulcio) check(raw []byte, trusted *verify.Root, now time.Time) error {
	c, err := trusted.CheckCertificate(raw, now)
	if err != nil {
		return err
	}
	if c.Issuer != f.issuer || c.Subject != f.subject {
		return reason.New(reason.SignatureInvalid, "it certifies %.200q by %.200q, and this is %.200q by %.200q", c.Subject, c.Issuer, f.subject, f.issuer)
	}
	if c.Domain != v1alpha1.DomainInstalled {
		return reason.New(reason.SignatureInvalid, "its certificate is domain %s's", c.Domain)
	}
	return nil
}

// certified makes a key and has it certified, unless Fulcio is left alone for a while. The
// caller has its turn.
func (f *Fulcio) certified(ctx context.Context, trusted *verify.Root) (*Signer, error) {
	f.mu.Lock()
	now, p := f.clock.Now(), f.pause
	f.mu.Unlock()
	if now.Before(p.until) {
		return nil, &PausedError{Who: whoFulcio, Until: p.until, Why: p.why}
	}
	signer, err := f.ask(ctx, trusted)
	f.mu.Lock()
	defer f.mu.Unlock()
	now = f.clock.Now()
	if err != nil {
		f.counted.WithLabelValues(certificateFailed).Inc()
		f.pause.extend(now, lost, err)
		return nil, err
	}
	f.counted.WithLabelValues(certificateGood).Inc()
	counts := signer.certificate.NotAfter.Sub(signer.certificate.NotBefore)
	f.held, f.renew, f.checked, f.pause = signer, now.Add(min(counts/2, maxUse)), trusted.Version(), pause{}
	return signer, nil
}

// reopen implements Signs. Whoever else of the same identity signed it, it is as good as
// ours: its key is not needed any more. As soon as its certificate has ended, only a
// timestamp says that it had not when it was signed.
func (f *Fulcio) reopen(ctx context.Context, trusted *verify.Root, stored []byte, in logs) (*Signed, error) {
	u, err := readUnlogged(stored)
	if err != nil {
		return nil, err
	}
	leaf, err := parseLeaf(u.certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	now := f.clock.Now()
	ends := now.Add(minLeft).After(leaf.NotAfter)
	c, proven := u.proven(trusted, in.urls...)
	if !proven {
		if c, err = trusted.CheckCertificate(u.certificate, later(now, leaf.NotBefore)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
		}
	}
	if ends && (in.promises || !proven) {
		return nil, fmt.Errorf("%w that still counts: its certificate ends at %s", ErrForeignEnvelope, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, d := range trusted.Domains() {
		if _, mine := f.standing(d); !mine || d.Name != c.Domain {
			continue
		}
		signed, err := u.open(ctx, c)
		if err != nil {
			return nil, err
		}
		signed.stored.Store(&stored)
		if proven {
			signed.stamp.Store(&u.stamp)
		}
		return signed, nil
	}
	return nil, fmt.Errorf("%w: its certificate is domain %s's", ErrForeignEnvelope, c.Domain)
}

// later is now, or when a certificate begins if that is a moment later: clocks differ.
func later(now, begins time.Time) time.Time {
	if ahead := begins.Sub(now); ahead > 0 && ahead <= maxSkew {
		return begins
	}
	return now
}

func parseLeaf(raw []byte) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return leaf, nil
}
