//go:build integration

package v1alpha1_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// start starts an API server that knows our resources. TEST_ASSET_KUBE_APISERVER
// and TEST_ASSET_ETCD name the binaries.
func start(t *testing.T) (client.Client, *rest.Config) {
	t.Helper()
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../../charts/argoseal/files/crds", "../../../charts/argoseal-sentinel/files/crds"}, ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api, config
}

// TestPoliciesAreCheckedAtAdmission: a real API server refuses what cannot be
// evaluated, and says what to do.
func TestPoliciesAreCheckedAtAdmission(t *testing.T) {
	api, _ := start(t)
	for name, c := range map[string]struct {
		spec string
		// want is in the refusal; empty: it is admitted.
		want string
	}{
		"a whole policy": {`{namespaces: ["ml-*"], allow: {s3: [{location: s3://minio.example:9000/data/**, anyContent: true},
			{location: s3://minio:9000/data/x%20y, sha256: ` + digest + `}, {location: "s3://minio:9000/*/x", treeSHA256: ` + digest + `}],
			producers: [{namespaces: [lib], workflowTemplate: {name: build}, templates: [compile]}, {namespaces: [lib], anyWorkflow: true}]},
			require: {level: isolated, maxAge: 720h, logs: ["http://rekor.argoseal.svc", "https://log2026.example.org/a/"]}}`, ""},
		"all that is fetched": {`{allow: {failedProducers: true, http: [{url: "https://example.org/x?v=*", sha256: ` + digest + `}, {url: "http://h:80/**", anyContent: true}],
			git: [{repository: "https://example.org/acme/**"}, {repository: "ssh://git@example.org/acme/*", branches: [main, release/1.x]}]}}`, ""},
		"any host":                         {`{allow: {http: [{url: "https://*/x", anyContent: true}]}}`, "in PATH only"},
		"a user in a URL":                  {`{allow: {http: [{url: "https://example.org@h/x", anyContent: true}]}}`, "in PATH only"},
		"a URL of no content":              {`{allow: {http: [{url: "https://example.org/x"}]}}`, "exactly one of"},
		"any host of repositories":         {`{allow: {git: [{repository: "https://*/x"}]}}`, "in PATH only"},
		"the short form of ssh":            {`{allow: {git: [{repository: "git@example.org:acme/*"}]}}`, ""},
		"a local repository":               {`{allow: {git: [{repository: "/srv/git/*"}]}}`, "want https://HOST/PATH"},
		"no branches":                      {`{allow: {git: [{repository: "https://example.org/x", branches: []}]}}`, "branches"},
		"a pattern of branches":            {`{allow: {git: [{repository: "https://example.org/x", branches: ["*"]}]}}`, "branches"},
		"an empty allow":                   {`{allow: {}}`, ""},
		"no rules":                         {`{}`, "a policy without rules does nothing"},
		"misspelled rules":                 {`{alow: {}}`, "a policy without rules does nothing"},
		"a misspelled requirement":         {`{require: {maxage: 1h}}`, "give at least one of level, maxAge, logs, reproduced and sbom"},
		"a misspelled digest":              {`{allow: {s3: [{location: s3://s/b/k, sha265: ` + digest + `}]}}`, "exactly one of sha256, treeSHA256, attested and anyContent"},
		"two contents":                     {`{allow: {s3: [{location: s3://s/b/k, sha256: ` + digest + `, anyContent: true}]}}`, "exactly one of"},
		"what others attest, and a digest": {`{allow: {http: [{url: "https://example.org/x", sha256: ` + digest + `, attested: {domain: theirs, builder: b, buildType: t, bundle: "{}"}}]}}`, "exactly one of"},
		"what the installation attests":    {`{allow: {http: [{url: "https://example.org/x", attested: {domain: installed, builder: b, buildType: t, bundle: "{}"}}]}}`, "allow.producers"},
		"what others attest, of no bundle": {`{allow: {gcs: [{location: gs://b/k, attested: {domain: theirs, builder: b, buildType: t}}]}}`, "bundle"},
		"what any builder attests":         {`{allow: {azure: [{location: azure://s/c/b, attested: {domain: theirs, builder: "", buildType: t, bundle: "{}"}}]}}`, "builder"},
		"what others attest, at length":    {`{allow: {s3: [{location: s3://s/b/k, attested: {domain: theirs, builder: b, buildType: t, bundle: "` + strings.Repeat("x", v1alpha1.MaxAttestation+1) + `"}}]}}`, "bundle"},
		"anyContent: false":                {`{allow: {s3: [{location: s3://s/b/k, anyContent: false}]}}`, "exactly one of"},
		"half a digest":                    {`{allow: {s3: [{location: s3://s/b/k, sha256: abc}]}}`, "sha256"},
		"any store":                        {`{allow: {s3: [{location: s3://*/b/k, anyContent: true}]}}`, "with * or ** in BUCKET and KEY only"},
		"a space":                          {`{allow: {s3: [{location: s3://s/b/k k, anyContent: true}]}}`, "percent-encoded"},
		"another scheme":                   {`{allow: {s3: [{location: gs://s/b/k, anyContent: true}]}}`, "want s3://"},
		"nobody in particular":             {`{allow: {producers: [{namespaces: [lib]}]}}`, "exactly one of workflowTemplate, sameDefinition: true and anyWorkflow"},
		"of here, by definition":           {`{allow: {producers: [{sameNamespace: true, sameDefinition: true}]}}`, ""},
		"here and elsewhere":               {`{allow: {producers: [{namespaces: [lib], sameNamespace: true, anyWorkflow: true}]}}`, "exactly one of namespaces and sameNamespace"},
		"nowhere":                          {`{allow: {producers: [{anyWorkflow: true}]}}`, "namespaces"},
		"a pattern of namespaces":          {`{allow: {producers: [{namespaces: ["*"], anyWorkflow: true}]}}`, "namespaces"},
		"an unknown level":                 {`{require: {level: perfect}}`, "isolated"},
		"an age without a unit":            {`{require: {maxAge: "7"}}`, "such as 720h"},
		"a version of a template":          {`{allow: {producers: [{namespaces: [lib], workflowTemplate: {name: build, clusterScope: true, sha256: [` + digest + `]}}]}}`, ""},
		"no version":                       {`{allow: {producers: [{namespaces: [lib], workflowTemplate: {name: build, sha256: []}}]}}`, "sha256"},
		"a version twice":                  {`{allow: {producers: [{namespaces: [lib], workflowTemplate: {name: build, sha256: [` + digest + `, ` + digest + `]}}]}}`, "Duplicate"},
		"a version by name":                {`{allow: {producers: [{namespaces: [lib], workflowTemplate: {name: build, sha256: [v1]}}]}}`, "sha256"},
		"only a log":                       {`{require: {logs: ["https://log.example.org"]}}`, ""},
		"no log":                           {`{require: {level: observed, logs: []}}`, "logs"},
		"a log twice":                      {`{require: {logs: ["https://log.example.org", "https://log.example.org"]}}`, "Duplicate"},
		"a log without a scheme":           {`{require: {logs: [log.example.org]}}`, "logs"},
		"only a second run":                {`{require: {reproduced: {by: [rebuilder, other], tolerateCaveats: true}}}`, ""},
		"a second run by nobody":           {`{require: {reproduced: {by: []}}}`, "by"},
		"a second run, misspelled":         {`{require: {reproduced: {domains: [rebuilder]}}}`, "by"},
		"a rebuilder twice":                {`{require: {reproduced: {by: [rebuilder, rebuilder]}}}`, "Duplicate"},
		"any rebuilder":                    {`{require: {reproduced: {by: ["*"]}}}`, "by"},
		"only an SBOM":                     {`{require: {sbom: {by: [scanner, other], formats: [spdx, cyclonedx]}}}`, ""},
		"an SBOM by nobody":                {`{require: {sbom: {by: []}}}`, "by"},
		"an SBOM in no format":             {`{require: {sbom: {by: [scanner], formats: []}}}`, "formats"},
		"an SBOM in a format that is none": {`{require: {sbom: {by: [scanner], formats: [xml]}}}`, "formats"},
		"doubts tolerated": {`{allow: {s3: [{location: s3://minio:9000/b/k, anyContent: true, tolerate: [PlainHTTP, NamespaceNames]}],
			http: [{url: "http://h/x", anyContent: true, tolerate: [PlainHTTP]}], git: [{repository: "ssh://git@example.org/acme/*", tolerate: [HostAliases]}]}}`, ""},
		"an unknown doubt": {`{allow: {s3: [{location: s3://s/b/k, anyContent: true, tolerate: [Everything]}]}}`, "tolerate"},
		"a doubt twice":    {`{allow: {s3: [{location: s3://s/b/k, anyContent: true, tolerate: [PlainHTTP, PlainHTTP]}]}}`, "Duplicate"},
		"no doubt":         {`{allow: {git: [{repository: "https://example.org/x", tolerate: []}]}}`, "tolerate"},
		"only a doubt":     {`{allow: {s3: [{location: s3://s/b/k, tolerate: [PlainHTTP]}]}}`, "exactly one of"},
		"no namespace":     {`{namespaces: [], allow: {}}`, "namespaces"},
		"rules about images": {`{images: [{name: "**", sha256: [` + digest + `]}, {name: "registry.example.com:5000/team/**", anyContent: true},
			{name: docker.io/library/nginx, sha256: [` + digest + `], producers: [{output: manifest, namespaces: [ci], workflowTemplate: {name: build, sha256: [` + digest + `]}, templates: [push]},
			{output: index, sameNamespace: true, anyWorkflow: true}]}]}`, ""},
		"no images":                      {`{images: []}`, "images"},
		"images of any registry":         {`{images: [{name: "*/team/app", anyContent: true}]}`, "name"},
		"an image by tag":                {`{images: [{name: "registry.example.com/app:v1", anyContent: true}]}`, "name"},
		"an image of which nothing":      {`{images: [{name: "**"}]}`, "sha256, producers or both, or else anyContent"},
		"an image with a misspelling":    {`{images: [{name: "**", sha265: [` + digest + `]}]}`, "sha256, producers or both, or else anyContent"},
		"an image of which all and some": {`{images: [{name: "**", sha256: [` + digest + `], anyContent: true}]}`, "sha256, producers or both, or else anyContent"},
		"an image by half a digest":      {`{images: [{name: "**", sha256: [abc]}]}`, "sha256"},
		"an image made by no output":     {`{images: [{name: "**", producers: [{namespaces: [ci], anyWorkflow: true}]}]}`, "output"},
		"an image made by nobody":        {`{images: [{name: "**", producers: [{output: manifest, namespaces: [ci]}]}]}`, "exactly one of workflowTemplate and anyWorkflow"},
		"an image made nowhere":          {`{images: [{name: "**", producers: [{output: manifest, anyWorkflow: true}]}]}`, "exactly one of namespaces and sameNamespace"},
	} {
		for _, kind := range []string{"ClusterProvenancePolicy", "ProvenancePolicy"} {
			if kind == "ProvenancePolicy" && strings.HasPrefix(c.spec, "{namespaces") {
				continue
			}
			t.Run(kind+": "+name, func(t *testing.T) {
				var spec map[string]any
				if err := yaml.Unmarshal([]byte(c.spec), &spec); err != nil {
					t.Fatal(err)
				}
				o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
				o.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.Group, Version: "v1alpha1", Kind: kind})
				o.SetGenerateName("p-")
				if kind == "ProvenancePolicy" {
					o.SetNamespace("default")
				}
				err := api.Create(context.Background(), o)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want a refusal with %q", err, c.want)
				}
			})
		}
	}
}

