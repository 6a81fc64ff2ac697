//go:build linux

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// TestEnvNamesAClusterThatIsThere: with the path of any other one, whoever evaluates what
// is printed would lose the KUBECONFIG that they have.
func TestEnvNamesAClusterThatIsThere(t *testing.T) {
	here := state{Boot: boot(), Network: network()}
	for name, tc := range map[string]struct {
		state      *state
		kubeconfig bool
		want       bool
	}{
		"raised":                      {&here, true, true},
		"never raised":                {nil, false, false},
		"a folder of something else":  {nil, true, false},
		"raised so far that it began": {&here, false, false},
		"raised before a reboot":      {&state{Boot: "another", Network: network()}, true, false},
		"raised in another network":   {&state{Boot: boot(), Network: "net:[1]"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := layout.Layout{Dir: t.TempDir()}
			if tc.state != nil {
				data, err := json.Marshal(tc.state)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(stateFile(l), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.kubeconfig {
				if err := os.WriteFile(l.Kubeconfig(), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if err := writeEnv(&out, l, gobuild.Cache{Dir: t.TempDir()}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(out.String(), "export KUBECONFIG='"+l.Kubeconfig()+"'\n"); got != tc.want {
				t.Errorf("it is named: %t\n%s", got, out.String())
			}
		})
	}
}
