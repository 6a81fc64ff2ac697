package graph

import (
	"fmt"
	"strings"
	"testing"
)

// A pattern that is remembered is the one of that text, and others take its place.
func TestPatternsThatAreRemembered(t *testing.T) {
	one, err := compiled(`wf\[0\]\.a`)
	if err != nil {
		t.Fatal(err)
	}
	again, err := compiled(`wf\[0\]\.a`)
	if err != nil || again != one {
		t.Errorf("it is compiled again: %v", err)
	}
	other, err := compiled(`wf\[0\]\.b`)
	if err != nil || other == one || other.MatchString("wf[0].a") || !other.MatchString("wf[0].b") || !one.MatchString("wf[0].a") {
		t.Errorf("another one is taken for it: %v", err)
	}
	if _, err := compiled(`(`); err == nil {
		t.Error("what is no pattern compiles")
	}
	if _, err := compiled(`(`); err == nil {
		t.Error("what is no pattern compiles once it was asked for")
	}
	long := strings.Repeat("a", longestRemembered+1)
	first, err := compiled(long)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := compiled(long); err != nil || second == first {
		t.Errorf("a long one is remembered: %v", err)
	}
	for i := range 200 {
		if _, err := compiled(fmt.Sprintf("%s%d", strings.Repeat("b", longestRemembered-10), i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, bytes := before.Len(); bytes > rememberedPatterns {
		t.Errorf("%d bytes of patterns are remembered", bytes)
	}
}
