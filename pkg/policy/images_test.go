package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

const app = "registry.test/team/app"

// manifest is a seal of an image's manifest, of a step in namespace lib.
func manifest() ImageSeal {
	st, _ := good()
	st.Step.Namespace, st.FinishedAt = "lib", now.Add(-time.Hour)
	return ImageSeal{Statement: st, Subject: provenance.Subject{
		URI: "s3://store/bucket/manifest", Output: "manifest", Sum: content.Sum{Form: content.FormFile, SHA256: artifact.Digest(digestA), Tree: artifact.Digest(digestB)},
	}}
}

// inLayout is a seal of an output that is an image layout, in which the image A lay.
func inLayout(output string) ImageSeal {
	s := manifest()
	s.Subject = provenance.Subject{URI: "s3://store/bucket/image.tgz", Output: output, Sum: content.Sum{Form: content.FormTar, SHA256: artifact.Digest(strings.Repeat("c", 64)), Tree: artifact.Digest(digestB)}}
	s.Statement.Measured = []provenance.Measured{{Output: output, Image: oci.Image{Digest: artifact.Digest(digestA), Kind: oci.KindManifest}}}
	return s
}

// imageAnswer shows a seal to the policies, if it is looked for where it is.
func imageAnswer(t *testing.T, set Set, reference string, seals ...ImageSeal) string {
	t.Helper()
	i, err := image.Parse(reference)
	if err != nil {
		return string(reason.ImageInvalid)
	}
	k := set.Image(i, Consumer{Namespace: "team", Mode: v1alpha1.ModeEnforce, Cluster: "here"}, now)
	for _, s := range seals {
		for _, namespace := range k.Namespaces() {
			if !k.Settled() && namespace == s.Statement.Step.Namespace && k.Wants(s.Subject.Output) {
				k.Show(s)
				break
			}
		}
	}
	if no := k.Refusal(); no != nil {
		return string(no.Code)
	}
	return "admitted"
}

// TestASealOfAnotherManifestIsNone: whatever of a seal is another than what the policy
// trusts, the image is refused; the seal itself admits it.
func TestASealOfAnotherManifestIsNone(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, `{images: [{name: "registry.test/**", producers: [{output: manifest, namespaces: [lib], anyWorkflow: true}]}], require: {maxAge: 2h}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ImageSeal){
		"another digest":                func(s *ImageSeal) { s.Subject.SHA256 = artifact.Digest(digestB) },
		"no digest":                     func(s *ImageSeal) { s.Subject.SHA256 = "" },
		"an archive":                    func(s *ImageSeal) { s.Subject.Form = content.FormTar },
		"a directory":                   func(s *ImageSeal) { s.Subject.Form = content.FormDirectory },
		"another output":                func(s *ImageSeal) { s.Subject.Output = "message" },
		"another namespace":             func(s *ImageSeal) { s.Statement.Step.Namespace = "team" },
		"another cluster":               func(s *ImageSeal) { s.Statement.Builder.Cluster = "there" },
		"no level":                      func(s *ImageSeal) { s.Statement.Builder.Level = "" },
		"a step that failed":            func(s *ImageSeal) { s.Statement.Outcome.Result = provenance.Failed },
		"a step that was to be refused": func(s *ImageSeal) { s.Statement.Verdict = reason.NoProvenance },
		"a laxer mode":                  func(s *ImageSeal) { s.Statement.Mode = v1alpha1.ModeWarn },
		"one that is too old":           func(s *ImageSeal) { s.Statement.FinishedAt = now.Add(-3 * time.Hour) },
		"no statement":                  func(s *ImageSeal) { s.Statement = &provenance.Statement{} },
	} {
		t.Run(name, func(t *testing.T) {
			if got := imageAnswer(t, set, app+"@sha256:"+digestA, manifest()); got != "admitted" {
				t.Fatalf("the honest one is %s", got)
			}
			s := manifest()
			change(&s)
			// Shown whatever Namespaces and Wants say: these only save reads.
			i, _ := image.Parse(app + "@sha256:" + digestA)
			k := set.Image(i, Consumer{Namespace: "team", Mode: v1alpha1.ModeEnforce, Cluster: "here"}, now)
			k.Show(s)
			if no := k.Refusal(); no == nil || no.Code != reason.ImageUnproven {
				t.Errorf("the answer is %v", no)
			}
			k.Show(manifest())
			if no := k.Refusal(); no != nil {
				t.Errorf("a good one beside it is not seen: %v", no)
			}
		})
	}
}

// TestAnImageOfAnotherLayoutIsNone: as for manifests, where the policy trusts a layout.
func TestAnImageOfAnotherLayoutIsNone(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, `{images: [{name: "registry.test/**", producers: [{output: image, layout: true, namespaces: [lib], anyWorkflow: true}]}], require: {maxAge: 2h}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ImageSeal){
		"another image in it":         func(s *ImageSeal) { s.Statement.Measured[0].Digest = artifact.Digest(digestB) },
		"no image in it":              func(s *ImageSeal) { s.Statement.Measured = nil },
		"the image in another output": func(s *ImageSeal) { s.Statement.Measured[0].Output = "base" },
		"the layout itself as the image": func(s *ImageSeal) {
			s.Statement.Measured, s.Subject.SHA256, s.Subject.Form = nil, artifact.Digest(digestA), content.FormFile
		},
		"another output":      func(s *ImageSeal) { s.Subject.Output, s.Statement.Measured[0].Output = "base", "base" },
		"another namespace":   func(s *ImageSeal) { s.Statement.Step.Namespace = "team" },
		"a step that failed":  func(s *ImageSeal) { s.Statement.Outcome.Result = provenance.Failed },
		"one that is too old": func(s *ImageSeal) { s.Statement.FinishedAt = now.Add(-3 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			if got := imageAnswer(t, set, app+"@sha256:"+digestA, inLayout("image")); got != "admitted" {
				t.Fatalf("the honest one is %s", got)
			}
			s := inLayout("image")
			change(&s)
			i, _ := image.Parse(app + "@sha256:" + digestA)
			k := set.Image(i, Consumer{Namespace: "team", Mode: v1alpha1.ModeEnforce, Cluster: "here"}, now)
			if !k.WantsIn("lib", true) {
				t.Error("no layout is looked for")
			}
			k.Show(s)
			if no := k.Refusal(); no == nil || no.Code != reason.ImageUnproven {
				t.Errorf("the answer is %v", no)
			}
		})
	}
}

