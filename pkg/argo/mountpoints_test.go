package argo_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// at is a mount of somebody's volume.
func at(path string) corev1.VolumeMount { return corev1.VolumeMount{Name: "cover", MountPath: path} }

// mounted changes a pod's main so that it has one mount more.
func mounted(m corev1.VolumeMount) func(*corev1.Container) {
	return func(c *corev1.Container) { mount(c, m) }
}

func TestAnInputIsOneThatMainReadsWhereTheTemplateSays(t *testing.T) {
	const good, bad = "message store s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-hello-world-to-file-2947538355/hello-art.tgz", "message store MountUnsupported"
	input := func(c *corev1.Container) *corev1.VolumeMount { return mountAt(c, "/tmp/message") }
	tests := map[string]struct {
		change func(*corev1.Container)
		want   string
	}{
		"as Argo makes it":                  {func(*corev1.Container) {}, good},
		"with a volume beside it":           {mounted(at("/tmp/messages")), good},
		"with a read-only mount":            {func(c *corev1.Container) { input(c).ReadOnly = true }, good},
		"with Argo's mount at /tmp":         {mounted(corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "1"}), good},
		"with another volume in its place":  {func(c *corev1.Container) { *input(c) = at("/tmp/message") }, bad},
		"with another volume of its layout": {func(c *corev1.Container) { input(c).Name = "cover" }, bad},
		"mounted below its place":           {func(c *corev1.Container) { input(c).MountPath = "/tmp/message/x" }, bad},
		"with no mount":                     {func(c *corev1.Container) { unmount(c, "/tmp/message") }, bad},
		"with another input in its place":   {func(c *corev1.Container) { input(c).SubPath = "other" }, bad},
		"with all inputs in its place":      {func(c *corev1.Container) { input(c).SubPath = "" }, bad},
		"with a part of it in its place":    {func(c *corev1.Container) { input(c).SubPath = "message/a" }, bad},
		"with a variable for its name":      {func(c *corev1.Container) { input(c).SubPathExpr = "$(X)" }, bad},
		"mounted elsewhere":                 {func(c *corev1.Container) { input(c).MountPath = "/tmp/other" }, bad},
		"with a volume over it, spelled":    {mounted(at("/tmp//message/")), bad},
		"with a volume over it, relative":   {mounted(at("tmp/message")), bad},
		"mounted twice":                     {mounted(corev1.VolumeMount{Name: "input-artifacts", MountPath: "/tmp/message/", SubPath: "message"}), bad},
		"with a volume in it":               {mounted(at("/tmp/message/conf")), bad},
		"with a volume in it by a detour":   {mounted(at("/etc/../tmp/message/conf")), bad},
		"with a volume above it":            {mounted(at("/tmp")), bad},
		"with a volume over everything":     {mounted(at("/")), bad},
		"with another input in it":          {mounted(corev1.VolumeMount{Name: "input-artifacts", MountPath: "/tmp/message/x", SubPath: "x"}), bad},
		"with Argo's temporary files in it": {mounted(corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp/message/x", SubPath: "1"}), bad},
		"with a device over it": {func(c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "disk", DevicePath: "/tmp/message"}}
		}, bad},
		"with the termination message in it": {func(c *corev1.Container) { c.TerminationMessagePath = "/tmp/message/conf" }, bad},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "consume")
			test.change(mainOf(pod))
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, inputs(step)); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
			in := step.Inputs[0]
			if in.Problem() != nil && (in.Problem().Artifact != "message" || in.Location() != artifact.Location{}) {
				t.Errorf("its problem names %q, its location is %v", in.Problem().Artifact, in.Location())
			}
		})
	}
}

