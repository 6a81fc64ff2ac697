package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
	"sigs.k8s.io/yaml/kyaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/verify"
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

// reproduced is what -o json prints. Fields may be added; none is renamed.
type reproduced struct {
	// Reason and Message say why it did not make the same.
	Reason  reason.Code       `json:"reason,omitempty"`
	Message string            `json:"message,omitempty"`
	First   *reproducedRun    `json:"first,omitempty"`
	Second  *reproducedRun    `json:"second,omitempty"`
	Result  *reproduce.Result `json:"result,omitempty"`
}

// reproducedRun is one of the two runs.
type reproducedRun struct {
	Namespace  string `json:"namespace"`
	Workflow   string `json:"workflow"`
	Provenance string `json:"provenance,omitempty"`
	Template   string `json:"template,omitempty"`
	Level      string `json:"level,omitempty"`
}

func runOf(s *provenance.Statement) *reproducedRun {
	return &reproducedRun{s.Step.Namespace, s.Step.Workflow.Name, s.Step.Pod.UID, s.Definition.Template, string(s.Builder.Level)}
}

// sealedStep is a statement that holds, the digest of its payload, and the lists of files
// beside it.
type sealedStep struct {
	*provenance.Statement
	sha256 artifact.Digest
	files  reproduce.Listings
}

func (s sealedStep) stated() provenance.StepStatement {
	return provenance.StepStatement{Statement: s.Statement, SHA256: s.sha256}
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

// judged is nil if both runs made the same.
func judged(r *reproduce.Result) error {
	switch r.Verdict {
	case reproduce.Same:
		return nil
	case reproduce.Differs:
		n := 0
		for _, o := range r.Outputs {
			if o.Verdict == reproduce.Differs {
				n++
			}
		}
		return reason.New(reason.NotReproduced, "%d of %d outputs differ", n, len(r.Outputs))
	case reproduce.NotComparable:
	}
	return reason.New(reason.NotComparable, "%s", r.Why)
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
	namespace, name, record := o.record(what)
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
		first, err = o.given(ctx, api, what)
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
	if err := labelled(ctx, api, o.plan.Namespace); err != nil {
		return err
	}
	if err := api.Create(ctx, plan.Workflow); err != nil {
		return reason.Wrap(reason.LookupFailed, err, "submit the Workflow: %v", err)
	}
	r.Second = &reproducedRun{Namespace: plan.Workflow.GetNamespace(), Workflow: plan.Workflow.GetName()}
	told := func(format string, args ...any) {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable(fmt.Sprintf(format, args...)))
	}
	told("submitted Workflow %s/%s", r.Second.Namespace, r.Second.Workflow)
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	record2, err := (&second{api: api, workflow: plan.Workflow, told: told}).wait(waiting)
	if err != nil {
		return err
	}
	again, err := held(root, record2)
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
	signed, err := o.attest.sign(ctx, first, again, &result, told)
	if err != nil || signed == nil {
		return err
	}
	return o.attest.keep(ctx, api, first, signed, cmd)
}

// record says whether what is given names a record in the cluster, rather than a file.
func (o *reproduceOptions) record(what string) (namespace, name string, ok bool) {
	if _, err := os.Stat(what); err == nil {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(what, "/")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, "/")
}

// given is the seal in a file. Its record, if there is one, adds lists of files, which
// count only where the statement has their digest.
func (o *reproduceOptions) given(ctx context.Context, api client.Reader, path string) (sealedStep, error) {
	bundle, err := readBounded(path, verify.MaxBundle)
	if err != nil {
		return sealedStep{}, err
	}
	signed, err := o.signed(bundle)
	if err != nil {
		return sealedStep{}, err
	}
	s, err := stepOf(signed)
	if err != nil {
		return sealedStep{}, err
	}
	is := sealedStep{Statement: s, sha256: artifact.DigestOfText(string(signed.Payload))}
	var p v1alpha1.Provenance
	if api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Pod.UID}, &p) == nil {
		is.files = listings(&p)
	}
	return is, nil
}

// recorded is the seal of a Provenance, or of the one that an ArtifactSeal names.
func recorded(ctx context.Context, api client.Reader, root *verify.Root, namespace, name string) (sealedStep, error) {
	var p v1alpha1.Provenance
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p)
	if apierrors.IsNotFound(err) {
		var a v1alpha1.ArtifactSeal
		if err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &a); err == nil {
			err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: a.Spec.Provenance}, &p)
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return sealedStep{}, usage(fmt.Errorf("namespace %s has neither a Provenance nor an ArtifactSeal %s, and there is no such file", namespace, name))
	case err != nil:
		return sealedStep{}, reason.Wrap(reason.LookupFailed, err, "read the seal: %v", err)
	case p.Status.Bundle == "":
		return sealedStep{}, reason.New(reason.NotComparable, "Provenance %s/%s has no seal", namespace, p.Name)
	}
	return held(root, &p)
}