func TestARevokedImageIsRefused(t *testing.T) {
	cluster := clusterOf(t, `images: [{name: "registry.test/**", sha256: [A], producers: [{output: manifest, namespaces: [lib], anyWorkflow: true}]}, {name: "free.test/**", anyContent: true}]`)
	for name, c := range map[string]struct {
		spec  v1alpha1.RevocationSpec
		image string
		seals []ImageSeal
		want  string
	}{
		"as an image":                    {v1alpha1.RevocationSpec{Images: []string{digestA}}, app + "@sha256:" + digestA, nil, "Revoked"},
		"as what was made":               {v1alpha1.RevocationSpec{Digests: []string{digestA}}, app + "@sha256:" + digestA, nil, "Revoked"},
		"where any content is admitted":  {v1alpha1.RevocationSpec{Images: []string{digestA}}, "free.test/app@sha256:" + digestA, nil, "Revoked"},
		"by the workflow that made it":   {v1alpha1.RevocationSpec{Workflows: []string{"uid-1"}}, app + "@sha256:" + digestB, []ImageSeal{of(digestB)}, "ImageUnproven"},
		"by one that names nothing":      {v1alpha1.RevocationSpec{}, app + "@sha256:" + digestA, nil, "PolicyInvalid"},
		"nothing, and any content":       {v1alpha1.RevocationSpec{}, "free.test/app:latest", nil, "PolicyInvalid"},
		"another one":                    {v1alpha1.RevocationSpec{Images: []string{digestB}}, app + "@sha256:" + digestA, nil, "admitted"},
		"where no policy is about it":    {v1alpha1.RevocationSpec{Images: []string{digestA}}, "other.test/app@sha256:" + digestA, nil, "admitted"},
		"nothing, and the seal is taken": {v1alpha1.RevocationSpec{Workflows: []string{"uid-2"}}, app + "@sha256:" + digestB, []ImageSeal{of(digestB)}, "admitted"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := NewSet("team", cluster, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := v1alpha1.Revocation{Spec: c.spec}
			r.Name, r.Spec.Reason = "stolen", "stolen"
			if got := imageAnswer(t, set.Revoking([]v1alpha1.Revocation{r}), c.image, c.seals...); got != c.want {
				t.Errorf("the answer is %s, want %s", got, c.want)
			}
		})
	}
}

