package keyring

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/sigstore/sigstore-go/pkg/root"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// publicKeyKey is the key in the log's Secret that holds its public key.
const publicKeyKey = "public.pem"

// OwnLog is a transparency log that runs beside Argoseal.
type OwnLog struct {
	// Namespace is Argoseal's own.
	Namespace string
	// URL is the log's base URL. Its host is the log's name, for ever: it is in
	// every checkpoint.
	URL string
	// Hostname is what the server is told to be called; the URL's host.
	Hostname string
	// KeyFile is where the server finds its private key.
	KeyFile string
}

// Ensure makes the log's key once, publishes a trusted root for it, and writes
// the key file. Doing it again changes nothing. A trusted root that does not
// speak of this key and URL is not ours to overwrite: it is refused.
func (l OwnLog) Ensure(ctx context.Context, c client.Client) error {
	u, err := url.Parse(l.URL)
	if err != nil || u.Hostname() == "" {
		return reason.New(reason.UsageInvalid, "the log's URL %q has no host", l.URL)
	}
	if u.Hostname() != l.Hostname {
		return reason.New(reason.UsageInvalid, "the log's hostname %q is not the host of its URL %q, which verifiers look for in its checkpoints", l.Hostname, l.URL)
	}
	secret, err := secretOnce(ctx, c, made(l.Namespace, v1alpha1.SecretLogKey), func() (map[string][]byte, error) {
		private, public, err := seal.NewLogKey()
		return map[string][]byte{PrivateKeyKey: private, publicKeyKey: public}, err
	})
	if err != nil {
		return err
	}
	private, public := secret.Data[PrivateKeyKey], secret.Data[publicKeyKey]
	if len(private) == 0 || len(public) == 0 {
		return mismatch("Secret %s lacks %s or %s", v1alpha1.SecretLogKey, PrivateKeyKey, publicKeyKey)
	}
	trusted, err := configMapOnce(ctx, c, made(l.Namespace, v1alpha1.ConfigMapTrustedRoot), func() (map[string]string, error) {
		j, err := seal.TrustedRootJSON(l.URL, public, secret.CreationTimestamp.Time)
		return map[string]string{v1alpha1.TrustedRootKey: string(j)}, err
	})
	if err != nil {
		return err
	}
	if err := l.checkRoot([]byte(trusted.Data[v1alpha1.TrustedRootKey]), public); err != nil {
		return err
	}
	return writeKey(l.KeyFile, private)
}

// checkRoot says whether a trusted root speaks of our log's key and URL.
func (l OwnLog) checkRoot(trustedRoot, public []byte) error {
	r, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return reason.Wrap(reason.KeyMismatch, err, "ConfigMap %s holds no trusted root that can be read", v1alpha1.ConfigMapTrustedRoot)
	}
	for _, log := range r.RekorLogs() {
		spki, err := x509.MarshalPKIXPublicKey(log.PublicKey)
		if err == nil && log.BaseURL == l.URL && holdsKey(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})) {
			return nil
		}
	}
	return mismatch("ConfigMap %s does not trust the key in Secret %s for the log at %s", v1alpha1.ConfigMapTrustedRoot, v1alpha1.SecretLogKey, l.URL)
}

// mismatch is a refusal to go on with a key that is not the published one.
func mismatch(format string, args ...any) error {
	return reason.New(reason.KeyMismatch, format, args...)
}

// holdsKey says whether a file of PEM blocks has the one that want begins with.
func holdsKey(file, want []byte) bool {
	block, _ := pem.Decode(want)
	if block == nil {
		return false
	}
	for next, rest := pem.Decode(file); next != nil; next, rest = pem.Decode(rest) {
		if bytes.Equal(next.Bytes, block.Bytes) {
			return true
		}
	}
	return false
}

// writeKey replaces a key file in one step; only its owner may read it.
func writeKey(file string, key []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already if it was renamed
	_, err = tmp.Write(key)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return nil
}
