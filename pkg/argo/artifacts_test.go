package argo_test

import (
	"maps"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

var (
	full       = object{"endpoint": "Store:9000", "bucket": "b", "key": "k"}
	repository = object{"s3": object{"endpoint": "s3", "bucket": "artifacts", "key": "wf/pod"}}
	none       = object{"none": object{}}
)

func with(o object, more object) object {
	c := object{"name": "a", "path": "/out/a"}
	for _, from := range []object{o, more} {
		for k, v := range from {
			c[k] = v
		}
	}
	return c
}

func TestOutputs(t *testing.T) {
	tests := map[string]struct {
		archive object
		inputs  list
		mounts  list
		outputs list
		want    []string
	}{
		"without a key lie under the repository's":        {outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"with a key alone lie in the repository's bucket": {outputs: list{with(object{"s3": object{"key": "x/y"}}, nil)}, want: []string{"a s3://s3/artifacts/x/y"}},
		"with half a location lie in the repository's":    {outputs: list{with(object{"s3": object{"key": "x", "bucket": "other"}}, nil)}, want: []string{"a s3://s3/artifacts/x"}},
		"with a bucket but no key lie in the repository":  {outputs: list{with(object{"s3": object{"endpoint": "e", "bucket": "other"}}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"with a full location lie there":                  {outputs: list{with(object{"s3": full}, nil)}, want: []string{"a s3://store:9000/b/k"}},
		"have their key cleaned as Argo does":             {archive: object{"s3": object{"endpoint": "s3", "bucket": "b", "key": "a//b/../c/"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/b/a/c/a.tgz"}},
		"need no key of the repository":                   {archive: object{"s3": object{"endpoint": "s3", "bucket": "b"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/b/a.tgz"}},
		"have their own key as it is":                     {outputs: list{with(object{"s3": object{"key": "x//y"}}, nil)}, want: []string{"a s3://s3/artifacts/x//y"}},
		"below a key with a leading slash":                {archive: object{"s3": object{"endpoint": "s3", "bucket": "b", "key": "/x"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/b//x/a.tgz"}},
		"above their bucket":                              {archive: object{"s3": object{"endpoint": "s3", "bucket": "b", "key": "../x"}}, outputs: list{with(nil, nil)}, want: []string{"a LocationInvalid"}},
		"in an endpoint that is a URL":                    {archive: object{"s3": object{"endpoint": "http://s3", "bucket": "b"}}, outputs: list{with(nil, nil)}, want: []string{"a LocationInvalid"}},
		"without a repository":                            {archive: object{}, outputs: list{with(nil, nil)}, want: []string{"a LocationInvalid"}},
		"in a repository of two stores":                   {archive: object{"s3": full, "gcs": object{}}, outputs: list{with(nil, nil)}, want: []string{"a LocationInvalid"}},
		"in a repository elsewhere":                       {archive: object{"oss": object{}}, outputs: list{with(nil, nil), with(object{"name": "b", "s3": object{"key": "x"}}, nil)}, want: []string{"a StoreUnsupported", "b StoreUnsupported"}},
		"in two stores":                                   {outputs: list{with(object{"s3": full, "http": object{}}, nil)}, want: []string{"a LocationInvalid"}},
		"in another store":                                {outputs: list{with(object{"hdfs": object{}}, nil)}, want: []string{"a StoreUnsupported"}},
		"with a store that is null":                       {outputs: list{with(object{"azure": nil, "s3": nil}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"with tar by name":                                {outputs: list{with(object{"archive": object{"tar": object{"compressionLevel": 0}}}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"with any compression":                            {outputs: list{with(object{"archive": object{"tar": object{"compressionLevel": 9}}}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"without an archive have the name of their file":  {outputs: list{with(object{"archive": none, "path": "/out/b.txt/"}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/b.txt as none"}},
		"without an archive, with a key":                  {outputs: list{with(object{"archive": none, "s3": object{"key": "x/y"}}, nil)}, want: []string{"a s3://s3/artifacts/x/y as none"}},
		"without an archive, with a prefix for a key":     {outputs: list{with(object{"archive": none, "s3": object{"key": "x/"}}, nil)}, want: []string{"a s3://s3/artifacts/x/ as none"}},
		"with an archive, with a prefix for a key":        {outputs: list{with(object{"s3": object{"key": "x/"}}, nil)}, want: []string{"a LocationInvalid"}},
		"as zip, with a prefix for a key":                 {outputs: list{with(object{"archive": object{"zip": object{}}, "s3": object{"key": "x/"}}, nil)}, want: []string{"a LocationInvalid"}},
		"with an odd prefix for a key":                    {outputs: list{with(object{"archive": none, "s3": object{"key": "x/../y/"}}, nil), with(object{"name": "b", "path": "/out/b", "archive": none, "s3": object{"key": "x//"}}, nil)}, want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"in a prefix with another in it":                  {outputs: list{with(object{"archive": none, "s3": object{"key": "x/"}}, nil), with(object{"name": "b", "s3": object{"key": "x/y"}}, nil)}, want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"in one prefix":                                   {outputs: list{with(object{"archive": none, "s3": object{"key": "x/"}}, nil), with(object{"name": "b", "path": "/out/b", "archive": none, "s3": object{"key": "x"}}, nil)}, want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"in a prefix with the log in it":                  {archive: object{"archiveLogs": true, "s3": repository["s3"]}, outputs: list{with(object{"archive": none, "s3": object{"key": "wf/"}}, nil)}, want: []string{"a LocationInvalid"}},
		"without an archive, on a volume":                 {mounts: list{object{"name": "v", "mountPath": "/out"}}, outputs: list{with(object{"archive": none}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a as none on v there"}},
		"without an archive, in a file of an odd name":    {outputs: list{with(object{"archive": none, "path": "/out/a\n", "s3": full}, nil)}, want: []string{"a ArchiveUnsupported"}},
		"without an archive, in a file of a long name":    {outputs: list{with(object{"archive": none, "path": "/" + strings.Repeat("n", 256), "s3": full}, nil)}, want: []string{"a ArchiveUnsupported"}},
		"as zip": {outputs: list{with(object{"archive": object{"zip": object{}}}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.zip as zip"}},
		"with an empty strategy, which is not tar": {outputs: list{with(object{"archive": object{}}, nil)}, want: []string{"a ArchiveUnsupported"}},
		"with two strategies":                      {outputs: list{with(object{"archive": object{"tar": object{}, "none": object{}}}, nil)}, want: []string{"a ArchiveUnsupported"}},
		"on a volume":                              {mounts: list{object{"name": "v", "mountPath": "/out/"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on v"}},
		"on a volume by a detour":                  {mounts: list{object{"name": "v", "mountPath": "/out"}}, outputs: list{with(object{"path": "//out/a"}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on v"}},
		"around a volume":                          {mounts: list{object{"name": "w", "mountPath": "/out/a/c"}, object{"name": "v", "mountPath": "/out/a/b"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on v"}},
		"around a volume, without an archive":      {mounts: list{object{"name": "v", "mountPath": "/out/a/b"}}, outputs: list{with(object{"archive": none}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a as none on v"}},
		"around a volume by a detour":              {mounts: list{object{"name": "v", "mountPath": "/out/a/../a/b"}}, outputs: list{with(nil, nil)}, want: []string{"a MountUnsupported"}},
		"on a volume over everything":              {mounts: list{object{"name": "v", "mountPath": "/"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on v"}},
		"beside a volume":                          {mounts: list{object{"name": "v", "mountPath": "/ou"}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"above their folder":                       {outputs: list{with(object{"path": "/x/../out"}, nil)}, want: []string{"a MountUnsupported"}},
		"ending above their folder":                {outputs: list{with(object{"path": "/x/.."}, nil)}, want: []string{"a MountUnsupported"}},
		"in a relative path":                       {outputs: list{with(object{"path": "out"}, nil)}, want: []string{"a MountUnsupported"}},
		"without a path":                           {outputs: list{with(object{"path": ""}, nil)}, want: []string{"a MountUnsupported"}},
		"with a slash at the end":                  {outputs: list{with(object{"path": "/out/a/"}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"in an input":                              {inputs: list{object{"name": "i", "path": "/out", "s3": full}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on input-artifacts"}},
		"in an input, as zip":                      {inputs: list{object{"name": "i", "path": "/out", "s3": full}}, outputs: list{with(object{"archive": object{"zip": object{}}}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.zip as zip on input-artifacts"}},
		"in an input, without an archive":          {inputs: list{object{"name": "i", "path": "/out", "s3": full}}, outputs: list{with(object{"archive": none}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a as none on input-artifacts there"}},
		"in the place of an input":                 {inputs: list{object{"name": "i", "path": "/out/a", "raw": object{"data": "x"}}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on input-artifacts"}},
		"in the place of an input of another path": {inputs: list{object{"name": "i", "path": "/out/a/", "s3": full}}, outputs: list{with(nil, nil)}, want: []string{"a MountUnsupported"}},
		"around an input":                          {inputs: list{object{"name": "i", "path": "/out/a/in", "s3": full}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on input-artifacts"}},
		"around an input, without an archive":      {inputs: list{object{"name": "i", "path": "/out/a/in", "s3": full}}, outputs: list{with(object{"archive": none}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a as none on input-artifacts"}},
		"beside an input":                          {inputs: list{object{"name": "i", "path": "/out/a", "s3": full}}, outputs: list{with(object{"path": "/out/a-beside"}, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"in the place of an absent input":          {inputs: list{object{"name": "i", "path": "/out/a", "optional": true}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"around an absent input":                   {inputs: list{object{"name": "i", "path": "/out/a/in", "optional": true}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz"}},
		"in an absent input":                       {inputs: list{object{"name": "i", "path": "/out", "optional": true}}, outputs: list{with(nil, nil)}, want: []string{"a MountUnsupported"}},
		"on a volume, in the place of an input":    {mounts: list{object{"name": "v", "mountPath": "/out"}}, inputs: list{object{"name": "i", "path": "/out/a", "optional": true, "s3": full}}, outputs: list{with(nil, nil)}, want: []string{"a s3://s3/artifacts/wf/pod/a.tgz on v"}},
		"in one location": {outputs: list{with(object{"s3": object{"key": "x"}}, nil), with(object{"name": "b", "s3": object{"key": "x"}}, nil)},
			want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"in the location of one that is not sealed": {outputs: list{with(object{"s3": object{"key": "x"}}, nil), with(object{"name": "b", "archive": object{}, "s3": object{"key": "x"}}, nil)},
			want: []string{"a LocationInvalid", "b ArchiveUnsupported"}},
		"below a folder that is not archived": {outputs: list{with(object{"s3": object{"key": "x/y"}}, nil), with(object{"name": "b", "archive": none, "s3": object{"key": "x"}}, nil)},
			want: []string{"a LocationInvalid", "b s3://s3/artifacts/x as none"}},
		"in the location of one on a volume": {mounts: list{object{"name": "v", "mountPath": "/v"}}, outputs: list{with(object{"s3": object{"key": "x"}}, nil), with(object{"name": "b", "path": "/v/b", "s3": object{"key": "x"}}, nil)},
			want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"beside one with the same key in another bucket": {outputs: list{with(object{"s3": full}, nil), with(object{"name": "b", "s3": object{"key": "k"}}, nil)},
			want: []string{"a s3://store:9000/b/k", "b s3://s3/artifacts/k"}},
		"beside one elsewhere": {outputs: list{with(object{"s3": full}, nil), with(object{"name": "b", "hdfs": object{}}, nil)},
			want: []string{"a s3://store:9000/b/k", "b StoreUnsupported"}},
		"beside one that lies nowhere": {archive: object{}, outputs: list{with(object{"s3": full}, nil), with(object{"name": "b"}, nil)},
			want: []string{"a s3://store:9000/b/k", "b LocationInvalid"}},
		"staged under one name": {outputs: list{with(object{"s3": full}, nil), with(object{"name": "b", "path": "/x/a.tgz", "archive": none, "s3": object{"key": "z"}}, nil)},
			want: []string{"a ArchiveUnsupported", "b s3://s3/artifacts/z as none packed"}},
		"staged under one name, both without an archive": {outputs: list{with(object{"archive": none, "path": "/x/c", "s3": full}, nil), with(object{"name": "b", "path": "/y/c", "archive": none}, nil)},
			want: []string{"a s3://store:9000/b/k as none packed", "b s3://s3/artifacts/wf/pod/c as none packed"}},
		"of one name, of which one lies on a volume": {mounts: list{object{"name": "v", "mountPath": "/y"}}, outputs: list{with(object{"archive": none, "path": "/x/c", "s3": full}, nil), with(object{"name": "b", "path": "/y/c", "archive": none}, nil)},
			want: []string{"a s3://store:9000/b/k as none", "b s3://s3/artifacts/wf/pod/c as none on v there"}},
		"of one name, of which one is the archive of another": {mounts: list{object{"name": "v", "mountPath": "/y"}}, outputs: list{with(object{"s3": full}, nil), with(object{"name": "b", "path": "/y/a.tgz", "archive": none}, nil)},
			want: []string{"a s3://store:9000/b/k", "b s3://s3/artifacts/wf/pod/a.tgz as none on v there"}},
		"staged where another is unpacked": {outputs: list{with(object{"archive": none, "path": "/x/b"}, nil), with(object{"name": "b", "path": "/y/c", "archive": none}, nil)},
			want: []string{"a s3://s3/artifacts/wf/pod/b as none packed", "b s3://s3/artifacts/wf/pod/c as none"}},
		"staged where another is first unpacked": {outputs: list{with(object{"archive": none, "path": "/x/b.tmpdir"}, nil), with(object{"name": "b", "path": "/y/c", "archive": none}, nil)},
			want: []string{"a s3://s3/artifacts/wf/pod/b.tmpdir as none packed", "b s3://s3/artifacts/wf/pod/c as none"}},
		"where one of an unsupported strategy may be": {outputs: list{with(object{"s3": object{"key": "wf/pod/b.zip"}}, nil), with(object{"name": "b", "archive": object{"zip": object{}, "none": object{}}}, nil)},
			want: []string{"a LocationInvalid", "b ArchiveUnsupported"}},
		"staged where another, unsupported, may be": {outputs: list{with(object{"archive": none, "path": "/x/b.zip", "s3": full}, nil), with(object{"name": "b", "archive": object{}}, nil)},
			want: []string{"a s3://store:9000/b/k as none packed", "b ArchiveUnsupported"}},
		"staged where a zip is": {outputs: list{with(object{"archive": none, "path": "/x/b.zip", "s3": full}, nil), with(object{"name": "b", "archive": object{"zip": object{}}}, nil)},
			want: []string{"a s3://store:9000/b/k as none packed", "b ArchiveUnsupported"}},
		"named as they are staged": {outputs: list{with(object{"archive": none}, nil), with(object{"name": "b", "path": "/out/b.tgz", "archive": none}, nil)},
			want: []string{"a s3://s3/artifacts/wf/pod/a as none", "b s3://s3/artifacts/wf/pod/b.tgz as none"}},
		"in the place of the log": {archive: object{"archiveLogs": true, "s3": repository["s3"]}, outputs: list{with(object{"archive": none, "path": "/x/main.log"}, nil), with(object{"name": "b", "s3": object{"key": "wf/pod/main.log"}}, nil)},
			want: []string{"a LocationInvalid", "b LocationInvalid"}},
		"in the place of a log that is not kept": {archive: object{"archiveLogs": false, "s3": repository["s3"]}, outputs: list{with(object{"archive": none, "path": "/x/main.log"}, nil)},
			want: []string{"a s3://s3/artifacts/wf/pod/main.log as none"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := withTemplate(t, "produce", func(o object) {
				o["archiveLocation"] = repository
				if test.archive != nil {
					o["archiveLocation"] = test.archive
				}
				o["container"] = object{"volumeMounts": test.mounts}
				o["inputs"], o["outputs"] = object{"artifacts": test.inputs}, object{"artifacts": test.outputs}
			})
			for _, m := range test.mounts {
				mirrored(pod, corev1.VolumeMount{Name: m.(object)["name"].(string), MountPath: m.(object)["mountPath"].(string)})
			}
			for _, in := range test.inputs {
				if in := in.(object); in["optional"] == nil {
					mirrored(pod, corev1.VolumeMount{Name: "input-artifacts", MountPath: in["path"].(string), SubPath: in["name"].(string)})
				}
			}
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, outputs(step)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
		})
	}
}

// mirrored mounts something in main, and in wait as Argo does.
func mirrored(p *corev1.Pod, m corev1.VolumeMount) {
	mount(mainOf(p), m)
	m.MountPath = path.Join("/mainctrfs", m.MountPath)
	mount(waitOf(p), m)
}

func TestAStepWithoutARepositoryHasOnlyFullLocations(t *testing.T) {
	step, err := argo.Parse(withTemplate(t, "produce", func(o object) {
		delete(o, "archiveLocation")
		o["outputs"] = object{"artifacts": list{with(object{"s3": full}, nil), with(object{"name": "b"}, nil)}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a s3://store:9000/b/k", "b LocationInvalid"}, outputs(step)); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestInputs(t *testing.T) {
	commit := strings.Repeat("a1", 20)
	git := func(fields object) object {
		repo := object{"repo": "https://example.org/app"}
		maps.Copy(repo, fields)
		return with(object{"git": repo}, nil)
	}
	tests := map[string]struct {
		mounts list
		input  object
		want   string
	}{
		"with a full location":              {input: with(object{"s3": full}, nil), want: "a store s3://store:9000/b/k"},
		"with a key":                        {input: with(object{"s3": object{"key": "x"}}, nil), want: "a store s3://s3/artifacts/x"},
		"with a mode":                       {input: with(object{"s3": full, "mode": 0o755}, nil), want: "a store s3://store:9000/b/k"},
		"with recursive modes":              {input: with(object{"s3": full, "mode": 0o755, "recurseMode": true}, nil), want: "a store s3://store:9000/b/k"},
		"with no mode, recursively":         {input: with(object{"s3": full, "recurseMode": true}, nil), want: "a store s3://store:9000/b/k"},
		"by tar":                            {input: with(object{"s3": full, "archive": object{"tar": object{}}}, nil), want: "a store s3://store:9000/b/k by tar"},
		"by detection":                      {input: with(object{"s3": full, "archive": object{}}, nil), want: "a store s3://store:9000/b/k"},
		"not unpacked":                      {input: with(object{"s3": full, "archive": none}, nil), want: "a store s3://store:9000/b/k by none"},
		"in two ways":                       {input: with(object{"s3": full, "archive": object{"tar": object{}, "none": object{}}}, nil), want: "a store ArchiveUnsupported"},
		"unzipped":                          {input: with(object{"s3": full, "archive": object{"zip": object{}}}, nil), want: "a store s3://store:9000/b/k by zip"},
		"with a prefix for a key":           {input: with(object{"s3": object{"key": "x/"}}, nil), want: "a store s3://s3/artifacts/x/"},
		"with an odd prefix for a key":      {input: with(object{"s3": object{"key": "../x/"}}, nil), want: "a store LocationInvalid"},
		"with a slash for a key":            {input: with(object{"s3": object{"key": "/"}}, nil), want: "a store LocationInvalid"},
		"in two stores":                     {input: with(object{"s3": full, "raw": object{"data": "x"}}, nil), want: "a store LocationInvalid"},
		"above a volume":                    {mounts: list{object{"name": "v", "mountPath": "/out/a/conf"}}, input: with(object{"s3": full}, nil), want: "a store s3://store:9000/b/k"},
		"above a volume without a name":     {mounts: list{object{"mountPath": "/out/a/conf"}}, input: with(object{"s3": full}, nil), want: "a store MountUnsupported"},
		"above a volume by a detour":        {mounts: list{object{"name": "v", "mountPath": "x/..//out/a/conf/"}}, input: with(object{"s3": full}, nil), want: "a store MountUnsupported"},
		"beside a volume":                   {mounts: list{object{"name": "v", "mountPath": "/out/ab"}}, input: with(object{"s3": full}, nil), want: "a store s3://store:9000/b/k"},
		"on a volume":                       {mounts: list{object{"name": "v", "mountPath": "/out"}}, input: with(object{"s3": full}, nil), want: "a store MountUnsupported"},
		"inline":                            {input: with(object{"raw": object{"data": "x"}}, nil), want: "a raw"},
		"inline on a volume":                {mounts: list{object{"name": "v", "mountPath": "/out"}}, input: with(object{"raw": object{}}, nil), want: "a raw"},
		"from git":                          {input: git(object{"revision": commit}), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from a branch":                     {input: git(object{"revision": "main"}), want: "a git git+https://example.org/app@refs/heads/main by none"},
		"from a branch, in full":            {input: git(object{"revision": "refs/heads/main"}), want: "a git git+https://example.org/app@refs/heads/main by none"},
		"from a single branch":              {input: git(object{"singleBranch": true, "branch": "main"}), want: "a git git+https://example.org/app@refs/heads/main by none"},
		"from git with credentials":         {input: git(object{"revision": commit, "depth": 1, "usernameSecret": object{"name": "x"}, "disableSubmodules": true}), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from git, not unpacked":            {input: with(object{"archive": none}, git(object{"revision": commit})), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from git, by detection":            {input: with(object{"archive": object{}}, git(object{"revision": commit})), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from git, unpacked":                {input: with(object{"archive": object{"tar": object{}}}, git(object{"revision": commit})), want: "a git ArchiveUnsupported"},
		"from git, unzipped":                {input: with(object{"archive": object{"zip": object{}}}, git(object{"revision": commit})), want: "a git ArchiveUnsupported"},
		"from git, in two ways":             {input: with(object{"archive": object{"tar": object{}, "none": object{}}}, git(object{"revision": commit})), want: "a git ArchiveUnsupported"},
		"from git by the short form of ssh": {input: git(object{"repo": "git@example.org:acme/app.git", "revision": commit}), want: "a git git+ssh://git@example.org/~/acme/app.git@" + commit + " by none"},
		"from whatever git gives":           {input: git(nil), want: "a git git+https://example.org/app@HEAD by none"},
		"from a single branch, unnamed":     {input: git(object{"singleBranch": true}), want: "a git RemoteUnsupported"},
		"from a branch that is not said":    {input: git(object{"branch": "main"}), want: "a git RemoteUnsupported"},
		"from a tag":                        {input: git(object{"revision": "refs/tags/v1"}), want: "a git git+https://example.org/app@refs/tags/v1 by none"},
		"from a pull request":               {input: git(object{"revision": "refs/pull/1/head"}), want: "a git RemoteUnsupported"},
		"from a tag of no name":             {input: git(object{"revision": "refs/tags/"}), want: "a git RemoteUnsupported"},
		"from an expression":                {input: git(object{"revision": "main~1"}), want: "a git RemoteUnsupported"},
		"from half a commit":                {input: git(object{"revision": "a1a1a1"}), want: "a git RemoteUnsupported"},
		"from one digit of a commit":        {input: git(object{"revision": "8"}), want: "a git RemoteUnsupported"},
		"from a commit in capitals":         {input: git(object{"revision": strings.ToUpper(commit)}), want: "a git RemoteUnsupported"},
		"from nearly a commit":              {input: git(object{"revision": commit[1:]}), want: "a git RemoteUnsupported"},
		"from a branch like half a commit":  {input: git(object{"revision": "refs/heads/deadbeef"}), want: "a git git+https://example.org/app@refs/heads/deadbeef by none"},
		"from a tag like half a commit":     {input: git(object{"revision": "refs/tags/2024"}), want: "a git git+https://example.org/app@refs/tags/2024 by none"},
		"from a branch like a commit":       {input: git(object{"revision": "refs/heads/" + commit}), want: "a git RemoteUnsupported"},
		"from a single branch in hex":       {input: git(object{"singleBranch": true, "branch": "deadbeef"}), want: "a git git+https://example.org/app@refs/heads/deadbeef by none"},
		"from hex with something more":      {input: git(object{"revision": "deadbeef-1"}), want: "a git git+https://example.org/app@refs/heads/deadbeef-1 by none"},
		"from a branch that may be a tag":   {input: git(object{"revision": "tags/v1"}), want: "a git RemoteUnsupported"},
		"from a branch of a remote":         {input: git(object{"revision": "remotes/origin/main"}), want: "a git RemoteUnsupported"},
		"from half a branch's name":         {input: git(object{"revision": "heads/main"}), want: "a git RemoteUnsupported"},
		"from HEAD":                         {input: git(object{"revision": "HEAD"}), want: "a git RemoteUnsupported"},
		"from a branch called heads":        {input: git(object{"revision": "heads"}), want: "a git git+https://example.org/app@refs/heads/heads by none"},
		"from git under another name":       {input: git(object{"revision": commit, "fetch": list{"refs/pull/1/head:refs/heads/x"}}), want: "a git RemoteUnsupported"},
		"from any server over TLS":          {input: git(object{"revision": commit, "insecureSkipTLS": true}), want: "a git RemoteUnsupported"},
		"from any server over SSH":          {input: git(object{"revision": commit, "insecureIgnoreHostKey": true}), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from a repository of the node's":   {input: git(object{"repo": "/srv/app", "revision": commit}), want: "a git RemoteUnsupported"},
		"from git, modes recursive":         {input: with(object{"mode": 0o755, "recurseMode": true}, git(object{"revision": commit})), want: "a git git+https://example.org/app@" + commit + " by none"},
		"from git onto a volume":            {mounts: list{object{"name": "v", "mountPath": "/out"}}, input: git(object{"revision": commit}), want: "a git MountUnsupported"},
		"from http":                         {input: with(object{"http": object{"url": "https://example.org/x", "headers": list{}, "auth": object{}}}, nil), want: "a http https://example.org/x"},
		"from http, not unpacked":           {input: with(object{"http": object{"url": "https://example.org/x"}, "archive": none}, nil), want: "a http https://example.org/x by none"},
		"from http, unzipped":               {input: with(object{"http": object{"url": "https://example.org/x"}, "archive": object{"zip": object{}}}, nil), want: "a http https://example.org/x by zip"},
		"from http, in two ways":            {input: with(object{"http": object{"url": "https://example.org/x"}, "archive": object{"tar": object{}, "none": object{}}}, nil), want: "a http ArchiveUnsupported"},
		"from http by a detour":             {input: with(object{"http": object{"url": "https://example.org/data/../x"}}, nil), want: "a http RemoteUnsupported"},
		"from nowhere":                      {input: with(object{"http": object{}}, nil), want: "a http RemoteUnsupported"},
		"from http onto a volume":           {mounts: list{object{"name": "v", "mountPath": "/out"}}, input: with(object{"http": object{"url": "https://example.org/x"}}, nil), want: "a http MountUnsupported"},
		"from another store":                {input: with(object{"oss": object{"key": "x"}}, nil), want: "a other StoreUnsupported"},
		"not supplied":                      {input: with(nil, nil), want: "a absent"},
		"with a store but no key":           {input: with(object{"s3": object{"bucket": "b"}}, nil), want: "a absent"},
		"not supplied and optional":         {input: with(object{"optional": true}, nil), want: "a absent"},
		"with only a store that is null":    {input: with(object{"git": nil}, nil), want: "a absent"},
		"with a path above its folder":      {input: with(object{"s3": full, "path": "/x/../y"}, nil), want: "a store MountUnsupported"},
		"with a relative path":              {input: with(object{"s3": full, "path": "x"}, nil), want: "a store MountUnsupported"},
		"in a store beside what is null":    {input: with(object{"s3": full, "git": nil}, nil), want: "a store s3://store:9000/b/k"},
		"optional, in a store":              {input: with(object{"s3": full, "optional": true}, nil), want: "a store s3://store:9000/b/k"},
		"with a bucket that is not a name":  {input: with(object{"s3": object{"endpoint": "e", "bucket": "a/b", "key": "k"}}, nil), want: "a store LocationInvalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := withTemplate(t, "produce", func(o object) {
				o["archiveLocation"] = repository
				o["container"] = object{"volumeMounts": test.mounts}
				o["inputs"], o["outputs"] = object{"artifacts": list{test.input}}, object{}
			})
			mount(mainOf(pod), corev1.VolumeMount{Name: "input-artifacts", MountPath: "/out/a", SubPath: "a"})
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if got := inputs(step)[0]; got != test.want {
				t.Errorf("the input is %q, want %q", got, test.want)
			}
			if p := step.Inputs[0].Problem(); p != nil && p.Artifact != "a" {
				t.Errorf("its problem names %q", p.Artifact)
			}
		})
	}
}

func TestAStepListsWhatIsToBeSealedAndPinned(t *testing.T) {
	_, step := argotest.Parsed(t, "everything")
	var sealable []string
	for _, o := range step.Sealable() {
		sealable = append(sealable, o.Name)
	}
	if diff := cmp.Diff([]string{"tree", "plain-file", "zipped", "on-volume", "keyed", "absent"}, sealable); diff != "" {
		t.Errorf("sealable outputs (-want +got):\n%s", diff)
	}
	if in := step.PinnedInputs(); len(in) != 0 {
		t.Errorf("inputs to pin are %v, want none", in)
	}
	_, step = argotest.Parsed(t, "consume")
	in := step.PinnedInputs()
	if len(in) != 1 {
		t.Fatalf("%d inputs to pin, want 1", len(in))
	}
	if got, want := in[0].Label(), "message ("+in[0].Location().URI()+")"; got != want {
		t.Errorf("its label is %q, want %q", got, want)
	}
	if got := (argo.Output{Name: "x"}).Refused(reason.New(reason.StoreUnsupported, "")).Label(); got != "x" {
		t.Errorf("the label of an output without a location is %q", got)
	}
}

func TestAnInputMayBeAnObjectOrAPrefix(t *testing.T) {
	for key, want := range map[string][]string{
		"x/y":  {"s3://s/b/x/y", "s3://s/b/x/y/"},
		"x/y/": {"s3://s/b/x/y/"},
	} {
		l, err := artifact.ParseLocation("s3://s/b/" + key)
		if err != nil {
			t.Fatal(err)
		}
		in := argo.Input{}.StoredAt(l, content.ArchiveDetect)
		var got []string
		for _, l := range in.Locations() {
			got = append(got, l.URI())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("places of %s (-want +got):\n%s", key, diff)
		}
		for uri, lies := range map[string]bool{"s3://s/b/x/y": key == "x/y", "s3://s/b/x/y/": true, "s3://s/b/x/": false, "s3://s/b/x/y/z": false, "": false} {
			if in.LiesAt(uri) != lies {
				t.Errorf("%s lies at %q: %t", key, uri, !lies)
			}
		}
	}
	broken := argo.Input{Source: argo.SourceStore}.Refused(reason.New(reason.LocationInvalid, ""))
	if broken.LiesAt("") || broken.LiesAt("s3:////") {
		t.Error("an input without a location lies somewhere")
	}
}

func TestAnOutputLiesWhereItsFormSays(t *testing.T) {
	for _, c := range []struct {
		key  string
		form content.Form
		want string
	}{
		{"x", content.FormFile, "s3://s/b/x"},
		{"x", content.FormTar, "s3://s/b/x"},
		{"x", content.FormDirectory, "s3://s/b/x/"},
		{"x/", content.FormDirectory, "s3://s/b/x/"},
		{"x/", content.FormFile, ""},
		{"x/", content.FormLookalike, ""},
	} {
		l, err := artifact.ParseLocation("s3://s/b/" + c.key)
		if err != nil {
			t.Fatal(err)
		}
		at, err := argo.Output{}.StoredAt(l, content.ArchiveNone, "").At(c.form)
		if (err == nil) != (c.want != "") || err == nil && at.URI() != c.want {
			t.Errorf("a %s with key %s lies at %s, %v", c.form, c.key, at, err)
		}
	}
}
