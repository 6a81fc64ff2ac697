package seal_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// A token that the API server takes, too, is never sent to Fulcio, neither at the start nor
// if the file has it later.
func TestATokenForTheAPIServerIsNotSent(t *testing.T) {
	const issuer = "https://oidc.example.com/id"
	part := base64.RawURLEncoding.EncodeToString
	token := func(aud string) []byte {
		says := fmt.Sprintf(`{"iss":%q,"sub":%q%s}`, issuer, sealtest.Account, aud)
		return []byte(part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(says)) + "." + part([]byte("signature")))
	}
	file := filepath.Join(t.TempDir(), "token")
	for aud, good := range map[string]bool{
		`,"aud":["sigstore"]`: true,
		`,"aud":"sigstore"`:   true,
		`,"aud":["kubernetes.default.svc-of.example.com"]`: true,
		``:                           false,
		`,"aud":[]`:                  false,
		`,"aud":[""]`:                false,
		`,"aud":7`:                   false,
		`,"aud":["sigstore","else"]`: false,
		`,"aud":["` + issuer + `"]`:  false,
		`,"aud":"` + issuer + `/"`:   false,
		`,"aud":["https://kubernetes.default.svc"]`:               false,
		`,"aud":["https://kubernetes.default.svc.cluster.local"]`: false,
		`,"aud":["kubernetes.default"]`:                           false,
	} {
		must(t, os.WriteFile(file, token(aud), 0o600))
		if _, err := seal.NewFulcio("https://fulcio.example.com", file, time.Second, clocktesting.NewFakePassiveClock(time.Now())); (err == nil) != good {
			t.Errorf("%s: %v", aud, err)
		}
	}

	k := newKeyless(t)
	s := k.replica(t)
	must(t, os.WriteFile(k.fulcio.Token, token(`,"aud":["`+issuer+`"]`), 0o600))
	_, err := s.Prepare(t.Context(), k.payload(t))
	if n := k.fulcio.Asked.Load(); reason.Of(err) != reason.CertificateFailed || !strings.Contains(err.Error(), "Fulcio alone") || n != 0 {
		t.Errorf("fulcio was asked %d times: %v", n, err)
	}
	must(t, os.WriteFile(k.fulcio.Token, []byte(sealtest.Token(sealtest.Issuer, sealtest.Account)+"\n"), 0o600))
	k.pass(2 * time.Second)
	bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
	k.holds(t, bundle, err)
}
