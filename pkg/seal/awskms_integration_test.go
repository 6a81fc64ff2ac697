//go:build integration

package seal_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // awskms://

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// localKMSVariable names a program that answers as AWS KMS does.
const localKMSVariable = "ARGOSEAL_BIN_LOCAL_KMS"

// keyService is local-kms, with TLS before it, which the client of AWS insists on.
type keyService struct {
	address string
	asks    string // where local-kms listens itself
	// silent has it answer nobody, and own list algorithms in its own order.
	silent, own atomic.Bool
	gone        func()
}

func startKeyService(t *testing.T) *keyService {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	ctx, stop := context.WithCancel(context.Background()) // outlives t.Context, which ends before cleanup
	server := exec.CommandContext(ctx, program(t, localKMSVariable))
	server.Env = []string{"PORT=" + port, "KMS_DATA_PATH=" + filepath.Join(dir, "keys"), "KMS_SEED_PATH=" + filepath.Join(dir, "none")}
	var output strings.Builder
	server.Stdout, server.Stderr = &output, &output
	must(t, server.Start())
	t.Cleanup(func() {
		stop()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("local-kms said:\n%s", output.String())
		}
	})
	waitForPort(t, port)
	s := &keyService{asks: "http://127.0.0.1:" + port}
	at, err := url.Parse(s.asks)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.ModifyResponse = func(r *http.Response) error {
		if s.own.Load() || r.StatusCode != http.StatusOK || !strings.HasSuffix(r.Request.Header.Get("X-Amz-Target"), ".DescribeKey") {
			return nil
		}
		return likeAWS(r)
	}
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.silent.Load() {
			_, _ = io.Copy(io.Discard, r.Body) // who waits for a client's end has to read
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.address, s.gone = front.Listener.Addr().String(), front.Close
	authority := filepath.Join(dir, "authority.pem")
	must(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-2", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CA_BUNDLE": authority,
		// What this machine knows of AWS is no matter.
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

// likeAWS has a key's algorithms in the order of AWS KMS. The first one is used: for an RSA
// key that is PKCS #1 v1.5, and with local-kms PSS.
func likeAWS(r *http.Response) error {
	var said struct{ KeyMetadata map[string]any }
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
		return err
	}
	if algorithms, ok := said.KeyMetadata["SigningAlgorithms"].([]any); ok {
		slices.SortFunc(algorithms, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	changed, err := json.Marshal(said)
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	r.Header.Set("Content-Length", strconv.Itoa(len(changed)))
	return nil
}

// do has local-kms do something, as an operator would by AWS's own tools.
func (s *keyService) do(t *testing.T, what string, of map[string]string, answer any) {
	t.Helper()
	body, err := json.Marshal(of)
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.asks, bytes.NewReader(body))
	must(t, err)
	request.Header.Set("X-Amz-Target", "TrentService."+what)
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", what, response.Status, said)
	}
	if answer != nil {
		must(t, json.Unmarshal(said, answer))
	}
}

// makeKey gives the id of a new key, and the key.
func (s *keyService) makeKey(t *testing.T, spec string) (string, crypto.PublicKey) {
	t.Helper()
	var made struct{ KeyMetadata struct{ KeyId string } } //nolint:revive // AWS spells it so
	s.do(t, "CreateKey", map[string]string{"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}, &made)
	var published struct{ PublicKey []byte }
	s.do(t, "GetPublicKey", map[string]string{"KeyId": made.KeyMetadata.KeyId}, &published)
	key, err := x509.ParsePKIXPublicKey(published.PublicKey)
	must(t, err)
	return made.KeyMetadata.KeyId, key
}

// Keys that AWS KMS holds, named by ARN, id and alias, make seals: they verify as users do it,
// and the signature under the key that the service publishes.
func TestKeysOfAWSKMSMakeSeals(t *testing.T) {
	s := startKeyService(t)
	for spec, fitsV2 := range map[string]bool{"ECC_NIST_P256": true, "ECC_NIST_P384": true, "RSA_2048": false} {
		t.Run(spec, func(t *testing.T) {
			id, public := s.makeKey(t, spec)
			s.do(t, "CreateAlias", map[string]string{"AliasName": "alias/" + spec, "TargetKeyId": id}, nil)
			for _, name := range []string{"arn:aws:kms:eu-west-2:111122223333:key/" + id, id, "alias/" + spec} {
				signer, err := seal.LoadKMSSigner(t.Context(), "awskms://"+s.address+"/"+name)
				must(t, err)
				must(t, sealsWith(t, signer))
				if err := signer.FitsRekorV2(t.Context()); (err == nil) != fitsV2 {
					t.Errorf("for a Rekor v2: %v", err)
				}
				envelope, err := signer.Sign(t.Context(), payloadOf(t))
				must(t, err)
				signed(t, envelope, public)
			}
		})
	}
	s.own.Store(true)
	id, _ := s.makeKey(t, "RSA_2048")
	if _, err := seal.LoadKMSSigner(t.Context(), "awskms://"+s.address+"/"+id); reason.Of(err) != reason.UsageInvalid {
		t.Errorf("a key that signs with RSA-PSS: %v", err)
	}
}

func payloadOf(t *testing.T) []byte {
	t.Helper()
	return sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64)))
}

