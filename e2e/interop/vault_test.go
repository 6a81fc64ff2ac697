//go:build e2e

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault" // hashivault://, openbao://
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// vault is a HashiCorp Vault, with the engine that keeps keys. It knows TLS alone, under an
// authority that no machine trusts.
type vault struct {
	url         string
	authority   string // the file
	root, share string // what its operator has: all rights, and what unseals it
	client      *http.Client
}

// startVault runs a Vault, as one sets it up, until the test ends.
func startVault(t *testing.T) *vault {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	v := &vault{url: "https://127.0.0.1:" + port, authority: filepath.Join(dir, "vault.pem")}
	certificate, key := certificateOf(t, "127.0.0.1")
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(certificate)
	v.client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}}, Timeout: time.Minute,
	}
	settings := fmt.Sprintf("storage \"inmem\" {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:%s\"\n  tls_cert_file = %q\n  tls_key_file = %q\n}\n"+
		"api_addr = %q\ndisable_mlock = true\n", port, v.authority, filepath.Join(dir, "vault.key"), v.url)
	for name, data := range map[string][]byte{"vault.pem": certificate, "vault.key": key, "vault.hcl": []byte(settings)} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	start(t, dir, "vault", program(t, "vault"), "server", "-config="+filepath.Join(dir, "vault.hcl"))
	await(t, "Vault listens", func() error { return listens(port) })
	begun := v.tell(t, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	v.root, v.share = begun.RootToken, begun.Shares[0]
	v.unseal(t)
	v.mount(t, "transit")
	return v
}

func (v *vault) unseal(t *testing.T) {
	t.Helper()
	v.tell(t, "sys/unseal", map[string]any{"key": v.share})
}

// mount puts an engine that keeps keys at a path.
func (v *vault) mount(t *testing.T, path string) {
	t.Helper()
	v.tell(t, "sys/mounts/"+path, map[string]any{"type": "transit"})
}

// told is the part of its answers that is of use here.
type told struct {
	Shares    []string `json:"keys_base64"`
	RootToken string   `json:"root_token"`
	Auth      struct {
		Token string `json:"client_token"`
	}
}

// tell has it do what its operator may.
func (v *vault) tell(t *testing.T, path string, what map[string]any) told {
	t.Helper()
	status, answer, err := v.ask(t, path, what)
	must(t, err)
	if status/100 != 2 {
		t.Fatalf("Vault answers %d to %s: %s", status, path, answer)
	}
	var said told
	if len(answer) > 0 {
		must(t, json.Unmarshal(answer, &said))
	}
	return said
}

func (v *vault) ask(t *testing.T, path string, what map[string]any) (status int, answer []byte, err error) {
	t.Helper()
	raw, err := json.Marshal(what)
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, v.url+"/v1/"+path, bytes.NewReader(raw))
	must(t, err)
	request.Header.Set("X-Vault-Token", v.root)
	response, err := v.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	return response.StatusCode, body(t, response), nil
}

// What docs/trust.md says that the notary needs.
const (
	mayRead = "path \"transit/keys/KEY\" { capabilities = [\"read\"] }\n"
	maySign = "path \"transit/sign/KEY/*\" { capabilities = [\"update\"] }\n"
)

// may gives whoever has tokens for a key these rights on it.
func (v *vault) may(t *testing.T, key string, rights ...string) {
	t.Helper()
	policy := strings.ReplaceAll(strings.Join(rights, ""), "KEY", key) + "# no other rights\n"
	v.tell(t, "sys/policies/acl/"+key, map[string]any{"policy": policy})
}

// makes makes a key, and gives a token that may do with it what the notary needs.
func (v *vault) makes(t *testing.T, key, kind string) (token string) {
	t.Helper()
	v.tell(t, "transit/keys/"+key, map[string]any{"type": kind})
	v.may(t, key, mayRead, maySign)
	return v.token(t, key, "1h")
}

// token gives one for a key, which ends if it is not renewed for so long.
func (v *vault) token(t *testing.T, key, period string) string {
	t.Helper()
	return v.tell(t, "auth/token/create", map[string]any{"policies": []string{key}, "no_default_policy": true, "period": period}).Auth.Token
}

// environment is the notary's, as docs/trust.md says.
func (v *vault) environment(t *testing.T, token, authority string) {
	t.Helper()
	for name, value := range map[string]string{
		"VAULT_ADDR": v.url, "VAULT_TOKEN": token, "VAULT_CACERT": authority,
		// What this machine knows of Vaults is no matter.
		"VAULT_CACERT_BYTES": "", "VAULT_CAPATH": "", "VAULT_NAMESPACE": "", "VAULT_SKIP_VERIFY": "", "TRANSIT_SECRET_ENGINE_PATH": "",
	} {
		t.Setenv(name, value)
	}
}

// signer is a key of it, as a notary that has the token begins with it.
func (v *vault) signer(t *testing.T, key, token string) *seal.Signer {
	t.Helper()
	v.environment(t, token, v.authority)
	s, err := seal.LoadKMSSigner(t.Context(), "hashivault://"+key)
	must(t, err)
	return s
}

