package reproduce_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

// ran is a run with an archive and a file, on one input.
func ran() *provenance.Statement {
	s := &provenance.Statement{Version: provenance.Version}
	s.Outcome.Result = provenance.Succeeded
	s.Images = []provenance.Image{
		{Container: "init", SHA256: digest("7")}, {Container: "argoseal-signer", SHA256: digest("8")},
		{Container: "main", SHA256: digest("1"), DigestOf: provenance.DigestOfID},
	}
	s.Inputs = []provenance.Input{{Name: "in", URI: "s3://minio:9000/artifacts/in.tgz", SHA256: digest("2"), Tree: digest("3"), Archive: content.ArchiveTar}}
	s.Subjects = []provenance.Subject{
		{URI: "s3://minio:9000/artifacts/a.tgz", Output: "a", Sum: content.Sum{Form: content.FormTar, SHA256: digest("4"), Tree: digest("5")}},
		{URI: "s3://minio:9000/artifacts/b", Output: "b", Sum: content.Sum{Form: content.FormFile, SHA256: digest("6"), Tree: digest("7")}},
		{URI: "s3://minio:9000/artifacts/main.log", Output: "main-logs", Sum: content.Sum{Form: content.FormFile, SHA256: digest("8"), Tree: digest("9")}},
	}
	s.Unsealed = []provenance.Unsealed{{Output: "never", Reason: reason.OutputAbsent}}
	return s
}

func TestTwoRunsAreCompared(t *testing.T) {
	tree := func(s *provenance.Statement, i int) {
		s.Subjects[i].SHA256, s.Subjects[i].Tree = digest("a"), digest("b")
	}
	for name, c := range map[string]struct {
		change func(first, second *provenance.Statement)
		want   reproduce.Verdict
		says   string // in why, or in that of an output
	}{
		"the same": {func(_, _ *provenance.Statement) {}, reproduce.Same, ""},
		"stored elsewhere, packed otherwise, in another release": {func(_, b *provenance.Statement) {
			b.Subjects[0].URI, b.Subjects[0].SHA256 = "s3://other:9000/x/y.tgz", digest("c")
			b.Images[0].SHA256, b.Images[1].SHA256 = digest("c"), digest("c")
			b.Inputs[0].URI = "s3://other:9000/x/in.tgz"
			b.Definition.Overrides = []provenance.Override{{Field: "podSpecPatch", SHA256: digest("1")}}
		}, reproduce.Same, ""},
		"another log": {func(_, b *provenance.Statement) { tree(b, 2) }, reproduce.Same, ""},
		"no log":      {func(_, b *provenance.Statement) { b.Subjects = b.Subjects[:2] }, reproduce.Same, ""},
		"both failed alike": {func(a, b *provenance.Statement) {
			a.Outcome.Result, b.Outcome.Result = provenance.Failed, provenance.Failed
		}, reproduce.Same, ""},
		"another archive": {func(_, b *provenance.Statement) { tree(b, 0) }, reproduce.Differs, ""},
		"another file":    {func(_, b *provenance.Statement) { tree(b, 1) }, reproduce.Differs, ""},
		"in another form": {func(_, b *provenance.Statement) { b.Subjects[0].Form = content.FormZip }, reproduce.Differs, "an archive, the second as zip"},
		"not made again": {func(_, b *provenance.Statement) {
			b.Subjects = b.Subjects[1:]
			b.Unsealed = append(b.Unsealed, provenance.Unsealed{Output: "a", Reason: reason.OutputAbsent})
		}, reproduce.Differs, "the second run did not make it"},
		"made only now": {func(_, b *provenance.Statement) {
			b.Unsealed = nil
			b.Subjects = append(b.Subjects, provenance.Subject{Output: "never", Sum: b.Subjects[0].Sum})
		}, reproduce.Differs, "the first run did not make it"},
		"not sealed again": {func(_, b *provenance.Statement) {
			b.Subjects = b.Subjects[1:]
			b.Unsealed = append(b.Unsealed, provenance.Unsealed{Output: "a", Reason: reason.OutputUnreadable})
		}, reproduce.NotComparable, "OutputUnreadable"},
		"not sealed, and another": {func(_, b *provenance.Statement) { b.Subjects = b.Subjects[1:]; tree(b, 0) }, reproduce.Differs, "not sealed in the second run"},
		"not spoken of":           {func(_, b *provenance.Statement) { b.Subjects = b.Subjects[1:] }, reproduce.NotComparable, "not sealed in the second run"},
		"not sealed at first": {func(a, _ *provenance.Statement) {
			a.Subjects = a.Subjects[1:]
			a.Unsealed = append(a.Unsealed, provenance.Unsealed{Output: "a", Reason: reason.MountUnsupported})
		}, reproduce.NotComparable, "MountUnsupported"},
		"nothing but a log":        {func(a, _ *provenance.Statement) { a.Subjects, a.Unsealed = a.Subjects[2:], nil }, reproduce.NotComparable, "nothing but logs"},
		"no tree digests":          {func(a, b *provenance.Statement) { a.Subjects[0].Tree, b.Subjects[0].Tree = "", "" }, reproduce.NotComparable, ""},
		"failed this time":         {func(_, b *provenance.Statement) { b.Outcome.Result = provenance.Failed }, reproduce.NotComparable, "the second failed"},
		"another image":            {func(_, b *provenance.Statement) { b.Images[2].SHA256 = digest("a") }, reproduce.NotComparable, "another image"},
		"a digest of another kind": {func(_, b *provenance.Statement) { b.Images[2].DigestOf = "" }, reproduce.NotComparable, "another image"},
		"an image of nobody's":     {func(a, b *provenance.Statement) { a.Images[2].SHA256, b.Images[2].SHA256 = "", "" }, reproduce.NotComparable, "nobody knows which image"},
		"a container more": {func(_, b *provenance.Statement) {
			b.Images = append(b.Images, provenance.Image{Container: "x", SHA256: digest("1")})
		}, reproduce.NotComparable, "images"},
		"another container":        {func(_, b *provenance.Statement) { b.Images[2].Container = "x" }, reproduce.NotComparable, `no container "main"`},
		"an image mounted":         {func(_, b *provenance.Statement) { b.Mounted = b.Images[:1] }, reproduce.NotComparable, "volume"},
		"another input":            {func(_, b *provenance.Statement) { b.Inputs[0].SHA256 = digest("a") }, reproduce.NotComparable, `input "in"`},
		"an input to no pin":       {func(_, b *provenance.Statement) { b.Inputs[0].SHA256, b.Inputs[0].Tree = "", "" }, reproduce.NotComparable, `input "in"`},
		"unpacked otherwise":       {func(_, b *provenance.Statement) { b.Inputs[0].Archive = content.ArchiveNone }, reproduce.NotComparable, `input "in"`},
		"no input":                 {func(_, b *provenance.Statement) { b.Inputs = nil }, reproduce.NotComparable, "a policy"},
		"an input more":            {func(a, _ *provenance.Statement) { a.Inputs = nil }, reproduce.NotComparable, "inputs"},
		"an input of another name": {func(_, b *provenance.Statement) { b.Inputs[0].Name = "x" }, reproduce.NotComparable, `input "in"`},
		"a commit of another repository": {func(a, b *provenance.Statement) {
			a.Inputs[0] = provenance.Input{Name: "in", URI: "git+https://example.com/a@" + strings.Repeat("1", 40), Archive: content.ArchiveNone}
			b.Inputs[0] = a.Inputs[0]
			b.Inputs[0].URI = "git+https://example.com/b@" + strings.Repeat("1", 40)
		}, reproduce.NotComparable, `input "in"`},
		"a pod that was changed": {func(a, _ *provenance.Statement) {
			a.Definition.Overrides = []provenance.Override{{Field: "pod.containers.main.env", SHA256: digest("1")}}
		}, reproduce.NotComparable, "beside their templates"},
		"both changed alike": {func(a, b *provenance.Statement) {
			a.Definition.Overrides = []provenance.Override{{Field: "pod.containers.main.env", SHA256: digest("1")}}
			b.Definition.Overrides = a.Definition.Overrides
		}, reproduce.Same, ""},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := ran(), ran()
			c.change(first, second)
			r := reproduce.Compare(first, second, nil, nil)
			said := r.Why
			for _, o := range r.Outputs {
				said += "; " + o.Why
				if o.Name == "main-logs" {
					t.Error("a log is compared")
				}
			}
			if r.Verdict != c.want || !strings.Contains(said, c.says) || (r.Why != "") != (c.want == reproduce.NotComparable) {
				t.Errorf("got %+v, want %s that says %q", r, c.want, c.says)
			}
		})
	}
	if r := (reproduce.Result{}); r.Verdict == reproduce.Same {
		t.Error("the zero value says that they are the same")
	}
}

