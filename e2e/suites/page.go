package suites

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Row is one of docs/papers.md: what a paper says, and the tests that show what is so here.
type Row struct {
	// Table is the first word of the table's head: ability, promise, case or claim.
	Table, Name string
	Tests       []string
}

var testName = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`")

// Rows are those of a paper's section of the page. The lists of the suites are held to it.
func Rows(root, paper string) (all []Row, err error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "papers.md"))
	if err != nil {
		return nil, err
	}
	_, section, found := strings.Cut(string(text), "\n## "+paper+"\n")
	if !found {
		return nil, fmt.Errorf("docs/papers.md has no section %q", paper)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	table := ""
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			table = ""
		case table == "":
			table = strings.TrimSpace(cells[0])
		case strings.HasPrefix(line, "|-"):
		default:
			row := Row{Table: table, Name: strings.TrimSpace(cells[0])}
			for _, m := range testName.FindAllStringSubmatch(cells[len(cells)-1], -1) {
				row.Tests = append(row.Tests, m[1])
			}
			all = append(all, row)
		}
	}
	return all, nil
}
