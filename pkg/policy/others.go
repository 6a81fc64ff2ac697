package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// maxBy is how many domains one policy may name in one requirement, as in v1alpha1.
	maxBy = 8
	// maxAllBy is how many different ones the policies of a namespace may name together in
	// one requirement: each may cost a read for each step that made an input.
	maxAllBy = 16
)

var domainPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Others look for what others have signed about a seal. Each is only asked where a policy
// wants it and all else holds; where nobody looks, such a policy refuses.
type Others struct {
	Remade    Remade
	Described Described
}

// checkBy wants one to maxBy different domains.
func checkBy(by []string) error {
	if len(by) == 0 || len(by) > maxBy {
		return fmt.Errorf("by: %d domains, want 1 to %d", len(by), maxBy)
	}
	for i, name := range by {
		if !domainPattern.MatchString(name) || slices.Contains(by[:i], name) {
			return fmt.Errorf("by: %.80q is no name of a domain, or is given twice", name)
		}
	}
	return nil
}

// domains are all that policies name in one requirement, each once, sorted.
func (s Set) domains(by func(required) []string) []string {
	var names []string
	for _, r := range s.all() {
		names = append(names, by(r.require)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s Set) checkDomains() error {
	if n := len(s.reproducers()); n > maxAllBy {
		return reason.New(reason.PolicyInvalid, "the policies of namespace %s name %d domains that reproduce, at most %d are looked at", s.namespace, n, maxAllBy)
	}
	if n := len(s.describers()); n > maxAllBy {
		return reason.New(reason.PolicyInvalid, "the policies of namespace %s name %d domains for SBOMs, at most %d are looked at", s.namespace, n, maxAllBy)
	}
	return nil
}

// others looks for everything that policies want of others.
func (s Set) others(look Others) *reason.Error {
	if no := s.remade(look.Remade); no != nil {
		return no
	}
	return s.described(look.Described)
}

// byOthers is one seal before the policies that want the word of others about it. What they
// have signed is shown to it, until it is settled. The zero value refuses.
type byOthers struct {
	set  Set
	by   func(required) []string
	open []rules
	// why says of each domain why its word does not count.
	why []string
}

// asking begins with the policies that name domains.
func (s Set) asking(by func(required) []string) byOthers {
	c := byOthers{set: s, by: by}
	for _, r := range s.all() {
		if by(r.require) != nil {
			c.open = append(c.open, r)
		}
	}
	return c
}

// Wanted are the domains whose statements are looked for.
func (c *byOthers) Wanted() []string {
	if c.by == nil {
		return nil
	}
	return c.set.domains(c.by)
}

// Settled says whether no further statement changes anything.
func (c *byOthers) Settled() bool { return c.set.read && len(c.open) == 0 }

// satisfy takes away the policies that name the domain and that are content. It is false
// if the key that signed is revoked.
func (c *byOthers) satisfy(domain, key string, content func(required) bool) bool {
	for i := range c.set.revocations {
		if r := &c.set.revocations[i]; key != "" && slices.Contains(r.Spec.Keys, key) {
			c.Reject(domain, refusedBy(r, "signing key "+key))
			return false
		}
	}
	c.open = slices.DeleteFunc(c.open, func(r rules) bool { return slices.Contains(c.by(r.require), domain) && content(r.require) })
	return true
}

// Reject notes why a domain has no statement that counts.
func (c *byOthers) Reject(domain string, why error) {
	text := why.Error()
	var e *reason.Error
	if errors.As(why, &e) {
		text = string(e.Code) + ": " + e.Detail
	}
	c.why = append(c.why, fmt.Sprintf("domain %s: %.300s", domain, text))
}

// refusal is the result once no more statements come: nil admits.
func (c *byOthers) refusal(code reason.Code, asks func(required) string) *reason.Error {
	switch {
	case !c.set.read:
		return errNotRead
	case len(c.open) == 0:
		return nil
	}
	r := c.open[0]
	no := reason.New(code, "%s asks %s by %s", r, asks(r.require), strings.Join(c.by(r.require), " or "))
	if len(c.why) > 0 {
		no.Detail += "; " + strings.Join(c.why, "; ")
	}
	return no
}