// signed fails unless the envelope is signed under the key.
func signed(t *testing.T, envelope []byte, public crypto.PublicKey) {
	t.Helper()
	var e dsse.Envelope
	must(t, json.Unmarshal(envelope, &e))
	payload, err := e.DecodeB64Payload()
	must(t, err)
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	must(t, err)
	encoded := dsse.PAE(e.PayloadType, payload)
	holds := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		hash := crypto.SHA256
		if key.Params().BitSize == 384 {
			hash = crypto.SHA384
		}
		h := hash.New()
		h.Write(encoded)
		holds = ecdsa.VerifyASN1(key, h.Sum(nil), sig)
	case *rsa.PublicKey:
		digest := sha256.Sum256(encoded)
		holds = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	}
	if !holds {
		t.Errorf("the signature is not one of the key %T", public)
	}
}

// What the service does not do is KeyServiceFailed, soon, and is done when it can be again.
func TestAWSKMSThatFailsIsWaitedFor(t *testing.T) {
	s := startKeyService(t)
	id, _ := s.makeKey(t, "ECC_NIST_P256")
	uri := "awskms://" + s.address + "/" + id
	signer, err := seal.LoadKMSSigner(t.Context(), uri)
	must(t, err)
	fails := func(what string, patience time.Duration, says string) {
		t.Helper()
		payload := payloadOf(t)
		for name, do := range map[string]func(context.Context) error{
			"signs":  func(ctx context.Context) error { _, err := signer.Sign(ctx, payload); return err },
			"starts": func(ctx context.Context) error { _, err := seal.LoadKMSSigner(ctx, uri); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			began := time.Now()
			err := do(ctx)
			cancel()
			if took := time.Since(began); took > patience+5*time.Second {
				t.Errorf("%s: the notary %s for %s", what, name, took)
			}
			if reason.Of(err) != reason.KeyServiceFailed || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the notary %s: %v, want one of %q", what, name, err, says)
			}
		}
	}

	s.do(t, "DisableKey", map[string]string{"KeyId": id}, nil)
	fails("disabled", 20*time.Second, "DisabledException")
	s.do(t, "EnableKey", map[string]string{"KeyId": id}, nil)
	must(t, sealsWith(t, signer))

	s.silent.Store(true)
	fails("silent", time.Second, "deadline exceeded") // its own limit has a test of its own
	s.silent.Store(false)
	must(t, sealsWith(t, signer))

	s.gone()
	fails("gone", 20*time.Second, "connection refused")
}
