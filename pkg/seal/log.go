package seal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekor "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// Log is a transparency log that takes a DSSE envelope with one signature. key
// is the public key that verifies the signature, or the certificate
// (*x509.Certificate) that has it. If the log has the entry
// already and gives no proof for it, the error is ErrDuplicate. ErrNotLogged says
// that there is no entry.
type Log interface {
	Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error)
}

// ErrDuplicate says that the transparency log knows this signature already and gave no
// proof for it: sign again, replace the stored envelope and record that one.
var ErrDuplicate = errors.New("the log has this entry already")

// ErrNotLogged is in the chain of an error after which it is certain that there is
// no entry. After any other error there may be one.
var ErrNotLogged = errors.New("nothing was logged")

// refuses says whether a status is about the entry: it cannot be read (400), is too large (413)
// or no entry (422). Anything else may be of what stands before the log, about all entries.
func refuses(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity
}

// errRefused says that the log finds fault with the entry, and would again.
var errRefused = fmt.Errorf("%w: it refuses the entry", ErrNotLogged)

const (
	// maxLogMessage bounds what a log's answer adds to an error, in bytes.
	maxLogMessage = 300
	// maxLogAnswer bounds an answer, in bytes: an entry with its proof has some 3 KiB.
	maxLogAnswer = 1 << 20
	// maxIdle is how many idle connections to the log stay open. Each entry waits
	// some half a second on one of its own. With Go's default of two, nearly all
	// entries would dial anew.
	maxIdle = 512
	// entriesPath is where a Rekor v2 log takes entries.
	entriesPath = "/api/v2/log/entries"
)

// SlowDownError says that the log took nothing because it is asked too often (status 429).
// That is so for whatever comes next, and not for one statement.
type SlowDownError struct {
	// After is how long the log wants to be left alone; zero: it does not say.
	After time.Duration
	// Why quotes its answer.
	Why string
}

func (e *SlowDownError) Error() string {
	return fmt.Sprintf("append to the log: %s: it wants to be asked less: %s", ErrNotLogged, e.Why)
}

// Unwrap says that there is no entry.
func (e *SlowDownError) Unwrap() error { return ErrNotLogged }

// slowDown is the error of an answer with status 429. Of Retry-After seconds are read. The other
// form, a date, is one by the log's clock.
func slowDown(header http.Header, why string) error {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 16)
	if err != nil {
		seconds = 0
	}
	return &SlowDownError{After: time.Duration(seconds) * time.Second, Why: text.Cut(why, maxLogMessage)}
}

// rekorV2 is a client of a Rekor v2 transparency log. That of rekor-tiles takes no transport.
type rekorV2 struct {
	client  *http.Client
	entries string
	timeout time.Duration
}

// NewRekorV2 makes a client of the Rekor v2 log at baseURL. One Append takes at
// most timeout; with a log that the chart runs, a second is usual.
func NewRekorV2(baseURL string, timeout time.Duration) (Log, error) {
	if _, err := logHost(baseURL); err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("timeout of %s for the log is not positive", timeout)
	}
	entries, err := url.JoinPath(baseURL, entriesPath)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", err)
	}
	return &rekorV2{client: logClient(), entries: entries, timeout: timeout}, nil
}

// logClient is the client of one log.
func logClient() *http.Client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: 90 * time.Second,
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what is signed goes to this log alone
	return &http.Client{Transport: transport, CheckRedirect: stay}
}

// fitsRekorV2 refuses kinds of keys that cannot begin with a Rekor v2, or cannot go
// on after a lost answer. Rekor v2 takes digests, which Ed25519 does not sign. Of
// an entry that it has already it gives no proof, so a new signature has to make a
// new entry. But RSA (PKCS #1 v1.5) signs the same payload alike each time.
func fitsRekorV2(key crypto.PublicKey) error {
	if _, ok := key.(*ecdsa.PublicKey); ok {
		return nil
	}
	return reason.New(reason.UsageInvalid, "with Rekor v2 no seals can be made under keys of this kind (%T): use ECDSA P-256 or P-384, or a Rekor v1", key)
}

// FitsRekorV2 refuses a key under which a Rekor v2 makes no seals, or loses some. A
// key service may also sign alike each time with ECDSA (RFC 6979), so it is asked
// to sign twice.
func (s *Signer) FitsRekorV2(ctx context.Context) error {
	if err := fitsRekorV2(s.public); err != nil {
		return err
	}
	held, ok := s.key.(*serviceKey)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	again, err := held.try(ctx)
	if err != nil {
		return err
	}
	if bytes.Equal(again, held.tried) {
		return reason.New(reason.UsageInvalid, "with Rekor v2 no seals can be made under a key that signs the same alike, as this key service does: use another, or a Rekor v1")
	}
	return nil
}

// FitsRekorV1 refuses a key under which a Rekor v1 makes no seals: it takes each signature
// of an envelope for one over SHA-256.
func (s *Signer) FitsRekorV1() error {
	if key, ok := s.public.(*ecdsa.PublicKey); ok && key.Curve != elliptic.P256() {
		return reason.New(reason.UsageInvalid, "with Rekor v1 no seals can be made under keys of ECDSA %s: use P-256", key.Params().Name)
	}
	return nil
}

