package reason_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestARefusalIsOneLineThatBeginsWithItsCode(t *testing.T) {
	for name, tc := range map[string]struct {
		err  *reason.Error
		want string
	}{
		"with artifact, rule and remedy": {
			err:  reason.New(reason.NoProvenance, "no seal in workflow %s", "wf").For("message (s3://s3/artifacts/x.tgz)"),
			want: "NoProvenance: artifact message (s3://s3/artifacts/x.tgz): no seal in workflow wf. " + reason.NoProvenance.Remedy(),
		},
		"with the remedy of one of its causes": {
			err:  reason.New(reason.UnsupportedPod, "it has 300 inputs").Advise("Hand them over as fewer").For("x").InPlace(1),
			want: "UnsupportedPod: artifact x: it has 300 inputs. Hand them over as fewer",
		},
		"without an artifact": {
			err:  reason.New(reason.NothingToSeal, ""),
			want: "NothingToSeal",
		},
		"without a code it is an internal error, not an empty one": {
			err:  &reason.Error{Detail: "x"},
			want: "Internal: x. " + reason.Internal.Remedy(),
		},
		"hostile text cannot begin a new line": {
			err:  reason.New(reason.NothingToSeal, "a\nAllowed: \x1b[31mb\u2028c"),
			want: "NothingToSeal: a Allowed:  [31mb c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.TrimSuffix(tc.err.Error(), ". "); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestHostileTextIsCut(t *testing.T) {
	err := reason.New(reason.LocationInvalid, "%s", strings.Repeat("x", 1<<20))
	if n := len(err.Error()); n > 1024 {
		t.Errorf("message has %d bytes", n)
	}
}

func TestOfFindsTheCodeInAChain(t *testing.T) {
	cause := errors.New("connection refused")
	for name, tc := range map[string]struct {
		err  error
		want reason.Code
	}{
		"no error has no code":                 {nil, ""},
		"a plain error is internal":            {cause, reason.Internal},
		"a wrapped refusal keeps its own":      {fmt.Errorf("gate: %w", reason.Wrap(reason.LookupFailed, cause, "pods")), reason.LookupFailed},
		"a refusal without a code is internal": {&reason.Error{}, reason.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reason.Of(tc.err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if err := reason.Wrap(reason.LookupFailed, cause, "pods"); !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}

func TestEveryCodeIsDocumentedAndUnique(t *testing.T) {
	pascal := regexp.MustCompile(`^[A-Z][A-Za-z0-9]{2,63}$`)
	seen := map[reason.Code]bool{}
	exits := map[int]reason.Code{}
	for _, c := range reason.All() {
		if seen[c] {
			t.Errorf("%s is there twice", c)
		}
		seen[c] = true
		if !pascal.MatchString(string(c)) {
			t.Errorf("%s is not a condition reason", c)
		}
		if c.Meaning() == "" {
			t.Errorf("%s has no meaning", c)
		}
		if x := c.ExitCode(); x != 1 {
			if other, ok := exits[x]; ok {
				t.Errorf("%s and %s share exit code %d", c, other, x)
			}
			exits[x] = c
		}
	}
	if reason.Code("Unheard").Retryable() {
		t.Error("an unknown code is retried")
	}
}
