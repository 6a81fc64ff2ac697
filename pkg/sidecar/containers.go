package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	binary      = "/argoseal-signer"
	verbSign    = "sign"
	verbPrepare = "prepare"
	verbVerify  = "verify"
	flagOutput  = "--output="

	volumeNoToken = argo.EmptyVolume
	// volumeProgram is what prepare fills and verify runs from: none but these have it.
	volumeProgram = argo.ReservedPrefix + "program"
	pathProgram   = "/argoseal/program"
	pathStaged    = "/argoseal/staged"
	pathInputs    = "/argoseal/inputs"
	pathRun       = "/argoseal/run"
	pathStaging   = "/argoseal/staging"
	pathVolumes   = "/argoseal/volumes"

	// defaultGrace is how many seconds a pod has to end in if it does not say;
	// the signer takes two thirds of what it has. minGrace is what the kubelet gives
	// at least, whatever the pod says (minimumGracePeriodInSeconds); maxGrace, a year,
	// is more than anybody waits.
	defaultGrace = 30
	minGrace     = 2
	maxGrace     = 365 * 24 * 60 * 60
)

// parts are what a pod gets from us; nil is what it does not need.
type parts struct {
	signer  *corev1.Container
	prepare *corev1.Container
	verify  *corev1.Container
	volumes []corev1.Volume
}

// design makes the parts for a pod from which ours were taken out.
func design(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) (parts, error) {
	if err := cfg.Validate(); err != nil {
		return parts{}, err
	}
	if step == nil {
		return parts{}, errors.New("no step was read from the pod")
	}
	if err := match(step, pins); err != nil {
		return parts{}, err
	}
	var p parts
	outputs := step.Sealable()
	containers := len(pod.Spec.InitContainers) + len(pod.Spec.Containers)
	if len(outputs) > 0 {
		containers++
	}
	if len(pins) > 0 {
		containers++
		c, err := newVerify(pod, step, pins, cfg)
		if err != nil {
			return parts{}, err
		}
		p.verify = c
		if cfg.compares(pins) {
			containers++
			p.prepare = newPrepare(pod, c.SecurityContext, cfg)
		}
	}
	if len(outputs) > 0 {
		c, err := newSigner(pod, outputs, measurement.MessageLimit(containers), cfg)
		if err != nil {
			return parts{}, err
		}
		p.signer = c
	}
	if p.signer != nil || p.verify != nil {
		p.volumes = append(p.volumes, newVolume(volumeNoToken, "1Mi"))
	}
	if p.prepare != nil {
		p.volumes = append(p.volumes, newVolume(volumeProgram, "32Mi"))
	}
	return p, nil
}

// compares says whether verify compares argoexec with that of the executor's image. It
// takes a container more, and up to a second. One download alone cannot replace argoexec
// so that the order of things does not tell (pin.CheckRun). All that is downloaded is
// pinned.
func (c Config) compares(pins []pin.Pin) bool { return len(pins) > 1 && c.as < ageOwnImage }

// match wants each pin to be one of the step's pinned inputs, at most once.
func match(step *argo.Step, pins []pin.Pin) error {
	seen := map[string]bool{}
	for _, pin := range pins {
		i := slices.IndexFunc(step.Inputs, func(in argo.Input) bool { return in.Name == pin.Input })
		if i < 0 || seen[pin.Input] {
			return fmt.Errorf("pin %q is for no input of the step, or the second for one", pin.Input)
		}
		seen[pin.Input] = true
		switch in := step.Inputs[i]; {
		case !in.Pinned() || in.Problem() != nil || !in.LiesAt(pin.Location):
			return fmt.Errorf("pin %q is not for the location of the step's input", pin.Input)
		case in.Archive() != pin.Archive && in.Archive() != content.ArchiveDetect:
			return fmt.Errorf("pin %q is for another archive strategy than the input's, %s", pin.Input, in.Archive())
		case pin.Absent && !in.Optional && pin.Within == "":
			return fmt.Errorf("pin %q wants nothing to be there, and the input is not optional", pin.Input)
		case pin.Optional && !in.Optional:
			return fmt.Errorf("pin %q lets the input be missing, and it is not optional", pin.Input)
		}
	}
	return nil
}

