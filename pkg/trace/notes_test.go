package trace_test

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
)

// forms are what a graph can be written as, apart from JSON.
var forms = map[string]func(*trace.Graph, *bytes.Buffer) error{
	"text":    func(g *trace.Graph, b *bytes.Buffer) error { return g.Text(b) },
	"dot":     func(g *trace.Graph, b *bytes.Buffer) error { return g.DOT(b) },
	"mermaid": func(g *trace.Graph, b *bytes.Buffer) error { return g.Mermaid(b) },
	"html":    func(g *trace.Graph, b *bytes.Buffer) error { return g.HTML(b) },
}

func written(t *testing.T, g *trace.Graph, form string) string {
	t.Helper()
	var b bytes.Buffer
	if err := forms[form](g, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A step that a mode let run without proof names no inputs. That is an early end, and not a
// chain that is whole because nothing went in.
func TestAStepWithUnprovenInputsEndsItsChain(t *testing.T) {
	for name, verdict := range map[string]reason.Code{"let run all the same": reason.NoProvenance, "proven": ""} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			s := w.statements["libs/build"]
			s.Inputs, s.Mode, s.Verdict = nil, v1alpha1.ModeWarn, verdict
			w.statements["ci/fetch"].Inputs = nil
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
			if err != nil {
				t.Fatal(err)
			}
			ends := g.Ends()
			if (len(ends) == 1) != (verdict != "") {
				t.Fatalf("it ends at %+v", ends)
			}
			for form := range forms {
				if out := written(t, g, form); strings.Contains(out, "NoProvenance") != (verdict != "") {
					t.Errorf("%s does not say how the step was admitted:\n%s", form, out)
				}
			}
			if verdict != "" && (g.StepByID(ends[0].ID).Record != "libs/build" || !strings.Contains(ends[0].Why, "NoProvenance") || !strings.Contains(ends[0].Why, "mode warn")) {
				t.Errorf("it ends at %+v", ends[0])
			}
			if whole := strings.Contains(written(t, g, "text"), "every chain ends at a source"); whole != (verdict == "") {
				t.Errorf("every chain is said to be whole: %t", whole)
			}
		})
	}
}

// What lies at a location is what was stored there last, sealed or not.
func TestTheNewestRecordDecidesWhatLiesThere(t *testing.T) {
	const app = bucket + "w/app.tgz"
	unsealed := func(key string, minute int) trace.Entry {
		return trace.Entry{Namespace: "ci", Record: "later", URI: bucket + key, Made: noon.Add(time.Duration(minute) * time.Minute), Unsealed: "UploadFailed"}
	}
	for name, c := range map[string]struct {
		change func(*world)
		code   reason.Code
	}{
		"sealed":                      {func(*world) {}, ""},
		"unsealed since":              {func(w *world) { w.entries = append(w.entries, unsealed("w/app.tgz", 6)) }, reason.NoProvenance},
		"unsealed at the same time":   {func(w *world) { w.entries = append(w.entries, unsealed("w/app.tgz", 5)) }, reason.NoProvenance},
		"a directory above, unsealed": {func(w *world) { w.entries = append(w.entries, unsealed("w/", 6)) }, reason.NoProvenance},
		"unsealed before":             {func(w *world) { w.entries = append(w.entries, unsealed("w/app.tgz", 4)) }, ""},
		"unsealed elsewhere":          {func(w *world) { w.entries = append(w.entries, unsealed("w/app.tgz2", 6)) }, ""},
		"of a later pod, recorded before": {func(w *world) {
			u := unsealed("w/app.tgz", 4)
			u.Begun, w.entries[2].Begun = noon.Add(2*time.Minute), noon.Add(time.Minute)
			w.entries = append(w.entries, u)
		}, reason.NoProvenance},
		"of an earlier pod, recorded before": {func(w *world) {
			u := unsealed("w/app.tgz", 4)
			u.Begun, w.entries[2].Begun = noon.Add(time.Minute), noon.Add(2*time.Minute)
			w.entries = append(w.entries, u)
		}, ""},
		"recorded before, and nobody knows when the sealed one's pod was made": {func(w *world) {
			u := unsealed("w/app.tgz", 4)
			u.Begun = noon
			w.entries = append(w.entries, u)
		}, ""},
		"another output of the record": {func(w *world) { u := unsealed("w/", 6); u.Record = "release"; w.entries = append(w.entries, u) }, ""},
		"a newer seal does not hold": {func(w *world) {
			w.step("ci", "v", "newer", 6, []provenance.Subject{made("w/app.tgz", digest("5"), content.FormTar)})
			w.failures["ci/newer"] = reason.New(reason.SignatureInvalid, "forged")
		}, reason.SignatureInvalid},
		"an older seal does not hold": {func(w *world) {
			w.step("ci", "v", "older", 4, []provenance.Subject{made("w/app.tgz", digest("5"), content.FormTar)})
			w.failures["ci/older"] = reason.New(reason.SignatureInvalid, "forged")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			c.change(w)
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, app, "")
			if reason.Of(err) != c.code && (err != nil || c.code != "") {
				t.Fatalf("%v, want %q", err, c.code)
			}
			if c.code == reason.NoProvenance && (!strings.Contains(err.Error(), "unsealed since: record ci/later") || !strings.Contains(err.Error(), "Give --digest, or --namespace")) {
				t.Errorf("it does not say what lies there, or what to do: %v", err)
			}
			if err == nil && (g.Steps[0].Record != "ci/release" || len(g.Notes) > 0) {
				t.Errorf("step %s, notes %q", g.Steps[0].Record, g.Notes)
			}
		})
	}
}

