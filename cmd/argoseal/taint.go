package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
	"github.com/argoseal/argoseal/pkg/verify"
)

// taintOptions are the flags of taint.
type taintOptions struct {
	traceOptions
	reason string
	name   string
	dryRun bool
}

const taintExample = `  # whom would it touch? nothing is changed
  argoseal taint sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --dry-run

  # an artifact, an image that steps ran, a commit, everything that a workflow made
  argoseal taint sha256:9f86d0… --reason "built on a stolen laptop"
  argoseal taint python@sha256:2c26b4… --reason CVE-2026-1234
  argoseal taint 4b825dc642cb6eb9a060e54bf8d69288fbee4904 --reason "backdoor"
  argoseal taint workflow:0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11 --reason "its author left"

  # whatever was sealed under a key (argoseal trust show lists them)
  argoseal taint key:2Ug8SFl5hBqQ0mH2fF2nWb1m9mD3lJkYp7cQmWnUo9E= --reason "the node was taken over"

  # trust it again
  kubectl delete revocation NAME`

func taintCommand() *cobra.Command {
	o := &taintOptions{}
	c := &cobra.Command{
		Use:   "taint DIGEST|IMAGE@DIGEST|COMMIT|workflow:UID|key:HINT",
		Short: "Take back trust in something, and list everything that was made from it",
		Long: `Take back trust in an artifact, an image, a commit, a workflow or a key: make a Revocation,
which the gate honours within seconds in every namespace. What the Revocation names is
refused, and so is what was made from it directly. What was made from that in turn is
listed, with how many steps lie between: taint those, too, where they are affected.
Whoever took something from its place that a policy admits with any content may have taken
it, and is listed, too. So is whoever ran or mounted an image that was made from it.

Descendants are found in the records of the cluster whose bundles hold under --key and
--trusted-root, as with argoseal trace. It is counted whose seals are on their way, and of
what nobody knows from what it was made. If a seal is on its way for more than a minute, the
list is not whole, and the exit code says so. To make a Revocation takes the right to do so,
which the ClusterRole argoseal-operator has.`,
		Example: taintExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	o.connection(c.Flags())
	f := c.Flags()
	f.StringVar(&o.reason, "reason", "", "why, as whoever is refused reads it (required, but for --dry-run)")
	f.StringVar(&o.name, "name", "", "name of the Revocation (default: made from what is tainted)")
	f.BoolVar(&o.dryRun, "dry-run", false, "list what would be touched, and change nothing")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

var (
	commitID    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	workflowUID = regexp.MustCompile(`^workflow:([0-9A-Za-z-]{1,64})$`)
	keyHint     = regexp.MustCompile(`^key:([A-Za-z0-9+/]{43}=)$`)
)

// tainted reads what is to be revoked.
func tainted(what string) (*v1alpha1.Revocation, error) {
	r := &v1alpha1.Revocation{}
	image, hex, named := strings.Cut(what, "sha256:")
	digest, err := artifact.ParseDigest(hex)
	uid, key := workflowUID.FindStringSubmatch(what), keyHint.FindStringSubmatch(what)
	switch {
	case named && err == nil && image == "":
		r.Name, r.Spec.Digests = "artifact-"+hex[:16], []string{string(digest)}
	case named && err == nil && strings.HasSuffix(image, "@"):
		r.Name, r.Spec.Images = "image-"+hex[:16], []string{string(digest)}
	case commitID.MatchString(what):
		r.Name, r.Spec.Commits = "commit-"+what[:16], []string{what}
	case uid != nil:
		r.Name, r.Spec.Workflows = "workflow-"+strings.ToLower(uid[1]), []string{uid[1]}
	case key != nil:
		sum, err := base64.StdEncoding.Strict().DecodeString(key[1]) // a hint is a digest
		if err != nil {
			return nil, usage(fmt.Errorf("%q is no hint of a key: %w", what, err))
		}
		r.Name, r.Spec.Keys = fmt.Sprintf("key-%x", sum[:8]), []string{key[1]}
	default:
		return nil, usage(fmt.Errorf("%q is none of sha256:HEX, IMAGE@sha256:HEX, a whole commit id, workflow:UID, and key:HINT", what))
	}
	return r, nil
}

// taintReport is what -o json prints.
type taintReport struct {
	Revocation string `json:"revocation,omitempty"`
	DryRun     bool   `json:"dryRun,omitempty"`
	// Records is how many seals were read, LeftOut how many of them nobody can follow: they
	// do not verify.
	Records int `json:"records"`
	LeftOut int `json:"leftOut"`
	// Pending is how many seals are on their way. Unproven is how many records do not say what
	// the step took: it has ended without a seal, or ran without proof of its inputs.
	Pending     int                `json:"pending"`
	Unproven    int                `json:"unproven"`
	Descendants []trace.Descendant `json:"descendants"`
}

func (o *taintOptions) run(cmd *cobra.Command, what string) error {
	if o.output != "table" && o.output != "json" {
		return usage(fmt.Errorf("--output is %q, want table or json", o.output))
	}
	r, err := tainted(what)
	if err != nil {
		return err
	}
	if o.name != "" {
		r.Name = o.name
	}
	if r.Spec.Reason = strings.TrimSpace(o.reason); r.Spec.Reason == "" && !o.dryRun {
		return usage(fmt.Errorf("--reason is missing: whoever is refused reads it (or give --dry-run)"))
	}
	root, err := o.trust.root()
	if err != nil {
		return err
	}
	api, err := connect(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	// The Revocation comes first: use stops at once. Who was touched is found
	// afterwards.
	report := taintReport{Revocation: r.Name, DryRun: o.dryRun, Descendants: []trace.Descendant{}}
	if !o.dryRun {
		if err := api.Create(cmd.Context(), r); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making the Revocation: %w", err)
		} else if err != nil {
			return usage(fmt.Errorf("there is a Revocation %s already: look at it with kubectl, have --dry-run list what was made from it, or give --name", r.Name))
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "revocation %s is made; looking for what was made from it\n", r.Name)
	}
	seen := touched{revocation: r, root: root, now: time.Now()}
	if seen.whoever, err = withoutEnds(root); err != nil {
		return err
	}
	if err := o.each(cmd, api, func(p *v1alpha1.Provenance) error { return seen.record(cmd.ErrOrStderr(), p) }); err != nil {
		return err
	}
	advise(cmd.ErrOrStderr(), seen.directories)
	report.Records, report.LeftOut, report.Pending, report.Unproven = seen.records, seen.leftOut, seen.pending, seen.unproven
	report.Descendants = append(report.Descendants, trace.Descend(seen.links)...)
	if o.output == "json" {
		err = writeIndented(cmd.OutOrStdout(), report)
	} else {
		err = report.table(cmd.OutOrStdout())
	}
	return cmp.Or(err, seen.notWhole())
}

// withoutEnds is a root under which keys, identities and logs never end, nobody else has them,
// and the installation's speak for the builders of before, too: its cluster may have had
// another name.
func withoutEnds(root *verify.Root) (*verify.Root, error) {
	domains := root.Domains()
	for i := range domains {
		d := &domains[i]
		d.Keys, d.Identities = slices.Clone(d.Keys), slices.Clone(d.Identities)
		for k := range d.Keys {
			d.Keys[k].Period, d.Keys[k].Compromised = verify.Period{}, time.Time{}
		}
		for k := range d.Identities {
			d.Identities[k].Period = verify.Period{}
		}
		if len(d.Builders) > 0 && (d.Name == v1alpha1.DomainInstalled || len(domains) == 1) {
			d.Builders, d.AnyBuilder = nil, true
		}
		endless, err := logsWithoutEnds(d.TrustedRoot)
		if err != nil {
			return nil, fmt.Errorf("trusted root of domain %s: %w", d.Name, err)
		}
		d.TrustedRoot = endless
	}
	return verify.New(domains...)
}

// logsWithoutEnds is a trusted root whose logs' keys never end.
func logsWithoutEnds(trustedRoot []byte) ([]byte, error) {
	var r prototrustroot.TrustedRoot
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(trustedRoot, &r); err != nil {
		return nil, err
	}
	for _, l := range r.GetTlogs() {
		if period := l.GetPublicKey().GetValidFor(); period != nil {
			period.End = nil
		}
	}
	return protojson.Marshal(&r)
}

// outdated are the codes of records that held once, as far as anybody knows.
var outdated = []reason.Code{reason.SignerCompromised, reason.SignerExpired, reason.LogExpired, reason.BuilderNotTrusted}

// pendingFor is how long a seal may be on its way before a list without it is an error.
const pendingFor = time.Minute

// notWhole is why the list may lack somebody; nil if it does not. Of a seal that is on its way
// nobody knows what its step took, so each is relevant.
func (t *touched) notWhole() error {
	code, why := reason.ProvenancePending, []string{}
	if t.leftOut > 0 {
		code = reason.ProvenanceInvalid
		why = append(why, fmt.Sprintf("%d of %d records do not verify, and what was made from these is not listed: give the keys and the trusted root of when they were made (argoseal trust export)", t.leftOut, t.records))
	}
	if t.late > 0 {
		why = append(why, fmt.Sprintf("%d seals have been on their way for more than a minute, and what these steps made is not listed: see what keeps the notary from sealing, and list again with --dry-run", t.late))
	}
	if len(why) == 0 {
		return nil
	}
	return reason.New(code, "%s", strings.Join(why, "; "))
}

func (r taintReport) table(to io.Writer) error {
	err := r.list(to)
	if err == nil && r.Pending > 0 {
		_, err = fmt.Fprintf(to, "\n%d seals are on their way: what these steps took is not known yet.\n", r.Pending)
	}
	if err == nil && r.Unproven > 0 {
		_, err = fmt.Fprintf(to, "\n%d records do not say what their steps took: these ended without a seal, or ran although their inputs were not proven.\n", r.Unproven)
	}
	return err
}

func (r taintReport) list(to io.Writer) error {
	if len(r.Descendants) == 0 {
		_, err := fmt.Fprintf(to, "No record was touched, of %d.\n", r.Records-r.LeftOut)
		return err
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "STEPS BETWEEN\tNAMESPACE\tWORKFLOW\tTEMPLATE\tBECAUSE\tMADE")
	for _, d := range r.Descendants {
		made := make([]string, 0, len(d.Made))
		for _, m := range d.Made {
			made = append(made, m.URI)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", d.Distance, printable(d.Namespace), printable(d.Workflow), printable(d.Template), printable(d.Because), printable(strings.Join(made, " ")))
	}
	return t.Flush()
}

// touched is what a Revocation was found to touch.
type touched struct {
	revocation *v1alpha1.Revocation
	root       *verify.Root
	// whoever is root with keys that count at any time and for any builder, in whosever
	// hands they are.
	whoever          *verify.Root
	links            []trace.Link
	directories      []trace.Made
	records, leftOut int
	now              time.Time
	// late is how many of those that are pending have been for long.
	pending, late, unproven int
}

// record looks at a record. One that does not hold is told of, and left out. But one whose
// key or log has ended, is in other hands, or speaks for another builder now, is followed: the gate
// refuses it, and not what was made from it under another key.
func (t *touched) record(tell io.Writer, p *v1alpha1.Provenance) error {
	if p.Status.Bundle == "" {
		t.unsealed(p)
		return nil
	}
	t.records++
	result, err := t.root.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time)
	if err != nil && slices.Contains(outdated, reason.Of(err)) {
		why := err
		if result, err = t.whoever.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time); err == nil {
			doubt := "may be forged"
			if reason.Of(why) == reason.BuilderNotTrusted {
				doubt = "is of another builder, by a key of this installation"
			}
			_, _ = fmt.Fprintf(tell, "record %s/%s %s: %s\n", p.Namespace, p.Name, doubt, printable(why.Error()))
		}
	}
	if err == nil && (result.Statement.Step.Namespace != p.Namespace || result.Statement.Step.Pod.UID != p.Name) {
		err = fmt.Errorf("it is the seal of another pod")
	}
	if err != nil {
		t.leftOut++
		_, _ = fmt.Fprintf(tell, "record %s/%s is left out: %s\n", p.Namespace, p.Name, printable(err.Error()))
		return nil
	}
	s := result.Statement
	if s.Verdict != "" {
		t.unproven++
	}
	named := namedIn(t.revocation, s, result.KeyHint)
	having, because := directoriesWith(t.revocation, p, s)
	t.directories = append(t.directories, having...)
	if named == "" {
		named = because
	}
	if t.links = append(t.links, trace.LinkOf(s, named)); len(t.links) > maxEntries {
		return usage(fmt.Errorf("there are more than %d records: name namespaces", maxEntries))
	}
	return nil
}

// unsealed counts a record without a seal. A step that stored nothing hands nothing on.
func (t *touched) unsealed(p *v1alpha1.Provenance) {
	switch c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed); {
	case c == nil || c.Reason == string(reason.Pending):
		t.pending++
		if p.CreationTimestamp.Time.Before(t.now.Add(-pendingFor)) {
			t.late++
		}
	case c.Reason != string(reason.NothingToSeal):
		t.unproven++
	}
}

