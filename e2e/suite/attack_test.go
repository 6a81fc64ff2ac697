//go:build e2e

package suite

import (
	"regexp"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// attack is something that a tenant tries in a namespace.
type attack struct {
	// code is why Argoseal refuses it.
	code reason.Code
	// try carries it out and returns what refused it; nil if it succeeded. It
	// fails the test if it could not even be tried.
	try func(t *testing.T, ns string) error
}

// hold tries it in a namespace of the given mode: where Argoseal looks it is
// refused, and where it does not it has to succeed, or it would be no attack.
func (a attack) hold(t *testing.T, ns string, mode v1alpha1.Mode) {
	t.Helper()
	err := a.try(t, ns)
	switch {
	case mode != plain:
		refused(t, err, a.code)
	case err != nil:
		t.Fatalf("this attack is none: %v", err)
	}
}

// both runs a test where Argoseal defends and where nobody does.
func both(t *testing.T, test func(t *testing.T, mode v1alpha1.Mode)) {
	for name, mode := range map[string]v1alpha1.Mode{"is refused": v1alpha1.ModeEnforce, "succeeds without the defence": plain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

// noWord is what a name may not have.
var noWord = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes the name of a namespace from words.
func slug(words ...string) string {
	s := noWord.ReplaceAllString(strings.ToLower(strings.Join(words, "-")), "-")
	return strings.Trim(s[:min(len(s), 48)], "-")
}
