package policy

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

func TestEntriesThatTrustWhoeverAnswersAreWarnedOf(t *testing.T) {
	for rules, want := range map[string]string{
		`allow: {s3: [{location: s3://s3.example.com/b/**, anyContent: true}]}`:                                      "",
		`allow: {s3: [{location: s3://minio/b/**, anyContent: true}]}`:                                               "", // TLS proves the name
		`allow: {s3: [{location: "s3://s3.example.com/b/**", anyContent: true, tolerate: [PlainHTTP]}]}`:             "allow.s3[0]: s3.example.com does not have to prove its name, so whoever is on the way decides what comes; so can Services of a namespace called com",
		`allow: {s3: [{location: "s3://minio:9000/b/**", anyContent: true, tolerate: [CASecret]}]}`:                  "so it is refused (NamespaceNames)",
		`allow: {s3: [{location: "s3://minio:9000/b/**", anyContent: true, tolerate: [PlainHTTP, NamespaceNames]}]}`: "Services of the step's namespace can answer for it",
		`allow: {s3: [{location: "s3://minio:9000/b/x", treeSHA256: A}]}`:                                            "",
		`allow: {http: [{url: "http://a.b.c.example.com/*", anyContent: true}]}`:                                     "allow.http[0]: a.b.c.example.com does not have to prove its name, so whoever is on the way decides what comes",
		`allow: {http: [{url: "https://h/*", anyContent: true}, {url: "http://h/*", anyContent: true}]}`:             "allow.http[1]: h does not",
		`allow: {http: [{url: "http://h/*", sha256: B}]}`:                                                            "",
		`allow: {git: [{repository: "http://h/*", tags: [v1]}]}`:                                                     "allow.git[0]",
		`allow: {git: [{repository: "http://h/*", defaultBranch: true}]}`:                                            "allow.git[0]",
		`allow: {git: [{repository: "ssh://git@h/*", tolerate: [UnknownHostKey]}]}`:                                  "allow.git[0]",
		`allow: {git: [{repository: "http://h/*", branches: [main]}]}`:                                               "allow.git[0]",
		`allow: {git: [{repository: "http://h/*"}, {repository: "git@h:*", branches: [main]}]}`:                      "",
		`require: {level: observed}`:                                                                                               "",
		`allow: {producers: [{namespaces: [lib], anyWorkflow: true}]}`:                                                             "",
		`allow: {s3: [{location: "s3://10.0.0.1:9000/b/x", anyContent: true, tolerate: [PlainHTTP]}]}`:                             "allow.s3[0]: 10.0.0.1 does not have to prove its name, so whoever is on the way decides what comes",
		`allow: {http: [{url: "http://localhost/x", anyContent: true, tolerate: [NamespaceNames]}]}`:                               "can answer for it",
		`allow: {s3: [{location: "s3://s3.argo.svc.cluster.local/b/x", anyContent: true, tolerate: [PlainHTTP, NamespaceNames]}]}`: "decides what comes",
	} {
		var r v1alpha1.PolicyRules
		strict(t, "{"+rules+"}", &r)
		got := strings.Join(Warnings(r), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", rules, got, want)
		}
	}
}
