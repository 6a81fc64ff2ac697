package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// RegistryAccess is the name of a Secret with the registry's password, as pods pull with,
// and of a ConfigMap with its authority, "ca.crt": see [Registry.Allow].
const RegistryAccess = "registry-access"

// Registry is the development cluster's container registry.
type Registry struct {
	// CA is the file with the authority of its certificate.
	CA      string
	ca      []byte
	options []remote.Option
}

// Registry reaches the container registry, which needs the part of that name.
func (l *Lab) Registry() (*Registry, error) {
	at, err := layout.Default()
	if err != nil {
		return nil, err
	}
	r := &Registry{CA: at.PKI("ca.crt")}
	if r.ca, err = os.ReadFile(r.CA); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(r.ca) {
		return nil, fmt.Errorf("%s holds no certificate", r.CA)
	}
	r.options = []remote.Option{
		remote.WithAuth(&authn.Basic{Username: part.RegistryUser, Password: part.RegistryPassword}),
		// No proxy: the address is this machine's own.
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}),
	}
	return r, nil
}

// Push writes an image to a repository, such as team/app:v1, and returns its digest there.
func (r *Registry) Push(ctx context.Context, at string, img v1.Image) (name.Digest, error) {
	ref, err := name.ParseReference(part.RegistryHost + "/" + at)
	if err != nil {
		return name.Digest{}, err
	}
	if err := remote.Write(ref, img, append(r.options, remote.WithContext(ctx))...); err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return r.Digest(ctx, at)
}

// Digest is which image the registry has under a tag.
func (r *Registry) Digest(ctx context.Context, at string) (name.Digest, error) {
	ref, err := name.ParseReference(part.RegistryHost + "/" + at)
	if err != nil {
		return name.Digest{}, err
	}
	there, err := remote.Head(ref, append(r.options, remote.WithContext(ctx))...)
	if err != nil {
		return name.Digest{}, fmt.Errorf("the registry does not show %s: %w", ref, err)
	}
	return ref.Context().Digest(there.Digest.String()), nil
}

// login is what docker login writes: a config.json.
func login() ([]byte, error) {
	secret := base64.StdEncoding.EncodeToString([]byte(part.RegistryUser + ":" + part.RegistryPassword))
	return json.Marshal(map[string]any{"auths": map[string]any{part.RegistryHost: map[string]any{"auth": secret}}})
}

// Login writes a folder for DOCKER_CONFIG.
func (r *Registry) Login(dir string) error {
	config, err := login()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)
}

// Allow gives a namespace what its pods need to pull from the registry, and to push to it:
// a Secret and a ConfigMap, both called [RegistryAccess].
func (l *Lab) Allow(ctx context.Context, r *Registry, ns string) error {
	config, err := login()
	if err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: ns, Name: RegistryAccess}
	if err := l.Client.Create(ctx, &corev1.Secret{
		ObjectMeta: meta, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: config},
	}); err != nil {
		return err
	}
	return l.Client.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"ca.crt": string(r.ca)}})
}
