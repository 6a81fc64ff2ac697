package program

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestAProgramSaysInOneLineWhyItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		says string // at its beginning
		code int
	}{
		"for no reason":       {},
		"with a reason code":  {fmt.Errorf("stopped: %w", reason.New(reason.UsageInvalid, "missing\n--namespace")), "stopped: UsageInvalid: missing --namespace", reason.UsageInvalid.ExitCode()},
		"with a code to exit": {fmt.Errorf("stopped: %w", own{}), "stopped: own", 20},
		"without one":         {errors.Join(errors.New("one"), errors.New("other")), "one other", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var says bytes.Buffer
			code, lines := exitCode(c.err, &says), 0
			if c.err != nil {
				lines = 1
			}
			if code != c.code || !strings.HasPrefix(says.String(), c.says) || strings.Count(says.String(), "\n") != lines {
				t.Errorf("it exits with %d and says %q, want %d and %q", code, &says, c.code, c.says)
			}
		})
	}
}

type own struct{}

func (own) Error() string { return "own" }
func (own) ExitCode() int { return 20 }

// A mistake does not print how everything is called, and nothing twice.
func TestACommandLeavesItsErrorsToMain(t *testing.T) {
	var out bytes.Buffer
	c := Command("it", "does something", "v1", &cobra.Command{Use: "run", RunE: func(*cobra.Command, []string) error { return errors.New("no") }})
	c.SetArgs([]string{"run"})
	c.SetOut(&out)
	c.SetErr(&out)
	if err := c.Execute(); err == nil || out.Len() != 0 {
		t.Errorf("it gives %v and prints %q", err, &out)
	}
}
