package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sources are the Go files of the programs below a folder, tests and what is generated
// apart: what monitoring meets is read from the code that makes it.
type sources struct {
	set   *token.FileSet
	files map[string]*ast.File // by their paths below the root
}

func readSources(root string) (sources, error) {
	s := sources{token.NewFileSet(), map[string]*ast.File{}}
	for _, folder := range []string{"cmd", "pkg", "webhook", "certs"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(d.Name(), "zz_") {
				return err
			}
			f, err := parser.ParseFile(s.set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			s.files[filepath.ToSlash(rel)] = f
			return err
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// paths are those of the files, in order.
func (s sources) paths() []string {
	paths := make([]string, 0, len(s.files))
	for path := range s.files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// observed writes what monitoring and people meet of a running Argoseal.
func observed(page *bytes.Buffer, root string) error {
	s, err := readSources(root)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		head string
		rows func() ([]string, error)
	}{
		{"## Metrics\n\nLabels are closed sets; `reason` is a reason code.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n", s.metrics},
		{"## Events\n\n| on | type | reason | when |\n|---|---|---|---|\n", s.events},
		{"## Conditions\n\n| condition | meaning |\n|---|---|\n", s.conditions},
		{"Their reasons, and those of events, are reason codes or these:\n\n| reason | of | meaning |\n|---|---|---|\n", s.reasons},
	} {
		rows, err := part.rows()
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("nothing was found for %q", part.head)
		}
		slices.Sort(rows)
		fmt.Fprintf(page, "\n%s%s", part.head, strings.Join(slices.Compact(rows), ""))
	}
	return nil
}

// metrics are all that are made with options (prometheus.CounterOpts and the like), or
// as a description.
func (s sources) metrics() ([]string, error) {
	var rows []string
	var problem error
	for _, path := range s.paths() {
		ast.Inspect(s.files[path], func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			made, ok := strings.CutPrefix(nameOf(call.Fun), "prometheus.New")
			if !ok || made == "Registry" {
				return true
			}
			kind := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(made, "Vec"), "Func"))
			var name, help string
			var labels []string
			if made == "Desc" {
				name, help, labels = literal(call.Args[0]), literal(call.Args[1]), literals(call.Args[2])
				kind = "gauge"
				if strings.HasSuffix(name, "_total") {
					kind = "counter"
				}
			} else {
				options, _ := call.Args[0].(*ast.CompositeLit)
				name, help = field(options, "Name"), field(options, "Help")
				if strings.HasSuffix(made, "Vec") {
					labels = literals(call.Args[len(call.Args)-1])
				}
			}
			if name == "" || help == "" {
				problem = fmt.Errorf("%s: a metric without a literal name and help", s.set.Position(call.Pos()))
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help))
			return true
		})
	}
	return rows, problem
}

// eventMark begins the line above a call that makes an event, which says what it is:
// on which kind of object, its type, its reason, and when it is made.
const eventMark = "//argoseal:event "

var eventCall = regexp.MustCompile(`\.Events\.(AnnotatedEventf|Eventf?)$`)

func (s sources) events() ([]string, error) {
	var rows []string
	var problem error
	for _, path := range s.paths() {
		file := s.files[path]
		said := map[int]string{}
		for _, group := range file.Comments {
			for _, c := range group.List {
				if text, ok := strings.CutPrefix(c.Text, eventMark); ok {
					said[s.set.Position(c.Pos()).Line] = text
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !eventCall.MatchString(nameOf(call.Fun)) {
				return true
			}
			at := s.set.Position(call.Pos())
			text := said[at.Line-1]
			if strings.Count(text, " | ") != 3 {
				problem = fmt.Errorf("%s: no line %q above it says on what, which type, which reason and when", at, eventMark)
			}
			rows = append(rows, "| "+text+" |\n")
			return true
		})
	}
	return rows, problem
}

// conditions are the constants of the API that are called so.
func (s sources) conditions() ([]string, error) {
	return s.constants(func(path, name, _ string) (string, bool) {
		return "", strings.HasPrefix(path, "pkg/api/") && strings.HasPrefix(name, "Condition")
	})
}

// reasonsOf says whose the reasons in a package are.
var reasonsOf = map[string]string{
	"pkg/monitor":                    "WorkflowProvenance",
	"pkg/notary/workflow":            "WorkflowProvenance",
	"pkg/sentinel/access/controller": "SecretAccess",
	"pkg/sentinel/controller":        "SecretEncryption",
	"pkg/sentinel/encryption":        "SecretEncryption",
	"pkg/scrub":                      "ArtifactSeal",
	"webhook/server":                 "ClusterProvenancePolicy, ProvenancePolicy",
}

// reasons are the constants that are called reasonX, or have a type Reason.
func (s sources) reasons() ([]string, error) {
	called := regexp.MustCompile(`^reason[A-Z]`)
	var problem error
	rows, err := s.constants(func(path, name, kind string) (string, bool) {
		if !called.MatchString(name) && kind != "Reason" && kind != "encryption.Reason" {
			return "", false
		}
		of, known := reasonsOf[filepath.ToSlash(filepath.Dir(path))]
		if !known {
			problem = fmt.Errorf("%s: nobody says whose reason %s is", path, name)
		}
		return of, true
	})
	if err == nil {
		err = problem
	}
	return rows, err
}

// constants are rows for those that are chosen, with what is in the column after their
// value, if anything is, and what their comments say.
func (s sources) constants(choose func(path, name, kind string) (column string, chosen bool)) ([]string, error) {
	var rows []string
	for _, path := range s.paths() {
		for _, d := range s.files[path].Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			for _, one := range decl.Specs {
				spec := one.(*ast.ValueSpec)
				column, chosen := choose(path, spec.Names[0].Name, nameOf(spec.Type))
				if !chosen || len(spec.Values) == 0 || literal(spec.Values[0]) == "" {
					continue // or it is a reason code
				}
				text := meaning(spec, decl)
				if text == "" {
					return nil, fmt.Errorf("%s: no comment says what %s means", path, spec.Names[0].Name)
				}
				if column != "" {
					column += " | "
				}
				rows = append(rows, fmt.Sprintf("| `%s` | %s%s |\n", literal(spec.Values[0]), column, text))
			}
		}
	}
	return rows, nil
}

// meaning is the comment of a constant in one line, without its name before it.
func meaning(spec *ast.ValueSpec, decl *ast.GenDecl) string {
	comment := spec.Comment
	if comment == nil {
		comment = spec.Doc
	}
	if comment == nil && len(decl.Specs) == 1 {
		comment = decl.Doc
	}
	text := strings.Join(strings.Fields(comment.Text()), " ")
	text = strings.TrimPrefix(text, spec.Names[0].Name+" ")
	return strings.TrimSuffix(strings.TrimPrefix(text, "is "), ".")
}

// nameOf spells an identifier, or a selection of one; empty for anything else.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	}
	return ""
}

// field is the text of a field in a composite literal.
func field(of *ast.CompositeLit, name string) string {
	if of == nil {
		return ""
	}
	for _, e := range of.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && nameOf(kv.Key) == name {
			return literal(kv.Value)
		}
	}
	return ""
}

// literals are the texts in a list of them.
func literals(e ast.Expr) []string {
	list, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var all []string
	for _, e := range list.Elts {
		all = append(all, literal(e))
	}
	return all
}

// literal is the text of a string literal; empty for anything else.
func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(l.Value)
	if err != nil {
		return ""
	}
	return text
}
