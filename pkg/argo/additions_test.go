package argo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// listed are the additions of an operator with Vault, a corporate CA and a proxy.
func listed(t *testing.T) argo.Additions {
	t.Helper()
	all, err := argo.ParseAdditions([]string{
		"variable:HTTPS_PROXY=http://proxy:3128/?a=$b", "variable:VAULT_ROLE", "mount:vault-secrets:/vault/secrets", "mount:corporate-ca:/etc/ssl/corporate:ro",
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	vault = corev1.VolumeMount{Name: "vault-secrets", MountPath: "/vault/secrets"}
	ca    = corev1.VolumeMount{Name: "corporate-ca", MountPath: "/etc/ssl/corporate", ReadOnly: true}
)

func TestWhatTheOperatorListsIsAdmittedExactly(t *testing.T) {
	variable := func(name, value string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value}) }
	}
	mounted := func(m corev1.VolumeMount) func(*corev1.Container) {
		return func(c *corev1.Container) { mount(c, m) }
	}
	but := func(m corev1.VolumeMount, change func(*corev1.VolumeMount)) func(*corev1.Container) {
		change(&m)
		return mounted(m)
	}
	for name, c := range map[string]struct {
		change func(*corev1.Container)
		want   string // refused, if empty
	}{
		"a variable as it is listed":    {variable("HTTPS_PROXY", "http://proxy:3128/?a=$b"), "variable:HTTPS_PROXY"},
		"one with any value":            {variable("VAULT_ROLE", "trainer"), "variable:VAULT_ROLE"},
		"a mount as it is listed":       {mounted(vault), "mount:vault-secrets:/vault/secrets"},
		"one that is read-only":         {mounted(ca), "mount:corporate-ca:/etc/ssl/corporate:ro"},
		"a variable with another value": {variable("HTTPS_PROXY", "http://other"), ""},
		"a variable from elsewhere": {func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "VAULT_ROLE", ValueFrom: &corev1.EnvVarSource{}})
		}, ""},
		"a variable that is not listed":     {variable("VAULT_ADDR", "x"), ""},
		"the listed volume elsewhere":       {but(vault, func(m *corev1.VolumeMount) { m.MountPath = "/vault/other" }), ""},
		"another volume there":              {but(vault, func(m *corev1.VolumeMount) { m.Name = "corporate-ca" }), ""},
		"a part of it":                      {but(vault, func(m *corev1.VolumeMount) { m.SubPath = "x" }), ""},
		"a part of it that a variable says": {but(vault, func(m *corev1.VolumeMount) { m.SubPathExpr = "$(X)" }), ""},
		"one that may be written":           {but(ca, func(m *corev1.VolumeMount) { m.ReadOnly = false }), ""},
		"one that spreads":                  {but(ca, func(m *corev1.VolumeMount) { m.MountPropagation = ptr(corev1.MountPropagationBidirectional) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			id := argotest.Identity()
			id.ExecutorEnv, id.Additions = nil, listed(t)
			for pod, in := range map[string]func(*corev1.Pod) *corev1.Container{
				"produce": waitOf, "consume": initOf,
				"artifact-gc": func(p *corev1.Pod) *corev1.Container { return &p.Spec.Containers[0] },
				"agent":       func(p *corev1.Pod) *corev1.Container { return &p.Spec.InitContainers[0] },
			} {
				p := argotest.Pod(t, pod)
				addEmptyDir(p, "vault-secrets")
				addEmptyDir(p, "corporate-ca")
				c.change(in(p))
				var err error
				if argo.IsAuxiliary(p) {
					err = argo.CheckAuxiliary(p, argotest.Controller, id)
					// A mesh's own sidecar fills what it adds.
					p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "agent-of-vault", VolumeMounts: []corev1.VolumeMount{vault}})
					if c.want != "" && err == nil {
						err = argo.CheckAuxiliary(p, argotest.Controller, id)
					}
				} else {
					step, problem := argo.Parse(p)
					if problem != nil {
						t.Fatal(problem)
					}
					err = argo.CheckStructure(p, step, id)
				}
				// Proxies are free in auxiliary pods, whatever they are.
				free := argo.IsAuxiliary(p) && strings.Contains(name, "another value")
				if (err == nil) != (c.want != "" || free) {
					t.Errorf("%s: got %v", pod, err)
				}
				if code := reason.Of(err); err != nil && code != reason.InitAltered && code != reason.WaitAltered && code != reason.AuxiliaryAltered {
					t.Errorf("%s: refused with %v", pod, err)
				}
				if argo.IsAuxiliary(p) {
					continue
				}
				var want []string
				if c.want != "" {
					want = []string{c.want}
				}
				if diff := cmp.Diff(want, id.Additions.Of(p)); diff != "" {
					t.Errorf("%s: stated (-want +got):\n%s", pod, diff)
				}
			}
		})
	}
}

// What nobody lists is nobody's: the zero value admits nothing.
func TestNothingIsAddedWhereNothingIsListed(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	addEmptyDir(pod, "vault-secrets")
	mount(waitOf(pod), vault)
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, argo.CheckStructure(pod, step, argotest.Identity()), reason.WaitAltered, "has a mount of vault-secrets")
}

