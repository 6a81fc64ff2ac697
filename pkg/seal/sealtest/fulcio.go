package sealtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"
)

// Account is the ServiceAccount whose Subject that is.
const Account = "system:serviceaccount:argoseal-system:argoseal-notary"

// Fulcio answers as Fulcio does for the tokens of a cluster. It trusts each token.
type Fulcio struct {
	// URL is where it listens, and Token a file with the notary's.
	URL, Token string
	// Asked counts the requests.
	Asked atomic.Int64
	// Instead answers in its place, where it is set.
	Instead atomic.Pointer[http.HandlerFunc]

	authority *Authority
	clock     clock.PassiveClock
}

// NewFulcio starts one that issues an authority's certificates, until the test ends.
func NewFulcio(tb testing.TB, a *Authority, c clock.PassiveClock) *Fulcio {
	tb.Helper()
	f := &Fulcio{authority: a, clock: c, Token: filepath.Join(tb.TempDir(), "token")}
	check(tb, os.WriteFile(f.Token, []byte(Token(Issuer, Account)+"\n"), 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Asked.Add(1)
		if instead := f.Instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		f.Answer(tb, w, r, a, Issuer, Subject, 10*time.Minute)
	}))
	tb.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Token is a token of a ServiceAccount, which nobody has signed.
func Token(issuer, subject string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":["sigstore"]}`, issuer, subject)) + "." + part("signature")
}

// Answer certifies the key that is asked for, by an authority, with that identity.
func (f *Fulcio) Answer(tb testing.TB, w http.ResponseWriter, r *http.Request, by *Authority, issuer, subject string, counts time.Duration) {
	var asked struct {
		Credentials struct{ OIDCIdentityToken string }
		CSR         []byte `json:"certificateSigningRequest"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/api/v2/signingCert" {
		tb.Errorf("fulcio is asked %s: %v", r.URL, err)
		return
	}
	csr, err := cryptoutils.ParseCSR(asked.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if token, _ := os.ReadFile(f.Token); err != nil || asked.Credentials.OIDCIdentityToken+"\n" != string(token) {
		tb.Errorf("fulcio is asked with the token %q: %v", asked.Credentials.OIDCIdentityToken, err)
		return
	}
	leaf, err := cryptoutils.MarshalCertificateToPEM(by.CertifyKey(tb, csr.PublicKey, issuer, subject, f.clock.Now(), counts))
	check(tb, err)
	var answer struct {
		Detached struct {
			Chain struct {
				Certificates []string `json:"certificates"`
			} `json:"chain"`
		} `json:"signedCertificateDetachedSct"`
	}
	answer.Detached.Chain.Certificates = []string{string(leaf), string(by.Issuers(tb))}
	_ = json.NewEncoder(w).Encode(answer)
}