// held verifies a record.
func held(root *verify.Root, p *v1alpha1.Provenance) (sealedStep, error) {
	r, err := root.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time)
	if err != nil {
		return sealedStep{}, err
	}
	if r.Statement.Step.Namespace != p.Namespace || r.Statement.Step.Pod.UID != p.Name {
		return sealedStep{}, reason.New(reason.ProducerMismatch, "Provenance %s/%s has the seal of another pod", p.Namespace, p.Name)
	}
	return sealedStep{r.Statement, artifact.DigestOfText(string(r.Payload)), listings(p)}, nil
}

func listings(p *v1alpha1.Provenance) reproduce.Listings {
	list := reproduce.Listings{}
	for _, o := range p.Status.Outputs {
		list[o.Name] = o.Files
	}
	return list
}

// source finds the text of what ran. Package reproduce checks that it is the right
// one.
func (o *reproduceOptions) source(ctx context.Context, api client.Reader, s *provenance.Statement) (from reproduce.Source, err error) {
	if o.definition != "" {
		raw, err := readBounded(o.definition, maxDefinition)
		if err != nil {
			return from, err
		}
		if from.Workflow, err = workflowIn(raw); err != nil {
			return from, usage(fmt.Errorf("--definition: %w", err))
		}
	} else {
		u := newWorkflow()
		err := api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Workflow.Name}, u)
		switch {
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
			return from, reason.New(reason.NotComparable, "Workflow %s/%s is gone, and the statement has only its digest", s.Step.Namespace, s.Step.Workflow.Name).
				Advise("Give it as it was submitted, or from Argo's archive (--definition)")
		case err != nil:
			return from, reason.Wrap(reason.LookupFailed, err, "read the Workflow: %v", err)
		}
		from.Workflow = u.Object
	}
	var pod corev1.Pod
	err = api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Pod.Name}, &pod)
	switch {
	case apierrors.IsNotFound(err):
		return from, nil
	case err != nil:
		return from, reason.Wrap(reason.LookupFailed, err, "read the step's pod: %v", err)
	case string(pod.UID) != s.Step.Pod.UID:
		return from, nil
	}
	if step, err := argo.Parse(&pod); err == nil {
		from.Pod = step
	}
	return from, nil
}

func newWorkflow() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(layout.APIVersion)
	u.SetKind(layout.Kind)
	return u
}

// workflowIn reads a Workflow, YAML or JSON.
func workflowIn(raw []byte) (map[string]any, error) {
	if len(raw) > maxDefinition {
		return nil, fmt.Errorf("it has more than %d bytes", maxDefinition)
	}
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	u := newWorkflow()
	if err := u.UnmarshalJSON(asJSON); err != nil {
		return nil, err
	}
	if u.GetKind() != layout.Kind || u.GetAPIVersion() != layout.APIVersion {
		return nil, fmt.Errorf("it is no %s %s", layout.APIVersion, layout.Kind)
	}
	return u.Object, nil
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

// labelled wants the second run to be sealed. Who may not read namespaces will see.
func labelled(ctx context.Context, api client.Reader, namespace string) error {
	var ns corev1.Namespace
	err := api.Get(ctx, client.ObjectKey{Name: namespace}, &ns)
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case apierrors.IsNotFound(err):
		return usage(fmt.Errorf("--in: there is no namespace %s", namespace))
	case err != nil:
		return reason.Wrap(reason.LookupFailed, err, "read namespace %s: %v", namespace, err)
	}
	if _, there := ns.Labels[v1alpha1.LabelMode]; !there {
		return usage(fmt.Errorf("--in: namespace %s has no label %s, so nothing would be sealed there", namespace, v1alpha1.LabelMode))
	}
	return nil
}

// second is the second run on its way.
type second struct {
	api      client.Reader
	workflow *unstructured.Unstructured
	told     func(format string, args ...any)

	last string
	// pod is its pod, once it was seen: it may be collected before it is sealed.
	pod string
}

// wait waits for the record of the second run. What the Workflow says of itself only
// tells when to give up.
func (s *second) wait(ctx context.Context) (*v1alpha1.Provenance, error) {
	var found *v1alpha1.Provenance
	err := wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		p, err := s.look(ctx)
		if err != nil && reason.Of(err) != reason.LookupFailed {
			return false, err
		}
		if err != nil && ctx.Err() == nil {
			s.told("%v", err)
		}
		found = p
		return p != nil, nil // the API server may answer the next time
	})
	switch {
	case found != nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, reason.New(reason.NotComparable, "there is no seal of Workflow %s/%s yet (%s)", s.workflow.GetNamespace(), s.workflow.GetName(), s.last).
			Advise("Give it more time (--timeout); its Provenance says more: kubectl get provenances -o wide")
	}
	return nil, err
}