// What webhooks of Vault, meshes, monitoring, proxies and authorities add can be.
func TestWhatWebhooksAddCanBeListed(t *testing.T) {
	for _, text := range []string{
		"variable:VAULT_ADDR", "variable:DD_AGENT_HOST", "variable:OTEL_SERVICE_NAME=x", "variable:HTTP_PROXY=http://proxy:3128", "variable:no_proxy=.svc,10.0.0.0/8",
		"variable:SSL_CERT_FILE=/etc/ssl/corporate/ca.pem", "variable:SSL_CERT_DIR=/etc/ssl/certs:/etc/ssl/corporate",
		"mount:x:/vault/secrets:ro", "mount:x:/etc/ssl/certs:ro", "mount:x:/etc/pki/ca-trust/extracted/pem:ro", "mount:x:/var/run/linkerd", "mount:x:/var/run/datadog",
		"mount:x:/run/secrets/tokens:ro", "mount:x:/etc/istio/proxy",
	} {
		if _, err := argo.ParseAdditions([]string{text}); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatNobodyMayAddCannotBeListed(t *testing.T) {
	for _, text := range []string{
		"", "VAULT_ADDR=x", "variable:", "variable:=x", "variable:A B=x", "variable:" + strings.Repeat("A", 2000),
		"variable:ARGO_TEMPLATE", "variable:PATH=/x", "variable:LD_PRELOAD", "variable:GODEBUG=x", "variable:HOME=/x", "variable:REMOVE_LOCAL_ART_PATH=true",
		"mount:", "mount:x", "mount:x:", "mount:x:y", "mount:x:/y/", "mount:x:/y/../z", "mount:x:/", "mount:X:/y", "mount:x:/y:rw", "mount:x:/$(Y)",
		"mount:tmp-dir-argo:/y", "mount:input-artifacts:/y", "mount:var-run-argo:/y", "mount:argoseal-no-token:/y",
		"mount:x:/bin", "mount:x:/usr", "mount:x:/usr/local/bin/x", "mount:x:/tmp/x", "mount:x:/argo/outputs", "mount:x:/mainctrfs/x", "mount:x:/var/run/argo",
		"mount:x:/var/run", "mount:x:/argoseal/staged", "mount:x:/argoseal-signer", "mount:x:/etc", "mount:x:/root/.aws",
		"mount:x:/var/run/secrets/kubernetes.io/serviceaccount",
		// Where clients of clouds and of git read, and what they read there.
		"variable:AWS_CONFIG_FILE=/x", "variable:AWS_SHARED_CREDENTIALS_FILE=/x", "variable:AWS_PROFILE=x", "variable:AWS_ENDPOINT_URL=http://x",
		"variable:AWS_ENDPOINT_URL_S3=http://x", "variable:AWS_CA_BUNDLE=/x", "variable:AWS_EC2_METADATA_SERVICE_ENDPOINT=http://x", "variable:MINIO_SHARED_CREDENTIALS_FILE=/x",
		"variable:GOOGLE_APPLICATION_CREDENTIALS=/x", "variable:STORAGE_EMULATOR_HOST=x", "variable:GCE_METADATA_HOST=x", "variable:CLOUDSDK_CONFIG=/x",
		"variable:AZURE_AUTHORITY_HOST=https://x", "variable:AZURE_POD_IDENTITY_AUTHORITY_HOST=http://x", "variable:MSI_ENDPOINT=http://x", "variable:IDENTITY_ENDPOINT=http://x", "variable:IMDS_ENDPOINT=http://x",
		"variable:ALIBABA_CLOUD_CREDENTIALS_FILE=/x", "variable:KRB5_CONFIG=/x", "variable:HADOOP_CONF_DIR=/x",
		"variable:GIT_CONFIG_GLOBAL=/x", "variable:GIT_SSH_COMMAND=x", "variable:SSH_KNOWN_HOSTS=/x", "variable:XDG_CONFIG_HOME=/x",
		"variable:KUBECONFIG=/x", "variable:KUBERNETES_SERVICE_HOST=x", "variable:KUBE_FEATURE_x=true", "variable:LD_LIBRARY_PATH=/x", "variable:GLIBC_TUNABLES=x",
		"variable:TMPDIR=/x", "variable:LOCALDOMAIN=x", "variable:HOSTALIASES=/x",
		"mount:x:/run", "mount:x:/run/argo", "mount:x:/home", "mount:x:/home/argo/.aws", "mount:x:/.aws", "mount:x:/.config/git", "mount:x:/vault/.x",
		"mount:x:/etc/ssh", "mount:x:/etc/ssh/ssh_known_hosts", "mount:x:/etc/gitconfig", "mount:x:/etc/krb5.conf", "mount:x:/etc/ld.so.preload", "mount:x:/var/tmp",
		// Which way requests go, and whose certificates count, nobody chooses freely.
		"variable:HTTPS_PROXY", "variable:https_proxy", "variable:NO_PROXY", "variable:ALL_PROXY", "variable:SSL_CERT_FILE", "variable:SSL_CERT_DIR",
		"variable:SSL_CERT_FILE=/tmp/x", "variable:SSL_CERT_FILE=/var/run/argo/x", "variable:SSL_CERT_FILE=x", "variable:SSL_CERT_DIR=/etc/ssl/certs:/argo/inputs/artifacts/x",
		"variable:SSL_CERT_FILE=/etc/ssl/../../tmp/x", "variable:SSL_CERT_DIR=/etc/ssl/certs:",
	} {
		if _, err := argo.ParseAdditions([]string{text}); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
