package policy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

const page = "../../docs/policy.md"

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// The digests that the table calls A and B.
var digestA, digestB = strings.Repeat("a", 64), strings.Repeat("b", 64)

// input is the table's column of this name; one field is set.
type input struct {
	Seal                                           *sealed
	S3, GCS, Azure, HTTP, Git, Commit, Branch, Tag string
	// Image is a container image, as a pod names it; Seal is one of its manifest.
	Image string
	// Default: nobody says which revision.
	Default bool
	// Doubts are about the place.
	Doubts []v1alpha1.Doubt
	// Attested is what the bundle of an entry attests: the digest B, or why it does not hold.
	Attested string
}

// attests says what the table says of bundles.
func (in input) attests() Attests {
	return func(v1alpha1.Attested) (Attestation, *reason.Error) {
		switch in.Attested {
		case "A":
			return Attestation{Tree: artifact.Digest(digestA)}, nil
		case "B":
			return Attestation{SHA256: artifact.Digest(digestB)}, nil
		}
		return Attestation{}, reason.New(reason.Code(in.Attested), "said by the table")
	}
}

// sealed is a seal in the table.
type sealed struct {
	Workflow, Namespace, Template, Cluster, Level, Outcome, Mode, Verdict, Age, Log, SHA256 string
	Logs                                                                                    []string
	// Output says that the seal is of an image's manifest, with the digest A; Layout,
	// that it is of an image layout in which that image lay.
	Output    string
	Layout    bool
	Ref       *provenance.WorkflowTemplate
	Overrides []string
	// By are the templates on the way to the step: NAME/TEMPLATE, or
	// cluster/NAME/TEMPLATE, and the digest. Unclear: there may be others.
	By      map[string]string
	Unclear bool
	// Spec is the digest of the producing workflow's own spec, and Stored that of the same
	// as Argo stored it. That of what the consumer's workflow runs is A, made of the
	// template For, if that is given. Unknown: nobody knows it yet. Early: Argo has not
	// stored the consumer's workflow.
	Spec, Stored   string
	For            *provenance.WorkflowTemplate
	Unknown, Early bool
	// Reproduced is by which domains it was made again. Caveats: each leaves something
	// open.
	Reproduced []string
	Caveats    bool
	// SBOM is by which domains there is one, in which formats.
	SBOM map[string][]sbom.Format
}

// logs are those that have it: one, as a rule.
func (s *sealed) logs() []string {
	if s.Logs != nil {
		return s.Logs
	}
	return []string{s.Log}
}

// others shows what the table says of others.
func (s *sealed) others() Others { return Others{Remade: s.remade(), Described: s.described} }

// described shows what it says of SBOMs.
func (s *sealed) described(c *SBOMCase) *reason.Error {
	for _, domain := range c.Wanted() {
		if formats, there := s.SBOM[domain]; there {
			c.Show(domain, "key", formats)
		} else {
			c.Reject(domain, reason.New(reason.SBOMMissing, "it has published none"))
		}
	}
	return nil
}

// remade shows what the table says of second runs.
func (s *sealed) remade() Remade {
	return func(c *ReproductionCase) *reason.Error {
		for _, domain := range c.Wanted() {
			switch {
			case !slices.Contains(s.Reproduced, domain):
				c.Reject(domain, reason.New(reason.ReproductionMissing, "it has published none"))
			case s.Caveats:
				c.Show(domain, "key", []string{"nobody has checked it"})
			default:
				c.Show(domain, "key", nil)
			}
		}
		return nil
	}
}

// manifests are the seals of an image that the table gives.
func (in input) manifests() []ImageSeal {
	if in.Seal == nil {
		return nil
	}
	s := manifest()
	if in.Seal.Layout {
		s = inLayout(in.Seal.Output)
	}
	s.Subject.Output, s.Statement.Definition.WorkflowTemplate, s.Others, s.Logs = in.Seal.Output, in.Seal.Ref, in.Seal.others(), in.Seal.logs()
	if in.Seal.Namespace != "" {
		s.Statement.Step.Namespace = in.Seal.Namespace
	}
	if in.Seal.Template != "" {
		s.Statement.Definition.Template = in.Seal.Template
	}
	return []ImageSeal{s}
}

func (in input) external() External {
	out := External{URI: in.uri()}
	for _, of := range in.Doubts {
		out.Doubts = append(out.Doubts, Doubt{of, "said by the table"})
	}
	return out
}

// uri is the one spelling of an input from outside.
func (in input) uri() string {
	switch {
	case in.S3 != "":
		return in.S3
	case in.GCS != "":
		return in.GCS
	case in.Azure != "":
		return in.Azure
	case in.HTTP != "":
		return in.HTTP
	}
	return artifact.Git{Repository: in.Git, Commit: strings.ReplaceAll(in.Commit, "C", digestA[:40]), Branch: in.Branch, Tag: in.Tag, Default: in.Default}.URI()
}