func newSigner(pod *corev1.Pod, outputs []argo.Output, limit int, cfg Config) (*corev1.Container, error) {
	staging, err := argo.Staging(pod)
	if err != nil {
		return nil, err
	}
	args := []string{verbSign, "--staged=" + pathStaged, fmt.Sprintf("--max-message=%d", limit)}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil && (*g < defaultGrace || *g > defaultGrace && cfg.as < ageOpenInit) {
		args = append(args, fmt.Sprintf("--grace=%dms", min(max(*g, minGrace), maxGrace)*1000*2/3+1))
	}
	mounts := []corev1.VolumeMount{{Name: staging.Name, SubPath: staging.SubPath, MountPath: pathStaged, ReadOnly: true}}
	if slices.ContainsFunc(outputs, func(o argo.Output) bool { return o.Mount() == nil && o.Staged().Path != "" }) {
		args = append(args, "--run="+pathRun)
		mounts = append(mounts, corev1.VolumeMount{Name: layout.VolumeRun, MountPath: pathRun, ReadOnly: true})
	}
	staged, volumes := stagedOf(outputs)
	for _, s := range staged {
		args = append(args, flagOutput+s.String())
	}
	c := newContainer(pod, argo.SignerContainer, args, cfg)
	always := corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	c.SecurityContext, err = contextOf(pod, pod.Spec.Containers, layout.ContainerWait, cfg)
	if err != nil {
		return nil, err
	}
	// Wait makes what it stages readable for its own user, which is ours, too. On
	// volumes it reads what others wrote, which as root takes a capability.
	if len(volumes) == 0 {
		c.SecurityContext.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	}
	c.VolumeMounts = append(append(c.VolumeMounts, mounts...), volumes...)
	return c, nil
}

// stagedOf is what the signer is told of each output, and how it mounts the same part
// of the volumes from which wait uploads some.
func stagedOf(outputs []argo.Output) (staged []measurement.Staged, mounts []corev1.VolumeMount) {
	dirs := map[string]string{}
	for _, o := range outputs {
		s := o.Staged()
		if m := o.Mount(); m != nil {
			if dirs[m.Path] == "" {
				dirs[m.Path] = fmt.Sprintf("%s/%d", pathVolumes, len(dirs))
				mounts = append(mounts, corev1.VolumeMount{Name: m.Volume, SubPath: m.SubPath, MountPath: dirs[m.Path], ReadOnly: true})
			}
			s.Path = path.Join(dirs[m.Path], strings.TrimPrefix(o.Path, m.Path))
		}
		staged = append(staged, s)
	}
	return staged, mounts
}

// newPrepare makes the container that brings verify its program. It is init's user, as
// verify is.
func newPrepare(pod *corev1.Pod, sc *corev1.SecurityContext, cfg Config) *corev1.Container {
	c := newContainer(pod, argo.PrepareContainer, []string{verbPrepare, "--to=" + pathProgram}, cfg)
	c.SecurityContext = sc.DeepCopy()
	// The volume is everybody's to write.
	c.SecurityContext.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volumeProgram, MountPath: pathProgram})
	return c
}

// newVerify makes the container that looks at all that Argo's init can have
// written: a store that keeps ".." in its keys can make it write beside the
// inputs, too. Nothing there is executed. Where it compares argoexec, it runs in the
// executor's image, which has the one that init copies.
func newVerify(pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg Config) (*corev1.Container, error) {
	i := slices.IndexFunc(pod.Spec.InitContainers, hasName(layout.ContainerInit))
	if i < 0 {
		return nil, reason.New(reason.UnknownPodLayout, "it has no init container %q", layout.ContainerInit)
	}
	args := []string{verbVerify, "--root=" + pathInputs, "--run=" + pathRun, "--template=" + string(step.TemplateDigest)}
	if cfg.Report {
		args = append(args, "--report")
	}
	if cfg.compares(pins) {
		args = append(args, "--executor")
	}
	mounts := []corev1.VolumeMount{
		{Name: layout.VolumeInputs, MountPath: pathInputs, ReadOnly: true},
		{Name: layout.VolumeRun, MountPath: pathRun, ReadOnly: true},
	}
	if step.Kind == argo.KindScript {
		args = append(args, "--staging="+pathStaging, "--script="+string(step.ScriptSHA256))
		mounts = append(mounts, corev1.VolumeMount{Name: layout.VolumeStaging, MountPath: pathStaging, ReadOnly: true})
	}
	for _, pin := range pins {
		text, err := json.Marshal(pin)
		if err != nil {
			return nil, fmt.Errorf("pin %q: %w", pin.Input, err)
		}
		args = append(args, "--pin="+string(text))
	}
	raws, err := rawArgs(&pod.Spec.InitContainers[i], step)
	if err != nil {
		return nil, err
	}
	args = append(args, raws...)
	volumes, parts := volumesOf(step)
	for _, v := range volumes {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("volume at %.200q: %w", v.Path, err)
		}
		args = append(args, "--volume="+string(text))
	}
	mounts = append(mounts, parts...)
	c := newContainer(pod, argo.VerifyContainer, args, cfg)
	if cfg.compares(pins) {
		c.Image = pod.Spec.InitContainers[i].Image
		c.Command = []string{pathProgram + binary}
		if cfg.as < ageImagesPath {
			c.Env = pathOf(pod.Spec.InitContainers[i])
		}
		mounts = append(mounts, corev1.VolumeMount{Name: volumeProgram, MountPath: pathProgram, ReadOnly: true})
	}
	// The capabilities stay those of init. Unpacked files have the modes that their
	// archive gives, and root can read a file of mode 0 only with a capability.
	c.SecurityContext, err = contextOf(pod, pod.Spec.InitContainers, layout.ContainerInit, cfg)
	if err != nil {
		return nil, err
	}
	c.VolumeMounts = append(c.VolumeMounts, mounts...)
	return c, nil
}

