package artifact

import (
	"testing"
)

// The names that CoreDNS has for Services of a namespace t, and those that it has
// not: parseRequest and findServices of its plugin kubernetes, v1.15.0.
func TestWhichNamesANamespaceCanAnswer(t *testing.T) {
	for host, taken := range map[string]bool{
		"minio":                         true, // minio.t.svc
		"s3.internal":                   true, // pod s3 of Service internal, in t
		"github.com":                    true,
		"MinIO.Example":                 true,
		"web.tcp.example":               true, // port web, protocol tcp, Service example
		"web._udp.example":              true,
		"web._zone.example":             false,
		"a.pin._zone.example":           true, // zone a of Service example
		"s3.argo.svc":                   false,
		"minio.example.com":             false,
		"s3.eu-west-1.amazonaws.com":    false,
		"minio.t":                       true, // minio.t.svc
		"s3.minio.t":                    true, // pod s3 of Service minio of t
		"web.tcp.minio.t":               true,
		"a.b.c.t":                       false,
		"minio.t.svc":                   true, // plainly t's
		"s3.minio.t.svc.cluster.local":  true,
		"minio.t.svc.cluster.local.":    true,
		"web.tcp.minio.t.svc.zone":      true,
		"minio.other.svc.cluster.local": false,
		"a.b.c.d.e.f":                   false,
		"minio.":                        false, // no search path for what ends in a dot
		"s3.internal.":                  false,
		"localhost":                     true,
		"x.localhost.":                  true,
		"127.0.0.9":                     true,
		"::1":                           true,
		"0.0.0.0":                       true,
		"10.0.0.1":                      false,
		"fd00::1":                       false,
		"":                              true, // nobody knows what it is
	} {
		if why := AnsweredIn("t", host); (why != "") != taken {
			t.Errorf("%q: %q, want it taken: %v", host, why, taken)
		}
	}
}

func TestTheHostOfAPlace(t *testing.T) {
	for uri, host := range map[string]string{
		"gs://data/x": "storage.googleapis.com", "azure://acct:10000/data/x": "acct",
		"s3://s3.argo.svc:7070/sets/a%2Fb":             "s3.argo.svc",
		"s3://[fd00::1]:9000/sets/a":                   "fd00::1",
		"http://example.org:8080/x?y=z":                "example.org",
		"git+https://example.org/app@refs/heads/main":  "example.org",
		"git+ssh://git@h.example/~/a@refs/heads/main":  "h.example",
		"git+ssh://git@h.example:22/a@refs/heads/x@y":  "h.example",
		"s3://not a host/sets/a":                       "",
		"git+https://example.org/app@refs/heads/a@b@c": "example.org",
	} {
		if got := HostOf(uri); got != host {
			t.Errorf("%s: %q, want %q", uri, got, host)
		}
	}
}
