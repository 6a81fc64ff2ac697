//go:build integration && e2e

package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// fulcioVariable names the program; make keyless does.
const fulcioVariable = "ARGOSEAL_BIN_FULCIO"

// issuing is a real API server, which issues tokens.
type issuing struct {
	config *rest.Config
	set    *kubernetes.Clientset
	dir    string
}

func startIssuing(t *testing.T) *issuing {
	t.Helper()
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program(t, "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: program(t, "ARGOSEAL_BIN_ETCD")},
	}}
	// Where it says its keys are: by itself it names an address that it does not listen at.
	env.ControlPlane.APIServer.Configure().Set("external-hostname", "127.0.0.1")
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	i := &issuing{config: config, dir: t.TempDir()}
	i.set, err = kubernetes.NewForConfig(config)
	must(t, err)
	// Whoever verifies tokens reads where the keys are, as managed clusters let everybody.
	_, err = i.set.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "issuer-discovery"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = i.set.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "argoseal-system"}}, metav1.CreateOptions{})
	must(t, err)
	return i
}

// token writes a token of a ServiceAccount to a file, as the kubelet does.
func (i *issuing) token(t *testing.T, account, audience string) string {
	t.Helper()
	accounts := i.set.CoreV1().ServiceAccounts("argoseal-system")
	_, _ = accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	seconds := int64(600)
	issued, err := accounts.CreateToken(t.Context(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	must(t, err)
	file := filepath.Join(i.dir, account+"-"+audience)
	must(t, os.WriteFile(file, []byte(issued.Status.Token), 0o600))
	return file
}

// startFulcio runs a Fulcio that has an authority's key and believes the issuer.
func startFulcio(t *testing.T, a *sealtest.Authority, issuer string, ca []byte) string {
	t.Helper()
	dir := t.TempDir()
	a.WriteIssuerKey(t, dir)
	config := fmt.Sprintf("oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: kubernetes\n    ca-cert: |\n      %[2]s\n",
		issuer, strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n      "))
	must(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600))
	port := freePort(t)
	ctx, stop := context.WithCancel(context.Background()) // outlives t.Context, which ends before cleanup
	server := exec.CommandContext(ctx, program(t, fulcioVariable), "serve",
		"--host=127.0.0.1", "--port="+port, "--grpc-host=127.0.0.1", "--grpc-port="+freePort(t), "--metrics-port="+freePort(t),
		"--legacy-unix-domain-socket="+filepath.Join(dir, "socket"), "--config-path="+filepath.Join(dir, "config.yaml"), "--ct-log-url=",
		"--ca=fileca", "--fileca-cert="+filepath.Join(dir, "issuer.pem"), "--fileca-key="+filepath.Join(dir, "issuer.key"),
		"--fileca-key-passwd=none", "--fileca-watch=false") // it wants to be told one, though the key has none
	var output strings.Builder
	server.Stdout, server.Stderr = &output, &output
	must(t, server.Start())
	t.Cleanup(func() {
		stop()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("fulcio said:\n%s", output.String())
		}
	})
	waitForPort(t, port)
	return "http://127.0.0.1:" + port
}

// A real Fulcio certifies a key for the ServiceAccount of a real API server's token, and a
// real Rekor v2 has the seal. Another replica finishes what the first one signed, an hour
// later by its clock. What speaks for somebody else, or to somebody else, is refused.
func TestKeylessSealsOfARealFulcio(t *testing.T) {
	cluster, rekor, authority := startIssuing(t), startRekor(t), sealtest.NewAuthority(t)
	notary := cluster.token(t, "argoseal-notary", "sigstore")
	issuer := cluster.config.Host
	if !strings.HasSuffix(issuer, "/") {
		issuer += "/"
	}
	if !strings.HasPrefix(issuer, "https://") {
		issuer = "https://" + issuer
	}
	fulcio := startFulcio(t, authority, issuer, cluster.config.CAData)
	trusted, err := verify.TrustCertificates(rekor.TrustedRoot, fulcio, authority.Issuers(t))
	must(t, err)
	trusted, err = verify.TrustTimestamps(trusted, "https://timestamps.example.com", authority.TimestampChain(t))
	must(t, err)
	stamper := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(authority.Answer(t, request, func(*timestamp.Timestamp) {}))
	}))
	t.Cleanup(stamper.Close)

	first, err := seal.NewFulcio(fulcio, notary, 10*time.Second, clock.RealClock{})
	must(t, err)
	said, subject := first.Identity()
	if said != issuer || subject != sealtest.Subject {
		t.Fatalf("the token is of %s by %s", subject, said)
	}
	raw, err := verify.Rules{Builders: verify.BuildersOf("test"), Identities: []verify.IdentityRule{{Issuer: issuer, Subject: subject}}}.JSON()
	must(t, err)
	d, err := verify.ParseDomain("installed", verify.Sources{TrustedRoot: trusted, Rules: raw})
	must(t, err)
	root, err := verify.New(d)
	must(t, err)
	replica := func(by *seal.Fulcio, log seal.Log, c clock.PassiveClock) *seal.Sealer {
		stamps, err := seal.NewTimestamps(stamper.URL, true, 5*time.Second, c)
		must(t, err)
		return seal.New(by, seal.NewRecorder(log, c), root).Timestamped(stamps)
	}

	genuine, payload := artifactFile(t, "Hello, Argoseal\n")
	a := replica(first, rekor.Log, clock.RealClock{})
	bundle, err := a.Log(t.Context(), prepared(t, a, payload))
	must(t, err)
	result, err := root.Inspect(bundle)
	must(t, err)
	if result.Identity != subject || result.Proven.IsZero() {
		t.Errorf("it is sealed by %q at %s", result.Identity, result.Proven)
	}

	t.Run("another replica, after the certificate", func(t *testing.T) {
		away := replica(first, refuses{}, clock.RealClock{})
		signed := prepared(t, away, sealtest.Payload(t, "s3://minio/b/late", digest))
		if _, err := away.Log(t.Context(), signed); !errors.Is(err, seal.ErrNotLogged) {
			t.Fatal(err)
		}
		late := clocktesting.NewFakePassiveClock(time.Now().Add(time.Hour))
		second, err := seal.NewFulcio(fulcio, notary, 10*time.Second, late)
		must(t, err)
		b := replica(second, rekor.Log, late)
		again, err := b.Open(t.Context(), signed.Envelope())
		must(t, err)
		bundle, err := b.Log(t.Context(), again)
		must(t, err)
		if result, err := root.Inspect(bundle); err != nil || !leafOf(t, bundle).NotAfter.Before(late.Now()) {
			t.Errorf("%+v, %v", result, err)
		}
	})
	for name, file := range map[string]string{
		"a token for somebody else": cluster.token(t, "argoseal-notary", "elsewhere"),
		"somebody else's token":     cluster.token(t, "default", "sigstore"),
		"a token that nobody signed": func() string {
			token, err := os.ReadFile(notary)
			must(t, err)
			at := bytes.LastIndexByte(token, '.') + 10
			token[at] ^= 1
			file := filepath.Join(cluster.dir, "forged")
			must(t, os.WriteFile(file, token, 0o600))
			return file
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := seal.NewFulcio(fulcio, file, 10*time.Second, clock.RealClock{})
			must(t, err)
			if _, err := replica(f, rekor.Log, clock.RealClock{}).Prepare(t.Context(), payload); reason.Of(err) != reason.CertificateFailed {
				t.Errorf("it signs: %v", err)
			}
		})
	}
	t.Run("stock cosign", func(t *testing.T) {
		changed, _ := artifactFile(t, "Hello, Argosea1\n")
		for name, c := range map[string]struct {
			file, identity, issuer string
			genuine                bool
		}{
			"the genuine file":   {genuine, subject, issuer, true},
			"a changed file":     {changed, subject, issuer, false},
			"another identity's": {genuine, subject + "-2", issuer, false},
			"another issuer's":   {genuine, subject, issuer + "2", false},
		} {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "bundle.json"), bundle, 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "trusted_root.json"), trusted, 0o600))
			cosign := exec.CommandContext(t.Context(), program(t, cosignVariable), "verify-blob-attestation",
				"--bundle=bundle.json", "--trusted-root=trusted_root.json", "--type=slsaprovenance1", "--insecure-ignore-sct",
				"--certificate-identity="+c.identity, "--certificate-oidc-issuer="+c.issuer, c.file)
			cosign.Dir = dir
			cosign.Env = []string{"HOME=" + dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
			if out, err := cosign.CombinedOutput(); (err == nil) != c.genuine {
				t.Errorf("%s: cosign: %v\n%s", name, err, out)
			}
		}
	})
}
