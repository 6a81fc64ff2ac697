package argo_test

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

func objectAt(t *testing.T, key string) artifact.Location {
	t.Helper()
	l, err := artifact.NewObject("s3:9000", "b", key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAnInputHasAProblemOrFacts(t *testing.T) {
	bare := argo.Input{Name: "in", Path: "/in"}
	problem := reason.New(reason.RemoteUnsupported, "x")
	for name, in := range map[string]argo.Input{
		"of a store": bare.StoredAt(objectAt(t, "k"), content.ArchiveDetect),
		"fetched":    bare.FetchedFrom(argo.SourceHTTP, "https://example.org/x", content.ArchiveDetect),
		"inline":     bare.WithText(artifact.DigestOfText("x")),
	} {
		t.Run(name, func(t *testing.T) {
			in = in.OnMount(argo.Mount{Volume: "v"})
			if in.Problem() != nil || in.Mount() == nil || in.URI() == "" && in.RawSHA256() == "" {
				t.Errorf("it is %+v", in)
			}
			refused := in.Refused(problem).OnMount(argo.Mount{Volume: "v"})
			if refused.Source != in.Source || refused.Problem() == nil || refused.Problem().Artifact != "in" {
				t.Errorf("refused it is %+v", refused)
			}
			if refused.URI() != "" || refused.Location() != (artifact.Location{}) || refused.Archive() != "" || refused.RawSHA256() != "" || refused.Mount() != nil {
				t.Errorf("refused it still says %+v", refused)
			}
			for other, again := range map[string]argo.Input{
				"stored": refused.StoredAt(objectAt(t, "other"), content.ArchiveTar), "fetched": refused.FetchedFrom(argo.SourceGit, "git+https://x", content.ArchiveNone), "inline": refused.WithText(artifact.DigestOfText("y")),
			} {
				if again.Problem() != nil {
					t.Errorf("%s it keeps the problem %v", other, again.Problem())
				}
			}
		})
	}
}

func TestAnOutputHasAProblemOrFacts(t *testing.T) {
	l := objectAt(t, "k")
	out := argo.Output{Name: "out", Path: "/out"}.StoredAt(l, content.ArchiveTar, "v")
	if out.Problem() != nil || out.Location() != l || out.Unsealed() != nil || len(out.Locations()) != 1 {
		t.Errorf("it is %+v", out)
	}
	// A second problem takes nothing away of what the first left.
	for range 2 {
		out = out.Refused(reason.New(reason.DaemonUnsupported, "x"))
		if out.Problem() == nil || out.Problem().Artifact != "out" || out.Location() != (artifact.Location{}) || out.Archive() != "" || out.Volume() != "" || out.Locations() != nil {
			t.Errorf("refused it is %+v", out)
		}
		if places := out.Unsealed(); len(places) != 2 || places[0] != l || places[1] != l.Prefix() {
			t.Errorf("it goes without a seal to %v", places)
		}
	}
	if again := out.StoredAt(l, content.ArchiveTar, ""); again.Problem() != nil || again.Unsealed() != nil {
		t.Errorf("stored again it is %+v", again)
	}
}
