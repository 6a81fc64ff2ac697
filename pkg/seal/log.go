package seal

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/client"
	"github.com/sigstore/rekor-tiles/v2/pkg/client/write"
	rekor "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/argoseal/argoseal/pkg/text"
)

// Log is a transparency log that takes a DSSE envelope with one signature. key
// is the public key that verifies the signature. If the log has the entry
// already and gives no proof for it, the error is ErrDuplicate. ErrNotLogged says
// that there is no entry.
type Log interface {
	Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error)
}

// ErrDuplicate says that the log knows this signature already and gave no proof
// for it: sign again, replace the stored envelope and record that one.
var ErrDuplicate = errors.New("the log has this entry already")

// ErrNotLogged is in the chain of an error of which it is certain that it made no
// entry. After any other there may be one.
var ErrNotLogged = errors.New("nothing was logged")

// maxLogMessage bounds what a log's answer adds to an error, in bytes.
const maxLogMessage = 300

// rekorV2 is a client of a Rekor v2 log.
type rekorV2 struct {
	writer  write.Client
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
	writer, err := write.NewWriter(baseURL, client.WithUserAgent("argoseal"), client.WithTimeout(timeout))
	if err != nil {
		return nil, fmt.Errorf("make client of the log: %w", err)
	}
	return &rekorV2{writer: writer, timeout: timeout}, nil
}

// hashedKey is how Rekor v2 calls a kind of key, and the digest that such a key signs of
// an envelope's pre-authentication encoding. Keys that sign no digest it does not take.
func hashedKey(envelope *protodsse.Envelope, key crypto.PublicKey) (protocommon.PublicKeyDetails, []byte, error) {
	details, err := signature.GetDefaultAlgorithmDetails(key)
	if err != nil {
		return 0, nil, fmt.Errorf("kind of key: %w", err)
	}
	hash := details.GetHashType()
	if hash == crypto.Hash(0) {
		return 0, nil, fmt.Errorf("Rekor v2 takes no keys of this kind (%T): use ECDSA or RSA, or a Rekor v1", key) //nolint:staticcheck // a name
	}
	h := hash.New()
	_, _ = h.Write(dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload())) // a hash takes everything
	return details.GetSignatureAlgorithm(), h.Sum(nil), nil
}

// Append records a hashedrekord over the digest of the envelope's
// pre-authentication encoding: Rekor v2 has no entry of its own for DSSE, and
// this is the one that Sigstore's verifiers look for.
func (r *rekorV2) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	kind, digest, err := hashedKey(envelope, key)
	if err != nil {
		return nil, fmt.Errorf("append to the log: %w: %w", ErrNotLogged, err)
	}
	// An answer that comes too late for the caller is lost, though the log is well.
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < r.timeout {
		return nil, fmt.Errorf("append to the log: %w: its answer may take %s, and there are %s left",
			ErrNotLogged, r.timeout, time.Until(deadline).Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	entry, err := r.writer.Add(ctx, &rekor.HashedRekordRequestV002{
		Digest: digest,
		Signature: &rekor.Signature{
			Content: envelope.GetSignatures()[0].GetSig(),
			Verifier: &rekor.Verifier{
				Verifier:   &rekor.Verifier_PublicKey{PublicKey: &rekor.PublicKey{RawBytes: spki}},
				KeyDetails: kind,
			},
		},
	})
	if err != nil {
		return nil, logError(err, sent.Load())
	}
	return entry, nil
}

// logError bounds an error of the log's client, which quotes the log's answer, and
// tells what it says of the entry. The client gives the status only in its text.
func logError(err error, sent bool) error {
	message := err.Error()
	var status int
	_, _ = fmt.Sscanf(message, "unexpected response: %d ", &status)
	if status == http.StatusConflict {
		return ErrDuplicate
	}
	message = text.Cut(message, maxLogMessage)
	// Rekor says 499 where it gave up waiting for the entry.
	if refused := status >= 400 && status < 499; refused || !sent {
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
