package policy

import (
	"fmt"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// reproducedBy is what a policy asks of second runs; the zero value asks nothing.
type reproducedBy struct {
	domains  []string
	tolerate bool
}

func readReproduced(r *v1alpha1.ReproducedBy) (reproducedBy, error) {
	if r == nil {
		return reproducedBy{}, nil
	}
	if err := checkBy(r.By); err != nil {
		return reproducedBy{}, err
	}
	return reproducedBy{domains: r.By, tolerate: r.TolerateCaveats}, nil
}

func rebuilders(r required) []string { return r.reproduced.domains }

// reproducers are all domains that policies name, each once, sorted.
func (s Set) reproducers() []string { return s.domains(rebuilders) }

// Remade looks for statements that what a seal says was made again, and shows them to the
// case. It is only asked where a policy wants one.
type Remade func(*ReproductionCase) *reason.Error

// remade is the refusal for a seal of which a policy wants that it was made again.
func (s Set) remade(look Remade) *reason.Error {
	c := &ReproductionCase{s.asking(rebuilders)}
	switch {
	case len(c.open) == 0:
		return nil
	case look == nil:
		return reason.New(reason.Internal, "nobody looks for what was made again")
	}
	if no := look(c); no != nil {
		return no
	}
	return c.Refusal()
}

// ReproductionCase is one seal before the policies that want it made again. Statements
// about second runs are shown to it, until it is settled. The zero value refuses.
type ReproductionCase struct{ byOthers }

// Show shows a verified statement of a domain that the seal's output was made again: the
// hint of the key that signed it, and what of it nothing has checked.
func (c *ReproductionCase) Show(domain, key string, caveats []string) {
	held := c.satisfy(domain, key, func(r required) bool { return len(caveats) == 0 || r.reproduced.tolerate })
	if held && len(caveats) > 0 && len(c.open) > 0 {
		c.Reject(domain, fmt.Errorf("it has %d caveats, which no policy tolerates: %.200s", len(caveats), caveats[0]))
	}
}

// Refusal is the result once no more statements come: nil admits.
func (c *ReproductionCase) Refusal() *reason.Error {
	if c == nil {
		return errNotRead
	}
	return c.refusal(reason.ReproductionMissing, func(required) string { return "that it was made again" })
}