// TestOnlyTheClusterSaysWhatOthersAttest: a real API server takes it of administrators, with
// as large a bundle as there may be, and not of a namespace.
func TestOnlyTheClusterSaysWhatOthersAttest(t *testing.T) {
	api, _ := start(t)
	c := v1alpha1.Content{Attested: &v1alpha1.Attested{Domain: "theirs", Builder: "b", BuildType: "t", Subject: "model.bin", Bundle: strings.Repeat("x", v1alpha1.MaxAttestation)}}
	for name, allow := range map[string]*v1alpha1.Allow{
		"s3":    {S3: []v1alpha1.S3Input{{Location: "s3://s/b/k", Content: c}}},
		"gcs":   {GCS: []v1alpha1.GCSInput{{Location: "gs://b/k", Content: c}}},
		"azure": {Azure: []v1alpha1.AzureInput{{Location: "azure://s/c/b", Content: c}}},
		"http":  {HTTP: []v1alpha1.HTTPInput{{URL: "https://example.org/x", Content: c}}},
	} {
		rules := v1alpha1.PolicyRules{Allow: allow}
		whole := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: rules}}
		if err := api.Create(t.Context(), whole); err != nil {
			t.Errorf("%s of the cluster: %v", name, err)
		}
		own := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules}}
		if err := api.Create(t.Context(), own); err == nil || !strings.Contains(err.Error(), "attested stands in a ClusterProvenancePolicy only") {
			t.Errorf("%s of a namespace: %v", name, err)
		}
	}
}

