package argo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsFinalIsSpelledSo(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"nothing to change": {"NoProvenance: nothing sealed it", "NoProvenance: nothing sealed it"},
		"an error":          {"dial tcp 10.0.0.1:80: connect: connection refused.", "dial tcp 10.0.0.1:80: connect:-connection-refused."},
		"twice":             {"i/o timeout, i/o timeout", "i/o-timeout, i/o-timeout"},
		"one in another":    {"invalid connection reset by peer", "invalid-connection-reset-by-peer"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Lasting(c.message); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
		})
	}
}

// The files have the words that Argo's util/errors/errors.go looks for in any error
// or in a refusal with 403.
func TestWhatIsFinalHasNoWordsOfWhatPasses(t *testing.T) {
	files, err := filepath.Glob("testdata/transient-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no words: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for words := range strings.Lines(string(text)) {
			words = strings.TrimSpace(words)
			if got := Lasting("a" + words + "b"); strings.Contains(got, words) {
				t.Errorf("%s: %q has %q in it", file, got, words)
			}
		}
	}
}