// pathOf is where a container looks for programs, if that is not where its image says: Argo's
// configuration (executor.env) can say so, and init copies the argoexec that it finds there.
func pathOf(c corev1.Container) []corev1.EnvVar {
	i := slices.IndexFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == "PATH" && v.ValueFrom == nil })
	if i < 0 {
		return nil
	}
	return []corev1.EnvVar{{Name: c.Env[i].Name, Value: c.Env[i].Value}}
}

// volumesOf says on which volumes of the step's own verify finds inputs, and how
// it mounts the same part of them as main.
func volumesOf(step *argo.Step) (volumes []pin.Volume, mounts []corev1.VolumeMount) {
	for _, in := range step.Inputs {
		if in.Mount() == nil {
			continue
		}
		i := slices.IndexFunc(volumes, func(v pin.Volume) bool { return v.Path == in.Mount().Path })
		if i < 0 {
			i = len(volumes)
			v := pin.Volume{Path: in.Mount().Path, Dir: fmt.Sprintf("%s/%d", pathVolumes, i), Own: in.Mount().Own, Inputs: map[string]string{}}
			volumes = append(volumes, v)
			mounts = append(mounts, corev1.VolumeMount{Name: in.Mount().Volume, SubPath: in.Mount().SubPath, MountPath: v.Dir, ReadOnly: true})
		}
		volumes[i].Inputs[in.Name] = in.Path
	}
	return volumes, mounts
}

// rawArgs says what each raw input is. It refuses a raw input on a volume of main's
// where verify would not look: init would have to write to that volume, and verify
// cannot know what else it holds.
func rawArgs(init *corev1.Container, step *argo.Step) ([]string, error) {
	var args []string
	for _, in := range step.Inputs {
		if in.Source != argo.SourceRaw {
			continue
		}
		for _, m := range init.VolumeMounts {
			at := path.Clean(m.MountPath)
			if in.Mount() == nil && mainFiles(m) && (at == layout.PathMainFiles || strings.HasPrefix(layout.PathMainFiles+path.Clean(in.Path)+"/", at+"/")) {
				return nil, reason.New(reason.MountUnsupported, "path %.200q lies on volume %s, beside inputs from a store", in.Path, m.Name).For(in.Name)
			}
		}
		raw := pin.Raw{Input: in.Name, SHA256: in.RawSHA256(), Mode: in.Mode}
		if err := raw.Validate(); err != nil {
			return nil, err
		}
		args = append(args, "--raw="+raw.String())
	}
	return args, nil
}

// mainFiles says whether a mount of init's is one of a volume that main mounts.
func mainFiles(m corev1.VolumeMount) bool {
	return strings.HasPrefix(path.Clean(m.MountPath)+"/", layout.PathMainFiles+"/")
}

// newContainer makes what our containers have in common. It mounts something at
// the token's path: the API server mounts the pod's token into every container that
// has nothing there.
func newContainer(pod *corev1.Pod, name string, args []string, cfg Config) *corev1.Container {
	return &corev1.Container{
		Name:                     name,
		Image:                    cfg.Image,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		Command:                  []string{binary},
		Args:                     escape(args),
		Resources:                resourcesFor(pod),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts:             []corev1.VolumeMount{{Name: volumeNoToken, MountPath: layout.PathToken, ReadOnly: true}},
	}
}

// escape keeps the kubelet from expanding $(NAME) and $$ in arguments: keys may
// have them.
func escape(args []string) []string {
	escaped := make([]string, len(args))
	for i, a := range args {
		escaped[i] = strings.ReplaceAll(a, "$", "$$")
	}
	return escaped
}

func newVolume(name, size string) corev1.Volume {
	limit := resource.MustParse(size)
	return corev1.Volume{
		Name:         name,
		VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}},
	}
}
