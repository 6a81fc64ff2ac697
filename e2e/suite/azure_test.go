//go:build e2e

package suite

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/lab"
)

const (
	// azurite is the npm package of the stand-in that Microsoft publishes for Azure's
	// stores. Its next major release wants a newer Node than distributions have.
	azurite = "azurite@3.34.0"
	// Azurite's account, and the key to it, which is no secret:
	// learn.microsoft.com/azure/storage/common/storage-use-azurite
	azureAccount   = "devstoreaccount1"
	azureKey       = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	azureContainer = "argoseal-artifacts"
)

// TestConformanceArtifactsInAzure needs npm on this machine: no Go module stands in for
// Azure Blob Storage.
func TestConformanceArtifactsInAzure(t *testing.T) {
	t.Parallel()
	// The account is the first label of the endpoint's host: so Argo reads it, and so
	// does Azurite.
	ns := namespace(t, "azure", plain)
	host := azureAccount + "." + ns + ".svc"
	at := serveAzure(t)
	lab.AzureAnswersAt(host, at.String())
	makeContainer(t, host, at)
	create(t, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: azureAccount},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	})
	port := int32(at.Port)
	create(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: azureAccount, Labels: map[string]string{discoveryv1.LabelServiceName: azureAccount}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{layout.NodeIP}}},
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	})
	t.Run("on", func(t *testing.T) {
		cloudStore{
			name:   "azure",
			at:     "azure: {endpoint: http://" + host + ", container: " + azureContainer + ", blob: $1, accountKeySecret: {name: azure, key: key}}",
			places: "azure://" + host + "/" + azureContainer + "/",
			before: func(t *testing.T, ns string) {
				create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "azure"}, StringData: map[string]string{"key": azureKey}})
			},
		}.test(t)
	})
}

// serveAzure runs an Azurite where pods reach it, until the test ends.
func serveAzure(t *testing.T) *net.TCPAddr {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "argoseal", "npm", azurite)
	program := filepath.Join(dir, "node_modules", ".bin", "azurite-blob")
	if _, err := os.Stat(program); err != nil {
		npm, err := exec.LookPath("npm")
		if err != nil {
			t.Fatalf("this test needs npm on this machine: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		install := exec.CommandContext(ctx, npm, "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", azurite)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm install %s: %v\n%s", azurite, err, out)
		}
	}
	l := listen(t)
	at := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil { // Azurite wants a port that is free
		t.Fatal(err)
	}
	server := exec.Command(program, "--silent", "--loose", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
		"--blobHost", at.IP.String(), "--blobPort", fmt.Sprint(at.Port))
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		_ = server.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return at
}

// makeContainer makes the container, which anybody may read, as soon as the server
// answers. Only this is asked with the account's key: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
func makeContainer(t *testing.T, host string, at *net.TCPAddr) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(azureKey)
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(t.Context(), 2*time.Minute, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+at.String()+"/"+azureContainer+"?restype=container", nil)
		if err != nil {
			return false, err
		}
		signed := [][2]string{
			{"x-ms-blob-public-access", "container"},
			{"x-ms-date", time.Now().UTC().Format(http.TimeFormat)},
			{"x-ms-version", "2021-08-06"},
		}
		text := http.MethodPut + strings.Repeat("\n", 12)
		for _, h := range signed {
			request.Header.Set(h[0], h[1])
			text += h[0] + ":" + h[1] + "\n"
		}
		text += "/" + azureAccount + "/" + azureContainer + "\nrestype:container"
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		request.Header.Set("Authorization", "SharedKey "+azureAccount+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		request.Host = host
		answer, err := (&http.Client{Transport: &http.Transport{}}).Do(request)
		if err != nil {
			return false, nil // it is not there yet
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			return false, fmt.Errorf("make container %s: %s", azureContainer, answer.Status)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
