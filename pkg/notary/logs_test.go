package notary

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

const helloLog = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/main.log"

// logging is producer where Argo archives logs, and where they are to be sealed.
func logging(tb testing.TB) *scene {
	tb.Helper()
	s := producer(tb)
	s.template(`"archiveLogs":false`, `"archiveLogs":true`)
	s.tag.Logs = true
	s.inject(tb)
	return s
}

func TestALogIsAFactBesideTheOutputs(t *testing.T) {
	s := logging(t)
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	digest := artifact.Digest(strings.Repeat("a", 64))
	want := provenance.Subject{URI: helloLog, Sum: content.Sum{Form: content.FormFile, Size: 151, SHA256: digest, Tree: content.FileTree(digest)}, Output: "main-logs"}
	if len(facts.Subjects) != 2 || facts.Subjects[1] != want {
		t.Errorf("subjects are %+v", facts.Subjects)
	}
	if len(noted) != 2 || noted[0].Name != helloOutput || noted[1].Name != "main-logs" || noted[1].Location != helloLog || noted[1].SHA256 != string(digest) {
		t.Errorf("noted are %+v", noted)
	}
	payload, err := provenance.Build(facts)
	must(t, err)
	if _, err := provenance.Parse(payload); err != nil {
		t.Error(err)
	}
}

func TestALogIsSealedAlone(t *testing.T) {
	s := logging(t)
	s.template(`"outputs":{"artifacts":[{"name":"hello-art","path":"/tmp/hello_world.txt"}]}`, `"outputs":{}`)
	s.inject(t)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || facts.Subjects[0].Output != "main-logs" {
		t.Errorf("subjects are %+v", facts.Subjects)
	}
}

// A wait that was told to end in time may not have come to the logs.
func TestALogThatIsAbsentLeavesTheOutputsSealed(t *testing.T) {
	s := logging(t)
	digest := artifact.Digest(strings.Repeat("a", 64))
	s.measure(t, measurement.Measurement{
		{Output: helloOutput, Found: measurement.Bytes{Sum: content.Sum{Form: content.FormTar, Size: 1, SHA256: digest, Tree: digest}}},
		{Output: "main-logs", Found: measurement.Problem{Code: reason.OutputAbsent}},
	})
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || len(facts.Unsealed) != 1 || facts.Unsealed[0] != (provenance.Unsealed{Output: "main-logs", Reason: reason.OutputAbsent}) {
		t.Errorf("subjects %+v, unsealed %+v", facts.Subjects, facts.Unsealed)
	}
	if noted[1].Location != helloLog || noted[1].Reason != string(reason.OutputAbsent) {
		t.Errorf("noted are %+v", noted)
	}
}

// What the tag says is what the notary wants of the pod, whatever the operator
// has said since.
func TestLogsAreMeasuredWhereTheTagSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *scene)
		want   reason.Code
	}{
		"a tag that does not want them": {func(t *testing.T, s *scene) { s.tag.Logs = false; s.retag(t) }, reason.TagInvalid},
		"a sidecar that was not told": {func(t *testing.T, s *scene) {
			s.tag.Logs = false
			s.inject(t)
			s.tag.Logs = true
			s.retag(t)
		}, reason.TagInvalid},
		"a step whose logs Argo does not keep": {func(_ *testing.T, s *scene) { s.template(`"archiveLogs":true`, `"archiveLogs":false`) }, reason.TagInvalid},
		"a sidecar that was told otherwise": {func(_ *testing.T, s *scene) {
			args := s.pod.Spec.InitContainers[len(s.pod.Spec.InitContainers)-1].Args
			args[len(args)-1] += "x"
		}, reason.StructureAltered},
		"a measurement without them": {func(t *testing.T, s *scene) { s.measure(t, measurementOf(t, s)[:1]) }, reason.MeasurementIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			s := logging(t)
			c.change(t, s)
			if _, _, err := s.rules.facts(s.witness(t)); err == nil || reason.Of(err) != c.want {
				t.Errorf("it gives %v, want %s", err, c.want)
			}
		})
	}
}

func TestALogIsNoDirectory(t *testing.T) {
	s := logging(t)
	m := measurementOf(t, s)
	log := m[1].Found.(measurement.Bytes)
	log.Form, log.Tree = content.FormDirectory, log.SHA256
	m[1].Found = log
	s.measure(t, m)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || len(facts.Unsealed) != 1 || facts.Unsealed[0].Reason != reason.LocationInvalid {
		t.Errorf("subjects are %+v, unsealed %+v", facts.Subjects, facts.Unsealed)
	}
}

func measurementOf(t *testing.T, s *scene) measurement.Measurement {
	t.Helper()
	m, _, err := measurement.Decode(s.signerStatus().State.Terminated.Message)
	must(t, err)
	return m
}
