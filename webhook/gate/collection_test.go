package gate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// collecting is a world in which consume reads everything below a key that the
// definition gives, where two steps each stored a file.
func collecting(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	prefix := w.location.Prefix()
	clear(w.evidence.seals)
	clear(w.evidence.provenances)
	w.evidence.pods = nil
	w.part(t, prefix, 0, "a.json", stored)
	w.part(t, prefix, 1, "sub/b.tgz", tree)
	w.takeBy(content.ArchiveDetect)
	w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
	return w
}

// part is a step that stored an object below the prefix.
func (w *world) part(t *testing.T, prefix artifact.Location, n int, path string, digest artifact.Digest) *corev1.Pod {
	t.Helper()
	at := prefix
	at.Key, at.Kind = prefix.Key+path, artifact.KindObject
	before := w.location
	w.location = at
	defer func() { w.location = before }()
	pod := w.producer(t, "produce", fmt.Sprintf("99999999-0000-4000-8000-0000000001%02d", n), now.Add(-10*time.Second))
	pod.Name += path[:1]
	w.tag(t, pod)
	w.stored(t, pod)
	w.seal(t, pod, func(f *provenance.Facts) {
		f.Subjects[0].SHA256, f.Subjects[0].Form, f.Subjects[0].Tree = digest, content.FormFile, content.FileTree(digest)
		f.Step.NodeName = "artifact-passing[0].part"
	})
	seal := w.theSeal()
	seal.Spec.SHA256, seal.Spec.TreeDigest = string(digest), string(content.FileTree(digest))
	seal.Spec.Location = v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)}
	return pod
}

func TestWhatSeveralStepsStoredIsPinnedFileByFile(t *testing.T) {
	w := collecting(t)
	files := content.Files{{Path: "a.json", SHA256: stored}, {Path: "sub/b.tgz", SHA256: tree}}
	want := pin.Pin{
		Input: "message", Location: w.location.Prefix().URI(), SHA256: files.Tree(), Archive: content.ArchiveNone, Tree: files.Tree(), Files: files.String(),
	}
	for _, at := range []artifact.Location{w.location, w.location.Prefix()} {
		w.takeFrom(at)
		if at.Kind == artifact.KindPrefix {
			w.redefine(t, reference, `"s3":{"key":"`+at.Key+`"}`)
		}
		v := w.evaluate(t)
		if !v.Allowed || !cmp.Equal(v.Pins, []pin.Pin{want}) {
			t.Fatalf("%s: verdict is %+v (%v), want pin %+v", at, v, v.Refusal, want)
		}
		if err := v.Pins[0].Validate(); err != nil {
			t.Error(err)
		}
		if len(v.Levels) != 1 || v.Levels[0] != provenance.LevelObserved {
			t.Errorf("levels are %v", v.Levels)
		}
	}
}

