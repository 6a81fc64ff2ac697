package argo

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// template is what we read of ARGO_TEMPLATE. Argo decodes the same bytes with
// the same decoder into wfv1.Template; names and tags are its own.
type template struct {
	Name            string                 `json:"name"`
	Inputs          artifacts              `json:"inputs"`
	Outputs         artifacts              `json:"outputs"`
	Container       *mounting              `json:"container"`
	Script          *scriptTemplate        `json:"script"`
	ContainerSet    *containerSet          `json:"containerSet"`
	Steps           *json.RawMessage       `json:"steps"`
	DAG             *json.RawMessage       `json:"dag"`
	Resource        *resourceTemplate      `json:"resource"`
	Data            *json.RawMessage       `json:"data"`
	Suspend         *json.RawMessage       `json:"suspend"`
	HTTP            *json.RawMessage       `json:"http"`
	Plugin          *json.RawMessage       `json:"plugin"`
	Metadata        definition.PodMetadata `json:"metadata"`
	Daemon          bool                   `json:"daemon"`
	InitContainers  []userContainer        `json:"initContainers"`
	Sidecars        []userContainer        `json:"sidecars"`
	ArchiveLocation json.RawMessage        `json:"archiveLocation"`

	archive *location
	// in and out are its artifacts; ill is why they cannot be read.
	in, out []artifactSpec
	ill     error
}

// artifacts are the artifacts of inputs or outputs, each read strictly later.
type artifacts struct {
	Artifacts []json.RawMessage `json:"artifacts"`
}

// mounting is a container of the template: what it runs and the volumes it
// mounts.
type mounting struct {
	Image        string        `json:"image"`
	Command      []string      `json:"command"`
	Args         []string      `json:"args"`
	WorkingDir   string        `json:"workingDir"`
	VolumeMounts []volumeMount `json:"volumeMounts"`
}

type volumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
}

// scriptTemplate is a container and what it runs.
type scriptTemplate struct {
	mounting
	Source string `json:"source"`
}

// containerSet is a list of containers and what all of them mount. Argo counts
// these mounts alone as volumes of the template.
type containerSet struct {
	mounting
	Containers []struct {
		Name string `json:"name"`
	} `json:"containers"`
}

// userContainer is an init container or sidecar of the template.
type userContainer struct {
	Name               string `json:"name"`
	MirrorVolumeMounts *bool  `json:"mirrorVolumeMounts"`
}

func (c userContainer) mirrors() bool { return c.MirrorVolumeMounts != nil && *c.MirrorVolumeMounts }

// resourceTemplate is a resource template as far as it may use an artifact.
type resourceTemplate struct {
	ManifestFrom *json.RawMessage `json:"manifestFrom"`
}

// artifactSpec is one artifact of a template; every field Argo knows is here,
// so that one it does not know is noticed.
type artifactSpec struct {
	Name           string           `json:"name"`
	Path           string           `json:"path"`
	Mode           *int32           `json:"mode"`
	From           string           `json:"from"`
	GlobalName     string           `json:"globalName"`
	Archive        *archiveSpec     `json:"archive"`
	Optional       bool             `json:"optional"`
	SubPath        string           `json:"subPath"`
	RecurseMode    bool             `json:"recurseMode"`
	FromExpression string           `json:"fromExpression"`
	ArtifactGC     *json.RawMessage `json:"artifactGC"`
	Deleted        bool             `json:"deleted"`
	location
}

// archiveSpec is an artifact's archive strategy.
type archiveSpec struct {
	Tar *struct {
		CompressionLevel *int32 `json:"compressionLevel"`
	} `json:"tar"`
	None *struct{} `json:"none"`
	Zip  *struct{} `json:"zip"`
}

// location is where an artifact lies, or where a step's artifacts lie.
type location struct {
	ArchiveLogs *bool            `json:"archiveLogs"`
	Git         *gitLocation     `json:"git"`
	HTTP        *httpLocation    `json:"http"`
	Artifactory *json.RawMessage `json:"artifactory"`
	HDFS        *json.RawMessage `json:"hdfs"`
	Raw         *rawLocation     `json:"raw"`
	OSS         *json.RawMessage `json:"oss"`

	// places are those in stores of a kind that we know.
	places artifact.Places
}

// rawLocation is inline content.
type rawLocation struct {
	Data string `json:"data"`
}

