package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// flagsOf are the flags of each command of ours, by the command, as its own help says:
// the reference is generated from it.
func flagsOf(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	parts := strings.Split(section(t, page(t, "docs/reference.md"), "Commands"), "\n### ")
	for _, part := range parts[1:] {
		name, help, _ := strings.Cut(part, "\n")
		if _, cobra, found := strings.Cut(help, "\nFlags:\n"); found {
			help = cobra
		}
		out[name] = []string{"help"}
		for _, m := range flagInHelp.FindAllStringSubmatch(help, -1) {
			out[name] = append(out[name], m[1])
		}
		if len(out[name]) < 3 {
			t.Fatalf("the reference has no flags of %s", name)
		}
	}
	return out
}

var (
	flagInHelp = regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--?([a-z][a-z-]+)`)
	flagGiven  = regexp.MustCompile(`^--([a-z][a-z-]*)(?:=.*)?$`)
	// commandLine is one of ours, in a block or in backticks.
	commandLine = regexp.MustCompile("(?m)(?:^|[`|$] ?)(argoseal(?:-controller|-notary|-scrubber|-sentinel|-signer|-webhook)? [a-z][^`\n|]*)")
)

// TestTheCommandsOfOursThatPagesShowParse: each is a command, and has no flag that this
// command does not know.
func TestTheCommandsOfOursThatPagesShowParse(t *testing.T) {
	known, seen := flagsOf(t), 0
	for _, path := range pages(t) {
		if path == "docs/reference.md" {
			continue // it is the help itself
		}
		for _, m := range commandLine.FindAllStringSubmatch(page(t, path), -1) {
			if problem := parses(strings.Fields(strings.ReplaceAll(m[1], `\`, "")), known); problem != "" {
				t.Errorf("%s: %q %s", path, m[1], problem)
			}
			seen++
		}
	}
	if seen < 8 {
		t.Errorf("only %d commands are shown", seen)
	}
	for line, fine := range map[string]bool{
		"argoseal verify x --bundle b": true, "argoseal verify x --bundel b": false, "argoseal verifies x": false,
		"argoseal secrets audit -o json": true, "argoseal secrets purge": false, "argoseal-notary run": true, "argoseal verify --unused-after 1h": false,
	} {
		if got := parses(strings.Fields(line), known) == ""; got != fine {
			t.Errorf("%q parses: %v", line, got)
		}
	}
}

// parses says what is wrong with a command line.
func parses(words []string, known map[string][]string) string {
	for n := min(3, len(words)); n > 0; n-- {
		flags, found := known[strings.Join(words[:n], " ")]
		if !found {
			continue
		}
		for _, word := range words[n:] {
			if m := flagGiven.FindStringSubmatch(word); m != nil && !slices.Contains(flags, m[1]) {
				return "has the flag --" + m[1] + ", which that command does not know"
			}
		}
		return ""
	}
	for name := range known {
		if len(words) == 2 && strings.HasPrefix(name, strings.Join(words, " ")+" ") {
			return "" // a group of commands, named as such
		}
	}
	return "is no command of ours"
}

// TestTheValuesThatPagesNameExist: those of the tables on the charts' pages, and those
// that any page sets.
func TestTheValuesThatPagesNameExist(t *testing.T) {
	set := regexp.MustCompile(`--set(?:-string|-file)? ([A-Za-z][A-Za-z0-9.]*)=`)
	for _, chart := range []string{"charts/argoseal", "charts/argoseal-sentinel"} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(page(t, chart+"/values.yaml")), &values); err != nil {
			t.Fatal(err)
		}
		_, table, found := strings.Cut(page(t, chart+"/README.md"), "\n| value |")
		if !found {
			t.Fatalf("%s/README.md has no table of values", chart)
		}
		for _, row := range rows(t, "| value |"+table, 3) {
			before := ""
			for _, name := range quoted(row[0]) {
				if strings.HasSuffix(name, "…") {
					name = strings.TrimRight(name, ".…")
				}
				if strings.HasPrefix(name, ".") { // a neighbour of the one before
					name = before[:max(0, strings.LastIndex(before, "."))] + name
				}
				if !has(values, strings.Split(name, ".")) {
					t.Errorf("%s/values.yaml has no %s", chart, name)
				}
				before = name
			}
		}
		if has(values, []string{"argo", "nowhere"}) || has(values, nil) {
			t.Error("anything is taken for a value")
		}
		for _, path := range pages(t) {
			for _, m := range set.FindAllStringSubmatch(page(t, path), -1) {
				of := "charts/argoseal"
				if path == "docs/secrets.md" || strings.HasPrefix(path, "charts/argoseal-sentinel/") {
					of = "charts/argoseal-sentinel"
				}
				if chart == of && !has(values, strings.Split(m[1], ".")) {
					t.Errorf("%s sets %s, which there is not", path, m[1])
				}
			}
		}
	}
}

func has(values map[string]any, path []string) bool {
	if len(path) == 0 {
		return false
	}
	v, found := values[path[0]]
	below, _ := v.(map[string]any)
	return found && (len(path) == 1 || has(below, path[1:]))
}
