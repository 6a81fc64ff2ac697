// Package docs holds the pages to the code: what they name exists, and what they
// count is so.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// page reads a page, by its path in the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// section is what stands below a heading, up to the next one.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, below, found := strings.Cut(text, "\n## "+heading+"\n")
	if !found {
		t.Fatalf("there is no section %q", heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	return below
}

// rows are the cells of the first table in a text, without its head.
func rows(t *testing.T, text string, columns int) [][]string {
	t.Helper()
	var out [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(out) > 0 {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != columns {
			t.Fatalf("a row has %d cells, want %d: %s", len(cells), columns, line)
		}
		out = append(out, cells)
	}
	if len(out) < 3 {
		t.Fatal("there is no table")
	}
	return out[2:]
}

var inBackticks = regexp.MustCompile("`([^`]+)`")

// quoted are the words of a cell that stand in backticks.
func quoted(cell string) []string {
	var out []string
	for _, m := range inBackticks.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// pages are all Markdown files of the repository, by their paths in it.
func pages(t *testing.T) []string {
	t.Helper()
	return files(t, ".md", root)
}

// files are those with a suffix below some folders, by their paths in the
// repository. What is built or hidden is left out.
func files(t *testing.T, suffix string, below ...string) []string {
	t.Helper()
	var out []string
	for _, folder := range below {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			switch name := d.Name(); {
			case err != nil:
				return err
			case d.IsDir() && (name == "bin" || name == "testdata" || strings.HasPrefix(name, ".") && path != root):
				return filepath.SkipDir
			case !d.IsDir() && strings.HasSuffix(name, suffix):
				rel, err := filepath.Rel(root, path)
				out = append(out, filepath.ToSlash(rel))
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) == 0 {
		t.Fatalf("there is no file %s", suffix)
	}
	return out
}

// goFiles are the Go files below some folders of the repository whose names end so,
// by their paths in it, without tests unless they are asked for.
func goFiles(t *testing.T, suffix string, below ...string) []string {
	t.Helper()
	for i := range below {
		below[i] = filepath.Join(root, below[i])
	}
	return slices.DeleteFunc(files(t, suffix, below...), func(path string) bool {
		return strings.HasSuffix(path, "_test.go") && suffix != "_test.go"
	})
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tests are all tests and fuzz targets, by name, whatever they need: the paths of
// the files that have them.
func tests(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range goFiles(t, "_test.go", "certs", "charts", "cmd", "docs", "e2e", "pkg", "webhook") {
		for _, d := range parse(t, path).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				out[fn.Name.Name] = path
			}
		}
	}
	return out
}

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)(?:/[^`]*)?`")

// TestTheTestsThatPagesNameExist: what is said to be shown by a test is.
func TestTheTestsThatPagesNameExist(t *testing.T) {
	exists := tests(t)
	for _, path := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(page(t, path), -1) {
			if exists[m[1]] == "" {
				t.Errorf("%s names %s, which there is not", path, m[1])
			}
		}
	}
}

var pathInText = regexp.MustCompile("`((?:certs|charts|cmd|docs|e2e|pkg|webhook)/[A-Za-z0-9_./-]+)`")

// TestThePathsThatPagesNameExist: files and folders of ours, in backticks.
func TestThePathsThatPagesNameExist(t *testing.T) {
	for _, path := range pages(t) {
		for _, m := range pathInText.FindAllStringSubmatch(page(t, path), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s: %v", path, m[1], err)
			}
		}
	}
}