// TestTimesThatAreStoredAreReadByGo: the API server takes more for a date-time than Go
// does, and one object that Go cannot read stops whoever lists its kind, in every namespace.
// So it is about every time that somebody beside our programs may write.
func TestTimesThatAreStoredAreReadByGo(t *testing.T) {
	api, _ := start(t)
	const conditions = `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"R","message":"","lastTransitionTime":TIME}]}}`
	const grant = `[{"kind":"User","name":"u","until":TIME}]`
	for kind, c := range map[string]struct {
		spec string
		// places are patches, of the status where they are of it.
		places []string
	}{
		"ClusterProvenancePolicy": {`{allow: {}}`, []string{conditions}},
		"ProvenancePolicy":        {`{allow: {}}`, []string{conditions}},
		"SecretAccess": {`{secrets: [{name: s}]}`, []string{
			conditions, `{"status":{"nextExpiry":TIME}}`, `{"status":{"inForce":[{"kind":"Secret","name":"s","since":TIME}]}}`,
			`{"spec":{"users":` + grant + `}}`, `{"spec":{"controllers":` + grant + `}}`,
			`{"spec":{"secrets":[{"name":"s","get":` + grant + `}]}}`,
			`{"spec":{"secrets":[{"name":"s","mount":[{"serviceAccount":"a","until":TIME}]}]}}`,
		}},
	} {
		var spec map[string]any
		if err := yaml.Unmarshal([]byte(c.spec), &spec); err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		o.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.Group, Version: "v1alpha1", Kind: kind})
		o.SetName("times")
		if kind != "ClusterProvenancePolicy" {
			o.SetNamespace("default")
		}
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		for text, honest := range map[string]bool{
			"2027-01-01T00:00:00Z": true, "2028-02-29T23:59:59.123456789+05:30": true, "2026-12-01T20:00:00-11:00": true,
			"2027-01-01t00:00:00z": false, "2027-01-01T00:00:00z": false, "2027-01-01T00:00:00+99:99": false,
			"2027-01-01T00:00:00Zt-anything": false, "2027-01-01T00:00:00:5Z": false, "2027-02-29T00:00:00Z": false,
		} {
			quoted := strconv.Quote(text)
			var read metav1.Time
			if err := read.UnmarshalJSON([]byte(quoted)); (err == nil) != honest {
				t.Fatalf("%s: %v", text, err)
			}
			for _, place := range c.places {
				patch, tried := client.RawPatch(types.MergePatchType, []byte(strings.Replace(place, "TIME", quoted, 1))), o.DeepCopy()
				var err error
				if strings.HasPrefix(place, `{"status"`) {
					err = api.Status().Patch(t.Context(), tried, patch, client.DryRunAll)
				} else {
					err = api.Patch(t.Context(), tried, patch, client.DryRunAll)
				}
				if honest && err != nil || !honest && !apierrors.IsInvalid(err) {
					t.Errorf("%s %s of %s: %v", text, place, kind, err)
				}
			}
		}
	}
}