// One image of a layout that is revoked takes the layout with it; one of another output does
// not.
func TestALayoutWithARevokedImageProvesNothing(t *testing.T) {
	cluster := clusterOf(t, `images: [{name: "registry.test/**", producers: [{output: image, layout: true, namespaces: [lib], anyWorkflow: true}]}]`)
	set, err := NewSet("team", cluster, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Repeat("d", 64)
	for name, spec := range map[string]v1alpha1.RevocationSpec{"as an image": {Images: []string{bad}}, "as what was made": {Digests: []string{bad}}} {
		t.Run(name, func(t *testing.T) {
			revoking := set.Revoking([]v1alpha1.Revocation{{Spec: spec}})
			for output, want := range map[string]string{"image": "ImageUnproven", "base": "admitted"} {
				s := inLayout("image")
				s.Statement.Measured = append(s.Statement.Measured, provenance.Measured{Output: output, Image: oci.Image{Digest: artifact.Digest(bad), Kind: oci.KindManifest}})
				if got := imageAnswer(t, revoking, app+"@sha256:"+digestA, s); got != want {
					t.Errorf("with the revoked one in output %s the answer is %s, want %s", output, got, want)
				}
			}
		})
	}
}

// of is a seal of a manifest with that digest.
func of(digest string) ImageSeal {
	s := manifest()
	s.Subject.SHA256 = artifact.Digest(digest)
	return s
}

// A seal that cannot be verified yet does not refuse for good.
func TestASealThatMayYetHoldIsWaitedFor(t *testing.T) {
	set, err := NewSet("team", clusterOf(t, `images: [{name: "registry.test/**", producers: [{output: manifest, namespaces: [lib], anyWorkflow: true}]}]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := image.Parse(app + "@sha256:" + digestA)
	k := set.Image(i, Consumer{Namespace: "team", Mode: v1alpha1.ModeEnforce, Cluster: "here"}, now)
	k.Reject(reason.New(reason.SignerExpired, "old"))
	if no := k.Refusal(); no == nil || no.Code != reason.ImageUnproven || !strings.Contains(no.Detail, "SignerExpired: old") {
		t.Errorf("the answer is %v", no)
	}
	k.Reject(reason.New(reason.TrustedRootNotReady, "not yet"))
	if no := k.Refusal(); no == nil || !no.Code.Retryable() {
		t.Errorf("the answer is %v", no)
	}
	k.Show(manifest())
	if no := k.Refusal(); no != nil {
		t.Errorf("the answer is %v", no)
	}
}

// Who names an image by tag is told the digest, where a policy lists it for that name.
func TestARefusalSaysTheDigestToWrite(t *testing.T) {
	for entry, says := range map[string]bool{
		`{name: registry.test/team/app, sha256: [A]}`:                              true,
		`{name: "registry.test/team/*", sha256: [A]}`:                              false,
		`{name: registry.test/team/other, sha256: [A]}, {name: "**", sha256: [A]}`: false,
	} {
		set, err := NewSet("team", clusterOf(t, "images: ["+entry+"]"), nil)
		if err != nil {
			t.Fatal(err)
		}
		i, _ := image.Parse(app + ":v1")
		no := set.Image(i, Consumer{}, now).Refusal()
		if no == nil || no.Code != reason.ImageNotPinned || strings.Contains(no.Error(), app+"@sha256:"+digestA) != says {
			t.Errorf("%s: %v", entry, no)
		}
	}
}

// Only a policy that speaks of images makes all that cannot be evaluated refuse.
func TestPoliciesWithoutImagesLeaveImagesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		cluster, own string
		about        bool
		invalid      bool
	}{
		"none":                             {},
		"one about inputs":                 {cluster: "allow: {}"},
		"one that cannot be evaluated":     {cluster: "require: {level: perfect}"},
		"one about images":                 {cluster: `images: [{name: "**", anyContent: true}]`, about: true},
		"one about images elsewhere":       {cluster: `{namespaces: [lib], images: [{name: "**", anyContent: true}]}`},
		"a tenant's about images":          {own: `images: [{name: "**", sha256: [A]}]`, about: true},
		"one of nobody knows which":        {cluster: `{namespaces: [], images: [{name: "**", anyContent: true}]}`, invalid: true},
		"one about images without entries": {cluster: "images: []", about: true},
	} {
		about, err := AboutImages("team", clusterOf(t, c.cluster), ownOf(t, c.own))
		if about != c.about || (err != nil) != c.invalid {
			t.Errorf("%s: %v, %v", name, about, err)
		}
	}
	if (*ImageCase)(nil).Refusal() == nil || (&ImageCase{}).Refusal() == nil || (Set{}).Image(image.Image{}, Consumer{}, now).Refusal() == nil {
		t.Error("a zero value admits")
	}
}
