package argo

import (
	"path"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// produced says on which volume an output's path lies, or one that lies in it, and where
// it is measured, or why what is there cannot be said to be what the step stored. Argo
// stages no copy of what it uploads from a volume as it is; what has a volume in it the
// emissary packs as main sees it, as it does main's own files.
func (t *template) produced(o Output, raw string, inputs []artifactSpec) (volume string, place measurement.Place, problem *reason.Error) {
	if problem := absolute(raw); problem != nil {
		return "", "", problem
	}
	volume, problem = t.volumeAt(o.Path)
	direct := true
	if volume == "" && problem == nil {
		volume, direct, problem = o.among(inputs)
	}
	if volume == "" && problem == nil {
		volume, direct = t.volumeBelow(o.Path), false
	}
	switch {
	case problem != nil:
		return "", "", problem
	case direct && volume != "" && o.Archive() == content.ArchiveNone:
		place = measurement.PlaceVolume
	}
	return volume, place, nil
}

// among says whether what came as an input is at, above or below an output's
// path, on Argo's volume of inputs: then it may be the work of somebody else. At
// and below an input's path Argo stores what wait sees of that input, which is
// from then; above it, as of main's own files, what the emissary packed
// (WorkflowExecutor.isBaseImagePath). direct says that it is the former.
func (o Output) among(inputs []artifactSpec) (volume string, direct bool, problem *reason.Error) {
	for _, in := range inputs {
		at := path.Clean(in.Path)
		inInput := within(o.Path, at)
		absent := in.keyless()
		switch {
		case !overlap(o.Path, at), absent && in.Optional && (at == o.Path || !inInput):
			continue
		case absent:
			return "", false, reason.New(reason.MountUnsupported, "path %.200q lies in input %s, which is not supplied: Argo looks for it where nothing is", o.Path, in.Name)
		case in.Path != at:
			return "", false, reason.New(reason.MountUnsupported, "path %.200q overlaps input %s, whose path %.200q is not clean", o.Path, in.Name, in.Path)
		case inInput:
			direct = true
		}
		volume = layout.VolumeInputs
	}
	return volume, direct, nil
}
