package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// comparison of one template that was made with one of the definition's.
type comparison struct {
	expansion
	frame *frame
	// expanded are the texts that were expanded already.
	expanded map[string]text
	// own: the template is the Workflow's own, as its author spelled it. whole: all of it is
	// compared, and defaults have to be there, too.
	own, whole bool
	// compared counts values.
	compared int
}

// maxCompared bounds the work for one template: lists that templateDefaults
// give too are compared each with each.
const maxCompared = 1 << 20

var errTooLarge = errors.New("it is too large to be compared")

// same compares what the definition says with what Argo made of it. Defaults count
// only where the definition says nothing.
func (c *comparison) same(place string, want, made any, defaults []any) error {
	if c.compared++; c.compared > maxCompared {
		return errTooLarge
	}
	switch {
	case c.whole && empty(want) && empty(made) && !slices.Contains(kinds, place) && slices.ContainsFunc(defaults, says):
		return &DifferentError{place}
	case empty(want) && empty(made):
		return nil
	case c.own && (empty(want) || empty(made)):
		return nil
	case empty(want):
		return c.among(place, defaults, made)
	}
	switch want := want.(type) {
	case object:
		if was, ok := made.(object); ok {
			return c.object(place, want, was, defaults)
		}
	case []any:
		if was, ok := made.([]any); ok {
			return c.list(place, want, was, defaults)
		}
	case string:
		was, ok := made.(string)
		is := c.text(want)
		switch {
		case c.exceeded():
			return errTooLarge
		case (ok || made == nil) && is.fits(was):
			return nil
		case c.own && ok && tagged(want):
			return &DifferentError{place}
		}
	default:
		if number(want) == number(made) {
			return nil
		}
	}
	if c.own {
		return nil
	}
	return &DifferentError{place}
}

// kinds are the fields of a template that say what kind it is: Argo takes defaults of one for
// templates of that kind alone (mergedTemplateDefaultsInto).
var kinds = []string{"container", "containerSet", "dag", "data", "http", "plugin", "resource", "script", "steps", "suspend"}

// says whether a value says anything: Argo leaves out zeros.
func says(v any) bool {
	switch v := v.(type) {
	case object:
		for _, child := range v {
			if says(child) {
				return true
			}
		}
		return false
	case bool:
		return v
	}
	return !empty(v) && number(v) != float64(0)
}

func (c *comparison) object(place string, want, made object, defaults []any) error {
	for _, name := range c.fields(defaults, want, made) {
		is, was := said(name, want), said(name, made)
		if filled, ok := filledIn[name]; ok && is == filled && was == nil {
			continue
		}
		if err := c.same(place+"."+name, is, was, at(defaults, name)); err != nil {
			return err
		}
	}
	return nil
}

// filledIn is what the API server gives fields that are not set, by the schema
// of Argo's full CRDs, when it stores a copy.
var filledIn = object{
	"protocol": "TCP", "fsType": "ext4", "iscsiInterface": "default", "keyring": "/etc/ceph/keyring",
	"pool": "rbd", "readOnly": false, "storageMode": "ThinProvisioned", "user": "admin",
}

// fields are those to compare: where defaults have to be there, theirs, too.
func (c *comparison) fields(defaults []any, objects ...object) []string {
	for _, v := range defaults {
		if o, ok := v.(object); ok && c.whole {
			objects = append(objects, o)
		}
	}
	return fields(objects...)
}

// list compares two lists in order. If the defaults have the list, too, Argo merges
// the two. It has another rule for each list, and may mix items when it decodes the
// result into what is there. So then each item may be of either list, field by
// field.
func (c *comparison) list(place string, want, made, defaults []any) error {
	choice := items(defaults)
	switch {
	case c.own && (len(choice) > 0 || len(want) != len(made)):
		return nil
	case len(choice) > 0:
		choice = append(choice, want...)
		return each(place, made, func(item string, i int) error { return c.among(item, choice, made[i]) })
	case len(want) != len(made):
		return &DifferentError{place}
	case slices.Contains(reordered, place):
		return c.permuted(place, want, made)
	}
	return each(place, made, func(item string, i int) error { return c.same(item, want[i], made[i], nil) })
}

// reordered are the lists that Argo sorts where a step has input artifacts
// (common.FindOverlappingVolume).
var reordered = []string{"container.volumeMounts", "script.volumeMounts", "containerSet.volumeMounts"}

// permuted wants each item of one list in the other, and the other way round.
func (c *comparison) permuted(place string, want, made []any) error {
	in := func(item string, list []any, same func(any) error) error {
		for _, v := range list {
			if err := same(v); err == nil || errors.Is(err, errTooLarge) {
				return err
			}
		}
		return &DifferentError{item}
	}
	err := each(place, made, func(item string, i int) error {
		return in(item, want, func(w any) error { return c.same(item, w, made[i], nil) })
	})
	if err != nil {
		return err
	}
	return each(place, want, func(item string, i int) error {
		return in(item, made, func(m any) error { return c.same(item, want[i], m, nil) })
	})
}

func each(place string, list []any, check func(item string, i int) error) error {
	for i := range list {
		if err := check(fmt.Sprintf("%s[%d]", place, i), i); err != nil {
			return err
		}
	}
	return nil
}

// among wants what is made to be one of the choice or, of an object, each field
// to be that of one.
func (c *comparison) among(place string, choice []any, made any) error {
	if empty(made) {
		return nil
	}
	was, isObject := made.(object)
	for _, want := range choice {
		_, alike := want.(object)
		switch {
		case isObject && alike:
			return c.amongFields(place, choice, was)
		case isObject:
		default:
			if err := c.same(place, want, made, nil); err == nil || errors.Is(err, errTooLarge) {
				return err
			}
		}
	}
	return &DifferentError{place}
}

func (c *comparison) amongFields(place string, choice []any, made object) error {
	for name, value := range made {
		if err := c.among(place+"."+name, at(choice, name), value); err != nil {
			return err
		}
	}
	return nil
}

// text expands a text of the template.
func (c *comparison) text(s string) text {
	t, ok := c.expanded[s]
	if !ok {
		t = c.expansion.text(s, c.frame)
		c.expanded[s] = t
	}
	return t
}

// said is what an object's field says; nil for nothing.
func said(name string, in object) any {
	if o, ok := in[name].(object); ok && len(o) == 0 && slices.Contains(structs, name) {
		return nil
	}
	return in[name]
}

// structs are the fields that are always there, even if they say nothing. Elsewhere
// an empty object says something: emptyDir, none.
var structs = []string{"inputs", "metadata", "outputs", "resources"}

// empty is what Argo leaves out.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// fields are the names of the fields that objects have, sorted.
func fields(objects ...object) []string {
	all := map[string]bool{}
	for _, o := range objects {
		for name := range o {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// of is a field of an object; nil for none.
func of(v any, name string) any {
	o, _ := v.(object)
	return o[name]
}

// at gives the field of that name, of each object that has it.
func at(list []any, name string) []any {
	var found []any
	for _, v := range list {
		if v := of(v, name); v != nil {
			found = append(found, v)
		}
	}
	return found
}

// items are those of all lists.
func items(lists []any) []any {
	var all []any
	for _, l := range lists {
		l, _ := l.([]any)
		all = append(all, l...)
	}
	return all
}

// number gives the same number for different types of it, and anything else as
// it is.
func number(v any) any {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}
