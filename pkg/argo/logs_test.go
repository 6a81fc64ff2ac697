package argo_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
)

// logs keeps a template's logs below a key.
func logs(key string) object {
	return object{"archiveLogs": true, "s3": object{"endpoint": "s3", "bucket": "b", "key": key}}
}

func TestLogsAreOutputsWhereArgoArchivesThem(t *testing.T) {
	for name, test := range map[string]struct {
		pod    string
		change func(object)
		want   []string
	}{
		"of main": {"produce", func(o object) { o["archiveLocation"] = logs("wf/pod") },
			[]string{"hello-art s3://s3/b/wf/pod/hello-art.tgz", "main-logs s3://s3/b/wf/pod/main.log as none"}},
		"of a script": {"script", func(o object) { o["archiveLocation"], o["outputs"] = logs("wf/pod"), object{} },
			[]string{"main-logs s3://s3/b/wf/pod/main.log as none"}},
		"of each container of a set": {"container-set", func(o object) { o["archiveLocation"] = logs("wf/pod") },
			[]string{"x s3://s3/b/wf/pod/x.tgz", "a-logs s3://s3/b/wf/pod/a.log as none", "main-logs s3://s3/b/wf/pod/main.log as none"}},
		"of a set without main": {"no-main", func(o object) { o["archiveLocation"] = logs("wf/pod") },
			[]string{"a-logs s3://s3/b/wf/pod/a.log as none", "b-logs s3://s3/b/wf/pod/b.log as none"}},
		"below a key that is cleaned": {"produce", func(o object) { o["archiveLocation"], o["outputs"] = logs("x//y/../z/"), object{} },
			[]string{"main-logs s3://s3/b/x/z/main.log as none"}},
		"below no key": {"produce", func(o object) { o["archiveLocation"], o["outputs"] = logs(""), object{} },
			[]string{"main-logs s3://s3/b/main.log as none"}},
		"not where Argo does not":   {"produce", func(o object) { o["archiveLocation"].(object)["archiveLogs"] = false; o["outputs"] = object{} }, nil},
		"not where nothing is said": {"produce", func(o object) { delete(o["archiveLocation"].(object), "archiveLogs"); o["outputs"] = object{} }, nil},
		"not without a repository":  {"produce", func(o object) { delete(o, "archiveLocation"); o["outputs"] = object{} }, nil},
		"not in a kind of store that is not supported": {"produce", func(o object) {
			o["archiveLocation"], o["outputs"] = object{"archiveLogs": true, "oss": object{"bucket": "b", "key": "k"}}, object{}
		}, nil},
		"in another kind of store": {"produce", func(o object) {
			o["archiveLocation"], o["outputs"] = object{"archiveLogs": true, "gcs": object{"bucket": "data", "key": "k"}}, object{}
		}, []string{"main-logs gs://data/k/main.log as none"}},
		"not in a place of no spelling": {"produce", func(o object) { o["archiveLocation"], o["outputs"] = logs("../x"), object{} }, nil},
		"not of a daemon":               {"daemon", func(o object) { o["archiveLocation"] = logs("wf/pod"); o["outputs"] = object{} }, nil},
		"not of Argo's own containers":  {"resource", func(o object) { o["archiveLocation"] = logs("wf/pod") }, nil},
		"not under an output's name": {"produce", func(o object) {
			o["archiveLocation"], o["outputs"] = logs("wf/pod"), object{"artifacts": list{object{"name": "main-logs", "path": "/x"}}}
		}, []string{"main-logs s3://s3/b/wf/pod/main-logs.tgz"}},
		"not under the name of an output that is not sealed": {"produce", func(o object) {
			o["archiveLocation"], o["outputs"] = logs("wf/pod"), object{"artifacts": list{object{"name": "main-logs", "path": "/x", "archive": object{}}}}
		}, []string{"main-logs ArchiveUnsupported"}},
		"and keep outputs from their place": {"container-set", func(o object) {
			o["archiveLocation"], o["outputs"] = logs("wf/pod"), object{"artifacts": list{object{"name": "x", "path": "/x/a.log", "archive": object{"none": object{}}}}}
		}, []string{"x LocationInvalid", "a-logs s3://s3/b/wf/pod/a.log as none", "main-logs s3://s3/b/wf/pod/main.log as none"}},
	} {
		t.Run(name, func(t *testing.T) {
			step, err := argo.Parse(withTemplate(t, test.pod, test.change))
			if err != nil {
				t.Fatal(err)
			}
			if step.Logs() {
				t.Errorf("there are logs before they are asked for: %v", outputs(step))
			}
			before := outputs(step)
			with := step.WithLogs()
			if diff := cmp.Diff(test.want, outputs(with)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, outputs(step)); diff != "" {
				t.Errorf("the step it was asked of changed:\n%s", diff)
			}
			if diff := cmp.Diff(outputs(with), outputs(with.WithLogs())); diff != "" {
				t.Errorf("twice is not once:\n%s", diff)
			}
			if diff := cmp.Diff(step.Mains(), with.Mains()); diff != "" {
				t.Errorf("its containers changed:\n%s", diff)
			}
		})
	}
}

func TestALogIsAFile(t *testing.T) {
	_, step := argotest.Logged(t, "produce")
	log := step.WithLogs().Outputs[1]
	if want := (measurement.Staged{Output: "main-logs", Archive: content.ArchiveNone, File: "main.log", Log: true}); log.Staged() != want || log.Log != "main" {
		t.Errorf("it is staged as %+v", log.Staged())
	}
	if places := log.Locations(); len(places) != 1 || places[0] != log.Location() || log.Location().Kind != artifact.KindObject {
		t.Errorf("it may lie at %v", places)
	}
	for _, form := range []content.Form{content.FormFile, content.FormLookalike} {
		if at, err := log.At(form); err != nil || at != log.Location() {
			t.Errorf("as %s it lies at %s, %v", form, at, err)
		}
	}
	if at, err := log.At(content.FormDirectory); err == nil {
		t.Errorf("as a directory it lies at %s", at)
	}
}