// TestTable asks the code what docs/policy.md says.
func TestTable(t *testing.T) {
	rows := table(t)
	if len(rows) < 50 {
		t.Fatalf("%s has %d rows", page, len(rows))
	}
	for _, row := range rows {
		t.Run(row[0], func(t *testing.T) {
			var in input
			strict(t, "{"+row[3]+"}", &in)
			set, err := NewSet("team", clusterOf(t, row[1]), ownOf(t, row[2]))
			answer := ""
			switch {
			case err != nil:
				answer = string(reason.Of(err))
			case in.Image != "":
				answer = imageAnswer(t, set, strings.ReplaceAll(in.Image, "@A", "@sha256:"+digestA), in.manifests()...)
			case in.Seal != nil:
				answer = sealAnswer(t, set, in)
			default:
				answer = externalAnswer(set.External(in.external(), in.attests()))
			}
			if answer != row[4] {
				t.Errorf("the answer is %q, %s says %q", answer, page, row[4])
			}
		})
	}
}

// TestExample reads the policy that the page shows as the API server would.
func TestExample(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n```yaml\n")
	text, _, found := strings.Cut(text, "\n```\n")
	if !found {
		t.Fatalf("%s shows no policy", page)
	}
	var p v1alpha1.ClusterProvenancePolicy
	strict(t, text, &p)
	if err := CheckCluster(&p); err != nil {
		t.Error(err)
	}
}

// table reads the rows of five cells behind "## The table".
func table(t *testing.T) [][]string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## The table\n")
	if !found {
		t.Fatalf("%s has no table", page)
	}
	var rows [][]string
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || cells[0] == " case " {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("%d cells in %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		if names[cells[0]] {
			t.Fatalf("two rows are called %q", cells[0])
		}
		names[cells[0]] = true
		rows = append(rows, cells)
	}
	return rows
}

// strict reads a cell; a field that does not exist is a mistake in the table.
func strict(t *testing.T, cell string, into any) {
	t.Helper()
	for name, digest := range map[string]string{"A": digestA, "B": digestB} {
		for _, field := range []string{"treeSHA256", "sha256"} {
			cell = strings.ReplaceAll(cell, field+": "+name, field+": "+digest)
			cell = strings.ReplaceAll(cell, field+": ["+name, field+": ["+digest)
			cell = strings.ReplaceAll(cell, ", "+name+"]", ", "+digest+"]")
		}
	}
	if err := yaml.UnmarshalStrict([]byte(cell), into); err != nil {
		t.Fatalf("%s: %v", cell, err)
	}
}

// specs reads a cell of policies: none, one or a list.
func specs[T any](t *testing.T, cell string) []T {
	t.Helper()
	switch {
	case cell == "":
		return nil
	case strings.HasPrefix(cell, "["):
		var list []T
		strict(t, cell, &list)
		return list
	}
	var one T
	strict(t, cell, &one)
	return []T{one}
}

func clusterOf(t *testing.T, cell string) []v1alpha1.ClusterProvenancePolicy {
	t.Helper()
	var list []v1alpha1.ClusterProvenancePolicy
	for i, spec := range specs[v1alpha1.ClusterProvenancePolicySpec](t, cell) {
		p := v1alpha1.ClusterProvenancePolicy{Spec: spec}
		p.Name = string(rune('c' + i))
		list = append(list, p)
	}
	return list
}

func ownOf(t *testing.T, cell string) []v1alpha1.ProvenancePolicy {
	t.Helper()
	var list []v1alpha1.ProvenancePolicy
	for i, spec := range specs[v1alpha1.ProvenancePolicySpec](t, cell) {
		p := v1alpha1.ProvenancePolicy{Spec: spec}
		p.Namespace, p.Name = "team", string(rune('n'+i))
		list = append(list, p)
	}
	return list
}

