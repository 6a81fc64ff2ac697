package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxTrust bounds the files that say what to trust, in bytes.
const maxTrust = 1 << 20

// verifyOptions are the flags of verify. Where cosign has the same flag, the
// name is cosign's.
type verifyOptions struct {
	bundle      string
	keys        []string
	trustedRoot string
	rules       string
	recorded    string
	name        string
	output      string
	tolerate    bool
	producer    producer
}

const verifyExample = `  # what Argoseal trusts, once, from a cluster that you trust
  argoseal trust export

  # the seal of a pod, from its Provenance
  kubectl -n ci get provenance POD_UID -o jsonpath='{.status.bundle}' > bundle.json

  # did a workflow of ours produce this file? (without --namespace it says who did)
  argoseal verify model.tgz --bundle bundle.json --namespace ci --workflow-template train

  # and did it put it at this place?
  argoseal verify model.tgz --bundle bundle.json --namespace ci --name s3://minio:9000/artifacts/model.tgz

  # is it what left the whole workflow, by one statement about all its steps?
  kubectl -n ci get workflowprovenance WORKFLOW_UID -o jsonpath='{.status.bundle}' > workflow.json
  argoseal verify model.tgz --bundle workflow.json --namespace ci --workflow train-x7k2p

  # whoever produced it, and however that ended
  argoseal verify model.tgz --bundle bundle.json --any-producer --outcome any --mode any

  # the trust in other files, a digest in place of the artifact, and JSON out
  argoseal verify sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 \
    --namespace ci --bundle bundle.json --key notary.pub --trusted-root trusted_root.json -o json`

func verifyCommand() *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:     "verify FILE --bundle BUNDLE {--namespace NAMESPACE | --any-producer}",
		Short:   "Verify offline that a file is what a workflow step produced",
		Long:    verifyLong(),
		Example: verifyExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.bundle, "bundle", "", "the seal, a Sigstore bundle (required)")
	o.trustFlags(flags)
	o.recordedFlag(flags)
	flags.StringVar(&o.name, "name", "", "location that the file has to come from, s3://STORE/BUCKET/KEY")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	o.producer.flags(flags)
	flags.BoolVar(&o.tolerate, "tolerate-caveats", false, "accept a statement about a second run although it names things that nobody checked")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// trustFlags say what to trust.
func (o *verifyOptions) trustFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.keys, "key", []string{configFile("notary.pub")}, "public key of the notary, PEM; give it again for more than one")
	flags.StringVar(&o.trustedRoot, "trusted-root", configFile("trusted_root.json"), "Sigstore trusted root with the log's key")
	flags.StringVar(&o.rules, "rules", configFile("domain.json"), "domain.json that says for which builders the keys speak, and when; without the file: for any, at any time")
}

// recordedFlag says when the seal was recorded, where no record is read.
func (o *verifyOptions) recordedFlag(flags *pflag.FlagSet) {
	flags.StringVar(&o.recorded, "recorded", "", "creation time of the seal's Provenance, as the API server has it (RFC 3339): when a seal was made whose log gives no times, for keys that count no more")
}

// verifyLong explains the command; its table of exit codes is package reason's.
func verifyLong() string {
	var b strings.Builder
	b.WriteString(`Verify offline that a file is what a workflow step produced: the notary signed
the statement, the log has the signature, and the statement names the file's
digest (with --name, for that very location).

Every step of every namespace with the label gets a seal. So say whose step it
has to be: --namespace, and what narrows it. It has to have succeeded, in mode
enforce, unless flags say otherwise.

The seal is a step's, or that of a whole workflow: its provenance, or the summary
of it (status.bundle and status.summary of a WorkflowProvenance). These speak of
what left the workflow, and of steps that succeeded. They do not say whether a
template ran as it is, a summary says no template: ask for the Workflow.

Or it is what somebody has signed who ran the step again (argoseal reproduce
--sign-key), under their --key and with --rules that say "reproduces": then it has to
say Reproduced, and of which cluster's step it has to be says --builder. It does not
say in which mode the step ran, so it takes --mode any; nor of which template its
Workflow was: the step's own seal does. What nobody checked is refused without
--tolerate-caveats.

FILE is the artifact as it lies in the store, - for standard input, its digest
as sha256:HEX, or a folder with all that lies below a key, of a directory that
was stored without an archive: these files and no other, no links, no empty
folders, nothing executable, because a store keeps none of these. (To give the
digest of such a directory, say with --name which.)

Exit codes:
   0  the file is what the seal says
`)
	for _, code := range []reason.Code{
		reason.Internal, reason.UsageInvalid, reason.BundleInvalid, reason.SignatureInvalid,
		reason.LogEntryInvalid, reason.StatementInvalid, reason.SignerExpired, reason.SignerCompromised, reason.LogExpired, reason.DigestMismatch, reason.SubjectMismatch, reason.TooNew,
		reason.ProducerUnstated, reason.ProducerMismatch, reason.BuilderNotTrusted, reason.ProducerFailed,
		reason.LevelTooLow, reason.ModeTooLow, reason.NotReproduced, reason.NotComparable,
	} {
		fmt.Fprintf(&b, "  %2d  %s: %s\n", code.ExitCode(), code, code.Meaning())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// configFile is where what is trusted lies unless a flag says otherwise: in the
// user's own configuration, never in the folder of a download.
func configFile(name string) string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "argoseal", name)
}