func TestWhatSeveralStepsStored(t *testing.T) {
	first := func(w *world) *corev1.Pod { return w.evidence.pods[0] }
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"is waited for while one runs": {func(_ *testing.T, w *world) {
			finish(first(w), time.Time{})
			delete(w.evidence.provenances, string(first(w).UID))
		}, reason.ProvenancePending, "still runs"},
		"is waited for while one is yet to be sealed": {func(_ *testing.T, w *world) {
			finish(first(w), now.Add(-2*time.Second))
			delete(w.evidence.provenances, string(first(w).UID))
		}, reason.ProvenancePending, "ended"},
		"is refused if one failed": {func(t *testing.T, w *world) {
			prefix := w.location.Prefix()
			w.part(t, prefix, 7, "c.json", stored)
			w.location.Key = prefix.Key + "c.json"
			pod := w.evidence.pods[2]
			w.seal(t, pod, func(f *provenance.Facts) {
				f.Subjects[0].SHA256, f.Subjects[0].Form, f.Subjects[0].Tree = stored, content.FormFile, content.FileTree(stored)
				f.Outcome.Result = provenance.Failed
			})
			s := w.theSeal()
			s.Spec.TreeDigest = string(content.FileTree(stored))
			s.Spec.Location = v1alpha1.Location{Store: w.location.Store, Bucket: w.location.Bucket, Key: w.location.Key, Kind: "object"}
		}, reason.ProducerFailed, "c.json"},
		"is refused if one was stored again, unsealed": {func(t *testing.T, w *world) {
			again := first(w).DeepCopy()
			again.Name, again.UID = again.Name+"-2", laterUID
			w.tag(t, again)
			finish(again, now.Add(-5*time.Second))
			w.evidence.pods = append(w.evidence.pods, again)
			w.evidence.provenances[laterUID] = recordUnsealed(again)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if a pointer is forged": {func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Spec.SHA256 = strings.Repeat("e", 64)
			}
		}, reason.SubjectMismatch, ""},
		"is refused if a pointer leads elsewhere": {func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Spec.Provenance = string(w.evidence.pods[0].UID)
			}
		}, reason.SubjectMismatch, ""},
		"is not that of another workflow of this name": {func(_ *testing.T, w *world) {
			for name, s := range w.evidence.seals {
				delete(w.evidence.seals, name)
				s.Name = "another"
				w.evidence.seals[s.Name] = s
			}
		}, reason.NoProvenance, ""},
		"is not taken by reference": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":false`)
		}, reason.NoProvenance, ""},
		"is not taken by another key": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"another"}`)
		}, reason.NoProvenance, ""},
		"is not unpacked": {func(_ *testing.T, w *world) { w.takeBy(content.ArchiveTar) }, reason.ArchiveMismatch, "in parts"},
		"is refused if an object's seal is made a directory's": {func(_ *testing.T, w *world) {
			for name, s := range w.evidence.seals {
				delete(w.evidence.seals, name)
				s.Spec.Location.Kind = "prefix"
				s.Spec.Location.Key += "/"
				s.Name = artifact.SealName(evidence.LocationOf(s), w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
				break
			}
		}, reason.SubjectMismatch, ""},
		"is refused if Argo fetches two objects into one file": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 7, "/a.json", stored)
		}, reason.PrefixUnsupported, "/a.json"},
		"is refused if a seal has no location": {func(_ *testing.T, w *world) {
			for name, s := range w.evidence.seals {
				delete(w.evidence.seals, name)
				s.Spec.Location.Key += "/../x"
				s.Name = artifact.SealName(evidence.LocationOf(s), w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
				break
			}
		}, reason.LocationInvalid, "empty"},
		"is refused with a file below a file": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 3, "a.json/x", stored)
		}, reason.PrefixUnsupported, "below a file"},
		"is refused if there is too much of it": {func(_ *testing.T, w *world) {
			for i := range pin.MaxFiles {
				l := w.location.Prefix()
				l.Key, l.Kind = fmt.Sprintf("%s%d", l.Key, i), artifact.KindObject
				s := &v1alpha1.ArtifactSeal{Spec: v1alpha1.ArtifactSealSpec{Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: "object"}}}
				s.Namespace, s.Name = w.step.Namespace, artifact.SealName(l, w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
			}
		}, reason.PrefixUnsupported, "514 outputs"},
		"cannot be told without its seals": {func(_ *testing.T, w *world) { w.evidence.failWorkflowSeals = errDown }, reason.LookupFailed, ""},
		"cannot be told if there are too many seals": {func(_ *testing.T, w *world) {
			w.evidence.failWorkflowSeals = reason.New(reason.PrefixUnsupported, "too many")
		}, reason.PrefixUnsupported, "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			w := collecting(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
				t.Errorf("verdict is %+v (%v), want %s: %s", v, v.Refusal, c.want, c.says)
			}
		})
	}
}

// mapped are the files of a directory that a step stored below the key.
var mapped = content.Files{{Path: "deep/x", SHA256: stored}, {Path: "y", SHA256: tree}}

// mapping is a world like collecting's, in which a third step stored a directory
// without an archive.
func mapping(t *testing.T) *world {
	t.Helper()
	w := collecting(t)
	w.directory(t, 2, "m0", content.FormDirectory, mapped)
	return w
}

// directory is a step that stored a directory below the prefix.
func (w *world) directory(t *testing.T, n int, path string, form content.Form, files content.Files) *corev1.Pod {
	t.Helper()
	before := w.location
	w.location.Key += "/" + path
	defer func() { w.location = before }()
	pod := w.another(t, n, path, now.Add(-10*time.Second))
	w.seal(t, pod, func(f *provenance.Facts) {
		f.Subjects[0].URI, f.Subjects[0].Form = w.location.Prefix().URI(), form
		f.Subjects[0].SHA256, f.Subjects[0].Tree = files.Tree(), files.Tree()
	})
	seal := w.theSeal()
	delete(w.evidence.seals, seal.Name)
	at := w.location.Prefix()
	seal.Name, seal.Spec.SHA256, seal.Spec.TreeDigest = artifact.SealName(at, w.step.WorkflowUID), string(files.Tree()), string(files.Tree())
	seal.Spec.Location = v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)}
	w.evidence.seals[seal.Name] = seal
	output := &w.evidence.provenances[string(pod.UID)].Status.Outputs[0]
	output.Location, output.SHA256, output.Files = at.URI(), seal.Spec.SHA256, files.String()
	return pod
}

// another is one more pod, which stores its output without an archive at the
// path below the key and ended then.
func (w *world) another(t *testing.T, n int, path string, end time.Time) *corev1.Pod {
	t.Helper()
	pod := w.producer(t, "produce", fmt.Sprintf("99999999-0000-4000-8000-0000000002%02d", n), end)
	pod.Name += fmt.Sprintf("-%d", n)
	w.tag(t, pod)
	before := w.location
	if !strings.HasSuffix(w.location.Key, "/"+path) {
		w.location.Key = strings.TrimSuffix(w.location.Key+"/"+path, "/")
	}
	w.stored(t, pod)
	w.location = before
	return pod
}

// unsealed is another pod that ended after all others and was not sealed; the
// outcome of its output, if any, is said beside that.
func (w *world) unsealed(t *testing.T, path string, outcomes ...reason.Code) *corev1.Pod {
	t.Helper()
	pod := w.another(t, 90, path, now.Add(-5*time.Second))
	r := recordUnsealed(pod)
	at := w.location
	at.Key = strings.TrimSuffix(at.Key+"/"+path, "/")
	for i, o := range outcomes {
		r.Status.Outputs = append(r.Status.Outputs, v1alpha1.OutputStatus{Name: fmt.Sprint("o", i), Location: at.URI(), Reason: string(o)})
	}
	w.evidence.provenances[string(pod.UID)] = r
	return pod
}

// many are so many files in one directory, with names of so many of the character.
func many(n, length int, character string) content.Files {
	var files content.Files
	for i := range n {
		files = append(files, content.File{Path: fmt.Sprintf("%03d%s", i, strings.Repeat(character, length)), SHA256: stored})
	}
	return files
}

func TestADirectoryAmongThePartsIsPinnedFileByFile(t *testing.T) {
	w := mapping(t)
	w.directory(t, 3, "m0.more", content.FormLookalikes, mapped[1:])
	files := content.Files{
		{Path: "a.json", SHA256: stored}, {Path: "m0/deep/x", SHA256: stored}, {Path: "m0/y", SHA256: tree},
		{Path: "m0.more/y", SHA256: tree}, {Path: "sub/b.tgz", SHA256: tree},
	}
	want := pin.Pin{
		Input: "message", Location: w.location.Prefix().URI(), SHA256: files.Tree(), Archive: content.ArchiveNone, Tree: files.Tree(),
		Files: files.String(), Dirs: "m0\nm0.more\n",
	}
	for _, archive := range []content.Archive{content.ArchiveDetect, content.ArchiveNone} {
		w.takeBy(archive)
		v := w.evaluate(t)
		if !v.Allowed || !cmp.Equal(v.Pins, []pin.Pin{want}) {
			t.Fatalf("%s: verdict is %+v (%v), want pin %+v", archive, v, v.Refusal, want)
		}
		if err := v.Pins[0].Validate(); err != nil {
			t.Error(err)
		}
		if len(v.Levels) != 1 || v.Levels[0] != provenance.LevelObserved {
			t.Errorf("levels are %v", v.Levels)
		}
	}
	if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
		t.Errorf("the pod is refused: %v", d.Refusal)
	}
}

func TestDirectoriesAlone(t *testing.T) {
	w := mapping(t)
	for name, s := range w.evidence.seals {
		if s.Spec.Location.Kind == string(artifact.KindObject) {
			delete(w.evidence.seals, name)
		}
	}
	if v := w.evaluate(t); !v.Allowed || v.Pins[0].Dirs != "m0\n" {
		t.Errorf("verdict is %+v (%v)", v, v.Refusal)
	}
}

// The lists of a pod's directories can be large, and it can have many.
func TestAPodsListsAreReadOnce(t *testing.T) {
	reads := func(directories int) int {
		w := mapping(t)
		w.directory(t, 3, "m0x", content.FormDirectory, mapped) // between them
		pod := w.evidence.pods[2]
		var subjects []provenance.Subject
		for i := range directories {
			at := w.location.Prefix()
			at.Key += fmt.Sprintf("m%d/", i)
			subjects = append(subjects, provenance.Subject{
				URI: at.URI(), Sum: content.Sum{Form: content.FormDirectory, SHA256: mapped.Tree(), Tree: mapped.Tree()}, Output: fmt.Sprint("o", i),
			})
			seal := &v1alpha1.ArtifactSeal{Spec: v1alpha1.ArtifactSealSpec{
				Location: v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)},
				SHA256:   string(mapped.Tree()), TreeDigest: string(mapped.Tree()), Provenance: string(pod.UID),
			}}
			seal.Namespace, seal.Name = w.step.Namespace, artifact.SealName(at, w.step.WorkflowUID)
			w.evidence.seals[seal.Name] = seal
		}
		w.seal(t, pod, func(f *provenance.Facts) { f.Subjects = subjects })
		delete(w.evidence.seals, w.theSeal().Name)
		outputs := &w.evidence.provenances[string(pod.UID)].Status.Outputs
		*outputs = nil
		for _, s := range subjects {
			*outputs = append(*outputs, v1alpha1.OutputStatus{Name: s.Output, Location: s.URI, SHA256: string(s.SHA256), Files: mapped.String()})
		}
		w.evidence.reads = 0
		if v := w.evaluate(t); !v.Allowed {
			t.Fatal(v.Refusal)
		}
		return w.evidence.reads
	}
	if one, many := reads(1), reads(20); one != many {
		t.Errorf("%d reads for one directory, %d for twenty of the same pod", one, many)
	}
}

func TestWhatSeveralStepsStoredWithADirectoryInIt(t *testing.T) {
	third := func(w *world) *corev1.Pod { return w.evidence.pods[2] }
	output := func(w *world) *v1alpha1.OutputStatus {
		return &w.evidence.provenances[string(third(w).UID)].Status.Outputs[0]
	}
	fail := func(t *testing.T, w *world) {
		before, files := w.location, output(w).Files
		defer func() { w.location = before }()
		w.location = w.location.Prefix()
		w.location.Key += "m0/"
		w.seal(t, third(w), func(f *provenance.Facts) {
			f.Subjects[0].Form, f.Subjects[0].SHA256, f.Subjects[0].Tree = content.FormDirectory, mapped.Tree(), mapped.Tree()
			f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
		})
		at := w.location
		s := w.theSeal()
		s.Spec.SHA256, s.Spec.TreeDigest = string(mapped.Tree()), string(mapped.Tree())
		s.Spec.Location = v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)}
		output(w).Files = files
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"is refused if nobody listed its files": {func(_ *testing.T, w *world) { output(w).Files = "" }, reason.FilesUnknown, "/m0/: the files in output"},
		"is refused if one more is listed": {func(_ *testing.T, w *world) {
			output(w).Files = append(mapped[:2:2], content.File{Path: "z", SHA256: stored}).String()
		}, reason.ProvenanceInvalid, "not those"},
		"is refused if one less is listed": {func(_ *testing.T, w *world) { output(w).Files = mapped[:1].String() }, reason.ProvenanceInvalid, "not those"},
		"is refused if another's content is listed": {func(_ *testing.T, w *world) {
			output(w).Files = content.Files{{Path: "deep/x", SHA256: tree}, {Path: "y", SHA256: tree}}.String()
		}, reason.ProvenanceInvalid, "not those"},
		"is refused if the list is none":             {func(_ *testing.T, w *world) { output(w).Files = "x\n" }, reason.ProvenanceInvalid, "not those"},
		"is refused if the list is another output's": {func(_ *testing.T, w *world) { output(w).Name = "other" }, reason.FilesUnknown, "hello-art"},
		"is refused if it has too many files": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m1", content.FormDirectory, many(pin.MaxFiles-3, 0, ""))
		}, reason.PrefixUnsupported, "a pin has room for 512"},
		"is refused if directories have too many files together": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m1", content.FormDirectory, many(pin.MaxFiles/2, 0, ""))
			w.directory(t, 4, "m2", content.FormDirectory, many(pin.MaxFiles/2, 0, ""))
		}, reason.PrefixUnsupported, "a pin has room for 512"},
		"is refused if the names are too long": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m1", content.FormDirectory, many(500, 30, "n"))
		}, reason.PrefixUnsupported, "in 32768"},
		"is refused if the tag has no room for the names": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m1", content.FormDirectory, many(500, 10, "<"))
		}, reason.PrefixUnsupported, "its pins have"},
		"is admitted if one lies in the other": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m0/deep", content.FormDirectory, mapped)
		}, "", ""},
		"is admitted if one lies in the other, beside what is there": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m0/more", content.FormDirectory, mapped)
		}, "", ""},
		"is refused if one has a file where the other has another": {func(t *testing.T, w *world) {
			w.directory(t, 3, "m0/deep", content.FormDirectory, content.Files{{Path: "x", SHA256: tree}})
		}, reason.PrefixUnsupported, "beside each other"},
		"is admitted if an object lies in it": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 3, "m0/z", stored)
		}, "", ""},
		"is refused if an object has its key": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 3, "m0", stored)
		}, reason.PrefixUnsupported, "below a file"},
		"is refused if it was stored again, unsealed": {func(t *testing.T, w *world) {
			w.unsealed(t, "m0", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if a part of it was stored again, unsealed": {func(t *testing.T, w *world) {
			w.unsealed(t, "m0/y", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if all of it was stored again, unsealed": {func(t *testing.T, w *world) {
			w.unsealed(t, "", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if nobody knows what became of it later": {func(t *testing.T, w *world) {
			w.unsealed(t, "m0")
		}, reason.NotSealed, "was to produce it later"},
		"is refused if one of two outputs there was stored later": {func(t *testing.T, w *world) {
			w.unsealed(t, "m0", reason.OutputAbsent, reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if an object was stored again, in a directory": {func(t *testing.T, w *world) {
			w.unsealed(t, "sub", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later"},
		"is admitted if nothing was stored later": {func(t *testing.T, w *world) {
			w.unsealed(t, "m0", reason.OutputAbsent)
		}, "", ""},
		"is admitted if an earlier attempt was not sealed": {func(t *testing.T, w *world) {
			finish(w.unsealed(t, "m0", reason.OutputUnreadable), now.Add(-20*time.Second))
		}, "", ""},
		"is admitted if what is beside it was not sealed": {func(t *testing.T, w *world) {
			w.unsealed(t, "m", reason.OutputUnreadable)
		}, "", ""},
		"is refused if the pointer is behind": {func(t *testing.T, w *world) {
			again := w.another(t, 4, "m0", now.Add(-5*time.Second))
			w.evidence.provenances[string(again.UID)] = record(again, metav1.ConditionTrue, reason.Sealed, "", *output(w))
		}, reason.SubjectMismatch, "sealed it later"},
		"is waited for while it is stored again": {func(t *testing.T, w *world) {
			w.another(t, 4, "m0", time.Time{})
		}, reason.ProvenancePending, "still runs"},
		"is waited for while a part of it is stored again": {func(t *testing.T, w *world) {
			w.another(t, 4, "m0/y", time.Time{})
		}, reason.ProvenancePending, "still runs"},
		"is refused if the pointer is another directory's": {func(_ *testing.T, w *world) {
			at := w.location.Prefix()
			at.Key += "m1/"
			for _, s := range w.evidence.seals {
				if s.Spec.Location.Kind != string(artifact.KindPrefix) {
					continue
				}
				copied := s.DeepCopy()
				copied.Name, copied.Spec.Location.Key = artifact.SealName(at, w.step.WorkflowUID), at.Key
				w.evidence.seals[copied.Name] = copied
				return
			}
		}, reason.SubjectMismatch, "m1"},
		"is refused if its step failed": {fail, reason.ProducerFailed, "/m0/"},
		"is refused if it counts by a policy only": {func(t *testing.T, w *world) {
			fail(t, w)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("failed", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{FailedProducers: true}})}
		}, reason.PrefixUnsupported, "ClusterProvenancePolicy failed"},
		"is not unpacked": {func(_ *testing.T, w *world) { w.takeBy(content.ArchiveZip) }, reason.ArchiveMismatch, "in parts"},
	} {
		t.Run(name, func(t *testing.T) {
			w := mapping(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") {
				t.Fatalf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
			if !v.Allowed && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Errorf("refused with %v, want %s: %s", v.Refusal, c.want, c.says)
			}
		})
	}
}

// A tag has no room for ever so many inputs either.
func TestMoreThanATagHoldsIsRefused(t *testing.T) {
	files := many(500, 10, "<").String()
	for name, c := range map[string]struct {
		pins []pin.Pin
		want reason.Code
	}{
		"an input":    {make([]pin.Pin, 1), ""},
		"many inputs": {make([]pin.Pin, 2000), reason.UnsupportedPod},
		"many files":  {[]pin.Pin{{Files: files}}, reason.PrefixUnsupported},
	} {
		if err := fit(c.pins); (err == nil) != (c.want == "") || err != nil && err.Code != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// filling is a world in which consume reads a directory by a key that the definition
// gives, which so many steps filled, each with files of its own; the first one that is
// given ran first, all of them beside each other.
func filling(t *testing.T, trees ...content.Files) *world {
	t.Helper()
	w := newWorld(t)
	clear(w.evidence.seals)
	clear(w.evidence.provenances)
	w.evidence.pods = nil
	w.takeBy(content.ArchiveNone)
	w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
	for n, files := range trees {
		w.fill(t, n, files)
	}
	return w
}

// fill is one more step that stored a directory at the very key. It ran as long as
// all others and ended a second after the one before.
func (w *world) fill(t *testing.T, n int, files content.Files) *v1alpha1.ArtifactSeal {
	t.Helper()
	at := w.location.Prefix()
	name := artifact.SealName(at, w.step.WorkflowUID)
	before := w.evidence.seals[name]
	pod := w.directory(t, n, "", content.FormDirectory, files)
	seal := w.evidence.seals[name]
	seal.Spec.Producer.Pod.UID = pod.UID
	seal.Spec.Producer.FinishedAt = metav1.NewTime(now.Add(time.Duration(n-20) * time.Second))
	seal.Spec.Producer.PodCreatedAt = metav1.NewTime(now.Add(-time.Minute))
	seal.Spec.Producer.RecordedAt = metav1.NewTime(now.Add(-time.Second))
	if before != nil {
		seal.Spec.Shared, before.Spec.Shared = true, true
		before.Name = artifact.SharedSealName(at, w.step.WorkflowUID, string(before.Spec.Producer.Pod.UID))
		w.evidence.seals[before.Name] = before
	}
	return seal
}

// restate has the notary say something else of the step that filled the directory with
// this seal.
func (w *world) restate(t *testing.T, s *v1alpha1.ArtifactSeal, change func(*provenance.Facts)) {
	t.Helper()
	i := slices.IndexFunc(w.evidence.pods, func(p *corev1.Pod) bool { return string(p.UID) == s.Spec.Provenance })
	seals, before := maps.Clone(w.evidence.seals), w.location
	files := w.evidence.provenances[s.Spec.Provenance].Status.Outputs[0].Files
	w.location = w.location.Prefix()
	w.seal(t, w.evidence.pods[i], func(f *provenance.Facts) {
		f.Subjects[0].Form, f.Subjects[0].SHA256, f.Subjects[0].Tree = content.FormDirectory, artifact.Digest(s.Spec.SHA256), artifact.Digest(s.Spec.SHA256)
		change(f)
	})
	w.evidence.seals, w.location = seals, before
	w.evidence.provenances[s.Spec.Provenance].Status.Outputs[0].Files = files
}

// failed is what a statement says of a step that did.
func failed(f *provenance.Facts) {
	f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
}

func shard(name string, digest artifact.Digest) content.Files {
	return content.Files{{Path: name, SHA256: digest}}
}

func TestADirectoryThatSeveralStepsFilledIsAllThatTheyStored(t *testing.T) {
	w := filling(t, shard("1.txt", stored), shard("2.txt", tree), content.Files{{Path: "1.txt", SHA256: stored}, {Path: "sub/3.txt", SHA256: tree}})
	files := content.Files{{Path: "1.txt", SHA256: stored}, {Path: "2.txt", SHA256: tree}, {Path: "sub/3.txt", SHA256: tree}}
	want := pin.Pin{
		Input: "message", Location: w.location.Prefix().URI(), SHA256: files.Tree(), Archive: content.ArchiveNone, Tree: files.Tree(), Files: files.String(),
	}
	beside := func(n int) string {
		return artifact.SharedSealName(w.location.Prefix(), w.step.WorkflowUID, string(w.evidence.pods[n].UID))
	}
	last := artifact.SealName(w.location.Prefix(), w.step.WorkflowUID)
	check(t, want.Attribute(map[string]string{"1.txt": beside(0), "2.txt": beside(1), "sub/3.txt": last}))
	v := w.evaluate(t)
	if !v.Allowed || !cmp.Equal(v.Pins, []pin.Pin{want}) {
		t.Fatalf("verdict is %+v (%v), want pin %+v", v, v.Refusal, want)
	}
	if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
		t.Errorf("the pod is refused: %v", d.Refusal)
	}
}

func TestADirectoryThatOneStepFilledIsWhatItStored(t *testing.T) {
	w := filling(t, shard("1.txt", stored))
	if v := w.evaluate(t); !v.Allowed || v.Pins[0].Files != "" || v.Pins[0].Tree != shard("1.txt", stored).Tree() {
		t.Errorf("verdict is %+v (%v)", v, v.Refusal)
	}
}

func TestWhatSeveralStepsFilled(t *testing.T) {
	earlier := func(w *world) *v1alpha1.ArtifactSeal {
		for _, s := range w.evidence.seals {
			if s.Name != artifact.SealName(w.location.Prefix(), w.step.WorkflowUID) {
				return s
			}
		}
		return nil
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
		pinned content.Files
	}{
		"is refused if two that ran beside each other stored other bytes": {func(t *testing.T, w *world) {
			w.fill(t, 2, shard("1.txt", tree))
		}, reason.PrefixUnsupported, "beside each other", nil},
		"is the later one's, if one ran after the other": {func(t *testing.T, w *world) {
			s := w.fill(t, 2, shard("1.txt", tree))
			s.Spec.Producer.PodCreatedAt = metav1.NewTime(now)
		}, "", "", content.Files{{Path: "1.txt", SHA256: tree}, {Path: "2.txt", SHA256: tree}}},
		"is the later one's by the nodes' clocks, if no other tells": {func(t *testing.T, w *world) {
			s := w.fill(t, 2, shard("1.txt", tree))
			s.Spec.Producer.PodCreatedAt = metav1.NewTime(now.Add(-18 * time.Second))
			s.Spec.Producer.RecordedAt = metav1.NewTime(now)
		}, "", "", content.Files{{Path: "1.txt", SHA256: tree}, {Path: "2.txt", SHA256: tree}}},
		"is the last one's alone, if the other's seal has another's name": {func(_ *testing.T, w *world) {
			s := earlier(w)
			delete(w.evidence.seals, s.Name)
			s.Name += "x"
			w.evidence.seals[s.Name] = s
		}, "", "", shard("2.txt", tree)},
		"is refused if an earlier one's pointer is forged": {func(_ *testing.T, w *world) {
			earlier(w).Spec.SHA256 = strings.Repeat("e", 64)
		}, reason.SubjectMismatch, "", nil},
		"is refused if an earlier one failed": {func(t *testing.T, w *world) {
			w.restate(t, earlier(w), failed)
		}, reason.ProducerFailed, "1.txt: pod", nil},
		"is refused if another was to fill it and was not sealed": {func(t *testing.T, w *world) {
			w.unsealed(t, "", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later", nil},
		"is waited for while another has just filled it": {func(t *testing.T, w *world) {
			w.another(t, 4, "", now.Add(-2*time.Second))
		}, reason.ProvenancePending, "Provenance is not there yet", nil},
		"is what is there while another fills it": {func(t *testing.T, w *world) {
			w.another(t, 4, "", time.Time{})
		}, "", "", content.Files{{Path: "1.txt", SHA256: stored}, {Path: "2.txt", SHA256: tree}}},
		"is more if an object was stored below it": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 5, "z", stored)
		}, "", "", content.Files{{Path: "1.txt", SHA256: stored}, {Path: "2.txt", SHA256: tree}, {Path: "z", SHA256: stored}}},
		"is not taken by reference": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":false`)
		}, "", "", shard("2.txt", tree)},
	} {
		t.Run(name, func(t *testing.T) {
			w := filling(t, shard("1.txt", stored), shard("2.txt", tree))
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Fatalf("verdict is %+v (%v), want %q: %s", v, v.Refusal, c.want, c.says)
			}
			if v.Allowed && v.Pins[0].Tree != c.pinned.Tree() {
				t.Errorf("pinned is %s", v.Pins[0].Files)
			}
		})
	}
}

// A step that has just stored something below a directory has filled it, too, also
// before its seal is there: without it, the check in the pod would stop the reader.
func TestWhoHasJustStoredSomethingBelowADirectoryIsWaitedFor(t *testing.T) {
	w := filling(t, shard("1.txt", stored))
	pod := w.another(t, 4, "z", now.Add(-2*time.Second))
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.ProvenancePending {
		t.Errorf("verdict is %+v (%v)", v, v.Refusal)
	}
	finish(pod, time.Time{})
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("one that still runs is waited for: %v", v.Refusal)
	}
}