// signs has a signer sign a new statement.
func signs(t *testing.T, s *seal.Signer) error {
	t.Helper()
	_, err := s.Prepare(t.Context(), statement(t))
	return err
}

// fails is what a key service that does not sign comes to: the record waits.
func fails(t *testing.T, err error, says string) {
	t.Helper()
	if reason.Of(err) != reason.KeyServiceFailed || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s: %s", err, reason.KeyServiceFailed, says)
	}
}

// Whoever has the trusted root can judge seals of keys that a Vault keeps, too.
func TestOthersVerifySealsOfVault(t *testing.T) {
	v, l := startVault(t), startV1(t)
	url2, root2 := startV2(t)
	authors := map[string]author{}
	for name, kind := range map[string]string{"P-256": "ecdsa-p256", "P-384": "ecdsa-p384", "RSA-2048": "rsa-2048", "RSA-3072": "rsa-3072", "RSA-4096": "rsa-4096"} {
		authors[name] = keyed(v.signer(t, kind, v.makes(t, kind, kind)))
	}
	judged(t, l.url, url2, sealtest.TrustedRootOf(t, l.trusted(t), root2), authors, provenTimes{
		"v1":   {"P-256": 1, "RSA-2048": 1, "RSA-3072": 1, "RSA-4096": 1},
		"v2":   {"P-256": 0, "P-384": 0},
		"both": {"P-256": 1},
	})
}

// The kinds of keys that Vault has make seals in the logs that docs/trust.md names, or none,
// wherever its engine is.
func TestKeysOfVault(t *testing.T) {
	v := startVault(t)
	for kind, want := range map[string]struct {
		load   reason.Code
		v1, v2 bool
	}{
		"ecdsa-p256":   {v1: true, v2: true},
		"ecdsa-p384":   {v2: true},
		"rsa-2048":     {v1: true},
		"rsa-3072":     {v1: true},
		"rsa-4096":     {v1: true},
		"ecdsa-p521":   {load: reason.UsageInvalid},
		"ed25519":      {load: reason.UsageInvalid},
		"aes256-gcm96": {load: reason.KeyServiceFailed}, // it has no public key
	} {
		t.Run(kind, func(t *testing.T) {
			v.environment(t, v.makes(t, kind, kind), v.authority)
			s, err := seal.LoadKMSSigner(t.Context(), "hashivault://"+kind)
			if reason.Of(err) != want.load {
				t.Fatalf("got %v, want %q", err, want.load)
			}
			if want.load != "" {
				return
			}
			must(t, signs(t, s))
			if one, two := s.FitsRekorV1(), s.FitsRekorV2(t.Context()); (one == nil) != want.v1 || (two == nil) != want.v2 {
				t.Errorf("a Rekor v1: %v, a Rekor v2: %v", one, two)
			}
		})
	}
	t.Run("as OpenBao's", func(t *testing.T) {
		v.environment(t, v.makes(t, "bao", "ecdsa-p256"), v.authority)
		s, err := seal.LoadKMSSigner(t.Context(), "openbao://bao")
		must(t, err)
		must(t, signs(t, s))
	})
	t.Run("in another engine", func(t *testing.T) {
		v.mount(t, "teams/seals")
		v.tell(t, "teams/seals/keys/there", map[string]any{"type": "ecdsa-p256"})
		v.may(t, "there", strings.ReplaceAll(mayRead+maySign, "transit/", "teams/seals/"))
		v.environment(t, v.token(t, "there", "1h"), v.authority)
		_, err := seal.LoadKMSSigner(t.Context(), "hashivault://there")
		fails(t, err, "permission denied")
		t.Setenv("TRANSIT_SECRET_ENGINE_PATH", "teams/seals")
		s, err := seal.LoadKMSSigner(t.Context(), "hashivault://there")
		must(t, err)
		must(t, signs(t, s))
	})
}

// VAULT_CACERT names the authority of a Vault of one's own, and nobody else's will do.
func TestVaultIsAskedUnderItsOwnAuthority(t *testing.T) {
	v := startVault(t)
	token := v.makes(t, "seals", "ecdsa-p256")
	another := filepath.Join(t.TempDir(), "another.pem")
	certificate, _ := certificateOf(t, "127.0.0.1")
	must(t, os.WriteFile(another, certificate, 0o600))
	must(t, signs(t, v.signer(t, "seals", token)))
	for name, authority := range map[string]string{"none": "", "another": another} {
		t.Run(name, func(t *testing.T) {
			v.environment(t, token, authority)
			_, err := seal.LoadKMSSigner(t.Context(), "hashivault://seals")
			fails(t, err, "certificate")
		})
	}
}

