//go:build e2e

package suite

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// assembling stores two artifacts under one key, each in a store of its own, and
// takes both, and with them one of those that its user gives to the workflow. One
// takes what the first store has, by the other one's name.
const assembling = `
metadata: {name: assembling}
spec:
  entrypoint: main
  arguments:
    artifacts:
    - {name: object, s3: {OTHER, key: FOLDER/given}}
    - {name: page, http: {url: SITE/lists/a.txt}}
    - {name: commit, git: {repo: SITE/acme/app, revision: FIRST}}
    - {name: note, raw: {data: noted}}
  templates:
  - name: main
    inputs: {artifacts: [{name: object}, {name: page}, {name: commit}, {name: note}]}
    dag:
      failFast: false
      tasks:
      - {name: make, template: make}
      - {name: nothing, template: use, depends: make, arguments: {parameters: [{name: word, value: noted}], artifacts: [HERE, THERE, {name: given, from: "{{inputs.artifacts.note}}"}]}}
      - {name: object, template: use, depends: make, arguments: {parameters: [{name: word, value: given}], artifacts: [HERE, THERE, {name: given, from: "{{inputs.artifacts.object}}"}]}}
      - {name: page, template: use, depends: make, arguments: {parameters: [{name: word, value: listed}], artifacts: [HERE, THERE, {name: given, from: "{{inputs.artifacts.page}}"}]}}
      - {name: commit, template: use, depends: make, arguments: {parameters: [{name: word, value: first}], artifacts: [HERE, THERE, {name: given, from: "{{inputs.artifacts.commit}}"}]}}
      - {name: renamed, template: use, depends: make, arguments: {parameters: [{name: word, value: here}], artifacts: [HERE, THERE, {name: given, s3: {RENAMED, key: FOLDER/made}}]}}
  - name: make
    outputs:
      artifacts:
      - {name: here, path: /tmp/here, s3: {key: FOLDER/made}}
      - {name: there, path: /tmp/there, s3: {OTHER, key: FOLDER/made}}
    container: {image: busybox, command: [sh, -c, "echo here > /tmp/here; echo there > /tmp/there"]}
  - name: use
    inputs: {parameters: [{name: word}], artifacts: [{name: here, path: /in/here}, {name: there, path: /in/there}, {name: given, path: /in/given}]}
    outputs: {artifacts: [{name: used, path: /tmp/used, s3: {key: "FOLDER/used/{{pod.name}}"}}]}
    container: {image: busybox, command: [sh, -ec, "grep -qx here /in/here; grep -qx there /in/there; grep -rqx {{inputs.parameters.word}} /in/given; echo used > /tmp/used"]}
`

// elsewhere is a bucket of the store that furnished has, which is the cluster's by
// another name.
const (
	otherStore  = "minio:9000"
	otherBucket = "my-bucket"
	elsewhere   = otherAccess + `, bucket: ` + otherBucket
	otherAccess = `endpoint: "` + otherStore + `", insecure: true, ` +
		`accessKeySecret: {name: my-minio-cred, key: accesskey}, secretKeySecret: {name: my-minio-cred, key: secretkey}`
)

// TestConformanceSeveralStoresAndWhatAWorkflowIsGiven: an artifact is what one store
// has, whatever another one has under the same key; and what the workflow's user
// gives it comes from outside, like what a step takes from there by itself.
func TestConformanceSeveralStoresAndWhatAWorkflowIsGiven(t *testing.T) {
	t.Parallel()
	site := newSite(t).serve(t)
	const allowed = `allow: {s3: [{location: "s3://` + otherStore + "/" + otherBucket + `/FOLDER/given", anyContent: true, tolerate: [NamespaceNames, PlainHTTP]}], ` +
		`http: [{url: "SITE/lists/*.txt", anyContent: true}], git: [{repository: "SITE/acme/*"}]}`
	for name, c := range map[string]struct {
		mode   v1alpha1.Mode
		policy string
		code   reason.Code // of those that are given something from outside
	}{
		"without a policy":    {mode: v1alpha1.ModeEnforce, code: reason.NoProvenance},
		"with a policy":       {mode: v1alpha1.ModeEnforce, policy: allowed},
		"without the defence": {mode: plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := furnished(t, slug("given", name), c.mode)
			here := strings.NewReplacer("FOLDER", ns, "OTHER", elsewhere, "RENAMED", otherAccess+", bucket: "+part.S3Bucket,
				"HERE", `{name: here, from: "{{tasks.make.outputs.artifacts.here}}"}`, "THERE", `{name: there, from: "{{tasks.make.outputs.artifacts.there}}"}`)
			govern(t, ns, site.Replace(here.Replace(c.policy)), "")
			given := lab.Tarball("given", "given\n")
			if _, err := cluster(t).S3.PutObject(t.Context(), otherBucket, ns+"/given", bytes.NewReader(given), int64(len(given)), minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			run := finish(t, ns, submit(t, ns, site.Replace(here.Replace(assembling))))
			// The other store's name is known to nobody, whatever it has.
			renamed := reason.NoProvenance
			if c.mode == plain {
				renamed = ""
			}
			for name, code := range map[string]reason.Code{"nothing": "", "object": c.code, "page": c.code, "commit": c.code, "renamed": renamed} {
				switch node, _ := run.Node(name); {
				case code != "" && !refuses(node.Message, code):
					t.Errorf("%s: want %s: %s", name, code, run)
				case code == "" && node.Phase != "Succeeded":
					t.Errorf("%s: want Succeeded: %s", name, run)
				case code == "" && c.mode != plain:
					gatedNode(t, run, node)
					if got := records(t, run, node)["used"]; got != reason.Sealed {
						t.Errorf("what %s makes of it is %q", name, got)
					}
				}
			}
			if c.mode == plain {
				return
			}
			var made []string
			for _, s := range statements(t, run) {
				for _, subject := range s.Subjects {
					if s.Definition.Template == "make" {
						made = append(made, subject.Output+" "+subject.URI)
					}
				}
			}
			slices.Sort(made)
			if want := []string{
				"here s3://" + store + "/" + part.S3Bucket + "/" + ns + "/made", "there s3://" + otherStore + "/" + otherBucket + "/" + ns + "/made",
			}; !slices.Equal(made, want) {
				t.Errorf("the statements are about %q, want %q", made, want)
			}
		})
	}
}
