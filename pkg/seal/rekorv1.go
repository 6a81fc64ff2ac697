package seal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/tle"
	"github.com/sigstore/rekor/pkg/types"
	rekordsse "github.com/sigstore/rekor/pkg/types/dsse"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // the entry's version
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/verify"
)

// entryUUID is what Rekor v1 calls an entry: with the id of its tree before it, or
// without.
var entryUUID = regexp.MustCompile(`^([0-9a-f]{16})?[0-9a-f]{64}$`)

// rekorV1 is a client of a Rekor v1 transparency log.
type rekorV1 struct {
	base    *url.URL
	client  *http.Client
	timeout time.Duration
}

// NewRekorV1 makes a client of the Rekor v1 log at baseURL, which takes the envelope (it
// keeps digests of it only). One Append takes at most timeout.
func NewRekorV1(baseURL string, timeout time.Duration) (Log, error) {
	if _, err := logHost(baseURL); err != nil {
		return nil, err
	}
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", err)
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("timeout of %s for the log is not positive", timeout)
	}
	return &rekorV1{base: base, timeout: timeout, client: logClient()}, nil
}

// Append records a dsse entry. What the log has already it gives again, with a proof.
func (r *rekorV1) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < r.timeout {
		return nil, fmt.Errorf("append to the log: %w: its answer may take %s, and there are %s left",
			ErrNotLogged, r.timeout, time.Until(deadline).Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	request, err := proposal(ctx, envelope, key)
	if err != nil {
		return nil, fmt.Errorf("append to the log: %w: %w", ErrNotLogged, err)
	}
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	status, header, answer, err := r.ask(traced, http.MethodPost, "", request)
	switch {
	case err != nil && !sent.Load():
		return nil, fmt.Errorf("append to the log: %w: %s", ErrNotLogged, text.Cut(err.Error(), maxLogMessage))
	case err != nil:
		return nil, fmt.Errorf("append to the log: %s", text.Cut(err.Error(), maxLogMessage))
	case status == http.StatusCreated:
		return entryIn(answer)
	case status == http.StatusConflict:
		return r.existing(ctx, header.Get("Location"))
	case status == http.StatusTooManyRequests:
		return nil, slowDown(header, string(answer))
	case refuses(status):
		return nil, fmt.Errorf("append to the log: %w: status %d: %q", errRefused, status, text.Cut(string(answer), maxLogMessage))
	case status >= 400 && status < 499: // 499 is said where it gave up waiting for the entry
		return nil, fmt.Errorf("append to the log: %w: status %d: %q", ErrNotLogged, status, text.Cut(string(answer), maxLogMessage))
	}
	return nil, fmt.Errorf("append to the log: status %d: %q", status, text.Cut(string(answer), maxLogMessage))
}

// existing gets an entry that the log says it has. Only the entry's name is taken from
// what it says, never a host.
func (r *rekorV1) existing(ctx context.Context, location string) (*protorekor.TransparencyLogEntry, error) {
	uuid := path.Base(location)
	if !entryUUID.MatchString(uuid) {
		return nil, fmt.Errorf("append to the log: it has the entry already, and names it %.100q", location)
	}
	status, _, answer, err := r.ask(ctx, http.MethodGet, uuid, nil)
	if err != nil {
		return nil, fmt.Errorf("get the entry that the log has: %s", text.Cut(err.Error(), maxLogMessage))
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("get the entry that the log has: status %d: %q", status, text.Cut(string(answer), maxLogMessage))
	}
	return entryIn(answer)
}

func (r *rekorV1) ask(ctx context.Context, method, uuid string, body []byte) (int, http.Header, []byte, error) {
	at := r.base.JoinPath("api/v1/log/entries", uuid)
	request, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "argoseal")
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxLogAnswer+1))
	if err == nil && len(answer) > maxLogAnswer {
		err = fmt.Errorf("its answer has more than %d bytes", maxLogAnswer)
	}
	return response.StatusCode, response.Header, answer, err
}

// pemOf is a public key, or a certificate.
func pemOf(key crypto.PublicKey) ([]byte, error) {
	if certificate, ok := key.(*x509.Certificate); ok {
		return cryptoutils.MarshalCertificateToPEM(certificate)
	}
	return cryptoutils.MarshalPublicKeyToPEM(key)
}

// proposal is what Rekor v1 is asked to record.
func proposal(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) ([]byte, error) {
	public, err := pemOf(key)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(dsse.Envelope{
		PayloadType: envelope.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(envelope.GetPayload()),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(envelope.GetSignatures()[0].GetSig())}},
	})
	if err != nil {
		return nil, err
	}
	entry, err := rekordsse.New().CreateProposedEntry(ctx, "", types.ArtifactProperties{ArtifactBytes: raw, PublicKeyBytes: [][]byte{public}})
	if err != nil {
		return nil, err
	}
	return json.Marshal(entry)
}

// checkBody makes sure that an entry's body is what a Rekor v1 stores. Of anything else that
// Rekor's own code reads, it may verify signatures for hours, and nothing ends it.
func checkBody(body any) error {
	encoded, ok := body.(string)
	if !ok {
		return errors.New("body of the entry is no text")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("body of the entry: %w", err)
	}
	return verify.CheckDSSEBody(raw)
}

// entryIn reads an answer with one entry. Rekor's own code takes for granted that all
// fields are there.
func entryIn(answer []byte) (*protorekor.TransparencyLogEntry, error) {
	var all models.LogEntry
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, fmt.Errorf("the log's answer: %s", text.Cut(err.Error(), maxLogMessage))
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("the log's answer has %d entries, want one", len(all))
	}
	for _, e := range all {
		v := e.Verification
		if e.LogID == nil || e.LogIndex == nil || e.IntegratedTime == nil || e.Body == nil || v == nil || v.InclusionProof == nil ||
			v.InclusionProof.RootHash == nil || v.InclusionProof.LogIndex == nil || v.InclusionProof.TreeSize == nil || v.InclusionProof.Checkpoint == nil {
			break
		}
		if err := checkBody(e.Body); err != nil {
			return nil, fmt.Errorf("the log's answer: %s", text.Cut(err.Error(), maxLogMessage))
		}
		entry, err := tle.GenerateTransparencyLogEntry(e)
		if err != nil {
			return nil, fmt.Errorf("the log's answer: %s", text.Cut(err.Error(), maxLogMessage))
		}
		return entry, nil
	}
	return nil, errors.New("the log's answer has no entry with promise, proof and checkpoint")
}