func (o *verifyOptions) run(cmd *cobra.Command, file string) error {
	if o.output != "text" && o.output != "json" {
		return usage(fmt.Errorf("--output is %q, want text or json", o.output))
	}
	r, err := o.verify(cmd.Context(), file, cmd.InOrStdin())
	if o.output == "json" {
		if writeErr := writeJSON(cmd.OutOrStdout(), r, err); writeErr != nil {
			return writeErr
		}
		return err
	}
	if err != nil {
		return err
	}
	return writeText(cmd.OutOrStdout(), r)
}

// verified is a verified file. It has a statement about a step, or one about a whole
// workflow, or one about a second run.
type verified struct {
	file      string
	subject   provenance.Subject
	statement *provenance.Statement
	whole     *whole
	again     *provenance.ReproductionFacts
	signed    *verify.Signed
}

func (o *verifyOptions) verify(ctx context.Context, file string, stdin io.Reader) (*verified, error) {
	if o.bundle == "" {
		return nil, usage(fmt.Errorf("--bundle is required"))
	}
	if err := o.producer.check(); err != nil {
		return nil, err
	}
	bundle, err := readBounded(o.bundle, verify.MaxBundle)
	if err != nil {
		return nil, err
	}
	v := &verified{file: file}
	if v.signed, err = o.signed(bundle); err != nil {
		return nil, err
	}
	switch kind := provenance.KindOf(v.signed.Payload); kind {
	case provenance.KindStep:
		v.statement, err = stepOf(v.signed)
	case provenance.KindReproduction:
		v.again, err = againOf(v.signed)
	case provenance.KindReference, provenance.KindSBOM:
		err = reason.New(reason.StatementInvalid, "it says that there is an SBOM, and nothing of who made the file: argoseal verify-bundle or cosign verify such a statement")
	case provenance.KindWorkflow, provenance.KindSummary:
		v.whole, err = wholeOf(v.signed, kind)
	}
	if err != nil {
		return nil, err
	}
	c, err := contentOf(ctx, file, stdin)
	if err != nil {
		return nil, err
	}
	if v.whole != nil {
		if v.subject, err = o.matchWhole(v.whole, c); err == nil {
			err = o.producer.acceptsWhole(v.whole)
		}
	} else if v.again != nil {
		if v.subject, err = o.matchAgain(v.again, c); err == nil {
			err = o.producer.acceptsAgain(v.again, o.tolerate)
		}
	} else if v.subject, err = o.match(v.statement, c); err == nil {
		err = o.producer.accepts(v.statement)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// inspect verifies the bundle of a step's seal under what the flags say.
func (o *verifyOptions) inspect(bundle []byte) (*provenance.Statement, error) {
	signed, err := o.signed(bundle)
	if err != nil {
		return nil, err
	}
	return stepOf(signed)
}

// signed verifies a bundle under what the flags say, whatever it states.
func (o *verifyOptions) signed(bundle []byte) (*verify.Signed, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	recorded, err := o.recordedAt()
	if err != nil {
		return nil, err
	}
	return root.PayloadRecorded(bundle, recorded)
}

// recordedAt is what --recorded says; the zero time without.
func (o *verifyOptions) recordedAt() (at time.Time, err error) {
	if o.recorded == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, o.recorded); err != nil {
		return at, usage(fmt.Errorf("--recorded: %w", err))
	}
	return at, nil
}

// stepOf reads a statement about a step, which whoever signed may state.
func stepOf(signed *verify.Signed) (*provenance.Statement, error) {
	s, err := provenance.Parse(signed.Payload)
	if err != nil {
		return nil, err
	}
	if err := signed.MayState(s.BuilderID()); err != nil {
		return nil, err
	}
	return s, nil
}

func (o *verifyOptions) root() (*verify.Root, error) {
	from := verify.Sources{}
	var err error
	if from.TrustedRoot, err = readBounded(o.trustedRoot, maxTrust); err != nil {
		return nil, err
	}
	for _, path := range o.keys {
		key, err := readBounded(path, maxTrust)
		if err != nil {
			return nil, err
		}
		// Each file by itself: what is wrong with one is no part of the next.
		if _, err := verify.ParseKeys(key); err != nil {
			return nil, usage(fmt.Errorf("%s: %w", path, err))
		}
		from.Keys = append(append(from.Keys, key...), '\n')
	}
	if _, err := os.Stat(o.rules); !os.IsNotExist(err) || o.rules != configFile(v1alpha1.RulesKey) {
		if from.Rules, err = readBounded(o.rules, maxTrust); err != nil {
			return nil, err
		}
	}
	d, err := verify.ParseDomain("given", from)
	if err != nil {
		return nil, usage(err)
	}
	// --builder compares it. A key that reproduces or describes builds nothing, unless its rules say so.
	d.AnyBuilder = len(d.Builders)+len(d.Attests) == 0 && !d.Reproduces && !d.Describes
	root, err := verify.New(d)
	if err != nil {
		return nil, usage(err)
	}
	return root, nil
}

// readBounded reads a small file. One byte more than allowed is read, so that
// whoever gets it sees that there was more.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, usage(err)
	}
	return data, nil
}

