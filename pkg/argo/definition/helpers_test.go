package definition_test

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

type object = map[string]any
type list = []any

// wantRefusal wants a refusal with this code whose detail has these words.
func wantRefusal(t *testing.T, err error, code reason.Code, detail string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it is admitted, want %s: %s", code, detail)
	}
	if reason.Of(err) != code || !strings.Contains(err.Error(), detail) {
		t.Errorf("it is refused with %q, want code %s and the words %q", err, code, detail)
	}
}
