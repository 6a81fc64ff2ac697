package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// transit answers as Vault's engine does, of one key.
func transit(t *testing.T, key crypto.Signer) http.HandlerFunc {
	t.Helper()
	encoded, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	name, public, opts := "P-256", string(encoded), crypto.SHA256
	if ed, ok := key.Public().(ed25519.PublicKey); ok {
		name, public, opts = "ed25519", base64.StdEncoding.EncodeToString(ed), crypto.Hash(0)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		data := map[string]any{"latest_version": 1, "keys": map[string]any{"1": map[string]any{"name": name, "public_key": public}}}
		if strings.HasPrefix(r.URL.Path, "/v1/transit/sign/seals") {
			var asked struct{ Input []byte }
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			sig, err := key.Sign(rand.Reader, asked.Input, opts)
			if err != nil {
				t.Error(err)
			}
			data = map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)}
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"data": data}); err != nil {
			t.Error(err)
		}
	}
}

// VAULT_CACERT names the authority that Vault is verified under. Vault's Ed25519 keys, as its
// client has them sign, make no seals.
func TestVaultIsVerifiedUnderItsOwnAuthority(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "none.pem")
	for name, c := range map[string]struct {
		key crypto.Signer
		// file is where the authority is said to be; empty: nothing is said.
		file string
		want reason.Code
		says string
	}{
		"its authority":            {p256, "ca.pem", "", ""},
		"no authority":             {p256, "", reason.KeyServiceFailed, "certificate"},
		"one that cannot be read":  {p256, nowhere, reason.KeyServiceFailed, nowhere},
		"a key that makes no seal": {ed, "ca.pem", reason.UsageInvalid, "want ECDSA P-256"},
	} {
		t.Run(name, func(t *testing.T) {
			vault := httptest.NewTLSServer(transit(t, c.key))
			defer vault.Close()
			file := c.file
			if file == "ca.pem" {
				file = filepath.Join(t.TempDir(), file)
				if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vault.Certificate().Raw}), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for variable, value := range map[string]string{"VAULT_ADDR": vault.URL, "VAULT_TOKEN": "t", "VAULT_CACERT": file} {
				t.Setenv(variable, value)
			}
			_, err := seal.LoadKMSSigner(t.Context(), "hashivault://seals")
			if reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q, %q", err, c.want, c.says)
			}
		})
	}
}