// Nothing is signed without the two rights that docs/trust.md names, and they are enough.
func TestTheRightsThatVaultAsksFor(t *testing.T) {
	v := startVault(t)
	token := v.makes(t, "seals", "ecdsa-p256")
	others := v.makes(t, "others", "ecdsa-p256")
	for name, c := range map[string]struct {
		token  string
		rights []string
	}{
		"both":                 {token, []string{mayRead, maySign}},
		"not to read":          {token, []string{maySign}},
		"not to sign":          {token, []string{mayRead}},
		"those of another key": {others, []string{mayRead, maySign}},
		"a token that is none": {"hvs.none", []string{mayRead, maySign}},
	} {
		t.Run(name, func(t *testing.T) {
			v.may(t, "seals", c.rights...)
			v.environment(t, c.token, v.authority)
			s, err := seal.LoadKMSSigner(t.Context(), "hashivault://seals")
			if name != "both" {
				fails(t, err, "permission denied")
				return
			}
			must(t, err)
			must(t, signs(t, s))
		})
	}
}

// A notary that runs signs nothing while Vault does not let it, and goes on as soon as it does.
func TestSealsWaitForVault(t *testing.T) {
	v := startVault(t)
	s := v.signer(t, "seals", v.makes(t, "seals", "ecdsa-p256"))
	must(t, signs(t, s))
	for name, c := range map[string]struct {
		stop, start func()
		says        string
	}{
		"it may not":      {func() { v.may(t, "seals", mayRead) }, func() { v.may(t, "seals", mayRead, maySign) }, "permission denied"},
		"Vault is sealed": {func() { v.tell(t, "sys/seal", nil) }, func() { v.unseal(t) }, "Vault is sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			c.stop()
			fails(t, signs(t, s), c.says)
			c.start()
			must(t, signs(t, s))
		})
	}
	t.Run("its token ends", func(t *testing.T) {
		const period = "15s"
		renewed, forgotten := v.token(t, "seals", period), v.token(t, "seals", period)
		kept, lost := v.signer(t, "seals", renewed), v.signer(t, "seals", forgotten)
		must(t, errors.Join(signs(t, kept), signs(t, lost)))
		await(t, "the token that nobody renews ends", func() error {
			v.tell(t, "auth/token/renew", map[string]any{"token": renewed})
			status, _, err := v.ask(t, "auth/token/lookup", map[string]any{"token": forgotten})
			if err == nil && status/100 == 2 {
				err = errors.New("it is there")
			}
			return err
		})
		must(t, signs(t, kept))
		fails(t, signs(t, lost), "permission denied")
	})
}

// A key that Vault rotates signs for nobody until the notary is started again, which publishes
// the new version and lets the one before end. What was sealed before counts.
func TestAKeyThatVaultRotates(t *testing.T) {
	v := startVault(t)
	url, trusted := startV2(t)
	v.environment(t, v.makes(t, "seals", "ecdsa-p256"), v.authority)
	const namespace = "argoseal-system"
	api := fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ConfigMapTrustedRoot},
		Data:       map[string]string{v1alpha1.TrustedRootKey: string(trusted)},
	}).WithInterceptorFuncs(interceptor.Funcs{ // it says what time it is
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			o.SetCreationTimestamp(metav1.Now())
			return c.Create(ctx, o, opts...)
		},
	}).Build()
	begin := func() (*seal.Signer, error) {
		return keyring.ServiceSigner(t.Context(), api, namespace, "hashivault://seals", func(s *seal.Signer) error { return s.FitsRekorV2(t.Context()) })
	}
	before, err := begin()
	must(t, err)
	bundle := sealed(t, keyed(before), trusted, at{version: 2, url: url})

	v.tell(t, "transit/keys/seals/rotate", nil)
	fails(t, signs(t, before), "not this key's")

	after, err := begin()
	if err == nil {
		t.Error("it signs before anybody knows it")
	}
	published := func() verify.Domain {
		var cm corev1.ConfigMap
		must(t, api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapNotaryKey}, &cm))
		d, err := verify.ParseInstalled("installed", verify.Sources{
			TrustedRoot: trusted, Keys: []byte(cm.Data[v1alpha1.NotaryKeyKey]), Rules: []byte(cm.Data[v1alpha1.RulesKey]),
		})
		must(t, err)
		d.AnyBuilder = true
		return d
	}
	ends := map[string]bool{}
	for _, key := range published().Keys {
		ends[key.Hint] = !key.End.IsZero()
	}
	if end, known := ends[before.Hint()]; !known || !end || len(ends) != 2 {
		t.Errorf("which keys end: %v, and the one before is %s", ends, before.Hint())
	}
	await(t, "the new version signs", func() error {
		after, err = begin()
		return err
	})
	if end, known := ends[after.Hint()]; !known || end {
		t.Errorf("which keys end: %v, and the one that signs is %s", ends, after.Hint())
	}
	root, err := verify.New(published())
	must(t, err)
	for hint, bundle := range map[string][]byte{before.Hint(): bundle, after.Hint(): sealed(t, keyed(after), trusted, at{version: 2, url: url})} {
		if result, err := root.Inspect(bundle); err != nil || result.KeyHint != hint {
			t.Errorf("%+v, %v, want one of %s", result, err, hint)
		}
	}
}
