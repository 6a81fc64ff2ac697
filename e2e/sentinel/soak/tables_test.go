package main

import (
	"strings"
	"testing"
	"time"
)

const said = `=== RUN   TestChaos
    scene_test.go:140: 20:41:07 want secretbox, rotation 0
    scene_test.go:163: 20:42:20 reached, after 31.2s: another operator goes on
    scene_test.go:163: 20:42:26 reached, after 6s: migration goes on
    traffic_test.go:200: 10062 reads and 6102 writes through 3 servers: 1 errors, 0 lost writes; 114 were not answered by servers that were away
--- PASS: TestChaos (676.12s)
PASS
`

func TestParse(t *testing.T) {
	r := parse("TestChaos", said)
	if !r.passed || !r.counted || r.reads != 10062 || r.writes != 6102 || r.errors != 1 || r.lost != 0 || r.excusing != 114 {
		t.Errorf("%+v", r)
	}
	if len(r.reached) != 2 || r.reached[0] != (wait{"another operator goes on", 31200 * time.Millisecond}) || r.reached[1].what != "migration goes on" {
		t.Errorf("%v", r.reached)
	}
	for _, other := range []string{"testing: warning: no tests to run\nPASS\n", strings.Replace(said, "--- PASS", "--- FAIL", 1)} {
		if parse("TestChaos", other).passed {
			t.Errorf("passed, by %q", other)
		}
	}
	if parse("TestChaosOfAll", said).passed {
		t.Error("another test has passed")
	}
}

func TestRender(t *testing.T) {
	quick, slow := parse("TestChaos", said), parse("TestChaos", said)
	quick.took, slow.took = 676*time.Second, 700*time.Second
	quick.load, slow.load = [2]string{"1.52", "9.50"}, [2]string{"31.00", "4.00"}
	slow.passed = false
	slow.reached[0].took = 40 * time.Second
	other := result{test: "TestOther", passed: true, took: 100 * time.Second}
	got := render([]result{quick, other, slow})
	const want = "| test | passed | took | load | reads | writes | errors | lost writes | not answered by what was away |\n" +
		"|---|---|---|---|---|---|---|---|---|\n" +
		"| `TestChaos` | 1 of 2 | 676 s to 700 s | 2 to 31 | 20124 | 12204 | 2 | 0 | 228 |\n" +
		"| `TestOther` | 1 of 1 | 100 s |  | | | | | |\n\n" +
		"| test | waited for | times | median | longest |\n" +
		"|---|---|---|---|---|\n" +
		"| `TestChaos` | another operator goes on | 2 | 31 s | 40 s |\n" +
		"| `TestChaos` | migration goes on | 2 | 6 s | 6 s |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
