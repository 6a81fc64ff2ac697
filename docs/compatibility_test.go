package docs

import (
	"go/ast"
	"go/constant"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
)

const compatibility = "docs/compatibility.md"

// TestShapes: each row names codes that exist, and is shown by a test or a workflow
// that exists and speaks of them. Where that is one of the honest shapes, the row
// says what the test on the cluster wants of it. No shape is without a row.
func TestShapes(t *testing.T) {
	table := rows(t, section(t, page(t, compatibility), "Shapes"), 6)
	declared, fates := tests(t), fatesOfShapes(t)
	named := map[string]bool{}
	for _, row := range table {
		shape, codes, shownBy := row[0], quoted(row[3]), quoted(row[5])
		for _, code := range codes {
			if reason.Code(code).Meaning() == "" {
				t.Errorf("%s: %s is no reason code", shape, code)
			}
		}
		if strings.Contains(row[2], "refused") && len(codes) == 0 {
			t.Errorf("%s: it is refused, and no reason stands there", shape)
		}
		if len(shownBy) == 0 {
			t.Errorf("%s: nothing shows it", shape)
		}
		for _, code := range codes {
			if !slices.ContainsFunc(shownBy, func(by string) bool {
				return fates[by][code] || declared[by] != "" && strings.Contains(page(t, declared[by]), code)
			}) {
				t.Errorf("%s: nothing that is named speaks of %s", shape, code)
			}
		}
		for _, by := range shownBy {
			if !strings.HasSuffix(by, ".yaml") {
				if declared[by] == "" {
					t.Errorf("%s: there is no %s", shape, by)
				}
				continue
			}
			page(t, "e2e/suite/testdata/"+by)
			named[by] = true
			got, tried := fates[by]
			if !tried {
				continue
			}
			if sealed := got["Sealed"]; strings.HasPrefix(row[1], "yes") && !sealed {
				t.Errorf("%s: no output of %s is sealed", shape, by)
			}
			if strings.HasPrefix(row[1], "no") && len(got) == 1 && got["Sealed"] {
				t.Errorf("%s: every output of %s is sealed", shape, by)
			}
			for fate := range got {
				if fate != "Sealed" && fate != "OutputAbsent" && !slices.Contains(codes, fate) {
					t.Errorf("%s: an output of %s is %s, and the row does not say so", shape, by, fate)
				}
			}
		}
	}
	for by := range fates {
		if !strings.HasPrefix(by, "examples/") && !strings.HasPrefix(by, "test/") && !named[by] {
			t.Errorf("%s has no row in %s", by, compatibility)
		}
	}
	for _, path := range files(t, ".yaml", root+"/e2e/suite/testdata/shapes") {
		if by := strings.TrimPrefix(path, "e2e/suite/testdata/"); !named[by] {
			t.Errorf("%s has no row in %s", by, compatibility)
		}
	}
}

// fatesOfShapes are, by the path of a workflow, what the tests on the cluster want
// to become of its outputs: names of reason codes.
func fatesOfShapes(t *testing.T) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	for _, path := range goFiles(t, "_test.go", "e2e/suite") {
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			shape, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			path, _ := field(shape, "path").(*ast.BasicLit)
			fates, _ := field(shape, "fates").(*ast.CompositeLit)
			if path == nil || fates == nil {
				return true
			}
			by, err := strconv.Unquote(path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if out[by] == nil {
				out[by] = map[string]bool{}
			}
			for _, e := range fates.Elts {
				code, ok := e.(*ast.KeyValueExpr).Value.(*ast.SelectorExpr)
				if !ok {
					t.Fatalf("%s: a fate is no reason code", by)
				}
				out[by][code.Sel.Name] = true
			}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("only %d shapes were found", len(out))
	}
	return out
}

func field(of *ast.CompositeLit, name string) ast.Expr {
	for _, e := range of.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

// TestLimits: each limit is what every constant of its name says.
func TestLimits(t *testing.T) {
	code := constants(t)
	held := 0
	for _, row := range rows(t, section(t, page(t, compatibility), "Limits in numbers"), 4) {
		for _, name := range quoted(row[2]) {
			held++
			values := code.values(t, name)
			if len(values) == 0 {
				t.Errorf("%s: there is no constant %s", row[0], name)
			}
			for _, v := range values {
				if v != number(t, row[1]) {
					t.Errorf("%s: %s is %d, and the page says %s", row[0], name, v, row[1])
				}
			}
		}
		for _, code := range quoted(row[3]) {
			if reason.Code(code).Meaning() == "" {
				t.Errorf("%s: %s is no reason code", row[0], code)
			}
		}
	}
	if held < 25 {
		t.Errorf("%s holds %d limits to constants", compatibility, held)
	}
}

var amount = regexp.MustCompile(`^(\d+)(?: (KiB|MiB|s|min|d))?$`)

// number is what a cell says, in bytes or nanoseconds if it has a unit.
func number(t *testing.T, cell string) int64 {
	t.Helper()
	m := amount.FindStringSubmatch(cell)
	if m == nil {
		t.Fatalf("%q is no limit", cell)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * map[string]int64{
		"": 1, "KiB": 1 << 10, "MiB": 1 << 20,
		"s": int64(time.Second), "min": int64(time.Minute), "d": 24 * int64(time.Hour),
	}[m[2]]
}

// expression is what a constant is said to be, where.
type expression struct {
	pkg   string
	value ast.Expr
}

type expressions map[string][]expression

// constants are those of our programs, by name, wherever they are declared.
func constants(t *testing.T) expressions {
	t.Helper()
	out := expressions{}
	for _, path := range goFiles(t, ".go", "certs", "cmd", "pkg", "webhook") {
		f := parse(t, path)
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if i < len(v.Values) {
						out[name.Name] = append(out[name.Name], expression{f.Name.Name, v.Values[i]})
					}
				}
			}
		}
	}
	return out
}

// values are those of all constants of a name.
func (e expressions) values(t *testing.T, name string) []int64 {
	t.Helper()
	var out []int64
	for _, x := range e[name] {
		v, exact := constant.Int64Val(e.value(t, x.pkg, x.value))
		if !exact {
			t.Fatalf("%s is no whole number", name)
		}
		out = append(out, v)
	}
	return out
}

var unitsOfTime = map[string]time.Duration{
	"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
}

// value reads the few kinds of expressions that limits are made of.
func (e expressions) value(t *testing.T, pkg string, x ast.Expr) constant.Value {
	t.Helper()
	switch x := x.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(x.Value, x.Kind, 0)
	case *ast.ParenExpr:
		return e.value(t, pkg, x.X)
	case *ast.BinaryExpr:
		left, right := e.value(t, pkg, x.X), e.value(t, pkg, x.Y)
		if n, exact := constant.Uint64Val(right); x.Op == token.SHL && exact {
			return constant.Shift(left, x.Op, uint(n))
		}
		return constant.BinaryOp(left, x.Op, right)
	case *ast.SelectorExpr:
		if unit := unitsOfTime[x.Sel.Name]; unit != 0 {
			return constant.MakeInt64(int64(unit))
		}
	case *ast.Ident:
		for _, other := range e[x.Name] {
			if other.pkg == pkg {
				return e.value(t, pkg, other.value)
			}
		}
	}
	t.Fatalf("package %s: a limit is said in a way that this test cannot read", pkg)
	return nil
}
