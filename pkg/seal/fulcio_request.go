package seal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/verify"
)

// ask has a new key certified, and holds the answer to what was asked.
func (f *Fulcio) ask(ctx context.Context, trusted *verify.Root) (*Signer, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	if _, _, err := identityIn(token); err != nil {
		return nil, err // it is another file by now
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // which each log takes
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	held, err := signature.LoadDefaultSigner(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	signer, err := newSigner(held, key.Public())
	if err != nil {
		return nil, err
	}
	raw, err := f.request(ctx, token, key)
	if err != nil {
		// A server could send the token back, and errors are shown.
		return nil, errors.New(text.Cut(strings.ReplaceAll(err.Error(), token, "[token]"), maxLogMessage))
	}
	leaf, err := parseLeaf(raw)
	if err != nil {
		return nil, err
	}
	if err := cryptoutils.EqualKeys(leaf.PublicKey, key.Public()); err != nil {
		return nil, errors.New("its certificate is for another key than ours")
	}
	now := f.clock.Now()
	if leaf.NotAfter.Sub(now) < 2*minLeft {
		return nil, fmt.Errorf("its certificate counts until %s, which is in less than %s", leaf.NotAfter.UTC().Format(time.RFC3339), 2*minLeft)
	}
	if err := f.check(raw, trusted, later(now, leaf.NotBefore)); err != nil {
		return nil, fmt.Errorf("its certificate is of no use: %w", err)
	}
	signer.certificate = leaf
	return signer, nil
}

// certificateRequest is what Fulcio's API (v2) is asked. The signature of the CSR proves that
// we have the key; of what else a CSR says Fulcio takes nothing.
type certificateRequest struct {
	Credentials struct {
		Token string `json:"oidcIdentityToken"`
	} `json:"credentials"`
	CSR []byte `json:"certificateSigningRequest"`
}

// certificateAnswer is what it answers: a chain of PEM, with the promise of a log of
// certificates in the first one, or beside, or none.
type certificateAnswer struct {
	Embedded chainAnswer `json:"signedCertificateEmbeddedSct"`
	Detached chainAnswer `json:"signedCertificateDetachedSct"`
}

type chainAnswer struct {
	Chain struct {
		Certificates []string `json:"certificates"`
	} `json:"chain"`
}

// request is Fulcio's certificate for a key (DER). sigstore-go's client of Fulcio follows
// redirects with the token, heeds no context, and links readers of PGP, RPM and minisign.
func (f *Fulcio) request(ctx context.Context, token string, key *ecdsa.PrivateKey) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA256}, key)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	asked := certificateRequest{CSR: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})}
	asked.Credentials.Token = token
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+signingPath, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "argoseal")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxChain+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %d %s", response.StatusCode, raw)
	case len(raw) > maxChain:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxChain)
	}
	var answer certificateAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	chain := answer.Embedded.Chain.Certificates
	if len(chain) == 0 {
		chain = answer.Detached.Chain.Certificates
	}
	if len(chain) == 0 {
		return nil, errors.New("its answer has no certificate")
	}
	block, _ := pem.Decode([]byte(chain[0]))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("its answer has no certificate in PEM")
	}
	return block.Bytes, nil
}