// namedIn is what a Revocation names of a step: what it made, or what it was made from
// directly.
func namedIn(r *v1alpha1.Revocation, s *provenance.Statement, key string) string {
	spec := r.Spec
	named := policy.RevokedBy(r, s, key)
	for _, i := range slices.Concat(s.Images, s.Mounted) {
		// Whoever names an image's manifest as an artifact means the image, too. The gate
		// does not refuse such a step.
		if d := string(i.SHA256); d != "" && (slices.Contains(spec.Images, d) || slices.Contains(spec.Digests, d)) {
			named = "used image sha256:" + d
		}
	}
	for _, sub := range s.Subjects {
		for _, d := range spec.Digests {
			if string(sub.SHA256) == d || string(sub.Tree) == d {
				named = "artifact sha256:" + d
			}
		}
		if slices.Contains(spec.Images, string(sub.SHA256)) {
			named = "image sha256:" + string(sub.SHA256)
		}
	}
	for _, m := range s.Measured {
		if slices.Contains(spec.Digests, string(m.Digest)) || slices.Contains(spec.Images, string(m.Digest)) {
			named = "image sha256:" + string(m.Digest)
		}
	}
	return named
}

// directoriesWith are the directories of a record that have a file that the Revocation names,
// as far as their files are listed, and why the record is touched. A list counts only if it
// is the sealed directory's: it is not signed.
func directoriesWith(r *v1alpha1.Revocation, p *v1alpha1.Provenance, s *provenance.Statement) (having []trace.Made, because string) {
	if len(r.Spec.Digests) == 0 {
		return nil, ""
	}
	for _, sub := range s.Subjects {
		for _, o := range p.Status.Outputs {
			if o.Files == "" || o.Location != sub.URI || sub.Tree == "" {
				continue
			}
			list, err := content.ParseFiles(o.Files)
			if err != nil || list.Tree() != sub.Tree {
				continue
			}
			if what := policy.RevokedIn(r, list); what != "" {
				having = append(having, trace.Made{URI: sub.URI, SHA256: sub.Tree})
				because = cmp.Or(because, "stored "+sub.URI+" with "+what)
				break
			}
		}
	}
	return having, because
}

// advise says what the Revocation of a file leaves. The lines are there to be pasted: a
// command has nothing of a tenant's in it, not even as a comment, which some shells take for
// arguments, and a location does nothing.
func advise(to io.Writer, directories []trace.Made) {
	if len(directories) == 0 {
		return
	}
	_, _ = fmt.Fprintln(to, "These directories have it. Whoever takes one whole is refused; what was made from one is admitted until the directory is revoked, too:")
	for _, d := range directories {
		_, _ = fmt.Fprintf(to, "  '%s'\n    argoseal taint sha256:%s\n", strings.ReplaceAll(printable(d.URI), "'", `'\''`), d.SHA256)
	}
}