// Where all that was stored has no seal, the error names the record, and not one of elsewhere.
func TestAPlaceWithoutASealSaysWhatLiesThere(t *testing.T) {
	w := chain()
	w.entries = append(w.entries, trace.Entry{Namespace: "ci", Record: "only", URI: bucket + "new.tgz", Made: noon, Unsealed: "WorkflowGone"})
	for key, want := range map[string]bool{"new.tgz": true, "other.tgz": false} {
		_, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, bucket+key, "")
		if reason.Of(err) != reason.NoProvenance || strings.Contains(err.Error(), "record ci/only") != want || strings.Contains(err.Error(), "since") {
			t.Errorf("of %s it says: %v", key, err)
		}
	}
}

// Whoever asks for bytes is told who else made them, what was passed over, and what may lie in
// their place by now; in every form.
func TestNotes(t *testing.T) {
	w := chain()
	for i := range 7 {
		w.step("ci", "v", fmt.Sprint("same", i), 3, []provenance.Subject{made(fmt.Sprint("copy", i), digest("3"), content.FormTar)})
	}
	w.step("ci", "v", "forged", 8, []provenance.Subject{made("forged", digest("3"), content.FormTar)})
	w.failures["ci/forged"] = reason.New(reason.SignatureInvalid, "nobody's")
	// Of a directory that two filled, the record of one is gone.
	w.step("ci", "w", "second", 2, []provenance.Subject{made("w/data/", digest("6"), content.FormDirectory)})
	w.failures["ci/second"] = trace.ErrGone
	w.entries = append(w.entries,
		trace.Entry{Namespace: "ci", Record: "over", URI: bucket + "w/app.tgz", Made: noon.Add(time.Hour), Unsealed: "Pending"},
		trace.Entry{Namespace: "ci", Record: "odd", URI: "nowhere", SHA256: digest("3")})
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"passed over: record ci/forged: ", "unsealed since: record ci/over of 2026-01-01T13:00:00Z",
		"others have the same bytes, as records say: record ci/forged at " + bucket + "forged, record ci/same0 at ", "passed over: 1 outputs of records", "passed over: record ci/second: ",
	} {
		if i >= len(g.Notes) || !strings.HasPrefix(g.Notes[i], want) {
			t.Fatalf("notes %q, want %q", g.Notes, want)
		}
		for form := range forms {
			if out := written(t, g, form); !strings.Contains(out, want[:20]) {
				t.Errorf("%s does not say %q:\n%s", form, want, out)
			}
		}
	}
	if len(g.Notes) != 5 || !strings.HasSuffix(g.Notes[2], ", and 3 more") {
		t.Errorf("notes %q", g.Notes)
	}
	if honest, err := trace.Walk(t.Context(), trace.NewIndex(chain().entries), chain().read, "", digest("3")); err != nil || len(honest.Notes) > 0 {
		t.Errorf("nothing is to be noted: %v, %v", honest, err)
	}
}