// Each of two inputs, of which one lies in the other, is one for itself; and so is an
// input in which the template mounts a volume.
func TestWhatLiesInAnInputIsNoPartOfIt(t *testing.T) {
	inner := func(path, subPath string) func(*corev1.Container) {
		return mounted(corev1.VolumeMount{Name: "input-artifacts", MountPath: path, SubPath: subPath})
	}
	stored := object{"s3": object{"key": "k"}}
	tests := map[string]struct {
		inner   object // its path and source
		volumes list   // those of the template
		change  func(*corev1.Container)
		good    []bool
	}{
		"an input in it":                         {with(object{"path": "/tmp/message/conf"}, stored), nil, inner("/tmp/message/conf", "a"), []bool{true, true}},
		"an input around it":                     {with(object{"path": "/tmp"}, stored), nil, inner("/tmp", "a"), []bool{true, true}},
		"a raw input in it":                      {object{"name": "a", "path": "/tmp/message/conf", "raw": object{"data": "x"}}, nil, inner("/tmp/message/conf", "a"), []bool{true, true}},
		"another input's mount in it":            {with(object{"path": "/tmp/message/conf"}, stored), nil, inner("/tmp/message/conf", "b"), []bool{false, false}},
		"its own mount in it again":              {with(object{"path": "/tmp/message/conf"}, stored), nil, inner("/tmp/message/conf", "message"), []bool{false, false}},
		"an input in another place of it":        {with(object{"path": "/tmp/message/conf"}, stored), nil, inner("/tmp/message/other", "a"), []bool{false, false}},
		"an input that is not there":             {object{"name": "a", "path": "/tmp/message/conf", "optional": true}, nil, inner("/tmp/message/conf", "a"), []bool{false, true}},
		"an input with something in it":          {with(object{"path": "/tmp/message/conf"}, stored), nil, func(c *corev1.Container) { inner("/tmp/message/conf", "a")(c); mount(c, at("/tmp/message/conf/x")) }, []bool{false, false}},
		"a volume in it":                         {nil, list{object{"name": "cover", "mountPath": "/tmp/message/cache"}}, mounted(at("/tmp/message/cache")), []bool{true}},
		"a volume that it is not":                {nil, list{object{"name": "scratch", "mountPath": "/tmp/message/cache"}}, mounted(at("/tmp/message/cache")), []bool{false}},
		"a volume in another place":              {nil, list{object{"name": "cover", "mountPath": "/tmp/message/cache"}}, mounted(at("/tmp/message/other")), []bool{false}},
		"a volume in it by a detour":             {nil, list{object{"name": "cover", "mountPath": "/tmp/message/x/../cache"}}, mounted(at("/tmp/message/x/../cache")), []bool{false}},
		"a volume in it with a slash at the end": {nil, list{object{"name": "cover", "mountPath": "/tmp/message/cache/"}}, mounted(at("/tmp/message/cache/")), []bool{false}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := withTemplate(t, "consume", func(o object) {
				if test.inner != nil {
					artifacts := o["inputs"].(object)["artifacts"].(list)
					o["inputs"].(object)["artifacts"] = append(artifacts, test.inner)
				}
				if test.volumes != nil {
					o["container"].(object)["volumeMounts"] = test.volumes
				}
			})
			test.change(mainOf(pod))
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			for i, good := range test.good {
				if in := step.Inputs[i]; (in.Problem() == nil) != good || in.Mount() != nil {
					t.Errorf("input %s: problem %v, mount %v; want it good: %v", in.Name, in.Problem(), in.Mount(), good)
				}
			}
		})
	}
}

func TestAnInputInThePlaceOfTmpIsNotArgosTmp(t *testing.T) {
	pod := withTemplate(t, "consume", func(o object) {
		o["inputs"].(object)["artifacts"].(list)[0].(object)["path"] = "/tmp"
	})
	mountAt(mainOf(pod), "/tmp/message").MountPath = "/tmp"
	for _, test := range []struct {
		path string
		want *reason.Error
	}{{"/elsewhere", nil}, {"/tmp/", reason.New(reason.MountUnsupported, "")}} {
		changed := pod.DeepCopy()
		mount(mainOf(changed), corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: test.path, SubPath: "1"})
		step, err := argo.Parse(changed)
		if err != nil {
			t.Fatal(err)
		}
		if got := step.Inputs[0].Problem(); (got == nil) != (test.want == nil) {
			t.Errorf("with Argo's temporary files at %s the problem is %v, want %v", test.path, got, test.want)
		}
	}
}

