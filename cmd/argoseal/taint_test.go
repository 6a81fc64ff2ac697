package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestTainted(t *testing.T) {
	hex, commit := strings.Repeat("a", 64), strings.Repeat("b", 40)
	hint := strings.Repeat("a+/B", 10) + "abA="
	for what, want := range map[string]v1alpha1.RevocationSpec{
		"sha256:" + hex:                   {Digests: []string{hex}},
		"quay.io/acme/tool@sha256:" + hex: {Images: []string{hex}},
		commit:                            {Commits: []string{commit}},
		"workflow:0c1f-1":                 {Workflows: []string{"0c1f-1"}},
		"key:" + hint:                     {Keys: []string{hint}},
	} {
		r, err := tainted(what)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if d := cmp.Diff(want, r.Spec); d != "" || r.Name == "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	for _, what := range []string{"", "sha256:", "sha256:" + hex[1:], "tool:sha256:" + hex, "tool:v1", commit[1:], "workflow:", "workflow:a/b", strings.ToUpper(commit), hex, "key:", "key:" + hint[1:], "key:" + hint[:42] + "B=", "key:" + strings.ReplaceAll(hint, "+", "-")} {
		if r, err := tainted(what); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%q: %+v, %v", what, r, err)
		}
	}
}
