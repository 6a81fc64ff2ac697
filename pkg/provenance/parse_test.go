package provenance

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestParseAcceptsOnlyWhatBuildMakes(t *testing.T) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	valid := string(raw)
	replace := func(old, spoilt string) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			if strings.Count(valid, old) < 1 {
				t.Fatalf("the golden statement has no %s", old)
			}
			return strings.Replace(valid, old, spoilt, 1)
		}
	}
	for name, spoil := range map[string]func(*testing.T) string{
		"nothing":                           func(*testing.T) string { return "" },
		"not JSON":                          func(*testing.T) string { return "statement" },
		"null":                              func(*testing.T) string { return "null" },
		"a list":                            func(*testing.T) string { return "[" + valid + "]" },
		"two statements":                    func(*testing.T) string { return valid + valid },
		"a trailing line break":             func(*testing.T) string { return valid + "\n" },
		"a leading space":                   func(*testing.T) string { return " " + valid },
		"a byte order mark":                 func(*testing.T) string { return "\ufeff" + valid },
		"indented JSON":                     indented,
		"more than the largest payload":     func(*testing.T) string { return valid + strings.Repeat(" ", MaxPayload) },
		"deep nesting":                      func(*testing.T) string { return strings.Repeat("[", 100000) },
		"an unknown field at the top":       replace(`{"_type"`, `{"_extra":1,"_type"`),
		"an unknown field in a subject":     replace(`{"annotations":{"output"`, `{"uri2":"x","annotations":{"output"`),
		"an unknown field in the predicate": replace(`"runDetails":{`, `"runDetails":{"byproducts":[],`),
		"an unknown external parameter":     replace(`"externalParameters":{`, `"externalParameters":{"evil":true,`),
		"an unknown internal parameter":     replace(`"internalParameters":{`, `"internalParameters":{"evil":true,`),
		"a duplicate key":                   replace(`"mode":"enforce"`, `"mode":"audit","mode":"enforce"`),
		"a duplicate parameter":             replace(`"epochs":"10"`, `"epochs":"1","epochs":"10"`),
		"a key in another case":             replace(`"mode":"enforce"`, `"Mode":"enforce"`),
		"keys in another order":             replace(`"size":1048576,"treeSha256":"`+strings.Repeat("1", 64)+`"`, `"treeSha256":"`+strings.Repeat("1", 64)+`","size":1048576`),
		"another spelling of a number":      replace(`"size":1048576`, `"size":1048576.0`),
		"another spelling of a string":      replace(`"mode":"enforce"`, `"mode":"\u0065nforce"`),
		"another statement type":            replace(`https://in-toto.io/Statement/v1`, `https://in-toto.io/Statement/v0.1`),
		"another predicate type":            replace(`https://slsa.dev/provenance/v1`, `https://slsa.dev/provenance/v0.2`),
		"another build type":                replace(`argo-step/v2`, `argo-steps/v2`),
		"another builder":                   replace(`https://argoseal.dev/builders/v1/`, `https://example.com/builders/v1/`),
		"another level":                     replace(`/observed"`, `/verified"`),
		"another invocation":                replace(`/hello-abcde-123/`, `/hello-abcde-124/`),
		"another digest algorithm":          replace(`"digest":{"sha256"`, `"digest":{"sha512"`),
		"a second digest":                   replace(`"digest":{"sha256"`, `"digest":{"sha1":"`+strings.Repeat("0", 40)+`","sha256"`),
		"a digest in upper case":            replace(strings.Repeat("a", 64), strings.Repeat("A", 64)),
		"a digest that is too short":        replace(strings.Repeat("0", 64), strings.Repeat("0", 62)),
		"subjects in another order":         replace("model.tgz", "z.tgz"),
		"a subject twice":                   replace("report.csv", "model.tgz"),
		"the form that is meant":            replace(`"output":"model"`, `"form":"tar","output":"model"`),
		"no volume, said":                   replace(`"volume":"models"`, `"volume":""`),
		"an unknown form":                   replace(`"form":"file"`, `"form":"directory"`),
		"a file with another's tree":        replace(`"size":512,"treeSha256":"7`, `"size":512,"treeSha256":"8`),
		"the strategy that is meant":        replace(`{"annotations":{"seal"`, `{"annotations":{"archive":"tar","seal"`),
		"an input that was not unpacked":    replace(`{"annotations":{"seal"`, `{"annotations":{"archive":"none","seal"`),
		"no such output":                    replace(`,{"name":"report"}`, ``),
		"an output too many":                replace(`,{"name":"report"}`, `,{"name":"report"},{"name":"z"}`),
		"two opinions about the definition": replace(`"workflowTemplateRef"`, `"workflowSpecDigest":{"sha256":"`+strings.Repeat("4", 64)+`"},"workflowTemplateRef"`),
		"two opinions about the version":    replace(`"version":{"argoseal":"v0.1.0"}`, `"version":{"argoseal":"v0.2.0"}`),
		"a second version":                  replace(`"version":{"argoseal":"v0.1.0"}`, `"version":{"argoseal":"v0.1.0","b":"1"}`),
		"a dependency of an unknown kind":   replace(`"name":"input/data"`, `"name":"other/data"`),
		"no workflow among dependencies":    replace(`{"digest":{"sha256":"`+strings.Repeat("4", 64)+`"},"name":"workflow"},`, ``),
		"a reference of another place":      replace(`prod-eu-1/apis/argoproj.io/v1alpha1/clusterworkflowtemplates/lib`, `prod-eu-1/apis/argoproj.io/v1alpha1/clusterworkflowtemplates/evil`),
		"a reference of another cluster":    replace(`k8s://prod-eu-1/`, `k8s://prod-eu-2/`),
		"a reference by another name":       replace(`"name":"reference/ClusterWorkflowTemplate/lib/train"`, `"name":"reference/ClusterWorkflowTemplate/lib/other"`),
		"a reference of an unknown kind":    replace(`"kind":"ClusterWorkflowTemplate"`, `"kind":"CronWorkflow"`),
		"a reference of another namespace":  replace(`"name":"training","namespace":"ml"`, `"name":"training","namespace":"evil"`),
		"a reference without a digest":      replace(`"digest":{"sha256":"`+strings.Repeat("c", 64)+`"},`, ``),
		"a parameter that is a number":      replace(`"epochs":"10"`, `"epochs":10`),
		"a parameter that is null":          replace(`"epochs":"10"`, `"epochs":null`),
		"a digest with more than a digest":  replace(`"registry-password":{`, `"registry-password":{"a":"b",`),
		"a secret that is not redacted":     replace(`"epochs":"10"`, `"epochs":"https://me:hunter2@example.org"`),
		"a bare digest of a parameter":      replace(`"hmacSha256"`, `"sha256"`),
		"a time in another zone":            replace(`2026-11-21T10:04:30Z`, `2026-11-21T11:04:30+01:00`),
		"a time with fractions":             replace(`2026-11-21T10:04:30Z`, `2026-11-21T10:04:30.5Z`),
		"a time that is none":               replace(`2026-11-21T10:04:30Z`, `yesterday`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(spoil(t)))
			if got := reason.Of(err); got != reason.StatementInvalid {
				t.Errorf("Parse gives %v, want code %s", err, reason.StatementInvalid)
			}
		})
	}
	if _, err := Parse(raw); err != nil {
		t.Errorf("the golden statement itself is refused: %v", err)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct{ old, new string }{
		"statement type is":         {"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"},
		"predicate type is":         {"https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"},
		"build type is":             {"argo-step/v2", "argo-steps/v2"},
		"is not one of ours":        {"https://argoseal.dev/builders", "https://example.com/builders"},
		"finishedOn":                {"2026-11-21T10:04:30Z", "now"},
		"startedOn":                 {"2026-11-21T10:00:00Z", "then"},
		"unknown field":             {`"runDetails":{`, `"runDetails":{"evil":1,`},
		"of no kind we know":        {"input/data", "other/data"},
		"not in canonical form":     {`"_type"`, ` "_type"`},
		"neither a string nor a":    {`"epochs":"10"`, `"epochs":10`},
		"after top-level value":     {"", ""},
		"not a SHA-256":             {strings.Repeat("a", 64), strings.Repeat("A", 64)},
		"want 1 to 524288":          {"", strings.Repeat(" ", MaxPayload)},
		"has to be redacted":        {`"epochs":"10"`, `"epochs":"https://me:hunter2@example.org"`},
		"not redacted as in":        {`"hmacSha256"`, `"sha256"`},
		"main exited with 1":        {`"code":0,"container":"main"`, `"code":1,"container":"main"`},
		"level \"verified\" is":     {`/observed"`, `/verified"`},
		"mode \"off\" is":           {`"mode":"enforce"`, `"mode":"off"`},
		"template is missing":       {`"template":"train"`, `"template":""`},
		"finished at":               {"2026-11-21T10:04:30Z", "2026-11-21T09:04:30Z"},
		"output \"model\" is given": {`{"name":"log","reason"`, `{"name":"model","reason"`},
	} {
		t.Run(want, func(t *testing.T) {
			payload := strings.Replace(string(raw), c.old, c.new, 1)
			if want == "after top-level value" {
				payload += payload
			}
			if _, err := Parse([]byte(payload)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func indented(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func FuzzParse(f *testing.F) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		statement, err := Parse(payload)
		if err != nil {
			if reason.Of(err) != reason.StatementInvalid {
				t.Errorf("error without its code: %v", err)
			}
			return
		}
		again, err := Build(statement.Facts)
		if err != nil || string(again) != string(payload) {
			t.Errorf("accepted what Build does not make: %v\n%s", err, payload)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
