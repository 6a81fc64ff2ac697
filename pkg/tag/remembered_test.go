package tag_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// A tag that was opened opens for what it was, and vouches for no other.
func TestATagThatIsRememberedIsThatTag(t *testing.T) {
	k := keys(t)
	value, err := k.Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	first, err := k.Open(value)
	if err != nil {
		t.Fatal(err)
	}
	first.Pins[0].Location, first.Executor.Env[0], first.Namespace = "changed", "CHANGED=1", "changed"
	second, err := k.Open(value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), second); diff != "" {
		t.Errorf("whoever opens a tag changes it for others (-issued +opened):\n%s", diff)
	}
	for i := range value {
		other := "A"
		if value[i] == 'A' {
			other = "B"
		}
		if _, err := k.Open(value[:i] + other + value[i+1:]); reason.Of(err) != reason.TagInvalid && reason.Of(err) != reason.TooNew {
			t.Fatalf("with another byte at %d it opens: %v", i, err)
		}
	}
	for _, forged := range []string{value + "A", value + ".", " " + value, strings.ToLower(value), value[:len(value)-1]} {
		if _, err := k.Open(forged); err == nil {
			t.Errorf("%.40q… opens", forged)
		}
	}
}

// Keys that are loaded anew remember nothing: one of them may be gone.
func TestOtherKeysRememberNothing(t *testing.T) {
	k := keys(t)
	value, err := k.Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(value); err != nil {
		t.Fatal(err)
	}
	same := k
	if _, err := same.Open(value); err != nil {
		t.Errorf("by a copy of the keys it does not open: %v", err)
	}
	id, fresh, err := tag.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	later, err := tag.ParseKeys(tag.WithKey(nil, id, fresh))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Open(value); reason.Of(err) != reason.TagInvalid {
		t.Errorf("under keys without its own it gives %v", err)
	}
	if _, err := (tag.Keys{}).Open(value); err == nil {
		t.Error("without keys it opens")
	}
}

// Long tags are opened each time, and all that is remembered has a bound.
func TestLongTagsOpen(t *testing.T) {
	long := sample()
	long.Definition = strings.Repeat("d", 20<<10)
	k := keys(t)
	value, err := k.Issue(long)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := k.Open(value); err != nil || got.Definition != long.Definition {
			t.Errorf("it gives %v", err)
		}
	}
}
