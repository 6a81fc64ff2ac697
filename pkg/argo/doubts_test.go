package argo_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
)

// doubts lists those about the pod's only input, sorted, each once.
func doubts(t *testing.T, pod *corev1.Pod) []v1alpha1.Doubt {
	t.Helper()
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	in := step.Inputs[0]
	if in.Problem() != nil {
		t.Fatal(in.Problem())
	}
	var kinds []v1alpha1.Doubt
	for _, d := range in.Doubts() {
		if d.Why == "" {
			t.Errorf("nothing is said about %s", d.Of)
		}
		kinds = append(kinds, d.Of)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func TestWhatInThePodChangesWhatAPlaceIs(t *testing.T) {
	name := "s3.argo.svc"
	for what, c := range map[string]struct {
		change func(*corev1.PodSpec)
		want   v1alpha1.Doubt // beside PlainHTTP; empty: nothing
	}{
		"as Argo makes it":     {func(*corev1.PodSpec) {}, ""},
		"hostAliases":          {func(s *corev1.PodSpec) { s.HostAliases = []corev1.HostAlias{{IP: "10.0.0.9"}} }, v1alpha1.DoubtHostAliases},
		"a hostname with dots": {func(s *corev1.PodSpec) { s.HostnameOverride = &name }, v1alpha1.DoubtHostAliases},
		"a hostname":           {func(s *corev1.PodSpec) { s.Hostname = "s3" }, ""},
		"its own name servers": {func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSNone }, v1alpha1.DoubtDNS},
		"the node's resolver":  {func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSDefault }, v1alpha1.DoubtDNS},
		"one more name server": {func(s *corev1.PodSpec) { s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.9"}} }, v1alpha1.DoubtDNS},
		"a search path":        {func(s *corev1.PodSpec) { s.DNSConfig = &corev1.PodDNSConfig{Searches: []string{"evil.example"}} }, v1alpha1.DoubtDNS},
		"options of its resolver": {func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots"}}}
		}, ""},
		"the node's network": {func(s *corev1.PodSpec) { s.HostNetwork = true }, v1alpha1.DoubtHostNetwork},
		"the node's network and the cluster's DNS": {func(s *corev1.PodSpec) {
			s.HostNetwork, s.DNSPolicy = true, corev1.DNSClusterFirstWithHostNet
		}, v1alpha1.DoubtHostNetwork},
		"a container before Argo's": {func(s *corev1.PodSpec) {
			s.InitContainers = append([]corev1.Container{{Name: "early"}}, s.InitContainers...)
		}, v1alpha1.DoubtEarlierContainers},
		"ours before Argo's": {func(s *corev1.PodSpec) {
			s.InitContainers = append([]corev1.Container{{Name: argo.SignerContainer}}, s.InitContainers...)
		}, ""},
		"what brings our check its program": {func(s *corev1.PodSpec) {
			s.InitContainers = append([]corev1.Container{{Name: argo.PrepareContainer}}, s.InitContainers...)
		}, ""},
		"a container behind Argo's": {func(s *corev1.PodSpec) { s.InitContainers = append(s.InitContainers, corev1.Container{Name: "late"}) }, ""},
	} {
		t.Run(what, func(t *testing.T) {
			pod := withTemplate(t, "consume", func(object) {})
			c.change(&pod.Spec)
			want := []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP} // the recorded store's
			if c.want != "" {
				want = append(want, c.want)
			}
			slices.Sort(want)
			if d := cmp.Diff(want, doubts(t, pod)); d != "" {
				t.Errorf("doubts (-want +got):\n%s", d)
			}
		})
	}
}

