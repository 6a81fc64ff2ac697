package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
	"sigs.k8s.io/yaml/kyaml"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

const (
	// maxDefinition bounds a Workflow in a file, in bytes: one in a cluster is smaller.
	maxDefinition = 4 << 20
	// maxShown is how many files that differ are shown in a terminal.
	maxShown = 20
	// look is the pause between two looks at the second run.
	look = 2 * time.Second
)

// reproduceOptions are the flags of reproduce.
type reproduceOptions struct {
	verifyOptions
	kubeconfig, context string
	definition          string
	parameterKey        string
	parameterFile       string
	parameters, inputs  []string
	timeout             time.Duration
	dryRun              bool
	plan                reproduce.Options
	attest              attestOptions
}

const reproduceExample = `  # run a sealed step again, in a namespace that is there for that
  kubectl create namespace again && kubectl label namespace again argoseal.dev/mode=enforce
  argoseal reproduce ci/POD_UID --in again

  # look at what would run, and submit nothing
  argoseal reproduce ci/POD_UID --in again --dry-run

  # sign what came of it with a key of your own, and publish it where policies look
  argoseal reproduce ci/POD_UID --in again --sign-key rebuilder.key \
    --rekor-url https://rekor.example.com --attestation reproduction.json --publish rebuilder

  # with a parameter that the statement hides
  kubectl -n argoseal-system get secret argoseal-parameter-key -o jsonpath='{.data.parameter\.key}' | base64 -d > parameter.key
  argoseal reproduce ci/POD_UID --in again --parameter-file values.yaml --parameter-key parameter.key

  # a seal from a file, the Workflow from another one, and JSON out
  argoseal reproduce bundle.json --namespace ci --definition workflow.yaml --in again -o json`

