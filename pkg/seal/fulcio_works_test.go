package seal_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// Before anybody trusts an identity, it shows whether Fulcio certifies it under the trusted
// root.
func TestFulcioShowsThatItWorks(t *testing.T) {
	k := newKeyless(t)
	must(t, k.client(t).Works(t.Context(), k.trusted))
	log, another := sealtest.NewLog(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.fulcio.Answer(t, w, r, k.authority, sealtest.Issuer, sealtest.Subject+"-2", 10*time.Minute)
	})
	for name, c := range map[string]struct {
		trusted []byte
		instead *http.HandlerFunc
	}{
		"it is away":             {k.trusted, gone()},
		"another identity":       {k.trusted, &another},
		"no authority":           {log.TrustedRoot, nil},
		"another authority":      {sealtest.NewAuthority(t).TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Certificates: true}), nil},
		"a log of certificates":  {k.authority.TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Certificates: true, CertificateLog: true}), nil},
		"no trusted root at all": {nil, nil},
	} {
		k.fulcio.Instead.Store(c.instead)
		if err := k.client(t).Works(t.Context(), c.trusted); reason.Of(err) != reason.CertificateFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
