package measurement

import (
	"bytes"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

func TestStagedFilesHaveOneSpelling(t *testing.T) {
	for text, want := range map[string]struct {
		staged Staged
		name   string
	}{
		"a":              {Staged{Output: "a", Archive: content.ArchiveTar}, "a.tgz"},
		"a=tar=/b/c = d": {Staged{Output: "a", Archive: content.ArchiveTar, Path: "/b/c = d"}, "a.tgz"},
		"a=zip":          {Staged{Output: "a", Archive: content.ArchiveZip}, "a.zip"},
		"a=none=b.txt":   {Staged{Output: "a", Archive: content.ArchiveNone, File: "b.txt"}, "b.txt"},
		"a=none==b =ü=":  {Staged{Output: "a", Archive: content.ArchiveNone, File: "=b =ü="}, "=b =ü="},
		"a=packed=/b/c":  {Staged{Output: "a", Archive: content.ArchiveNone, Place: PlacePacked, Path: "/b/c"}, ""},
		"a=volume=/v/b=": {Staged{Output: "a", Archive: content.ArchiveNone, Place: PlaceVolume, Path: "/v/b="}, ""},
		"a=none@gs=b":    {Staged{Output: "a", Archive: content.ArchiveNone, File: "b", Store: artifact.SchemeGCS}, "b"},
		"a=none@azure=b": {Staged{Output: "a", Archive: content.ArchiveNone, File: "b", Store: artifact.SchemeAzure}, "b"},
		"a=packed@gs=/b": {Staged{Output: "a", Archive: content.ArchiveNone, Place: PlacePacked, Path: "/b", Store: artifact.SchemeGCS}, ""},
		"a=volume@gs=/b": {Staged{Output: "a", Archive: content.ArchiveNone, Place: PlaceVolume, Path: "/b", Store: artifact.SchemeGCS}, ""},
		"a=log=b.log":    {Staged{Output: "a", Archive: content.ArchiveNone, File: "b.log", Log: true}, "b.log"},
	} {
		s, err := ParseStaged(text)
		if err != nil || s != want.staged || s.String() != text || s.Name() != want.name {
			t.Errorf("%q is read as %+v (%v), file %q", text, s, err, s.Name())
		}
	}
	for _, text := range []string{
		"", "=none=b", "a=", "a=tar", "a=tar=", "a=tar=b", "a=tar=/", "a=tar=/b/", "a=tar=/b/../c", "a=tar=/b\n", "a=tar=/\xff",
		"a=tar=/" + strings.Repeat("n/", content.MaxPath/2), "a=none", "a=none=", "a=zip=", "a=zip=a.zip", "a=none=.", "a=none=..", "a=none=b/c", "a=none=b\nc",
		"a=none=b\x00", "a=none@=b", "a=none@s3=b", "a=none@gs", "a=@gs=b", "a=tar@gs", "a=tar@gs=/b", "a=zip@gs", "a=log@gs=b", "a=none@gs@gs=b", "a=none=\xff", "a=detect", "a=rar", "a/b", "a=packed", "a=packed=", "a=packed=b", "a=packed=/b/", "a=volume", "a=volume=/", "a=volume=/b/../c", "a=volume=/b\n", "a=log", "a=log=", "a=log=../b", "a=none=" + string(bytes.Repeat([]byte("n"), content.MaxComponent+1)),
	} {
		if s, err := ParseStaged(text); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
	if err := (Staged{Output: "a", Archive: content.ArchiveTar, Log: true}).Validate(); err == nil {
		t.Error("a log may be an archive")
	}
	for _, s := range []Staged{
		{Output: "a", Archive: content.ArchiveTar, Place: PlacePacked, Path: "/b"},
		{Output: "a", Archive: content.ArchiveZip, Place: PlaceVolume, Path: "/b"},
		{Output: "a", Archive: content.ArchiveNone, Place: PlaceVolume, Path: "/b", Log: true},
		{Output: "a", Archive: content.ArchiveNone, Place: PlaceVolume, Path: "/b", File: "b"},
		{Output: "a", Archive: content.ArchiveNone, Place: "elsewhere", Path: "/b"},
	} {
		if err := s.Validate(); err == nil {
			t.Errorf("%+v may be", s)
		}
	}
}

// FuzzStaged: an output in the sidecar's arguments is spelled in one way only.
func FuzzStaged(f *testing.F) {
	for _, text := range []string{"name", "name=tar=/tmp/a", "name=zip", "name=none=file.txt", "name=none@gs=file.txt", "name=log=main.log", "name=none=../x", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseStaged(text); err == nil && s.String() != text {
			t.Errorf("output %q is spelled %q", text, s)
		}
	})
}
