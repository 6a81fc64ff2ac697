package provenance

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// What kubelets report of an image depends on the runtime, and these are reports
// that were published.
func TestImagesAreReadFromTheKubeletsReport(t *testing.T) {
	const pin = "4444444444444444444444444444444444444444444444444444444444444444"
	for name, c := range map[string]struct {
		image, id  string
		repository string
		digest     artifact.Digest
		of         DigestOf
	}{
		// A comment of 2025-01-21 at github.com/kubernetes/kubernetes/issues/115199.
		"containerd, the digest of an index": {
			"registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.14.0",
			"registry.k8s.io/kube-state-metrics/kube-state-metrics@sha256:37d841299325c23b56e5951176ce8ef317d537447c0f1b2d2437dddbb1f51165",
			"registry.k8s.io/kube-state-metrics/kube-state-metrics", "37d841299325c23b56e5951176ce8ef317d537447c0f1b2d2437dddbb1f51165", "",
		},
		// A comment of 2024-02-28 at github.com/kubernetes/kubernetes/pull/123508.
		"containerd, the digest of the config": {
			"busybox:1.35.0", "sha256:0c00acac9c2794adfa8bb7b13ef38504300b505a043bf68dff7a00068dcc732b",
			"busybox", "0c00acac9c2794adfa8bb7b13ef38504300b505a043bf68dff7a00068dcc732b", DigestOfID,
		},
		// github.com/kubernetes/kube-state-metrics/issues/1557: an image that several
		// indexes lead to, reported by another one than the one that was pinned.
		"containerd, the digest of another index": {
			"k8s.gcr.io/ingress-nginx/controller:v0.48.1@sha256:e9fb216ace49dfa4a5983b183067e97496e7a8b307d2093f4278cd550c303899",
			"k8s.gcr.io/ingress-nginx/controller@sha256:44a7a06b71187a4529b0a9edee5cc22bdf71b414470eff696c3869ea8d90a695",
			"k8s.gcr.io/ingress-nginx/controller", "44a7a06b71187a4529b0a9edee5cc22bdf71b414470eff696c3869ea8d90a695", "",
		},
		// github.com/cri-o/cri-o/issues/7143, of a CRI-O before 1.28.
		"CRI-O, the digest of a manifest": {
			"image.foo.bar/multus-admission-controller",
			"image.foo.bar/multus-admission-controller@sha256:36f44236d5c1aa57bd5e930179f020c089e2bde0d20a5d349f5af8fefe2d6235",
			"image.foo.bar/multus-admission-controller", "36f44236d5c1aa57bd5e930179f020c089e2bde0d20a5d349f5af8fefe2d6235", "",
		},
		// The same image in the log of that issue; since 1.28 (pull/7149), and for
		// containers that lived through a restart of CRI-O (pull/9986), it is all that
		// is reported: github.com/openshift/origin/issues/28535.
		"CRI-O, a bare id": {
			"image.foo.bar/multus-admission-controller:v1", "38da782fd6a202da62c652532b5d289278819d84bf2f7280ad40d214903db6e3",
			"image.foo.bar/multus-admission-controller", "38da782fd6a202da62c652532b5d289278819d84bf2f7280ad40d214903db6e3", DigestOfID,
		},
		"CRI-O, a bare id of what was pinned": {
			"image.foo.bar/multus-admission-controller@sha256:" + pin, "38da782fd6a202da62c652532b5d289278819d84bf2f7280ad40d214903db6e3",
			"image.foo.bar/multus-admission-controller", pin, "",
		},
		// github.com/quay/container-security-operator, image/image_test.go; the scheme
		// is from github.com/kubernetes/kubernetes/pull/33014, now cri-dockerd's.
		"cri-dockerd, the digest of a manifest": {
			"quay.io/quay/redis:latest", "docker-pullable://quay.io/quay/redis@sha256:94033a42da840b970fd9d2b04dae5fec56add2714ca674a758d030ce5acba27e",
			"quay.io/quay/redis", "94033a42da840b970fd9d2b04dae5fec56add2714ca674a758d030ce5acba27e", "",
		},
		// Of the etcd of Docker Desktop; the scheme is in github.com/Mirantis/cri-dockerd,
		// core/convert_test.go.
		"cri-dockerd, an id": {
			"registry.k8s.io/etcd:3.5.6-0", "docker://sha256:ef245802824036d4a23ba6f8b3f04c055416f9dc73a54d546b1f98ad16f6b8cb",
			"registry.k8s.io/etcd", "ef245802824036d4a23ba6f8b3f04c055416f9dc73a54d546b1f98ad16f6b8cb", DigestOfID,
		},
		"from a registry with a port":  {"localhost:5000/x:1", "localhost:5000/x@sha256:" + pin, "localhost:5000/x", pin, ""},
		"loaded into the node":         {"localhost:5000/argoseal/signer:dev", "sha256:" + pin, "localhost:5000/argoseal/signer", pin, DigestOfID},
		"loaded into the node, no tag": {"localhost:5000/argoseal/signer", "sha256:" + pin, "localhost:5000/argoseal/signer", pin, DigestOfID},
		"nothing":                      {"python:3.13", "", "python", "", ""},
		"nothing of what was pinned":   {"python@sha256:" + pin, "", "python", pin, ""},
		"a tag":                        {"python:3.13", "python:3.13", "python", "", ""},
		"another algorithm":            {"python:3.13", "python@sha512:" + pin, "python", "", ""},
		"a short digest":               {"python:3.13", "python@sha256:cc", "python", "", ""},
		"upper case":                   {"python:3.13", "sha256:" + strings.ToUpper("c"+pin[1:]), "python", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := NewImage("main", c.image, c.id)
			want := Image{Container: "main", Ref: c.image, Repository: c.repository, SHA256: c.digest, DigestOf: c.of}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			f := example()
			f.Images = []Image{got}
			payload, err := Build(f)
			if err != nil {
				t.Fatal(err)
			}
			st, err := Parse(payload)
			if err != nil || st.Images[0] != want {
				t.Errorf("it was read as %+v: %v", st, err)
			}
		})
	}
}
