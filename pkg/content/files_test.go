package content

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
)

func TestAListOfFilesIsTheDirectory(t *testing.T) {
	for title, entries := range map[string]map[string]string{
		"one file":  {"a": "x"},
		"several":   {"a": "x", "a.b": "y", "a-b/c": "", "b/c/d": "z", "b/e": "z"},
		"odd names": {"a b": "x", " c": "y", "d ": "z", "ä/é": "", "\\": "w"},
		"packed":    {"a": "x", "b.tgz": string(gz(pack(file("a", "x"))))},
	} {
		t.Run(title, func(t *testing.T) {
			sum, files := measureFiles(t, contenttest.Directory(t, entries))
			again, err := ParseFiles(files.String())
			if err != nil || !reflect.DeepEqual(again, files) || again.Tree() != sum.Tree || len(files) != len(entries) {
				t.Errorf("%d files are %v, %v, tree %s", len(entries), again, err, sum.Tree)
			}
			if (sum.Form == FormLookalikes) != (title == "packed") {
				t.Errorf("the form is %s", sum.Form)
			}
			for path, content := range entries {
				part, err := files.Part(sum.Form, path)
				if err != nil || part.SHA256 != contenttest.DigestOf(content) || part.Validate() != nil {
					t.Errorf("%q is %+v, %v", path, part, err)
				}
			}
		})
	}
}

func TestAPartIsAFileOrADirectory(t *testing.T) {
	root := contenttest.Directory(t, map[string]string{"a": "x", "b/c/d": "y", "b/e": "z", "bc": "w"})
	_, files := measureFiles(t, root)
	want, _ := measureFiles(t, root+"/b")
	part, err := files.Part(FormDirectory, "b")
	if err != nil || part.Tree != want.Tree || part.Form != FormDirectory || part.Validate() != nil {
		t.Errorf("got %+v, %v, want %+v", part, err, want)
	}
	if part, err := files.Part(FormLookalikes, "a"); err != nil || part.Form != FormLookalike {
		t.Errorf("a file that may be packed is %+v, %v", part, err)
	}
	for _, path := range []string{"", "c", "b/", "/a", "a/", "b/c/d/e", ".", ".."} {
		if part, err := files.Part(FormDirectory, path); err == nil {
			t.Errorf("%q is %+v", path, part)
		}
	}
}

func TestAListThatNoDirectoryHasIsRefused(t *testing.T) {
	line := func(path string) string { return File{Path: path, SHA256: contenttest.SumOfX}.Line() }
	for title, text := range map[string]string{
		"nothing":             "",
		"an empty line":       "\n",
		"no end":              strings.TrimSuffix(line("a"), "\n"),
		"no digest":           "a\n",
		"no path":             line(""),
		"a file twice":        line("a") + line("a"),
		"another order":       line("b") + line("a"),
		"below a file":        line("a") + line("a/b"),
		"two dots":            line("../a"),
		"a dot":               line("a/./b"),
		"an empty segment":    line("a//b"),
		"an absolute path":    line("/a"),
		"a slash at the end":  line("a/"),
		"a control character": line("a\tb"),
		"not UTF-8":           line("a\xff"),
		"a long name":         line(strings.Repeat("n", MaxComponent+1)),
		"a digest in hex":     contenttest.SumOfX + " a\n",
		"more than is read":   strings.Repeat(line("a"), MaxListing/46+1),
	} {
		if list, err := ParseFiles(text); err == nil {
			t.Errorf("%s: read as %v", title, list)
		}
	}
}

func TestOnlyASmallDirectoryIsListed(t *testing.T) {
	many, long := map[string]string{}, map[string]string{}
	for i := range MaxListing/(45+5) + 1 {
		many[fmt.Sprintf("%05d", i)] = ""
	}
	for i := range MaxListing/(45+254) + 1 {
		long[fmt.Sprintf("%s%04d", strings.Repeat("n", 250), i)] = ""
	}
	for title, entries := range map[string]map[string]string{"many": many, "long names": long, "a name that is two lines": {"a\nb": "x", "c": ""}} {
		if sum, files := measureFiles(t, contenttest.Directory(t, entries)); files != nil || sum.Validate() != nil {
			t.Errorf("%s: %+v, %d files", title, sum, len(files))
		}
	}
}

// FuzzFiles: a list of files is spelled in one way only.
func FuzzFiles(f *testing.F) {
	f.Add("LXEWQrcmsEQBYnyp--wy9chTD7GQPMTbAiWHF5IaSIE a\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if files, err := ParseFiles(text); err == nil && files.String() != text {
			t.Errorf("files %q are spelled %q", text, files)
		}
	})
}