func sealAnswer(t *testing.T, set Set, in input) string {
	t.Helper()
	st, consumer := good()
	seal, age := in.Seal, time.Hour
	for _, f := range []struct {
		given string
		set   func(string)
	}{
		{seal.Workflow, func(v string) { st.Step.Workflow = provenance.Ref{Name: v, UID: v} }},
		{seal.Namespace, func(v string) { st.Step.Namespace = v }},
		{seal.Template, func(v string) { st.Definition.Template = v }},
		{seal.Cluster, func(v string) { st.Builder.Cluster = v }},
		{seal.Level, func(v string) { st.Builder.Level = provenance.Level(v) }},
		{seal.Outcome, func(v string) { st.Outcome.Result = provenance.Result(v) }},
		{seal.Mode, func(v string) { st.Mode = v1alpha1.Mode(v) }},
		{seal.Verdict, func(v string) { st.Verdict = reason.Code(v) }},
		{seal.Age, func(v string) {
			var err error
			if age, err = time.ParseDuration(v); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		if f.given != "" {
			f.set(f.given)
		}
	}
	st.Definition.WorkflowTemplate = seal.Ref
	for _, field := range seal.Overrides {
		st.Definition.Overrides = append(st.Definition.Overrides, provenance.Override{Field: field})
	}
	if seal.SHA256 != "" {
		st.Definition.References = []provenance.Reference{
			{WorkflowTemplate: *seal.Ref, Template: "compile", SHA256: artifact.Digest(digestA)},
			{WorkflowTemplate: *seal.Ref, SHA256: artifact.Digest(seal.SHA256)},
		}
	}
	if seal.By != nil {
		st.Definition.References = st.Definition.References[1:]
	}
	for where, sha256 := range seal.By {
		name, cluster := strings.CutPrefix(where, "cluster/")
		name, template, _ := strings.Cut(name, "/")
		st.Definition.References = append(st.Definition.References, provenance.Reference{
			WorkflowTemplate: provenance.WorkflowTemplate{Name: name, ClusterScope: cluster}, Template: template,
			SHA256: artifact.Digest(map[string]string{"A": digestA, "B": digestB}[sha256]),
		})
	}
	st.Definition.Complete = !seal.Unclear
	st.Definition.Spec = artifact.Digest(map[string]string{"A": digestA, "B": digestB}[seal.Spec])
	st.Definition.Stored = artifact.Digest(map[string]string{"A": digestA, "B": digestB}[seal.Stored])
	consumer.Early = seal.Early
	if consumer.Template = seal.For; !seal.Unknown {
		consumer.Made = artifact.Digest(digestA)
	}
	st.FinishedAt = now.Add(-age)
	v := set.Sealed(st, seal.logs(), seal.others(), consumer, now)
	if !v.Allowed {
		return string(v.Refusal.Code)
	}
	return "admitted"
}

func externalAnswer(a Admitted) string {
	if !a.Allowed {
		return string(a.Refusal.Code)
	}
	answer := "admitted"
	name := map[artifact.Digest]string{
		artifact.Digest(digestA): "A", artifact.Digest(digestB): "B", content.FileTree(artifact.Digest(digestB)): "B'",
	}
	if a.SHA256 != "" {
		answer += ", sha256 " + name[a.SHA256]
	}
	if a.Tree != "" {
		answer += ", tree " + name[a.Tree]
	}
	return answer
}

// none is the set without a policy.
func none(t *testing.T) Set {
	t.Helper()
	s, err := NewSet("team", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASetThatWasNotReadRefuses(t *testing.T) {
	st, c := good()
	if v := (Set{}).Sealed(st, nil, Others{}, c, now); v.Allowed || !v.Refusal.Code.Retryable() {
		t.Errorf("a seal: %+v", v)
	}
	if v := (Set{}).External(External{URI: "s3://store/data/x"}, nil); v.Allowed || !v.Refusal.Code.Retryable() {
		t.Errorf("an input from outside: %+v", v)
	}
	if (Admitted{}).Allowed {
		t.Error("the zero value allows")
	}
}

// A refusal names the policies that it is about, and a verdict the one that it
// rests on.
func TestPoliciesAreNamed(t *testing.T) {
	cluster := clusterOf(t, "allow: {producers: [{namespaces: [lib], anyWorkflow: true}], s3: [{location: s3://store/data/**, anyContent: true}]}")
	set, err := NewSet("team", cluster, ownOf(t, "allow: {producers: [{namespaces: [lib], anyWorkflow: true}]}"))
	if err != nil {
		t.Fatal(err)
	}
	st, c := good()
	st.Step.Namespace, st.FinishedAt = "lib", now
	if v := set.Sealed(st, nil, Others{}, c, now); v.Policy != "c" {
		t.Errorf("it rests on %q", v.Policy)
	}
	says := set.External(External{URI: "s3://store/data/x"}, nil).Refusal.Error()
	for _, name := range []string{"ClusterProvenancePolicy c", "ProvenancePolicy n"} {
		if !strings.Contains(says, name) {
			t.Errorf("%q does not name %s", says, name)
		}
	}
	if d := set.ProducerNamespaces(); len(d) != 1 || d[0] != "lib" {
		t.Errorf("producers are looked for in %q", d)
	}
	set, err = NewSet("team", append(cluster, clusterOf(t, "[{allow: {}}, {allow: {producers: [{sameNamespace: true, anyWorkflow: true}]}}]")[1:]...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := set.ProducerNamespaces(); len(d) != 2 || d[1] != "team" {
		t.Errorf("producers are looked for in %q", d)
	}
}

// No pattern takes long, whatever it is matched with.
func TestPatternsAreBounded(t *testing.T) {
	glob, err := compileGlob(strings.Repeat("*a", 1000))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if glob.MatchString(strings.Repeat("a", 999) + "b") {
		t.Error("it matches")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := compileGlob(strings.Repeat("a", maxGlob+1)); err == nil {
		t.Error("a long pattern is read")
	}
}

// TestAnEmptyAllowIsNotNone: JSON keeps the two apart.
func TestAnEmptyAllowIsNotNone(t *testing.T) {
	for text, want := range map[string]bool{`{"allow":{}}`: true, `{}`: false} {
		var r v1alpha1.PolicyRules
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(r)
		if err != nil || (r.Allow != nil) != want || string(raw) != text {
			t.Errorf("%s becomes %s, %v", text, raw, err)
		}
	}
}
