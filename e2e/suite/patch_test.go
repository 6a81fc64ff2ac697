//go:build e2e

package suite

import (
	"strconv"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// step is a workflow of one pod that has an input and an output, and whatever
// a tenant adds to its template.
const step = `
metadata: {generateName: step-}
spec:
  entrypoint: step
  templates:
  - name: step
    ADDED
    inputs:
      artifacts:
      - name: note
        path: /tmp/note
        raw: {data: "a note"}
    container:
      image: busybox
      command: [sh, -c]
      args: ["cp /tmp/note /tmp/message"]
    outputs:
      artifacts:
      - {name: message, path: /tmp/message}
`

// added is the attack of a tenant who adds a field to the step's template.
func added(field, value string) func(t *testing.T, ns string) error {
	text := strings.Replace(step, "ADDED", field+": "+value, 1)
	return func(t *testing.T, ns string) error {
		return refusal(finish(t, ns, submit(t, ns, text)))
	}
}

// patched is the attack of a tenant who adds a podSpecPatch to the template.
func patched(patch string) func(t *testing.T, ns string) error {
	return added("podSpecPatch", strconv.Quote(patch))
}

// try tries attacks with and without the defence.
func try(t *testing.T, name string, attacks map[string]attack) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, name, mode)
		for name, a := range attacks {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a.hold(t, ns, mode)
			})
		}
	})
}

// otherExecutor is an image that works, by a name that nobody configured.
func otherExecutor(t *testing.T) string {
	t.Helper()
	argo, err := part.Recipe("argo")
	if err != nil {
		t.Fatal(err)
	}
	return part.ArgoExecImage + ":" + argo.Version
}

func TestAPatchOfThePodSpecCannotReplaceWhatProvesTheBytes(t *testing.T) {
	try(t, "patch-ours", map[string]attack{
		"our signer's image": {
			code: reason.NameTaken,
			try:  patched(`{"initContainers":[{"name":"argoseal-signer","image":"busybox","imagePullPolicy":"IfNotPresent","command":["true"]}]}`),
		},
		"our verifier's command": {
			code: reason.NameTaken,
			try:  patched(`{"initContainers":[{"name":"argoseal-verify","image":"busybox","imagePullPolicy":"IfNotPresent","command":["true"]}]}`),
		},
		"a container with our name": {
			code: reason.NameTaken,
			try:  patched(`{"containers":[{"name":"argoseal-signer","image":"busybox","imagePullPolicy":"IfNotPresent","command":["true"]}]}`),
		},
		"our volume": {
			code: reason.NameTaken,
			try:  patched(`{"volumes":[{"name":"argoseal-no-token","configMap":{"name":"none","optional":true}}]}`),
		},
		"a volume with the host's files": {
			code: reason.ForeignMount,
			try:  patched(`{"volumes":[{"name":"pods","hostPath":{"path":"/tmp"}}]}`),
		},
		"the program that wait runs": {
			code: reason.WaitAltered,
			try:  patched(`{"containers":[{"name":"wait","command":["/var/run/argo/argoexec","wait","--loglevel","info","--log-format","text"]}]}`),
		},
		"what wait keeps of the staged files": {
			code: reason.WaitAltered,
			try:  patched(`{"containers":[{"name":"wait","env":[{"name":"REMOVE_LOCAL_ART_PATH","value":"true"}]}]}`),
		},
		"the program that init runs": {
			code: reason.InitAltered,
			try:  patched(`{"initContainers":[{"name":"init","command":["argoexec","init","--loglevel","info","--log-format","text"],"env":[{"name":"GODEBUG","value":"netdns=go"}]}]}`),
		},
		"the executor's image": {
			code: reason.ExecutorImageNotAllowed,
			try:  patched(`{"containers":[{"name":"wait","image":"` + otherExecutor(t) + `"}]}`),
		},
	})
}

func TestAPatchOfThePodSpecCannotReachTheStagedBytes(t *testing.T) {
	try(t, "patch-bytes", map[string]attack{
		"through the volume of staged outputs": {
			code: reason.ForeignMount,
			try:  patched(`{"containers":[{"name":"main","volumeMounts":[{"name":"tmp-dir-argo","mountPath":"/staged"}]}]}`),
		},
		"through the volume of downloaded inputs, by what only a parameter says": {
			code: reason.ForeignMount,
			try:  patched(`{"containers":[{"name":"main","volumeMounts":[{"name":"input-artifacts","mountPath":"/{{workflow.name}}"}]}]}`),
		},
		"through a shared process namespace": {
			code: reason.SharedProcesses,
			try:  patched(`{"shareProcessNamespace":true}`),
		},
		"through the node's processes": {
			code: reason.SharedProcesses,
			try:  patched(`{"hostPID":true}`),
		},
		"through the command that ends wait": {
			code: reason.WaitAltered,
			try:  added("metadata", `{annotations: {workflows.argoproj.io/kill-cmd-wait: '["sh","-c","true"]'}}`),
		},
		"through the volume that keeps tokens out": {
			code: reason.ForeignMount,
			try: patched(`{"volumes":[{"name":"argoseal-no-token","emptyDir":{}}],
				"containers":[{"name":"main","volumeMounts":[{"name":"argoseal-no-token","mountPath":"/tokens"}]}]}`),
		},
	})
}

// TestWhatATenantPutsInOurPlaceIsReplaced tries what is not refused: a pod that
// looks as if we had been there already. It gets what is ours all the same.
func TestWhatATenantPutsInOurPlaceIsReplaced(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "our-place", v1alpha1.ModeEnforce)
	for name, field := range map[string]string{
		"an admission tag": `metadata: {annotations: {argoseal.dev/tag: "v1.mine"}}`,
		"a signer with another image": "podSpecPatch: " + strconv.Quote(
			`{"initContainers":[{"name":"argoseal-signer","image":"busybox","imagePullPolicy":"IfNotPresent","command":["/argoseal-signer"],"args":["sign"],"restartPolicy":"Always"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := finish(t, ns, submit(t, ns, strings.Replace(step, "ADDED", field, 1)))
			if err := refusal(run); err != nil {
				t.Fatal(err)
			}
			pods, err := cluster(t).Pods(t.Context(), ns, run.Name)
			if err != nil || len(pods) != 1 {
				t.Fatalf("want one pod, got %d: %v", len(pods), err)
			}
			if tag := pods[0].Annotations[v1alpha1.AnnotationTag]; tag == "" || tag == "v1.mine" {
				t.Errorf("the tag is %q", tag)
			}
			signer := pods[0].Spec.InitContainers[len(pods[0].Spec.InitContainers)-1]
			if signer.Name != "argoseal-signer" || signer.Image == "busybox" {
				t.Errorf("the signer is %+v", signer)
			}
			sealed(t, run, fates{run.Name + "/message": reason.Sealed})
		})
	}
}
