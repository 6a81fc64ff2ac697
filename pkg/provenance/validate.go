package provenance

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// Bounds of single fields, in bytes. Node names carry loop items, so they are
// as long as a user makes them.
const (
	maxName     = 512
	maxNodeName = 64 << 10
	maxRef      = 1024
	maxURI      = 8 << 10 // a location with every byte escaped
	maxList     = 1024
	maxSize     = 1<<53 - 1 // what a JSON number holds exactly
)

var (
	uidPattern  = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	codePattern = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)
)

// validate checks sorted facts: every rule there is for a statement beyond its
// syntax.
func (f *Facts) validate() error {
	for _, check := range []func() error{
		f.validateSubjects, f.Builder.validate, f.Definition.validate, f.Step.validate, f.validateAdmission,
		f.Outcome.validate, f.validateImages, f.validateInputs, f.validateTimes,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// validateAs checks what versions say differently. Since version 2, parameters are
// redacted under a key, and no query of a URL is told. Images may be mounted, or
// have no digest. Archives with executable files have a second tree digest, and outputs
// have images in them.
func (f *Facts) validateAs(version int) error {
	for _, p := range f.Definition.Parameters {
		if p.SHA256 != "" && version > 1 || p.HMAC != "" && version < 2 {
			return fmt.Errorf("parameter %.200q is not redacted as in version %d", p.Name, version)
		}
	}
	for _, i := range f.Inputs {
		if version > 1 && artifact.Public(i.URI) != i.URI {
			return fmt.Errorf("input %.200q has a place with a query", i.Name)
		}
	}
	for _, s := range f.Subjects {
		if s.Plain != "" && version < 2 {
			return fmt.Errorf("subject %.200q has a tree digest without exec bits, which version %d does not state", s.URI, version)
		}
	}
	for _, i := range f.Images {
		if i.SHA256 == "" && version < 2 {
			return fmt.Errorf("image of container %.200q has no digest", i.Container)
		}
	}
	if len(f.Measured) > 0 && version < 2 {
		return fmt.Errorf("version %d states no images in outputs", version)
	}
	if len(f.Mounted) > 0 && version < 2 {
		return fmt.Errorf("version %d states no images that are mounted", version)
	}
	if f.Definition.Stored != "" && version < 2 {
		return fmt.Errorf("version %d does not state how Argo stored a workflow", version)
	}
	if len(f.Definition.Unstated) > 0 && version < 2 {
		return fmt.Errorf("version %d does not name parameters that it does not state", version)
	}
	if len(f.Additions) > 0 && version < 2 {
		return fmt.Errorf("version %d states nothing that webhooks added", version)
	}
	return nil
}

func (f *Facts) validateSubjects() error {
	if len(f.Subjects) == 0 || len(f.Subjects)+len(f.Measured) > MaxSubjects {
		return fmt.Errorf("statement has %d subjects and %d images in them, want 1 to %d", len(f.Subjects), len(f.Measured), MaxSubjects)
	}
	locations, outputs := names{}, names{}
	for _, s := range f.Subjects {
		if err := errors.Join(checkURI(s.URI), locations.add("subject", s.URI), outputs.add("output", s.Output)); err != nil {
			return err
		}
		if err := s.Validate(); err != nil {
			return fmt.Errorf("subject %.200q: %w", s.URI, err)
		}
		if s.Form.IsDirectory() != strings.HasSuffix(s.URI, "/") {
			return fmt.Errorf("subject %.200q is a directory at an object's location, or the other way round", s.URI)
		}
		if s.Volume != "" {
			if err := checkText("volume", s.Volume, maxName); err != nil {
				return err
			}
		}
		if s.Size > maxSize {
			return fmt.Errorf("subject %.200q has a size of %d bytes", s.URI, s.Size)
		}
	}
	if err := f.validateMeasured(outputs); err != nil {
		return err
	}
	if len(f.Unsealed) > maxList {
		return fmt.Errorf("%d outputs are not sealed, at most %d can be listed", len(f.Unsealed), maxList)
	}
	for _, u := range f.Unsealed {
		if err := outputs.add("output", u.Output); err != nil {
			return err
		}
		if !codePattern.MatchString(string(u.Reason)) {
			return fmt.Errorf("output %.200q is not sealed for reason %.200q, which is no reason code", u.Output, u.Reason)
		}
	}
	return nil
}

// validateMeasured wants images to lie in outputs that are sealed, each once.
func (f *Facts) validateMeasured(outputs names) error {
	images := names{}
	for _, m := range f.Measured {
		if _, sealed := outputs[m.Output]; !sealed {
			return fmt.Errorf("an image is said to be in output %.200q, which is not sealed", m.Output)
		}
		if err := errors.Join(m.Validate(), images.add("image", m.Output+" "+string(m.Digest))); err != nil {
			return err
		}
	}
	return nil
}

func (d *Definition) validate() error {
	if err := errors.Join(checkText("template", d.Template, maxName),
		checkDigest("workflow spec", d.Spec), checkDigest("template body", d.TemplateBody)); err != nil {
		return err
	}
	if d.Stored != "" {
		if err := checkDigest("stored workflow spec", d.Stored); err != nil {
			return err
		}
		if d.Stored == d.Spec {
			return errors.New("the workflow's spec is said to be stored otherwise, and is not")
		}
	}
	if d.Entrypoint != "" || d.WorkflowTemplate == nil {
		if err := checkText("entrypoint", d.Entrypoint, maxName); err != nil {
			return err
		}
	}
	if d.WorkflowTemplate != nil {
		if err := checkText("workflow template", d.WorkflowTemplate.Name, maxName); err != nil {
			return err
		}
	}
	if err := d.validateReferences(); err != nil {
		return err
	}
	if len(d.Parameters) > maxList || len(d.Unstated) > maxList || len(d.Overrides) > maxList {
		return fmt.Errorf("%d parameters, %d that are not stated, and %d overrides, want at most %d of each", len(d.Parameters), len(d.Unstated), len(d.Overrides), maxList)
	}
	parameters, overrides := names{}, names{}
	for _, p := range d.Parameters {
		if err := errors.Join(parameters.add("parameter", p.Name), p.validate()); err != nil {
			return err
		}
	}
	for _, name := range d.Unstated {
		if err := parameters.add("parameter", name); err != nil {
			return err
		}
	}
	for _, o := range d.Overrides {
		if err := errors.Join(overrides.add("override", o.Field), checkDigest("override", o.SHA256)); err != nil {
			return err
		}
	}
	return nil
}

// validate checks what a parameter's value alone can show, so that on no path a
// plain secret gets into a statement.
func (p Parameter) validate() error {
	given := 0
	for _, g := range []string{p.Value, string(p.HMAC), string(p.SHA256)} {
		if g != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return fmt.Errorf("parameter %.200q has more than one of value, HMAC and digest", p.Name)
	case p.HMAC != "":
		return checkDigest("parameter", p.HMAC)
	case p.SHA256 != "":
		return checkDigest("parameter", p.SHA256)
	case !quotable(p.Value):
		return fmt.Errorf("parameter %.200q has to be redacted", p.Name)
	}
	return nil
}

func (s *Step) validate() error {
	return errors.Join(
		checkText("namespace", s.Namespace, maxName),
		checkText("service account", s.ServiceAccount, maxName),
		s.Workflow.validate("workflow"),
		s.Pod.validate("pod"),
		checkSegment("node id", s.NodeID),
		checkLongText("node name", s.NodeName, maxNodeName),
	)
}

func (r Ref) validate(what string) error {
	if !uidPattern.MatchString(r.UID) {
		return fmt.Errorf("%s uid %.200q is not a uid", what, r.UID)
	}
	return checkText(what, r.Name, maxName)
}

func (f *Facts) validateAdmission() error {
	switch f.Mode {
	case v1alpha1.ModeEnforce, v1alpha1.ModeWarn, v1alpha1.ModeAudit:
	default:
		return fmt.Errorf("mode %.200q is not one", f.Mode)
	}
	if f.Verdict != "" && !codePattern.MatchString(string(f.Verdict)) {
		return fmt.Errorf("verdict %.200q is no reason code", f.Verdict)
	}
	if len(f.Additions) > maxList {
		return fmt.Errorf("webhooks added %d things, at most %d can be listed", len(f.Additions), maxList)
	}
	added := names{}
	for _, a := range f.Additions {
		if err := added.add("addition", a); err != nil {
			return err
		}
	}
	return errors.Join(
		checkDigest("pod spec", f.PodSpec),
		checkText("version of argoseal", f.Versions.Argoseal, maxName),
		checkText("version of the executor", f.Versions.ArgoExecutor, maxRef),
		checkText("version of the kubelet", f.Versions.Kubelet, maxName),
	)
}

func (o *Outcome) validate() error {
	if o.Result != Succeeded && o.Result != Failed {
		return fmt.Errorf("result %.200q is neither %s nor %s", o.Result, Succeeded, Failed)
	}
	if len(o.Exits) == 0 || len(o.Exits) > maxList {
		return fmt.Errorf("%d exit codes, want 1 to %d", len(o.Exits), maxList)
	}
	containers := names{}
	for _, e := range o.Exits {
		if err := containers.add("container", e.Container); err != nil {
			return err
		}
		if e.Container == layout.ContainerMain && e.Code != 0 && o.Result == Succeeded {
			return fmt.Errorf("main exited with %d, and yet the step is said to have succeeded", e.Code)
		}
	}
	return nil
}

func (f *Facts) validateImages() error {
	if len(f.Images) == 0 || len(f.Images) > maxList || len(f.Mounted) > maxList {
		return fmt.Errorf("%d images and %d that are mounted, want 1 to %d and at most that many", len(f.Images), len(f.Mounted), maxList)
	}
	containers, volumes := names{}, names{}
	for _, i := range f.Images {
		if err := errors.Join(containers.add("container", i.Container), i.validate()); err != nil {
			return err
		}
	}
	for _, i := range f.Mounted {
		if err := errors.Join(volumes.add("volume", i.Container), i.validate()); err != nil {
			return err
		}
	}
	return nil
}

func (i Image) validate() error {
	return errors.Join(checkText("image", i.Ref, maxRef), checkText("image repository", i.Repository, maxRef), i.checkDigest())
}

// checkDigest wants a digest to be of something that we know, if there is one.
func (i Image) checkDigest() error {
	switch {
	case i.DigestOf != "" && i.DigestOf != DigestOfID:
		return fmt.Errorf("image %.200q has the digest of %.200q", i.Ref, i.DigestOf)
	case i.SHA256 == "" && i.DigestOf == "":
		return nil
	}
	return checkDigest("image", i.SHA256)
}

func (f *Facts) validateInputs() error {
	if len(f.Inputs) > maxList {
		return fmt.Errorf("%d inputs, want at most %d", len(f.Inputs), maxList)
	}
	inputs := names{}
	for _, i := range f.Inputs {
		if err := errors.Join(inputs.add("input", i.Name), i.checkURI(), i.validate()); err != nil {
			return err
		}
	}
	return nil
}

// checkURI wants a place in its one spelling: a location in a store or, without a
// seal, what git or http fetch.
func (i Input) checkURI() error {
	_, noGit := artifact.ParseGit(i.URI)
	switch {
	case i.Seal == "" && noGit == nil && i.SHA256 == "" && i.Tree == "" && i.Archive == content.ArchiveNone:
		return nil
	case i.Seal == "" && artifact.CheckURL(i.URI) == nil:
		return nil
	}
	return checkURI(i.URI)
}

// validate wants a reason why the input was admitted, a seal or a policy, and
// the digests that go with it.
func (i Input) validate() error {
	check := content.CheckFetched
	if i.Seal == "" && i.Policy != "" {
		check = content.CheckOutside
	}
	problems := []error{check(i.SHA256, i.Archive, i.Tree)}
	if i.Seal != "" && strings.HasSuffix(i.URI, "/") != content.IsDirectory(i.SHA256, i.Archive, i.Tree) {
		problems = append(problems, fmt.Errorf("input %.200q is a directory at an object's location, or the other way round", i.Name))
	}
	if i.Seal != "" || i.Policy == "" {
		problems = append(problems, checkText("seal", i.Seal, maxName))
	}
	if i.Policy != "" {
		problems = append(problems, checkText("policy", i.Policy, maxName))
	}
	if i.Volume != "" {
		problems = append(problems, checkText("volume", i.Volume, maxName))
	}
	return errors.Join(problems...)
}

func (f *Facts) validateTimes() error {
	for _, t := range []time.Time{f.StartedAt, f.FinishedAt} {
		if t.Year() < 2000 || t.Year() > 9999 || t.Nanosecond() != 0 {
			return fmt.Errorf("time %s is not one in whole seconds after the year 2000", t)
		}
	}
	if f.FinishedAt.Before(f.StartedAt) {
		return fmt.Errorf("finished at %s, before the start at %s", f.FinishedAt, f.StartedAt)
	}
	return nil
}