// templateFields are the fields of a template in Argo v3.7. Any other field belongs
// to a version in which the template may mean something else.
var templateFields = []string{
	"activeDeadlineSeconds", "affinity", "annotations", "archiveLocation",
	"automountServiceAccountToken", "container", "containerSet", "daemon", "dag",
	"data", "executor", "failFast", "hostAliases", "http", "initContainers",
	"inputs", "memoize", "metadata", "metrics", "name", "nodeSelector", "outputs",
	"parallelism", "plugin", "podSpecPatch", "priorityClassName", "resource",
	"retryStrategy", "schedulerName", "script", "securityContext",
	"serviceAccountName", "sidecars", "steps", "suspend", "synchronization",
	"timeout", "tolerations", "volumes",
}

// TemplateField says whether a template of Argo v3.7 has a field of exactly that name.
func TemplateField(name string) bool {
	_, found := slices.BinarySearch(templateFields, name)
	return found
}

// decodeTemplate reads ARGO_TEMPLATE as Argo's init gets it.
func decodeTemplate(data []byte) (*template, error) {
	t := &template{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("not a JSON object as Argo knows it: %w", err)
	}
	names, err := uniqueKeys(data)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !TemplateField(name) {
			return nil, fmt.Errorf("field %.80q is not one of Argo v3.7", name)
		}
	}
	if len(t.ArchiveLocation) > 0 {
		places, rest, err := artifact.TakePlaces(t.ArchiveLocation, decodeStrict)
		if err == nil {
			err = decodeStrict(rest, &t.archive)
		}
		if err != nil {
			return nil, fmt.Errorf("archiveLocation: %w", err)
		}
		if t.archive != nil {
			t.archive.places = places
		}
	}
	if t.in, t.ill = decodeArtifacts(t.Inputs.Artifacts); t.ill == nil {
		t.out, t.ill = decodeArtifacts(t.Outputs.Artifacts)
	}
	return t, nil
}

// kinds lists the template types that are set; a template has exactly one.
func (t *template) kinds() []string {
	var set []string
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"container", t.Container != nil},
		{"containerSet", t.ContainerSet != nil},
		{"steps", t.Steps != nil},
		{"dag", t.DAG != nil},
		{"script", t.Script != nil},
		{"resource", t.Resource != nil},
		{"data", t.Data != nil},
		{"suspend", t.Suspend != nil},
		{"http", t.HTTP != nil},
		{"plugin", t.Plugin != nil},
	} {
		if k.set {
			set = append(set, k.name)
		}
	}
	return set
}

// volumeMounts are those of main, or of all containers of a set.
func (t *template) volumeMounts() []volumeMount {
	switch {
	case t.Container != nil:
		return t.Container.VolumeMounts
	case t.Script != nil:
		return t.Script.VolumeMounts
	case t.ContainerSet != nil:
		return t.ContainerSet.VolumeMounts
	}
	return nil
}

// mains names the containers that are the step itself: main, or those of a set.
func (t *template) mains() []string {
	if t.ContainerSet == nil {
		return []string{layout.ContainerMain}
	}
	var names []string
	for _, c := range t.ContainerSet.Containers {
		names = append(names, c.Name)
	}
	return names
}

// below says whether the mount is plainly one below a clean path.
func (m volumeMount) below(p string) bool {
	return m.Name != "" && m.MountPath == mountedAt(m.MountPath) && m.MountPath != p && within(m.MountPath, p)
}

// volumeBelow names the volume whose mount is the first below the clean path; empty for
// none.
func (t *template) volumeBelow(p string) string {
	var first *volumeMount
	for _, m := range t.volumeMounts() {
		if m.below(p) && (first == nil || m.MountPath < first.MountPath) {
			first = &m
		}
	}
	if first == nil {
		return ""
	}
	return first.Name
}

// volumeAt names the volume on which the clean path lies by Argo's rule: the
// longest mount path at or above it (common.FindOverlappingVolume); empty for none.
// Argo does not know of mounts that only the kubelet puts above it. There may be
// mounts below it: what they hold is no part of an input, but a part of an output.
func (t *template) volumeAt(p string) (string, *reason.Error) {
	var found *volumeMount
	for _, m := range t.volumeMounts() {
		switch {
		case within(p, m.MountPath) && m.Name != "":
			if found == nil || len(m.MountPath) > len(found.MountPath) {
				found = &m
			}
		case m.below(p):
		case overlap(p, mountedAt(m.MountPath)):
			return "", reason.New(reason.MountUnsupported, "path %.200q overlaps the mount of volume %s at %.200q", p, m.Name, m.MountPath)
		}
	}
	if found == nil {
		return "", nil
	}
	return found.Name, nil
}