// hashedKey is how Rekor v2 calls a kind of key, and the digest that such a key signs of
// an envelope's pre-authentication encoding.
func hashedKey(envelope *protodsse.Envelope, key crypto.PublicKey) (protocommon.PublicKeyDetails, []byte, error) {
	details, err := signature.GetDefaultAlgorithmDetails(key)
	if err != nil {
		return 0, nil, fmt.Errorf("kind of key: %w", err)
	}
	if err := fitsRekorV2(key); err != nil {
		return 0, nil, err
	}
	h := details.GetHashType().New()
	_, _ = h.Write(dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload())) // a hash takes everything
	return details.GetSignatureAlgorithm(), h.Sum(nil), nil
}

// hashedRekord is what a Rekor v2 is asked to record of an envelope: a hashedrekord over
// the digest of its pre-authentication encoding. Rekor v2 has no entry of its own for
// DSSE, and this is the one that Sigstore's verifiers look for.
func hashedRekord(envelope *protodsse.Envelope, key crypto.PublicKey) (*rekor.HashedRekordRequestV002, error) {
	kind, digest, err := hashedKey(envelope, publicIn(key))
	if err != nil {
		return nil, err
	}
	verifier, err := verifierOf(key)
	if err != nil {
		return nil, err
	}
	verifier.KeyDetails = kind
	return &rekor.HashedRekordRequestV002{
		Digest: digest, Signature: &rekor.Signature{Content: envelope.GetSignatures()[0].GetSig(), Verifier: verifier},
	}, nil
}

// Unproven is the entry that a Rekor v2 makes of an envelope, as far as that is known
// before: without its place, its log and its proof. The body is what the log stores, to
// the byte, because Rekor's own code makes it of what Append asks: the log adds nothing,
// and no time.
func Unproven(envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	asked, err := hashedRekord(envelope, key)
	if err != nil {
		return nil, err
	}
	takes, err := signature.NewAlgorithmRegistryConfig([]protocommon.PublicKeyDetails{asked.GetSignature().GetVerifier().GetKeyDetails()})
	if err != nil {
		return nil, fmt.Errorf("kind of key: %w", err)
	}
	made, err := hashedrekord.ToLogEntry(asked, takes)
	if err != nil {
		return nil, fmt.Errorf("entry of the log: %w", err)
	}
	raw, err := protojson.Marshal(made)
	if err != nil {
		return nil, fmt.Errorf("entry of the log: %w", err)
	}
	body, err := jsoncanonicalizer.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("entry of the log: %w", err)
	}
	return &protorekor.TransparencyLogEntry{
		KindVersion:       &protorekor.KindVersion{Kind: made.GetKind(), Version: made.GetApiVersion()},
		CanonicalizedBody: body,
	}, nil
}

// Append implements Log.
func (r *rekorV2) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	asked, err := hashedRekord(envelope, key)
	if err != nil {
		return nil, fmt.Errorf("append to the log: %w: %w", ErrNotLogged, err)
	}
	// An answer that comes after the caller's time is lost, though the log is well.
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < r.timeout {
		return nil, fmt.Errorf("append to the log: %w: its answer may take %s, and there are %s left",
			ErrNotLogged, r.timeout, time.Until(deadline).Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	status, header, answer, err := r.post(ctx, &rekor.CreateEntryRequest{Spec: &rekor.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: asked}})
	entry := &protorekor.TransparencyLogEntry{}
	if err == nil && status == http.StatusCreated {
		if err = protojson.Unmarshal(answer, entry); err == nil {
			return entry, nil
		}
	}
	if err == nil && status == http.StatusTooManyRequests {
		return nil, slowDown(header, string(answer))
	}
	if err == nil {
		err = fmt.Errorf("it answers %d %s", status, answer[:min(len(answer), maxLogMessage)])
	}
	return nil, logError(status, err, sent.Load())
}

// publicIn is the public key that is meant by a key or its certificate.
func publicIn(key crypto.PublicKey) crypto.PublicKey {
	if certificate, ok := key.(*x509.Certificate); ok {
		return certificate.PublicKey
	}
	return key
}

func verifierOf(key crypto.PublicKey) (*rekor.Verifier, error) {
	if certificate, ok := key.(*x509.Certificate); ok {
		return &rekor.Verifier{Verifier: &rekor.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: certificate.Raw}}}, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return &rekor.Verifier{Verifier: &rekor.Verifier_PublicKey{PublicKey: &rekor.PublicKey{RawBytes: spki}}}, nil
}

// post gives the log's answer, its header and its status, which is 0 as long as there is none.
func (r *rekorV2) post(ctx context.Context, asked *rekor.CreateEntryRequest) (int, http.Header, []byte, error) {
	body, err := protojson.Marshal(asked)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("marshal request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.entries, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "argoseal")
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxLogAnswer))
	if err != nil {
		return response.StatusCode, nil, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return response.StatusCode, response.Header, answer, nil
}

// logError bounds an error, which may quote the log's answer, and tells what the
// status says of the entry.
func logError(status int, err error, sent bool) error {
	if status == http.StatusConflict {
		return ErrDuplicate
	}
	message := text.Cut(err.Error(), maxLogMessage)
	// Rekor says 499 where it gave up waiting for the entry.
	switch {
	case refuses(status):
		return fmt.Errorf("append to the log: %w: %s", errRefused, message)
	case !sent || status >= 400 && status < 499:
		return fmt.Errorf("append to the log: %w: %s", ErrNotLogged, message)
	}
	return fmt.Errorf("append to the log: %s", message)
}

// logHost is the host in a log's base URL, which is also the origin of its
// checkpoints.
func logHost(baseURL string) (string, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return "", fmt.Errorf("log URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("log URL %.200q is not http(s)://HOST[:PORT][/PATH]", baseURL)
	}
	return u.Hostname(), nil
}
