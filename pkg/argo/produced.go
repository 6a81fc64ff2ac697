package argo

import (
	"path"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// produced says on which volume an output's path lies (or which lies in it) and
// where the output is measured, or why nobody can say what the step stored there.
// If Argo uploads an output from a volume as it is, it does not stage it. If an
// output has a volume in it, the emissary packs it as main sees it, as it does
// main's own files.
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

// among says whether an input on Argo's volume of inputs is at, above or below an
// output's path: then others may have made a part of the output. At and below an
// input's path Argo stores the input itself, as wait sees it; direct says so. Above
// it, Argo stores what the emissary packed, as with main's own files
// (WorkflowExecutor.isBaseImagePath).
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