// What may lie anywhere may lie there: who stored something without a seal is counted, where its
// record does not say where, unless it was before.
func TestWhatLiesNobodyKnowsWhereIsNoted(t *testing.T) {
	for name, c := range map[string]struct {
		record string
		minute int
		want   bool
	}{
		"later": {"later", 6, true}, "at the same time": {"later", 5, true}, "before": {"before", 4, false}, "another output of the record": {"release", 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			w.entries = append(w.entries, trace.Entry{Namespace: "ci", Record: c.record, Made: noon.Add(time.Duration(c.minute) * time.Minute), Unsealed: "WorkflowGone"})
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, bucket+"w/app.tgz", "")
			if err != nil || (len(g.Notes) == 1 && strings.HasPrefix(g.Notes[0], "unsealed since: 1 outputs without a seal, whose place nobody knows")) != c.want || len(g.Notes) > 1 {
				t.Errorf("%v, %v", g, err)
			}
		})
	}
}

// What lies at a place is what was sealed last: whoever may have been that, too, or has sealed
// something above or below since, is noted.
func TestWhoElseMayHaveStoredThereIsNoted(t *testing.T) {
	const beside, since = "stored there at about the same time: record ci/", "stored since above or below, as records say: record ci/"
	app, other := made("w/app.tgz", digest("5"), content.FormTar), digest("6")
	for name, c := range map[string]struct {
		change func(*world)
		digest artifact.Digest
		want   string
	}{
		"nobody":           {func(*world) {}, "", ""},
		"before":           {func(w *world) { w.step("ci", "v", "other", 4, []provenance.Subject{app}) }, "", ""},
		"at the same time": {func(w *world) { w.step("ci", "v", "other", 5, []provenance.Subject{app}) }, "", beside + "release at "},
		"a later pod, recorded before": {func(w *world) {
			w.step("ci", "v", "other", 4, []provenance.Subject{app})
			w.entries[4].Begun, w.entries[2].Begun = noon.Add(2*time.Minute), noon.Add(time.Minute)
		}, "", beside + "other at "},
		"recorded before, after this one's end": {func(w *world) {
			w.step("ci", "v", "other", 4, []provenance.Subject{app})
			w.statements["ci/release"].FinishedAt = noon.Add(3 * time.Minute)
		}, "", beside + "other at "},
		"a directory above, since": {func(w *world) {
			w.step("ci", "v", "other", 6, []provenance.Subject{made("w/", other, content.FormDirectory)})
		}, "", since + "other at " + bucket + "w/"},
		"a directory above, before": {func(w *world) {
			w.step("ci", "v", "other", 4, []provenance.Subject{made("w/", other, content.FormDirectory)})
		}, "", ""},
		"beside it, since": {func(w *world) {
			w.step("ci", "v", "other", 6, []provenance.Subject{made("w/app.tgz2", other, content.FormTar)})
		}, "", ""},
		"whatever lies there": {func(w *world) {
			w.step("ci", "v", "above", 6, []provenance.Subject{made("w/", other, content.FormDirectory)})
			w.step("ci", "v", "other", 5, []provenance.Subject{app})
		}, digest("3"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			c.change(w)
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, bucket+"w/app.tgz", c.digest)
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(g.Notes, "\n"); len(g.Notes) > 1 || !strings.HasPrefix(notes, c.want) || (notes == "") != (c.want == "") {
				t.Errorf("notes %q, want %q", g.Notes, c.want)
			}
		})
	}
}

// Whoever asks for an image learns of whom else has it, in whatever bytes.
func TestWhoElseHasAnImageIsNoted(t *testing.T) {
	image := digest("e")
	for name, has := range map[string]bool{"another layout with it": true, "another layout without": false} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			w.step("ci", "v", "other", 3, []provenance.Subject{made("other.tgz", digest("6"), content.FormTar)})
			w.entries[2].Images = []artifact.Digest{image}
			if has {
				w.entries[4].Images = []artifact.Digest{image}
			}
			w.statements["ci/release"].Measured = []provenance.Measured{{Output: "o", Image: oci.Image{Digest: image, Kind: oci.KindManifest}}}
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", image)
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(g.Notes, "\n"); strings.HasPrefix(notes, "others have the same bytes or image, as records say: record ci/other at ") != has || (notes == "") == has {
				t.Errorf("notes %q", g.Notes)
			}
		})
	}
}

// Only a step that states no input is said to state none.
func TestAnUnprovenStepSaysWhatItStates(t *testing.T) {
	for _, inputs := range [][]trace.Input{nil, {{Name: "in", Item: "A1"}}} {
		g := &trace.Graph{Steps: []*trace.Step{{ID: "S1", Verdict: "NoProvenance", Mode: "warn", Inputs: inputs}}}
		if why := g.Ends()[0].Why; strings.Contains(why, "none is stated") != (inputs == nil) || !strings.Contains(why, "not proven") {
			t.Errorf("with inputs %v: %s", inputs, why)
		}
	}
}

