package trace_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/trace"
)

func TestDescend(t *testing.T) {
	w := chain()
	w.statements["ci/release"].Inputs = w.statements["ci/release"].Inputs[:1] // takes the library alone
	w.step("ci", "v", "deploy", 9, nil, takes("app", "w/app.tgz", digest("3"), "", "w", "w/app.tgz"))
	w.step("ci", "v", "look", 9, nil, takes("part", "w/data/one.csv", digest("9"), "", "w", "w/data/"))
	w.step("ci", "v", "same", 9, nil, takes("lib", "lib.tgz", digest("2"), "libs", "lib", "lib.tgz")) // other bytes
	for named, want := range map[string][]string{
		"libs/build": {"0 build: named", "1 release: took " + bucket + "lib.tgz", "2 deploy: took " + bucket + "w/app.tgz"},
		"ci/fetch":   {"0 fetch: named", "1 look: took " + bucket + "w/data/"},
		"ci/deploy":  {"0 deploy: named"},
		"nothing":    nil,
	} {
		var links []trace.Link
		for record, s := range w.statements {
			why := ""
			if record == named {
				why = "named"
			}
			links = append(links, trace.LinkOf(s, why))
		}
		var got []string
		for _, d := range trace.Descend(links) {
			got = append(got, fmt.Sprintf("%d %s: %s", d.Distance, d.Record, d.Because))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("of %s (-want +got):\n%s", named, d)
		}
	}
}
