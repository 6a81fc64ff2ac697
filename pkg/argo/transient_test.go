package argo

import (
	"strings"
	"testing"
)

func TestWhatIsFinalHasNoWordsOfWhatPasses(t *testing.T) {
	tests := map[string]struct{ message, want string }{
		"nothing to change": {"NoProvenance: nothing sealed it", "NoProvenance: nothing sealed it"},
		"an error":          {"dial tcp 10.0.0.1:80: connect: connection refused.", "dial tcp 10.0.0.1:80: connect:-connection-refused."},
		"twice":             {"i/o timeout, i/o timeout", "i/o-timeout, i/o-timeout"},
		"one in another":    {"invalid connection reset by peer", "invalid-connection-reset-by-peer"},
	}
	for _, words := range transient {
		tests[words] = struct{ message, want string }{"a" + words + "b", "a" + strings.ReplaceAll(words, " ", "-") + "b"}
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := Lasting(c.message)
			if got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			for _, words := range transient {
				if strings.Contains(got, words) {
					t.Errorf("%q has %q in it", got, words)
				}
			}
		})
	}
}
