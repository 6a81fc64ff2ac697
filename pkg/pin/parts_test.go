package pin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
)

// collected is a pin of three files in two directories and one beside them.
func collected(t *testing.T) Pin {
	t.Helper()
	pin := Pin{Input: "in", Location: "s3://s/b/k/"}
	files := []content.File{{Path: "sub/b", SHA256: contenttest.SumOfNothing}, {Path: "a", SHA256: contenttest.SumOfX}, {Path: "sub/deep/c", SHA256: contenttest.SumOfX}, {Path: "sub.more/d", SHA256: contenttest.SumOfX}}
	if err := pin.Collect(files, []string{"sub.more", "sub"}); err != nil {
		t.Fatal(err)
	}
	return pin
}

func TestPartsAreObjectsAndDirectories(t *testing.T) {
	pin := collected(t)
	if err := pin.Validate(); err != nil {
		t.Fatal(err)
	}
	of := func(files ...content.File) artifact.Digest { return content.Files(files).Tree() }
	sub, more := of(content.File{Path: "b", SHA256: contenttest.SumOfNothing}, content.File{Path: "deep/c", SHA256: contenttest.SumOfX}), of(content.File{Path: "d", SHA256: contenttest.SumOfX})
	want := []Part{
		{"a", contenttest.SumOfX, content.FileTree(contenttest.SumOfX), ""},
		{"sub/", sub, sub, ""},
		{"sub.more/", more, more, ""},
	}
	if parts, err := pin.Parts(); err != nil || !reflect.DeepEqual(parts, want) {
		t.Errorf("got %+v, %v, want %+v", parts, err, want)
	}
	pin.Dirs = ""
	if parts, err := pin.Parts(); err != nil || len(parts) != 4 {
		t.Errorf("without directories: %+v, %v", parts, err)
	}
	if parts, err := (Pin{}).Parts(); err != nil || parts != nil {
		t.Errorf("of nothing: %+v, %v", parts, err)
	}
}

// Where parts lie in one another, the pin says which seal vouches for each file.
func TestFilesOfSeveralStepsHaveTheirSeals(t *testing.T) {
	pin := collected(t)
	files, err := content.ParseFiles(pin.Files)
	if err != nil {
		t.Fatal(err)
	}
	seals := map[string]string{}
	for i, f := range files {
		seals[f.Path] = []string{"first", "second"}[i%2]
	}
	if err := pin.Attribute(seals); err != nil {
		t.Fatal(err)
	}
	if err := pin.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(pin)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(string(text))
	if err != nil || read != pin {
		t.Fatalf("read is %+v, %v", read, err)
	}
	parts, err := read.Parts()
	if err != nil || len(parts) != len(files) {
		t.Fatalf("parts are %+v, %v", parts, err)
	}
	for i, part := range parts {
		if want := (Part{files[i].Path, files[i].SHA256, content.FileTree(files[i].SHA256), seals[files[i].Path]}); part != want {
			t.Errorf("part is %+v, want %+v", part, want)
		}
	}
	for title, change := range map[string]func(*Pin){
		"no seals":             func(p *Pin) { p.Seals = "" },
		"no numbers":           func(p *Pin) { p.Of = "" },
		"one number less":      func(p *Pin) { p.Of = strings.TrimPrefix(p.Of, "0,") },
		"one number more":      func(p *Pin) { p.Of += ",0" },
		"a number of no seal":  func(p *Pin) { p.Of = strings.Replace(p.Of, "1", "2", 1) },
		"a negative number":    func(p *Pin) { p.Of = strings.Replace(p.Of, "1", "-1", 1) },
		"a number in two ways": func(p *Pin) { p.Of = strings.Replace(p.Of, "1", "01", 1) },
		"a seal without name":  func(p *Pin) { p.Seals = "\nsecond\n" },
		"a seal too long":      func(p *Pin) { p.Seals = strings.Repeat("x", maxPolicy+1) + "\nsecond\n" },
		"a half line":          func(p *Pin) { p.Seals = strings.TrimSuffix(p.Seals, "\n") },
		"directories too":      func(p *Pin) { p.Dirs = "sub\n" },
		"no files": func(p *Pin) {
			p.Location, p.SHA256, p.Tree, p.Files = "s3://s/b/k", contenttest.SumOfX, content.FileTree(contenttest.SumOfX), ""
		},
		"names of no end": func(p *Pin) { p.Seals += strings.Repeat("third\n", maxPinned/6) },
	} {
		other := pin
		if change(&other); other.Validate() == nil {
			t.Errorf("%s: it is valid", title)
		}
	}
}

// pinned makes a pin be about so many files.
func pinned(p *Pin, n int, prefix string) {
	var files content.Files
	for i := range n {
		files = append(files, content.File{Path: fmt.Sprintf("%s%04d", prefix, i), SHA256: contenttest.SumOfX})
	}
	p.SHA256, p.Tree, p.Files, p.Dirs = files.Tree(), files.Tree(), files.String(), ""
}