// look looks at the second run once. It gives nil as long as that has no final
// record.
func (s *second) look(ctx context.Context) (*v1alpha1.Provenance, error) {
	ns, name := s.workflow.GetNamespace(), s.workflow.GetName()
	u := newWorkflow()
	if err := s.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		return nil, reason.Wrap(reason.LookupFailed, err, "read Workflow %s/%s: %v", ns, name, err)
	}
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	if phase == "" {
		phase = "Pending"
	}
	if s.last != phase {
		s.last = phase
		s.told("Workflow %s/%s: %s", ns, name, phase)
	}
	if s.pod == "" {
		if err := s.find(ctx); err != nil {
			return nil, err
		}
	}
	if s.pod == "" {
		if phase == "Failed" || phase == "Error" || phase == "Succeeded" {
			return nil, reason.New(reason.NotComparable, "the second run ended before it had a pod: %.400s", complaint(u))
		}
		return nil, nil
	}
	var p v1alpha1.Provenance
	err := s.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: s.pod}, &p)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, reason.Wrap(reason.LookupFailed, err, "read Provenance %s/%s: %v", ns, s.pod, err)
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	switch {
	case c == nil || c.Reason == string(reason.Pending):
		return nil, nil
	case p.Status.Bundle == "":
		return nil, reason.New(reason.NotComparable, "the second run is not sealed: %s: %.400s", c.Reason, c.Message)
	}
	return &p, nil
}

// find looks for the pod of the Workflow: that which it owns.
func (s *second) find(ctx context.Context) error {
	var pods corev1.PodList
	err := s.api.List(ctx, &pods, client.InNamespace(s.workflow.GetNamespace()), client.MatchingLabels{layout.LabelWorkflow: s.workflow.GetName()})
	if err != nil {
		return reason.Wrap(reason.LookupFailed, err, "list pods: %v", err)
	}
	for i := range pods.Items {
		if metav1.IsControlledBy(&pods.Items[i], s.workflow) {
			s.pod = string(pods.Items[i].UID)
			s.told("pod %s", pods.Items[i].Name)
			return nil
		}
	}
	return nil
}

// complaint is what a Workflow says of why it failed, a node's word before its own.
func complaint(u *unstructured.Unstructured) string {
	nodes, _, _ := unstructured.NestedMap(u.Object, "status", "nodes")
	for _, n := range nodes {
		node, _ := n.(map[string]any)
		if message, _ := node["message"].(string); message != "" && node["type"] == "Pod" {
			return message
		}
	}
	message, _, _ := unstructured.NestedString(u.Object, "status", "message")
	return message
}

// text writes the result for people.
func (r *reproduced) text(w io.Writer) error {
	what := map[reproduce.Verdict]string{
		reproduce.Same: "Reproduced: the second run made the same.", reproduce.Differs: "Not reproduced: the second run made something else.",
	}[r.Result.Verdict]
	if what == "" {
		what = "Not comparable: " + printable(r.Result.Why) + "."
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", what); err != nil {
		return err
	}
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i, run := range []*reproducedRun{r.First, r.Second} {
		t.row([]string{"First run", "Second run"}[i], "Workflow %s/%s, Provenance %s, level %s", run.Namespace, run.Workflow, run.Provenance, run.Level)
	}
	for _, o := range r.Result.Outputs {
		said := string(o.Verdict)
		if o.Why != "" {
			said += ": " + o.Why
		}
		t.row("Output "+printable(o.Name), "%s", said)
		if o.Verdict == reproduce.Same && o.First != "" {
			t.row("", "tree %s", o.First)
			continue
		}
		if o.First != "" {
			t.row("", "first run: tree %s", o.First)
		}
		if o.Second != "" {
			t.row("", "second run: tree %s", o.Second)
		}
		for _, f := range o.Files[:min(len(o.Files), maxShown)] {
			t.row("", "%s: %s", f.Change, f.Path)
		}
		if more := len(o.Files) - maxShown; more > 0 {
			t.row("", "and %d more (-o json lists all)", more)
		}
		if len(o.Files) == 0 && o.First != "" && o.Second != "" {
			t.row("", "which files differ is not on record: compare the two artifacts")
		}
	}
	for _, n := range r.Result.Notes {
		t.row("Not checked", "%s", n)
	}
	return t.to.Flush()
}