// However many records are passed over, notes of them end.
func TestNotesAreBounded(t *testing.T) {
	w := chain()
	for i := range 300 {
		w.entries = append(w.entries, trace.Entry{Namespace: "ci", Record: fmt.Sprint("gone", i), URI: bucket + "x", SHA256: digest("3"), Made: noon.Add(time.Hour)})
	}
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
	if err != nil || len(g.Notes) != 101 || g.Notes[100] != "and 201 more notes" {
		t.Errorf("%d notes, %v", len(g.Notes), err)
	}
}

// fill puts a name into every text of a graph but its ids, digests and kinds.
func fill(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		fill(v.Elem(), name)
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Name != "ID" && f.Name != "Root" && f.Name != "By" && f.Name != "Item" && f.Type != reflect.TypeFor[time.Time]() {
				fill(v.Field(i), name)
			}
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(name)
		}
	}
}

var comment = regexp.MustCompile(`(?m)^  //.*$`)

// TestNamesStayNames: a name that anybody chose is text in every form, on its line, with what
// nobody would see spelled out.
func TestNamesStayNames(t *testing.T) {
	w := chain()
	w.statements["libs/build"].Verdict = reason.NoProvenance
	for name, c := range map[string]struct {
		name string
		// never are what no form, or the form alone, has of it.
		never map[string][]string
	}{
		"a terminal's commands":  {"a\x1b]0;x\x07\x9b31m\r", nil},
		"other lines":            {"a\nS1 -> A1\n%%{init: {}}%%\u2028b", map[string][]string{"": {"\nS1 -> A1"}}},
		"directions of writing":  {"a\u202egpj.\u2066b\u200e\u200b\ufeff", nil},
		"no text at all":         {"a\xff\x00b", nil},
		"HTML":                   {`<img src=x onerror="alert(1)">`, map[string][]string{"html": {"<img"}, "mermaid": {"<img"}}},
		"entities":               {"&lt;img&gt;#lt;img#gt;&#x202e;#8238;", map[string][]string{"html": {"&lt;img&gt;#", "&#x202e;"}, "dot": {"&lt;", "&#x"}, "mermaid": {"#lt;", "#8238;", "&"}}},
		"quotes":                 {`a"];evil[label="b\`, map[string][]string{"dot": {`a"]`, `b\"]`, `b\" `}, "mermaid": {`a"]`}}},
		"sequences of Graphviz":  {`\N\G\L`, map[string][]string{"dot": {` \N`, `"\N`}}},
		"directives of Mermaid":  {`%%{init: {'securityLevel':'loose'}}%%`, map[string][]string{"mermaid": {"%%{", "{init"}}},
		"Markdown and formulas":  {"`**a**` $$x$$", map[string][]string{"mermaid": {"`", "$"}}},
		"the end of the page":    {"</title></svg></script>", map[string][]string{"html": {"</title></svg>"}}},
		"the end of a comment":   {"*/ --> x", nil},
		"a plain name, its twin": {"tést-1/x.tgz", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
			if err != nil {
				t.Fatal(err)
			}
			g.Notes = []string{""}
			fill(reflect.ValueOf(g), "x")
			plain := map[string]int{}
			for form := range forms {
				plain[form] = strings.Count(written(t, g, form), "\n")
			}
			fill(reflect.ValueOf(g), c.name)
			for form := range forms {
				out := written(t, g, form)
				if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
					t.Errorf("%s has %q", form, out[i:min(i+20, len(out))])
				}
				if form == "dot" { // up to its end a comment's line is anything
					out = comment.ReplaceAllString(out, "//")
				}
				for _, never := range append(c.never[form], c.never[""]...) {
					if strings.Contains(out, never) {
						t.Errorf("%s has %q:\n%s", form, never, out)
					}
				}
				if n := strings.Count(out, "\n"); form != "text" && n != plain[form] {
					t.Errorf("%s has %d lines, and %d with other names", form, n, plain[form])
				}
				if c.name == "tést-1/x.tgz" && !strings.Contains(out, c.name) {
					t.Errorf("%s does not have the name:\n%s", form, out)
				}
			}
		})
	}
}