func TestPartsThatNoPinHasAreRefused(t *testing.T) {
	for title, change := range map[string]func(*Pin){
		"of another tree": func(p *Pin) { p.SHA256, p.Tree = contenttest.SumOfX, contenttest.SumOfX },
		"of an object":    func(p *Pin) { p.Location = "s3://s/b/k" },
		"that are none":   func(p *Pin) { p.Files = "x\n" },
		"with one seal":   func(p *Pin) { p.Within = "s3://s/b/" },
		"unpacked":        func(p *Pin) { p.Archive = content.ArchiveTar },
		"too many":        func(p *Pin) { pinned(p, MaxFiles+1, "") },
		"too long":        func(p *Pin) { pinned(p, MaxFiles, strings.Repeat("n", 30)) },
		"too long with directories": func(p *Pin) {
			pinned(p, 500, "")
			p.Files = strings.ReplaceAll(p.Files, "\n", strings.Repeat("n", 10)+"/x\n")
			files, _ := content.ParseFiles(p.Files)
			for _, f := range files {
				p.Dirs += strings.TrimSuffix(f.Path, "/x") + "\n"
			}
			p.SHA256, p.Tree = files.Tree(), files.Tree()
		},
		"directories without files":  func(p *Pin) { p.Files = "" },
		"a directory without a file": func(p *Pin) { p.Dirs += "z\n" },
		"a directory that is a file": func(p *Pin) { p.Dirs = "a\n" + p.Dirs },
		"a directory twice":          func(p *Pin) { p.Dirs = "sub\n" + p.Dirs },
		"a directory in another":     func(p *Pin) { p.Dirs = "sub\nsub/deep\nsub.more\n" },
		"directories out of order":   func(p *Pin) { p.Dirs = "sub.more\nsub\n" },
		"a directory with a slash":   func(p *Pin) { p.Dirs = "sub/\n" },
		"the whole as a directory":   func(p *Pin) { p.Dirs = ".\n" },
		"a directory without a name": func(p *Pin) { p.Dirs = "\n" },
		"an empty line between":      func(p *Pin) { p.Dirs = "sub\n\nsub.more\n" },
		"an empty line at the end":   func(p *Pin) { p.Dirs += "\n" },
		"an empty line at the start": func(p *Pin) { p.Dirs = "\n" + p.Dirs },
		"directories without an end": func(p *Pin) { p.Dirs = strings.TrimSuffix(p.Dirs, "\n") },
		"directories of a whole seal": func(p *Pin) {
			p.Location, p.SHA256, p.Tree, p.Files = "s3://s/b/k", contenttest.SumOfX, content.FileTree(contenttest.SumOfX), ""
		},
	} {
		p := collected(t)
		if change(&p); p.Validate() == nil {
			t.Errorf("%s: accepted", title)
		}
	}
	for title, c := range map[string]struct {
		files []content.File
		dirs  []string
	}{
		"nothing":                  {nil, nil},
		"a file twice":             {[]content.File{{Path: "a", SHA256: contenttest.SumOfX}, {Path: "a", SHA256: contenttest.SumOfX}}, nil},
		"a file below a file":      {[]content.File{{Path: "a", SHA256: contenttest.SumOfX}, {Path: "a/b", SHA256: contenttest.SumOfX}}, []string{"a"}},
		"out of the directory":     {[]content.File{{Path: "../a", SHA256: contenttest.SumOfX}}, nil},
		"a directory of nothing":   {[]content.File{{Path: "a", SHA256: contenttest.SumOfX}}, []string{"b"}},
		"a directory in another":   {[]content.File{{Path: "a/b/c", SHA256: contenttest.SumOfX}}, []string{"a", "a/b"}},
		"a directory of two lines": {[]content.File{{Path: "a", SHA256: contenttest.SumOfX}}, []string{"a\nb"}},
	} {
		if err := new(Pin).Collect(c.files, c.dirs); err == nil {
			t.Errorf("%s: collected", title)
		}
	}
}

// A directory that several steps filled can be one step's alone: that seal is named.
func TestAPinNamesTheOneSealThatIsNotOfItsPlace(t *testing.T) {
	pin := Pin{Input: "in", Location: "s3://s/b/k/f", Within: "s3://s/b/k/", SHA256: contenttest.SumOfX, Archive: content.ArchiveNone, Tree: content.FileTree(contenttest.SumOfX), Seals: "first\n"}
	if err := pin.Validate(); err != nil || pin.One() != "first" {
		t.Errorf("%q, %v", pin.One(), err)
	}
	if parts, err := pin.Parts(); err != nil || parts != nil {
		t.Errorf("it has the parts %+v, %v", parts, err)
	}
	if of := collected(t); of.One() != "" {
		t.Errorf("one of many is %q", of.One())
	}
	for title, change := range map[string]func(*Pin){
		"half a line":      func(p *Pin) { p.Seals = "first" },
		"two":              func(p *Pin) { p.Seals = "first\nsecond\n" },
		"no name":          func(p *Pin) { p.Seals = "\n" },
		"one that is long": func(p *Pin) { p.Seals = strings.Repeat("x", maxPolicy+1) + "\n" },
		"one and a policy": func(p *Pin) { p.Policy, p.Seal = "p", "n/s" },
		"one and numbers":  func(p *Pin) { p.Of = "0" },
	} {
		broken := pin
		if change(&broken); broken.Validate() == nil {
			t.Errorf("%s: it is taken", title)
		}
	}
}