func reproduceCommand() *cobra.Command {
	o := &reproduceOptions{}
	c := &cobra.Command{
		Use:     "reproduce {NAMESPACE/NAME | BUNDLE} --in NAMESPACE",
		Short:   "Run a sealed step again, and see whether it makes the same",
		Long:    reproduceLong(),
		Example: reproduceExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.plan.Namespace, "in", "", "namespace to run it in (required)")
	f.StringVar(&o.plan.ServiceAccount, "service-account", "", "ServiceAccount to run it as (default: that of the namespace's workflows)")
	f.StringVar(&o.definition, "definition", "", "file with the Workflow that the step was one of, YAML or JSON (default: the one in the cluster)")
	f.StringArrayVarP(&o.parameters, "parameter", "p", nil, "NAME=VALUE of a parameter of the workflow that the statement hides; repeatable")
	f.StringVar(&o.parameterFile, "parameter-file", "", "file with such values, a YAML or JSON object of texts")
	f.StringVar(&o.parameterKey, "parameter-key", "", "the notary's key of parameters, its bytes: the values are checked by it")
	f.BoolVar(&o.plan.Unchecked, "unchecked-parameters", false, "take such values without the key that could check them")
	f.StringArrayVar(&o.inputs, "input", nil, "NAME=VALUE of an input parameter of the step, if its pod is gone; repeatable")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "how long to wait for the second seal")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the Workflow, and submit nothing")
	o.attest.flags(f, "the result", "a Reproduction")
	o.trustFlags(f)
	o.recordedFlag(f)
	o.producer.flags(f)
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func reproduceLong() string {
	var b strings.Builder
	b.WriteString(`Run a sealed step again from its statement, and see whether it makes the same: the
template that the statement names by its digest, on images by digest, with inputs at
the places where they were sealed. What comes out is compared by tree digest, by the
seal of the second run, and of directories without an archive file by file.

The seal is a Provenance or an ArtifactSeal, as NAMESPACE/NAME, or a bundle in a file.
It is verified first, as argoseal verify does; with NAMESPACE/NAME, the step has to be
of that namespace. The namespace of --in has to have the label argoseal.dev/mode.

It runs what the first run ran: in a namespace with nothing in it but what the step
needs, it can do no more than that. The statement has digests, not texts: the template
is taken from the pod or, once that is gone, from the Workflow, and counts only if it
has the digest. Values of parameters that the statement hides are asked for then.
Nothing is stored where the first run stored. The Workflow stays for you to look at.

With --sign-key the result, whichever it is, is signed and logged: a statement that
argoseal verify reads, and that a policy can ask for. It is the word of whoever has the
key. Of what is not comparable, and of steps that failed, nothing is signed.

Exit codes, beside those of argoseal verify:
   0  it made the same
`)
	for _, code := range []reason.Code{reason.UsageInvalid, reason.ValueMismatch, reason.NotReproduced, reason.NotComparable} {
		fmt.Fprintf(&b, "  %2d  %s: %s\n", code.ExitCode(), code, code.Meaning())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (o *reproduceOptions) run(cmd *cobra.Command, what string) error {
	if o.output != "text" && o.output != "json" {
		return usage(fmt.Errorf("--output is %q, want text or json", o.output))
	}
	var r reproduced
	err := o.reproduce(cmd, what, &r)
	if o.dryRun && err == nil {
		return nil
	}
	if err == nil {
		err = judged(r.Result)
	}
	if o.output == "json" {
		if err != nil {
			r.Reason, r.Message = reason.Of(err), err.Error()
		}
		return errors.Join(writeIndented(cmd.OutOrStdout(), r), err)
	}
	if r.Result != nil {
		if writeErr := r.text(cmd.OutOrStdout()); writeErr != nil {
			return writeErr
		}
	}
	return err
}

// check refuses flags that ask for nothing, and reads the files that they name.
func (o *reproduceOptions) check() error {
	if o.plan.Namespace == "" {
		return usage(errors.New("--in says in which namespace to run it"))
	}
	if o.timeout <= 0 {
		return usage(errors.New("--timeout has to be more than nothing"))
	}
	if err := o.producer.check(); err != nil {
		return err
	}
	var err error
	if o.parameterKey != "" {
		if o.plan.Key, err = readBounded(o.parameterKey, provenance.RedactionKeySize); err != nil {
			return err
		}
		if len(o.plan.Key) != provenance.RedactionKeySize {
			return usage(fmt.Errorf("--parameter-key has to have %d bytes", provenance.RedactionKeySize))
		}
	}
	o.plan.Parameters = map[string]string{}
	if o.parameterFile != "" {
		raw, err := readBounded(o.parameterFile, maxParameter)
		if err != nil {
			return err
		}
		if len(raw) > maxParameter {
			return usage(fmt.Errorf("--parameter-file has more than %d bytes", maxParameter))
		}
		if err := yaml.UnmarshalStrict(raw, &o.plan.Parameters); err != nil {
			return usage(errors.New("--parameter-file is no object whose values are all texts (in quotes)")) // the error may quote a value
		}
	}
	if o.plan.Parameters == nil { // the file says null
		o.plan.Parameters = map[string]string{}
	}
	if err := pairs("--parameter", o.parameters, o.plan.Parameters); err != nil {
		return err
	}
	o.plan.Inputs = map[string]string{}
	return pairs("--input", o.inputs, o.plan.Inputs)
}

// pairs reads NAME=VALUE.
func pairs(flag string, given []string, into map[string]string) error {
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		if !ok || name == "" {
			return usage(fmt.Errorf("%s wants NAME=VALUE", flag)) // what was given may be a secret
		}
		if _, twice := into[name]; twice {
			return usage(fmt.Errorf("%s gives %s twice", flag, name))
		}
		into[name] = value
	}
	return nil
}

func (o *reproduceOptions) reproduce(cmd *cobra.Command, what string, r *reproduced) error {
	namespace, name, record := recordNamed(what)
	if record && o.producer.namespace == "" && !o.producer.any {
		o.producer.namespace = namespace
	}
	if err := o.check(); err != nil {
		return err
	}
	root, err := o.root()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := o.attest.check(ctx, o.trustedRoot); err != nil {
		return err
	}
	api, err := connect(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	var first sealedStep
	if record {
		first, err = recorded(ctx, api, root, namespace, name)
	} else {
		first, err = o.sealWithLists(ctx, api, what)
	}
	if err != nil {
		return err
	}
	if err := o.producer.accepts(first.Statement); err != nil {
		return err
	}
	r.First = runOf(first.Statement)
	if o.attest.sealer != nil {
		if err := reproduce.Attestable(first.Statement); err != nil {
			return err
		}
	}
	from, err := o.source(ctx, api, first.Statement)
	if err != nil {
		return err
	}
	plan, err := reproduce.Make(first.Statement, from, o.plan)
	if err != nil {
		return err
	}
	if o.dryRun {
		return printPlan(cmd.OutOrStdout(), plan)
	}
	if err := checkLabelled(ctx, api, o.plan.Namespace); err != nil {
		return err
	}
	if err := api.Create(ctx, plan.Workflow); err != nil {
		return reason.Wrap(reason.LookupFailed, err, "submit the Workflow: %v", err)
	}
	r.Second = &reproducedRun{Namespace: plan.Workflow.GetNamespace(), Workflow: plan.Workflow.GetName()}
	progress := func(format string, args ...any) {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable(fmt.Sprintf(format, args...)))
	}
	progress("submitted Workflow %s/%s", r.Second.Namespace, r.Second.Workflow)
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	record2, err := (&second{api: api, workflow: plan.Workflow, progress: progress}).wait(waiting)
	if err != nil {
		return err
	}
	again, err := verifiedStep(root, record2)
	if err != nil {
		return err
	}
	if err := reproduce.Owns(plan.Workflow, again.Statement); err != nil {
		return err
	}
	r.Second = runOf(again.Statement)
	result := reproduce.Compare(first.Statement, again.Statement, first.files, again.files)
	result.Notes = append(plan.Notes, result.Notes...)
	r.Result = &result
	signed, err := o.attest.sign(ctx, first, again, &result, progress)
	if err != nil || signed == nil {
		return err
	}
	return o.attest.keep(ctx, api, first, signed, cmd)
}

// printPlan writes the Workflow as YAML. Its text is others', and whoever reads it decides
// by it: KYAML quotes and escapes what is not printable, such as marks that turn the
// direction of text around.
func printPlan(w io.Writer, plan *reproduce.Plan) error {
	var b bytes.Buffer
	for _, n := range plan.Notes {
		fmt.Fprintf(&b, "# Not checked: %s\n", printable(n))
	}
	if err := (&kyaml.Encoder{}).FromObject(plan.Workflow.Object, &b); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
