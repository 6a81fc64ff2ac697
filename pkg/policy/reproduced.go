package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// maxReproducers is how many domains one policy may name, as in v1alpha1.
	maxReproducers = 8
	// maxAllReproducers is how many different ones the policies of a namespace may name
	// together: each may cost a read for each step that made an input.
	maxAllReproducers = 16
)

var domainPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// reproducedBy is what a policy asks of second runs; the zero value asks nothing.
type reproducedBy struct {
	domains  []string
	tolerate bool
}

func readReproduced(r *v1alpha1.ReproducedBy) (reproducedBy, error) {
	if r == nil {
		return reproducedBy{}, nil
	}
	if len(r.By) == 0 || len(r.By) > maxReproducers {
		return reproducedBy{}, fmt.Errorf("by: %d domains, want 1 to %d", len(r.By), maxReproducers)
	}
	for i, name := range r.By {
		if !domainPattern.MatchString(name) || slices.Contains(r.By[:i], name) {
			return reproducedBy{}, fmt.Errorf("by: %.80q is no name of a domain, or is given twice", name)
		}
	}
	return reproducedBy{domains: r.By, tolerate: r.TolerateCaveats}, nil
}

// reproducers are all domains that policies name, each once, sorted.
func (s Set) reproducers() []string {
	var names []string
	for _, r := range s.all() {
		names = append(names, r.require.reproduced.domains...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s Set) checkReproducers() error {
	if n := len(s.reproducers()); n > maxAllReproducers {
		return reason.New(reason.PolicyInvalid, "the policies of namespace %s name %d domains that reproduce, at most %d are looked at", s.namespace, n, maxAllReproducers)
	}
	return nil
}

// Remade looks for statements that what a seal says was made again, and shows them to the
// case. It is only asked where a policy wants one.
type Remade func(*ReproductionCase) *reason.Error

// remade is the refusal for a seal of which a policy wants that it was made again.
func (s Set) remade(look Remade) *reason.Error {
	c := s.reproduction()
	switch {
	case c == nil:
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
type ReproductionCase struct {
	set  Set
	open []rules
	// why says of each domain why it has no statement that counts.
	why []string
}

// reproduction is the case of a seal; nil: no policy asks.
func (s Set) reproduction() *ReproductionCase {
	c := &ReproductionCase{set: s}
	for _, r := range s.all() {
		if r.require.reproduced.domains != nil {
			c.open = append(c.open, r)
		}
	}
	if len(c.open) == 0 {
		return nil
	}
	return c
}

// Wanted are the domains whose statements are looked for.
func (c *ReproductionCase) Wanted() []string { return c.set.reproducers() }

// Settled says whether no further statement changes anything.
func (c *ReproductionCase) Settled() bool { return c.set.read && len(c.open) == 0 }

// Show shows a verified statement of a domain that the seal's output was made again: the
// hint of the key that signed it, and what of it nothing has checked.
func (c *ReproductionCase) Show(domain, key string, caveats []string) {
	for i := range c.set.revocations {
		if r := &c.set.revocations[i]; key != "" && slices.Contains(r.Spec.Keys, key) {
			c.Reject(domain, refusedBy(r, "signing key "+key))
			return
		}
	}
	c.open = slices.DeleteFunc(c.open, func(r rules) bool {
		q := r.require.reproduced
		return slices.Contains(q.domains, domain) && (len(caveats) == 0 || q.tolerate)
	})
	if len(caveats) > 0 && len(c.open) > 0 {
		c.Reject(domain, fmt.Errorf("it has %d caveats, which no policy tolerates: %.200s", len(caveats), caveats[0]))
	}
}

// Reject notes why a domain has no statement that counts.
func (c *ReproductionCase) Reject(domain string, why error) {
	text := why.Error()
	var e *reason.Error
	if errors.As(why, &e) {
		text = string(e.Code) + ": " + e.Detail
	}
	c.why = append(c.why, fmt.Sprintf("domain %s: %.300s", domain, text))
}

// Refusal is the result once no more statements come: nil admits.
func (c *ReproductionCase) Refusal() *reason.Error {
	switch {
	case c == nil, !c.set.read:
		return errNotRead
	case len(c.open) == 0:
		return nil
	}
	r := c.open[0]
	no := reason.New(reason.ReproductionMissing, "%s asks that it was made again by %s", r, strings.Join(r.require.reproduced.domains, " or "))
	if len(c.why) > 0 {
		no.Detail += "; " + strings.Join(c.why, "; ")
	}
	return no
}
