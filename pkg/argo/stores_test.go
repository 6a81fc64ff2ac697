package argo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Repositories, and places of artifacts of their own, beside S3.
var (
	inGCS   = object{"gcs": object{"bucket": "artifacts", "key": "wf/pod", "serviceAccountKeySecret": object{"name": "s", "key": "k"}}}
	inAzure = object{"azure": object{"endpoint": "https://Acct.blob.core.windows.net/", "container": "artifacts", "blob": "wf/pod", "accountKeySecret": object{"name": "s", "key": "k"}}}
)

func gcs(bucket, key string) object { return object{"gcs": object{"bucket": bucket, "key": key}} }

func azure(endpoint, container, blob string) object {
	return object{"azure": object{"endpoint": endpoint, "container": container, "blob": blob}}
}

func TestOutputsInOtherStores(t *testing.T) {
	b := func(o object) object { return with(with(o, nil), object{"name": "b", "path": "/out/b"}) }
	for name, test := range map[string]struct {
		archive object
		outputs list
		want    []string
	}{
		"GCS: without a key":                        {inGCS, list{with(nil, nil)}, []string{"a gs://artifacts/wf/pod/a.tgz"}},
		"GCS: without an archive":                   {inGCS, list{with(object{"archive": none}, nil)}, []string{"a gs://artifacts/wf/pod/a as none"}},
		"GCS: with a key":                           {inGCS, list{with(gcs("", "x/y"), nil)}, []string{"a gs://artifacts/x/y"}},
		"GCS: with a key, and nothing else":         {inGCS, list{with(object{"gcs": object{"key": "x//y/"}}, nil)}, []string{"a gs://artifacts/x/y"}},
		"GCS: with a bucket and no key":             {inGCS, list{with(gcs("other", ""), nil)}, []string{"a gs://artifacts/wf/pod/a.tgz"}},
		"GCS: with a full location":                 {repository, list{with(gcs("other", "x"), nil)}, []string{"a gs://other/x"}},
		"GCS: by a slash at the end":                {repository, list{with(object{"archive": none}, gcs("other", "x/"))}, []string{"a gs://other/x as none"}},
		"GCS: with an archive, a slash at its end":  {repository, list{with(gcs("other", "x/"), nil)}, []string{"a gs://other/x"}},
		"GCS: by a detour":                          {repository, list{with(gcs("other", "x/../y"), nil)}, []string{"a LocationInvalid"}},
		"GCS: by a dot":                             {repository, list{with(gcs("other", "./y"), nil)}, []string{"a LocationInvalid"}},
		"GCS: above its bucket":                     {repository, list{with(gcs("other", "../y"), nil)}, []string{"a LocationInvalid"}},
		"GCS: in a bucket of no name":               {repository, list{with(gcs("Other/x", "y"), nil)}, []string{"a LocationInvalid"}},
		"GCS: a key alone, where S3 is":             {repository, list{with(object{"gcs": object{"key": "x"}}, nil)}, []string{"a s3://s3/artifacts/x"}},
		"S3: a key alone, where GCS is":             {inGCS, list{with(object{"s3": object{"key": "x"}}, nil)}, []string{"a gs://artifacts/x"}},
		"S3: half a location, where GCS is":         {inGCS, list{with(object{"s3": object{"bucket": "b", "key": "x"}}, nil)}, []string{"a gs://artifacts/x"}},
		"GCS: no key, where S3 is":                  {repository, list{with(object{"gcs": object{"bucket": "other"}}, nil)}, []string{"a LocationInvalid"}},
		"Azure: no blob, where GCS is":              {inGCS, list{with(azure("https://acct", "data", ""), nil)}, []string{"a LocationInvalid"}},
		"GCS: two of one place, by two spellings":   {inGCS, list{with(gcs("", "x/y"), nil), b(gcs("artifacts", "x//y/"))}, []string{"a LocationInvalid", "b LocationInvalid"}},
		"GCS: below one that may be a directory":    {inGCS, list{with(gcs("", "x/y"), nil), b(with(object{"archive": none}, gcs("", "x/")))}, []string{"a LocationInvalid", "b gs://artifacts/x as none"}},
		"two kinds with one bucket and key":         {inGCS, list{with(gcs("artifacts", "x"), nil), b(object{"s3": object{"endpoint": "e", "bucket": "artifacts", "key": "x"}})}, []string{"a gs://artifacts/x", "b s3://e/artifacts/x"}},
		"Azure: without a key":                      {inAzure, list{with(nil, nil)}, []string{"a azure://acct.blob.core.windows.net/artifacts/wf/pod/a.tgz"}},
		"Azure: with a key":                         {inAzure, list{with(object{"azure": object{"blob": "x//y"}}, nil)}, []string{"a azure://acct.blob.core.windows.net/artifacts/x//y"}},
		"Azure: with a full location":               {repository, list{with(azure("http://h:10000", "data", "x"), nil)}, []string{"a azure://h:10000/data/x"}},
		"Azure: a directory":                        {repository, list{with(object{"archive": none}, azure("http://h:10000", "data", "x/"))}, []string{"a azure://h:10000/data/x/ as none"}},
		"Azure: an archive with a slash":            {repository, list{with(azure("http://h:10000", "data", "x/"), nil)}, []string{"a LocationInvalid"}},
		"Azure: with a path":                        {repository, list{with(azure("http://h:10000/acct", "data", "x"), nil)}, []string{"a LocationInvalid"}},
		"Azure: with a token":                       {repository, list{with(azure("https://h?sv=1&sig=secret", "data", "x"), nil)}, []string{"a LocationInvalid"}},
		"Azure: by a detour":                        {repository, list{with(azure("https://h", "data", "x/../y"), nil)}, []string{"a LocationInvalid"}},
		"Azure: with a backslash":                   {repository, list{with(azure("https://h", "data", `x\y`), nil)}, []string{"a LocationInvalid"}},
		"Azure: two of one place, by two spellings": {inAzure, list{with(object{"azure": object{"blob": "x"}}, nil), b(azure("https://acct.BLOB.core.windows.net:443", "artifacts", "x"))}, []string{"a LocationInvalid", "b LocationInvalid"}},
		"OSS":                         {repository, list{with(object{"oss": object{"endpoint": "e", "bucket": "b", "key": "k"}}, nil)}, []string{"a StoreUnsupported"}},
		"HDFS":                        {repository, list{with(object{"hdfs": object{"addresses": list{"a:1"}, "path": "/x"}}, nil)}, []string{"a StoreUnsupported"}},
		"Artifactory":                 {repository, list{with(object{"artifactory": object{"url": "https://a/x"}}, nil)}, []string{"a StoreUnsupported"}},
		"HTTP":                        {repository, list{with(object{"http": object{"url": "https://a/x"}}, nil)}, []string{"a StoreUnsupported"}},
		"git":                         {repository, list{with(object{"git": object{"repo": "https://a/x"}}, nil)}, []string{"a StoreUnsupported"}},
		"raw":                         {repository, list{with(object{"raw": object{"data": "x"}}, nil)}, []string{"a StoreUnsupported"}},
		"a repository of OSS":         {object{"oss": object{"bucket": "b", "key": "k"}}, list{with(nil, nil)}, []string{"a StoreUnsupported"}},
		"a repository of HDFS":        {object{"hdfs": object{"addresses": list{"a:1"}}}, list{with(nil, nil)}, []string{"a StoreUnsupported"}},
		"a repository of Artifactory": {object{"artifactory": object{"url": "https://a/x"}}, list{with(nil, nil)}, []string{"a StoreUnsupported"}},
	} {
		t.Run(name, func(t *testing.T) {
			step, err := argo.Parse(withTemplate(t, "produce", func(o object) {
				o["archiveLocation"], o["container"] = test.archive, object{}
				o["inputs"], o["outputs"] = object{}, object{"artifacts": test.outputs}
			}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, outputs(step)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			for _, o := range step.Outputs {
				p := o.Problem()
				if p != nil && p.Code == reason.StoreUnsupported && !strings.Contains(p.Detail, strings.ToLower(strings.TrimPrefix(name, "a repository of "))) {
					t.Errorf("it does not name the store: %v", p)
				}
				if p != nil && strings.Contains(p.Error(), "secret") {
					t.Errorf("it tells a secret: %v", p)
				}
			}
		})
	}
}

func TestInputsFromOtherStores(t *testing.T) {
	for name, test := range map[string]struct {
		archive object
		input   object
		want    string
	}{
		"GCS":                   {repository, with(gcs("data", "x/y"), nil), "a store gs://data/x/y"},
		"GCS, cleaned":          {repository, with(gcs("data", "x//y/"), nil), "a store gs://data/x/y"},
		"GCS by its key":        {inGCS, with(object{"gcs": object{"key": "x"}}, nil), "a store gs://artifacts/x"},
		"GCS, not supplied":     {inGCS, with(object{"gcs": object{"bucket": "data"}}, nil), "a absent"},
		"GCS by a detour":       {repository, with(gcs("data", "x/../y"), nil), "a store LocationInvalid"},
		"Azure":                 {repository, with(azure("https://ACCT", "data", "x//y"), nil), "a store azure://acct/data/x//y"},
		"Azure, a prefix":       {repository, with(azure("https://acct", "data", "x/"), nil), "a store azure://acct/data/x/"},
		"Azure by its blob":     {inAzure, with(object{"azure": object{"blob": "x"}}, nil), "a store azure://acct.blob.core.windows.net/artifacts/x"},
		"Azure, not supplied":   {inAzure, with(azure("https://acct", "data", ""), nil), "a absent"},
		"Azure with a path":     {repository, with(azure("https://acct/x", "data", "x"), nil), "a store LocationInvalid"},
		"a key of another kind": {inAzure, with(object{"s3": object{"key": "x"}}, nil), "a store azure://acct.blob.core.windows.net/artifacts/x"},
		"a key, elsewhere":      {object{"oss": object{"key": "k"}}, with(object{"gcs": object{"key": "x"}}, nil), "a store StoreUnsupported"},
		"two stores":            {repository, with(gcs("data", "x"), azure("https://acct", "data", "x")), "a store LocationInvalid"},
		"OSS":                   {repository, with(object{"oss": object{"key": "x"}}, nil), "a other StoreUnsupported"},
		"HDFS":                  {repository, with(object{"hdfs": object{"path": "x"}}, nil), "a other StoreUnsupported"},
		"Artifactory":           {repository, with(object{"artifactory": object{"url": "https://a/x"}}, nil), "a other StoreUnsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := withTemplate(t, "produce", func(o object) {
				o["archiveLocation"], o["container"] = test.archive, object{}
				o["inputs"], o["outputs"] = object{"artifacts": list{test.input}}, object{}
			})
			mount(mainOf(pod), corev1.VolumeMount{Name: "input-artifacts", MountPath: "/out/a", SubPath: "a"})
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if got := inputs(step)[0]; got != test.want {
				t.Errorf("the input is %q, want %q", got, test.want)
			}
		})
	}
}

// What Argo stores and fetches without an archive differs between stores, and the
// sidecar has to know.
func TestWhatIsStagedSaysForWhichStore(t *testing.T) {
	for want, place := range map[string]object{
		"a=none=a":       with(object{"archive": none, "s3": full}, nil),
		"a=none@gs=a":    with(object{"archive": none}, gcs("data", "x")),
		"a=none@azure=a": with(object{"archive": none}, azure("https://acct", "data", "x")),
		"a=tar=/out/a":   with(gcs("data", "x"), nil),
		"a=zip":          with(object{"archive": object{"zip": object{}}}, gcs("data", "x")),
	} {
		step, err := argo.Parse(withTemplate(t, "produce", func(o object) {
			o["container"], o["inputs"], o["outputs"] = object{}, object{}, object{"artifacts": list{place}}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if got := step.Outputs[0].Staged().String(); got != want {
			t.Errorf("the sidecar is told %s, want %s", got, want)
		}
	}
}
