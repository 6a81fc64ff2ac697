package scenario

import (
	"context"
	"fmt"
	"io"

	"github.com/argoseal/argoseal/e2e/lab"
)

// Stage is what a scenario plays on.
type Stage struct {
	Lab *lab.Lab
	// Root is the folder of the checkout.
	Root string
	// Argoseal and Cosign are the programs to verify with.
	Argoseal, Cosign string
	// Dir takes the files that a scenario leaves for a reader.
	Dir string
	// Out is where a scenario tells what it does, a line a step.
	Out io.Writer
}

// Sayf tells what is going on.
func (s *Stage) Sayf(format string, args ...any) {
	fmt.Fprintf(s.Out, "  "+format+"\n", args...)
}

// Scenario is one story.
type Scenario struct {
	Name     string
	Expected string
	// Play does it and returns what happened, in a few words.
	Play func(ctx context.Context, s *Stage) (string, error)
}
