package provenance

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// reproductionExample is what docs/buildtypes/reproduction-v1.md shows.
func reproductionExample() ReproductionFacts {
	run := func(d, namespace, uid string) SealedRun {
		return SealedRun{
			Statement: digest(d), Builder: Builder{Cluster: "prod", Level: LevelIsolated}, Namespace: namespace,
			Workflow: Ref{Name: namespace + "-x7k2p", UID: "w-" + uid}, Pod: Ref{Name: namespace + "-x7k2p-build-1", UID: "p-" + uid}, Template: "build",
		}
	}
	return ReproductionFacts{
		Verdict: WasReproduced, First: run("1", "ci", "1"), Second: run("2", "again", "2"),
		Outputs: []ReproducedOutput{{
			Name: "model", Verdict: WasReproduced, URI: "s3://minio:9000/artifacts/ci/model.tgz",
			First: ReproducedContent{digest("3"), digest("5")}, Second: ReproducedContent{digest("4"), digest("5")},
		}, {Name: "notes", Verdict: WasReproduced}},
		Caveats: []string{`parameter "token" has the value that you gave: nobody has checked it`}, Argoseal: "v0.1.0",
		Compared: time.Date(2026, 12, 1, 10, 0, 0, 5, time.UTC),
	}
}

func TestReproductionIsReadAsItWasBuilt(t *testing.T) {
	for name, change := range map[string]func(*ReproductionFacts){
		"reproduced": func(*ReproductionFacts) {},
		"not": func(f *ReproductionFacts) {
			f.Verdict, f.Outputs[0].Verdict, f.Outputs[0].Second.Tree = NotReproduced, NotReproduced, digest("6")
			f.Outputs[1].Verdict = NotComparable
		},
		"the second run did not make it": func(f *ReproductionFacts) {
			f.Verdict, f.Outputs[0].Verdict, f.Outputs[0].Second = NotReproduced, NotReproduced, ReproducedContent{}
		},
		"without caveats": func(f *ReproductionFacts) { f.Caveats = nil },
	} {
		f := reproductionExample()
		change(&f)
		payload, err := BuildReproduction(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read, err := ParseReproduction(payload)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(f.sorted(), *read); d != "" {
			t.Errorf("%s (-built +read):\n%s", name, d)
		}
		if KindOf(payload) != KindReproduction {
			t.Errorf("%s: it is of kind %d", name, KindOf(payload))
		}
		if s, err := Check(payload); err != nil || s != nil {
			t.Errorf("%s: checked, it is %v, %v", name, s, err)
		}
		// It is no seal, and no seal is one.
		if _, err := Parse(payload); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("%s: as a seal: %v", name, err)
		}
	}
	seal, err := Build(example())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseReproduction(seal); reason.Of(err) != reason.StatementInvalid {
		t.Errorf("a seal as a reproduction: %v", err)
	}
}

func TestReproductionsThatContradictThemselvesAreNotMade(t *testing.T) {
	for name, change := range map[string]func(*ReproductionFacts){
		"no verdict":            func(f *ReproductionFacts) { f.Verdict = "" },
		"not comparable":        func(f *ReproductionFacts) { f.Verdict = NotComparable },
		"other trees":           func(f *ReproductionFacts) { f.Outputs[0].Second.Tree = digest("6") },
		"no trees":              func(f *ReproductionFacts) { f.Outputs[0].First.Tree, f.Outputs[0].Second.Tree = "", "" },
		"one run without it":    func(f *ReproductionFacts) { f.Outputs[0].Second = ReproducedContent{} },
		"an output differs":     func(f *ReproductionFacts) { f.Outputs[1].Verdict = NotReproduced },
		"an output is unknown":  func(f *ReproductionFacts) { f.Outputs[1].Verdict = NotComparable },
		"an output says little": func(f *ReproductionFacts) { f.Outputs[1].Verdict = "" },
		"nothing differs":       func(f *ReproductionFacts) { f.Verdict = NotReproduced },
		"no output":             func(f *ReproductionFacts) { f.Outputs = nil },
		"nothing is sealed":     func(f *ReproductionFacts) { f.Outputs = f.Outputs[1:] },
		"an output twice":       func(f *ReproductionFacts) { f.Outputs[1].Name = "model" },
		"a place twice":         func(f *ReproductionFacts) { f.Outputs[1] = f.Outputs[0]; f.Outputs[1].Name = "other" },
		"no place":              func(f *ReproductionFacts) { f.Outputs[0].URI = "" },
		"a place that is none":  func(f *ReproductionFacts) { f.Outputs[0].URI = "model.tgz" },
		"the same run":          func(f *ReproductionFacts) { f.Second = f.First },
		"the same pod":          func(f *ReproductionFacts) { f.Second.Pod.UID = f.First.Pod.UID },
		"no statement":          func(f *ReproductionFacts) { f.First.Statement = "" },
		"no builder":            func(f *ReproductionFacts) { f.Second.Builder = Builder{} },
		"no time":               func(f *ReproductionFacts) { f.Compared = time.Time{} },
		"no version":            func(f *ReproductionFacts) { f.Argoseal = "" },
		"a caveat of two lines": func(f *ReproductionFacts) { f.Caveats[0] = "a\nb" },
		"an endless caveat":     func(f *ReproductionFacts) { f.Caveats[0] = strings.Repeat("a", maxCaveat+1) },
		"too many caveats": func(f *ReproductionFacts) {
			for i := range maxCaveats + 1 {
				f.Caveats = append(f.Caveats, strings.Repeat("a", i+1))
			}
		},
	} {
		f := reproductionExample()
		change(&f)
		if _, err := BuildReproduction(f); err == nil {
			t.Errorf("%s: it is made", name)
		}
	}
}