// Which files differ is told where a list of them has the tree that is sealed.
func TestTheFilesThatDifferAreTold(t *testing.T) {
	list := func(files ...string) content.Files {
		var all []content.File
		for _, f := range files {
			path, c, _ := strings.Cut(f, "=")
			all = append(all, content.File{Path: path, SHA256: digest(c)})
		}
		l, err := content.NewFiles(all)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := list("same=1", "dir/time=2", "gone=3"), list("same=1", "dir/time=4", "new=5")
	first, second := ran(), ran()
	for s, l := range map[*provenance.Statement]content.Files{first: a, second: b} {
		s.Subjects[1].Form, s.Subjects[1].SHA256, s.Subjects[1].Tree = content.FormDirectory, l.Tree(), l.Tree()
	}
	told := func(ofFirst, ofSecond string) []reproduce.File {
		r := reproduce.Compare(first, second, reproduce.Listings{"b": ofFirst}, reproduce.Listings{"b": ofSecond})
		if r.Verdict != reproduce.Differs || len(r.Outputs) != 3 || r.Outputs[1].Name != "b" {
			t.Fatalf("got %+v", r)
		}
		return r.Outputs[1].Files
	}
	want := []reproduce.File{{Path: "dir/time", Change: reproduce.Changed}, {Path: "gone", Change: reproduce.Removed}, {Path: "new", Change: reproduce.Added}}
	if got := told(a.String(), b.String()); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	for name, forged := range map[string]string{"another list": list("same=1", "dir/time=2").String(), "none": "", "no list": "x"} {
		if got := told(forged, b.String()); got != nil {
			t.Errorf("%s of the first: told %v", name, got)
		}
		if got := told(a.String(), forged); got != nil {
			t.Errorf("%s of the second: told %v", name, got)
		}
	}
}

func TestWhatNobodyKnowsIsTold(t *testing.T) {
	first, second := ran(), ran()
	second.Subjects[0].Volume, second.Verdict, second.Mode = "shared", reason.WorkflowMismatch, "audit"
	first.Inputs[0] = provenance.Input{Name: "in", URI: "https://example.com/x", Archive: content.ArchiveNone}
	second.Inputs[0] = first.Inputs[0]
	r := reproduce.Compare(first, second, nil, nil)
	if r.Verdict != reproduce.Same {
		t.Fatalf("got %+v", r)
	}
	for _, want := range []string{`"main-logs" is a log`, `input "in"`, `volume "shared"`, "mode audit: WorkflowMismatch"} {
		if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("no note has %q: %q", want, r.Notes)
		}
	}
}