func TestAnOutputIsOneThatMainWroteToItsOwnFiles(t *testing.T) {
	const good, bad = "out s3://s3.argo.svc:7070/artifacts/script/script/out.tgz", "out MountUnsupported"
	const added = good + " on cover"
	tests := map[string]struct {
		change func(*corev1.Container)
		want   string
	}{
		"as Argo makes it":                    {func(*corev1.Container) {}, good},
		"with a volume beside it":             {mounted(at("/tmp/out2")), good},
		"with Argo's mount at /tmp":           {mounted(corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "1"}), good},
		"with a volume over it":               {mounted(at("/tmp/out")), added},
		"with a volume over it, spelled":      {mounted(at("/tmp/./out/")), added},
		"with a volume in it":                 {mounted(at("/tmp/out/part")), added},
		"with a volume above it":              {mounted(at("/tmp")), added},
		"with an input in it":                 {mounted(corev1.VolumeMount{Name: "input-artifacts", MountPath: "/tmp/out/in", SubPath: "in"}), bad},
		"with Argo's temporary files over it": {mounted(corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp/out", SubPath: "1"}), bad},
		"with a device in it": {func(c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "disk", DevicePath: "/tmp/out/disk"}}
		}, bad},
		"with the termination message in it": {func(c *corev1.Container) { c.TerminationMessagePath = "tmp/out/x" }, bad},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "script")
			test.change(mainOf(pod))
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, outputs(step)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			out := step.Outputs[0]
			if out.Problem() != nil && (out.Problem().Artifact != "out" || out.Location() != artifact.Location{}) {
				t.Errorf("its problem names %q, its location is %v", out.Problem().Artifact, out.Location())
			}
		})
	}
}

func TestTheStepSaysWhatInitWritesFromTheTemplate(t *testing.T) {
	sum := func(text string) artifact.Digest {
		s := sha256.Sum256([]byte(text))
		return artifact.Digest(hex.EncodeToString(s[:]))
	}
	step, err := argo.Parse(withTemplate(t, "script", func(o object) {
		o["script"].(object)["source"] = "echo $$1 <&>\n"
		o["inputs"] = object{"artifacts": list{
			object{"name": "a", "path": "/a", "raw": object{"data": "x\ny$$z\n"}},
			object{"name": "b", "path": "/b", "raw": object{}},
			object{"name": "c", "path": "/c", "s3": full},
		}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	// The kubelet makes one $ of two.
	want := []artifact.Digest{sum("echo $1 <&>\n"), sum("x\ny$z\n"), sum(""), ""}
	got := []artifact.Digest{step.ScriptSHA256}
	for _, in := range step.Inputs {
		got = append(got, in.RawSHA256())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	if _, step := argotest.Parsed(t, "produce"); step.ScriptSHA256 != "" {
		t.Errorf("a step without a script has the script's digest %s", step.ScriptSHA256)
	}
}

func TestAnOutputOnAVolumeLiesWhereTheTemplateMountsIt(t *testing.T) {
	const good, bad = "on-volume s3://s3.argo.svc:7070/artifacts/everything/everything/on-volume.tgz on scratch", "on-volume MountUnsupported"
	tests := map[string]struct {
		change func(*corev1.Container)
		want   string
	}{
		"as Argo makes it":                   {func(*corev1.Container) {}, good},
		"with a volume beside it":            {mounted(at("/scratch/other")), good},
		"with another volume in its place":   {func(c *corev1.Container) { mountAt(c, "/scratch").Name = "argo-staging" }, bad},
		"with another volume over it":        {mounted(at("/scratch/vol")), bad},
		"with another volume in it":          {mounted(at("/scratch/vol/part")), bad},
		"with the same volume again, deeper": {mounted(corev1.VolumeMount{Name: "scratch", MountPath: "/scratch/vol"}), bad},
		"with a device over it": {func(c *corev1.Container) {
			c.VolumeDevices = []corev1.VolumeDevice{{Name: "scratch", DevicePath: "/scratch/vol"}}
		}, bad},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "everything")
			test.change(mainOf(pod))
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if got := outputs(step)[3]; got != test.want {
				t.Errorf("the output is %q, want %q", got, test.want)
			}
		})
	}
}