// What a volume has that the operator lets a webhook mount is the step's to say: where
// certificates come from it, they prove nothing of a place that no content is pinned of.
func TestCertificatesThatAreAddedLeaveAPlaceOpen(t *testing.T) {
	env := func(name string) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: "/etc/ssl/corporate/ca.pem"})
		}
	}
	mounted := func(at string) func(*corev1.Container) {
		return func(c *corev1.Container) { mount(c, corev1.VolumeMount{Name: "ca", MountPath: at, ReadOnly: true}) }
	}
	store := object{"s3": object{"endpoint": "s3.example.com", "bucket": "b", "key": "k"}}
	plain := object{"s3": object{"endpoint": "s3.example.com", "bucket": "b", "key": "k", "insecure": true}}
	bucket := object{"gcs": object{"bucket": "datasets", "key": "k"}}
	ssh := object{"git": object{"repo": "git@h.example.com:x", "revision": "main"}}
	https := object{"git": object{"repo": "https://h.example.com/x", "revision": "main"}}
	for what, c := range map[string]struct {
		place  object
		change func(*corev1.Container)
		want   []v1alpha1.Doubt
	}{
		"a file of certificates":           {store, env("SSL_CERT_FILE"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"a file of them, for GCS":          {bucket, env("SSL_CERT_FILE"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"GCS as it is":                     {bucket, env("VAULT_CACERT"), nil},
		"a folder of certificates":         {https, env("SSL_CERT_DIR"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"a mount over the image's":         {store, mounted("/etc/ssl/certs"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"one beside them":                  {store, mounted("/etc/ssl/certs/corporate.pem"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"one of all of them":               {https, mounted("/etc/ssl"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"of Google's":                      {object{"gcs": object{"bucket": "data", "key": "k"}}, env("SSL_CERT_FILE"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"of Azure's":                       {object{"azure": object{"endpoint": "https://acct.blob.example.com", "container": "data", "blob": "k"}}, env("SSL_CERT_FILE"), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"of Azure's without TLS":           {object{"azure": object{"endpoint": "http://acct.blob.example.com", "container": "data", "blob": "k"}}, env("SSL_CERT_FILE"), []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"a mount that Go does not look at": {store, mounted("/etc/ssl/corporate"), nil},
		"another variable":                 {store, env("VAULT_CACERT"), nil},
		"a store without TLS":              {plain, mounted("/etc/ssl/certs"), []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"a server with a key of its own":   {ssh, mounted("/etc/ssl/certs"), nil},
	} {
		t.Run(what, func(t *testing.T) {
			pod := withTemplate(t, "consume", func(o object) {
				in := o["inputs"].(object)["artifacts"].(list)[0].(object)
				delete(in, "s3")
				for kind, place := range c.place {
					in[kind] = place
				}
			})
			c.change(initOf(pod))
			if d := cmp.Diff(c.want, doubts(t, pod)); d != "" {
				t.Errorf("doubts (-want +got):\n%s", d)
			}
		})
	}
}

func TestWhatAnArtifactsPlaceLeavesOpen(t *testing.T) {
	s3 := func(fields object) object {
		full := object{"endpoint": "s3.example.com", "bucket": "b", "key": "k"}
		for name, v := range fields {
			full[name] = v
		}
		return object{"s3": full}
	}
	secret := object{"name": "s", "key": "k"}
	for what, c := range map[string]struct {
		place object
		want  []v1alpha1.Doubt
	}{
		"a store with TLS":                          {s3(nil), nil},
		"a store with TLS and credentials":          {s3(object{"accessKeySecret": secret, "secretKeySecret": secret, "insecure": false}), nil},
		"a store without TLS":                       {s3(object{"insecure": true}), []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"a store by the tenant's authority":         {s3(object{"caSecret": secret}), []v1alpha1.Doubt{v1alpha1.DoubtCASecret}},
		"a store with TLS, of few dots":             {s3(object{"endpoint": "minio.example:9000"}), nil},
		"a store without TLS, of few dots":          {s3(object{"endpoint": "minio.example:9000", "insecure": true}), []v1alpha1.Doubt{v1alpha1.DoubtNamespaceNames, v1alpha1.DoubtPlainHTTP}},
		"the tenant's authority, of few dots":       {s3(object{"endpoint": "minio", "caSecret": secret}), []v1alpha1.Doubt{v1alpha1.DoubtCASecret, v1alpha1.DoubtNamespaceNames}},
		"a store without TLS, of a dot at its end":  {s3(object{"endpoint": "minio.example.:9000", "insecure": true}), []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"the repository's, whatever it says itself": {object{"s3": object{"key": "k", "insecure": false}}, []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"Amazon's":                                   {s3(object{"endpoint": "s3.amazonaws.com", "region": "eu-west-1"}), nil},
		"Amazon's in China":                          {s3(object{"endpoint": "s3.amazonaws.com", "region": "cn-north-1"}), []v1alpha1.Doubt{v1alpha1.DoubtRegion}},
		"Amazon's of a government":                   {s3(object{"endpoint": "S3.Amazonaws.com", "region": "us-gov-west-1"}), []v1alpha1.Doubt{v1alpha1.DoubtRegion}},
		"a region of another store":                  {s3(object{"region": "us-gov-west-1"}), nil},
		"Google's store":                             {object{"gcs": object{"bucket": "data", "key": "k"}}, nil},
		"Azure's with TLS":                           {object{"azure": object{"endpoint": "https://acct.example", "container": "data", "blob": "k"}}, nil},
		"Azure's without TLS":                        {object{"azure": object{"endpoint": "http://acct.blob.example.com", "container": "data", "blob": "k"}}, []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"Azure's without TLS, of few dots":           {object{"azure": object{"endpoint": "http://acct:10000", "container": "data", "blob": "k"}}, []v1alpha1.Doubt{v1alpha1.DoubtNamespaceNames, v1alpha1.DoubtPlainHTTP}},
		"a key alone, of another kind of store":      {object{"gcs": object{"key": "k"}}, []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}},
		"a URL with TLS":                             {object{"http": object{"url": "https://h.example/x"}}, nil},
		"a URL without TLS":                          {object{"http": object{"url": "http://files.h.example/x"}}, nil},
		"a URL without TLS, of few dots":             {object{"http": object{"url": "http://h.example:8080/x"}}, []v1alpha1.Doubt{v1alpha1.DoubtNamespaceNames}},
		"a URL with a password":                      {object{"http": object{"url": "https://h.example/x", "auth": object{"basicAuth": object{}}, "headers": list{object{"name": "AUTHORIZATION", "value": "x"}}}}, nil},
		"a URL with a header":                        {object{"http": object{"url": "https://h.example/x", "headers": list{object{"name": "Accept", "value": "x"}, object{"name": "X-Original-URL", "value": "/y"}}}}, []v1alpha1.Doubt{v1alpha1.DoubtHeaders}},
		"a repository over TLS":                      {object{"git": object{"repo": "https://h.example/x", "revision": "main"}}, nil},
		"a repository over ssh":                      {object{"git": object{"repo": "git@h.example:x", "revision": "main"}}, nil},
		"a repository without either":                {object{"git": object{"repo": "http://git.h.example/x", "revision": "main"}}, nil},
		"a repository without either, of the tenant": {object{"git": object{"repo": "http://h.example/x", "revision": "main"}}, []v1alpha1.Doubt{v1alpha1.DoubtNamespaceNames}},
	} {
		t.Run(what, func(t *testing.T) {
			pod := withTemplate(t, "consume", func(o object) {
				in := o["inputs"].(object)["artifacts"].(list)[0].(object)
				delete(in, "s3")
				for kind, place := range c.place {
					in[kind] = place
				}
			})
			if d := cmp.Diff(c.want, doubts(t, pod)); d != "" {
				t.Errorf("doubts (-want +got):\n%s", d)
			}
		})
	}
}