// content is what was given: its digest, and what it is the digest of.
type contents struct {
	digest artifact.Digest
	kind   kind
}

// kind says what a digest is of. A digest that was given without a file may be of
// anything.
type kind int

const (
	kindUnknown kind = iota
	kindFile
	kindFolder
)

// match finds the subject that has this content. A folder and the file that lists
// it have the same digest, but neither matches the other's subject.
func (o *verifyOptions) match(s *provenance.Statement, c contents) (provenance.Subject, error) {
	folder := c.kind == kindFolder || c.kind == kindUnknown && strings.HasSuffix(o.name, "/")
	for _, subject := range s.Subjects {
		if subject.SHA256 == c.digest && subject.Form.IsDirectory() == folder && (o.name == "" || subject.URI == o.name) {
			return subject, nil
		}
	}
	subject, err := s.Match(o.name, c.digest)
	if err != nil {
		return provenance.Subject{}, err
	}
	what := "a file"
	if subject.Form.IsDirectory() {
		what = "a directory"
	}
	return provenance.Subject{}, reason.New(reason.DigestMismatch, "%s is %s, and what was given is not", subject.URI, what)
}

// contentOf hashes a file in constant memory, however large it is, or a folder, or
// reads the digest that was given in its place.
func contentOf(ctx context.Context, file string, stdin io.Reader) (contents, error) {
	if given, ok := strings.CutPrefix(file, "sha256:"); ok {
		digest, err := artifact.ParseDigest(given)
		if err != nil {
			return contents{}, usage(err)
		}
		return contents{digest: digest}, nil
	}
	source := stdin
	if file != "-" {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			return folderAt(ctx, file)
		}
		f, err := os.Open(file)
		if err != nil {
			return contents{}, usage(err)
		}
		defer func() { _ = f.Close() }()
		source = f
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, cancelable{ctx, source}); err != nil {
		return contents{}, usage(fmt.Errorf("read %s: %w", file, err))
	}
	return contents{artifact.Digest(hex.EncodeToString(hash.Sum(nil))), kindFile}, nil
}

// folderAt gives a folder the digest of everything in it. A directory that was
// stored without an archive is sealed under the digest of its files alone. So a
// folder that also holds something else, such as a link, does not match.
func folderAt(ctx context.Context, path string) (contents, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return contents{}, usage(err)
	}
	type result struct {
		digest artifact.Digest
		err    error
	}
	done := make(chan result, 1)
	go func() {
		digest, err := content.TreeOf(path)
		done <- result{digest, err}
	}()
	select {
	case <-ctx.Done():
		return contents{}, ctx.Err()
	case r := <-done:
		if r.err != nil {
			return contents{}, usage(fmt.Errorf("read %s: %w", path, r.err))
		}
		return contents{r.digest, kindFolder}, nil
	}
}

// cancelable stops reading once its context ends.
type cancelable struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to get one
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
