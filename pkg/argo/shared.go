package argo

import (
	"cmp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// refuseShared refuses outputs whose location or staged file another output of the
// step may claim: Argo would upload or stage one over the other. It stages and
// uploads them one by one, so an output without an archive is still what the
// emissary packed, and is measured there. A step can have a thousand outputs, and
// its author would like us to compare each with each. So the claims are looked up
// instead.
func (t *template) refuseShared(out []Output, specs []artifactSpec) {
	claimed, logs, staged := t.claims(specs), t.logPlaces(), stagedNames(out, specs)
	for i, o := range out {
		if o.Problem() != nil {
			continue
		}
		if other, found := claimed.other(i, o.Location()); found {
			out[i] = o.Refused(reason.New(reason.LocationInvalid, "output %s goes to %s too", specs[other].Name, o.Location()))
			continue
		}
		if _, found := logs.other(noOutput, o.Location()); found {
			out[i] = o.Refused(reason.New(reason.LocationInvalid, "a log of the step's goes to %s too", o.Location()))
			continue
		}
		out[i] = apart(i, out, staged)
	}
}

// apart is the output, measured in a place where no other one is staged.
func apart(i int, out []Output, staged map[string][]int) Output {
	o := out[i]
	file := o.Staged().Name()
	at := slices.IndexFunc(staged[file], func(j int) bool { return j != i })
	switch {
	case at < 0, o.Place() != "": // none of the others, or it is not staged itself
		return o
	case o.Archive() != content.ArchiveNone:
		return o.Refused(reason.New(reason.ArchiveUnsupported, "output %s is staged under the same name %.80q", out[staged[file][at]].Name, file))
	}
	o = o.MeasuredAt(measurement.PlacePacked)
	if err := o.Staged().Validate(); err != nil {
		return o.Refused(reason.Wrap(reason.ArchiveUnsupported, err, "%v", err))
	}
	return o
}

// stagedNames says which of the outputs Argo may stage under a name. What it uploads from
// a volume it does not stage.
func stagedNames(out []Output, specs []artifactSpec) map[string][]int {
	staged := map[string][]int{}
	for i, a := range specs {
		if out[i].Place() == measurement.PlaceVolume {
			continue
		}
		for _, name := range a.stages() {
			staged[name] = append(staged[name], i)
		}
	}
	return staged
}

// noOutput is the number of none.
const noOutput = -1

// claims are the places to which Argo may write for the outputs of a step, whatever their
// archive strategies: the numbers of the outputs by their places, which have no kind.
type claims struct {
	at map[artifact.Location][]int
	// below are the outputs of which something may be stored below the key:
	// directories without an archive. Their keys are without slashes at the end.
	below map[artifact.Location][]int
	// sorted are the places of at.
	sorted []artifact.Location
}

func (t *template) claims(specs []artifactSpec) claims {
	c := claims{at: map[artifact.Location][]int{}, below: map[artifact.Location][]int{}}
	for i, a := range specs {
		for _, l := range t.claim(a) {
			c.add(l, i)
			if a.storedBy() != content.ArchiveTar {
				l.Key, l.Kind = strings.TrimRight(l.Key, "/"), ""
				c.below[l] = append(c.below[l], i)
			}
		}
	}
	c.sort()
	return c
}

func (c *claims) add(l artifact.Location, by int) {
	l.Kind = ""
	c.at[l] = append(c.at[l], by)
}

// sort is called when all are added.
func (c *claims) sort() {
	for l := range c.at {
		c.sorted = append(c.sorted, l)
	}
	slices.SortFunc(c.sorted, compareKeys)
}

// compareKeys orders places by bucket and key.
func compareKeys(a, b artifact.Location) int {
	return cmp.Or(cmp.Compare(a.Scheme, b.Scheme), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
}

// claim lists the places to which Argo may write for this output; none if it is refused
// anyway.
func (t *template) claim(a artifactSpec) []artifact.Location {
	own := a.stored()
	if stores := a.stores(); len(stores) > 1 || len(stores) == 1 && own == nil {
		return nil
	}
	var in artifact.Place
	var keys []string
	var problem *reason.Error
	if !a.keyless() {
		in, problem = t.place(own)
		keys = []string{own.GetKey()}
	} else if in, problem = t.repository(); problem == nil {
		keys = a.keysBelow(in.GetKey())
	}
	if problem != nil {
		return nil
	}
	bucket, err := in.In()
	if err != nil {
		return nil
	}
	var places []artifact.Location
	for _, key := range keys {
		at := bucket
		at.Key = bucket.Spelled(key)
		places = append(places, at)
	}
	return places
}

// other is another output that may be stored at this one's location, at a part of
// it, or at something that it is a part of.
func (c claims) other(one int, l artifact.Location) (int, bool) {
	not := func(list []int) (int, bool) {
		if i := slices.IndexFunc(list, func(j int) bool { return j != one }); i >= 0 {
			return list[i], true
		}
		return 0, false
	}
	at := l
	at.Kind = ""
	if other, found := not(c.at[at]); found {
		return other, true
	}
	if l.Kind == artifact.KindPrefix {
		// Those below follow it, and of these few are its own.
		i, _ := slices.BinarySearchFunc(c.sorted, at, compareKeys)
		for ; i < len(c.sorted) && c.sorted[i].SameBucket(l) && strings.HasPrefix(c.sorted[i].Key, l.Key); i++ {
			if other, found := not(c.at[c.sorted[i]]); found {
				return other, true
			}
		}
	}
	for end := len(l.Key); end >= 0; end = strings.LastIndexByte(l.Key[:end], '/') {
		at.Key = l.Key[:end]
		if other, found := not(c.below[at]); found {
			return other, true
		}
	}
	return 0, false
}
