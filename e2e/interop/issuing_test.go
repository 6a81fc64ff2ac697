//go:build e2e

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// issuing is a real API server, which issues tokens.
type issuing struct {
	config *rest.Config
	// kubeconfig is a file's content with the same.
	kubeconfig []byte
	set        *kubernetes.Clientset
	dir        string
}

func startIssuing(t *testing.T) *issuing {
	t.Helper()
	log.SetLogger(logr.Discard()) // it complains if nobody chose
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program(t, "kube-apiserver")},
		Etcd:      &envtest.Etcd{Path: program(t, "etcd")},
	}}
	// Where it says its keys are: by itself it names an address that it does not listen at.
	env.ControlPlane.APIServer.Configure().Set("external-hostname", "127.0.0.1")
	// Tokens are signed with RSA, as by most clusters: of others Tekton Chains takes none to Fulcio.
	dir := t.TempDir()
	signing, err := keyKinds["RSA-2048"]()
	must(t, err)
	private, err := cryptoutils.MarshalPrivateKeyToPEM(signing)
	must(t, err)
	key := filepath.Join(dir, "tokens.pem")
	must(t, os.WriteFile(key, private, 0o600))
	env.ControlPlane.APIServer.Configure().Set("service-account-key-file", key).Set("service-account-signing-key-file", key)
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	i := &issuing{config: config, kubeconfig: env.KubeConfig, dir: dir}
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

// name is what the API server is called in its tokens.
func (i *issuing) name() string {
	return "https://" + strings.Trim(strings.TrimPrefix(i.config.Host, "https://"), "/") + "/"
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

// startFulcio runs a Fulcio that has an authority's key and trusts the issuer.
func startFulcio(t *testing.T, a *sealtest.Authority, i *issuing) string {
	t.Helper()
	dir := shortDir(t) // for the socket
	return serveFulcio(t, dir, a, i.name(), i.config.CAData, program(t, "fulcio"))
}

// serveFulcio runs a Fulcio in a folder by a command, which is the program and what comes
// before it, that trusts an issuer whose certificate an authority (PEM) has issued.
func serveFulcio(t *testing.T, dir string, a *sealtest.Authority, issuer string, ca []byte, command ...string) string {
	t.Helper()
	a.WriteIssuerKey(t, dir)
	config := fmt.Sprintf("oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: kubernetes\n    ca-cert: |\n      %[2]s\n",
		issuer, strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n      "))
	must(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600))
	port := freePort(t)
	start(t, dir, "fulcio", command[0], append(command[1:], "serve",
		"--host=127.0.0.1", "--port="+port, "--grpc-host=127.0.0.1", "--grpc-port="+freePort(t), "--metrics-port="+freePort(t),
		"--legacy-unix-domain-socket="+filepath.Join(dir, "socket"), "--config-path="+filepath.Join(dir, "config.yaml"), "--ct-log-url=",
		"--ca=fileca", "--fileca-cert="+filepath.Join(dir, "issuer.pem"), "--fileca-key="+filepath.Join(dir, "issuer.key"),
		"--fileca-key-passwd=none", "--fileca-watch=false")...) // it wants to be told one, though the key has none
	await(t, "Fulcio listens", func() error { return listens(port) })
	return "http://127.0.0.1:" + port
}