// Whoever signs may write any payload. One that says more, or it differently, is refused.
func TestReproductionsInOtherWordsAreRefused(t *testing.T) {
	payload, err := BuildReproduction(reproductionExample())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) []byte {
		t.Helper()
		if !bytes.Contains(payload, []byte(old)) {
			t.Fatalf("the payload lacks %s:\n%s", old, payload)
		}
		return bytes.Replace(payload, []byte(old), []byte(with), 1)
	}
	spaced := &bytes.Buffer{}
	if err := json.Indent(spaced, payload, "", " "); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string][]byte{
		"nothing":                 nil,
		"no JSON":                 []byte("{"),
		"something after it":      append(bytes.Clone(payload), '\n'),
		"with spaces":             spaced.Bytes(),
		"a field that is unknown": replace(`"verdict":"Reproduced"}`, `"verdict":"Reproduced","x":1}`),
		"a field twice":           replace(`"predicateType":`, `"predicateType":"x","predicateType":`),
		"another subject":         replace(`"treeSha256":"`+string(digest("5"))+`"}`, `"treeSha256":"`+string(digest("6"))+`"}`),
		"another time zone":       replace("2026-12-01T10:00:00Z", "2026-12-01T11:00:00+01:00"),
		"another type":            replace(ReproductionType, "https://argoseal.dev/reproduction/v2"),
		"too long":                append(bytes.Clone(payload), bytes.Repeat([]byte(" "), MaxPayload)...),
	} {
		if _, err := ParseReproduction(p); reason.Of(err) != reason.StatementInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAReproductionSpeaksOfOneSealAlone(t *testing.T) {
	f := reproductionExample()
	is := Subject{URI: f.Outputs[0].URI, Output: "model", Sum: content.Sum{SHA256: digest("3"), Tree: digest("5")}}
	if !f.Speaks(f.First.Statement, is, false) {
		t.Error("it does not speak of what it is about")
	}
	change := func(change func(*Subject)) Subject {
		s := is
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		statement artifact.Digest
		s         Subject
	}{
		"no seal":         {"", is},
		"the second seal": {f.Second.Statement, is},
		"another place":   {f.First.Statement, change(func(s *Subject) { s.URI += "x" })},
		"another output":  {f.First.Statement, change(func(s *Subject) { s.Output = "notes" })},
		"other bytes":     {f.First.Statement, change(func(s *Subject) { s.SHA256 = digest("4") })},
		"another tree":    {f.First.Statement, change(func(s *Subject) { s.Tree = digest("6") })},
		"no tree":         {f.First.Statement, change(func(s *Subject) { s.Tree = "" })},
		"nothing":         {f.First.Statement, Subject{}},
	} {
		if f.Speaks(c.statement, c.s, false) {
			t.Errorf("%s: it speaks of that", name)
		}
	}
	// The second run stored other bytes of the same tree.
	if f.Speaks(f.First.Statement, is, true) {
		t.Error("it speaks of bytes that nobody made again")
	}
	f.Outputs[0].Second.SHA256 = is.SHA256
	if !f.Speaks(f.First.Statement, is, true) {
		t.Error("it does not speak of the same bytes")
	}
	f.Outputs[0].Verdict = NotReproduced
	if f.Speaks(f.First.Statement, is, false) {
		t.Error("it speaks of what differs")
	}
}
