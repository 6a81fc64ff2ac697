//go:build e2e

package charts_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

// statusCases: what the node reports is the node's to report.
var statusCases = map[string]attempt{
	"the pod's node may report how a container ended": {
		as: node, on: pods, name: "tagged", sub: "status", body: status(ended("7"))},
	"the pod's node may end the pod": {
		as: node, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Succeeded"`)},
	"pod garbage collection may give a pod up": {
		as: podGC, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Failed"`)},
	"anybody whom RBAC lets may set a condition": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(`"conditions":[{"type":"guards.test/x","status":"True"}]`)},
	"a network plugin may annotate through status": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: metadata(`"annotations":{"cni.example.org/ip":"10.0.0.1"}`)},

	"a virtual kubelet of another name may report its node's pods": {
		as: virtual, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Succeeded",` + ended("7"))},
	"a cluster admin may report for any node": {
		as: clusterAdmin, on: pods, name: "tagged", sub: "status", body: status(ended("7"))},

	"a virtual kubelet may not report another node's pods": {
		as: elsewhere, on: pods, name: "tagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},
	"a virtual kubelet may not report a pod that no node runs": {
		as: virtual, on: pods, name: "untagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},
	"nor may it change what Argo knows the pod by": {
		as: virtual, on: pods, name: "tagged", sub: "status", body: metadata(`"annotations":{"workflows.argoproj.io/node-id":"w-2"}`), refused: reason.TagGuarded},
	"a tenant may not change an exit code": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},
	"a tenant may not report an init container": {
		as: tenant, on: pods, name: "tagged", sub: "status", refused: reason.StatusGuarded,
		body: status(`"initContainerStatuses":[{"name":"init","image":"i","imageID":"i","ready":true,"restartCount":0,"state":{"terminated":{"exitCode":0,"message":"forged"}}}]`)},
	"a tenant may not remove container statuses": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(`"containerStatuses":null`), refused: reason.StatusGuarded},
	"a tenant may not report an ephemeral container": {
		as: tenant, on: pods, name: "tagged", sub: "status", refused: reason.StatusGuarded,
		body: status(`"ephemeralContainerStatuses":[{"name":"e","image":"i","imageID":"i","ready":false,"restartCount":0}]`)},
	"a tenant may not move the start time": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(`"startTime":"2025-01-01T00:00:00Z"`), refused: reason.StatusGuarded},
	"a tenant may not end the pod": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Succeeded"`), refused: reason.StatusGuarded},
	"a tenant may not fail the pod": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Failed"`), refused: reason.StatusGuarded},
	"a tenant may not report a pod that no node runs": {
		as: tenant, on: pods, name: "untagged", sub: "status", body: status(ended("0")), refused: reason.StatusGuarded},
	"pod garbage collection may not let a pod succeed": {
		as: podGC, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Succeeded"`), refused: reason.StatusGuarded},
	"pod garbage collection may not report containers": {
		as: podGC, on: pods, name: "tagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},
	"a node's name without its group is not a node": {
		as: nameOnly, on: pods, name: "tagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},
	"a node's group without its name is not the pod's node": {
		as: groupOnly, on: pods, name: "tagged", sub: "status", body: status(ended("7")), refused: reason.StatusGuarded},

	"the tag may not change through status, not even by the node": {
		as: node, on: pods, name: "tagged", sub: "status", body: metadata(`"annotations":{"argoseal.dev/tag":"u"}`), refused: reason.TagGuarded},
	"the tag may not go through status": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: metadata(`"annotations":{"argoseal.dev/tag":null}`), refused: reason.TagGuarded},
	"a tag may not come through status": {
		as: tenant, on: pods, name: "untagged", sub: "status", body: metadata(`"annotations":{"argoseal.dev/tag":"u"}`), refused: reason.TagGuarded},
	"the workflow's label may not change through status": {
		as: tenant, on: pods, name: "tagged", sub: "status", body: metadata(`"labels":{"workflows.argoproj.io/workflow":"v"}`), refused: reason.TagGuarded},
}

// identityCases: what identifies a tagged pod stays.
var identityCases = map[string]attempt{
	"Argo may add a finalizer": {
		as: argo, on: pods, name: "tagged", body: metadata(`"finalizers":["workflows.argoproj.io/status"]`)},
	"other annotations are free": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/progress":"1/2","x":"y"}`)},
	"the garbage collector may drop an owner that is gone": {
		as: collector, on: pods, name: "tagged", body: metadata(`"ownerReferences":null`)},
	"an untagged pod may get another image": {
		as: clusterAdmin, on: pods, name: "untagged", body: `{"spec":{"containers":[{"name":"main","image":"localhost/other:1"}]}}`},

	"the tag may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"argoseal.dev/tag":"u"}`), refused: reason.TagGuarded},
	"the tag may not go": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"argoseal.dev/tag":null}`), refused: reason.TagGuarded},
	"all annotations may not go": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":null`), refused: reason.TagGuarded},
	"a tag may not come later": {
		as: clusterAdmin, on: pods, name: "untagged", body: metadata(`"annotations":{"argoseal.dev/tag":"u"}`), refused: reason.TagGuarded},
	"an untagged pod may be made": {
		as: tenant, verb: "create", on: pods, body: pod("")},
	"a tagged pod is made by Argo only": {
		as: tenant, verb: "create", on: pods, body: pod(`"annotations":{"argoseal.dev/tag":"t"},`), refused: reason.TagGuarded},
	"not even by a cluster admin": {
		as: clusterAdmin, verb: "create", on: pods, body: pod(`"annotations":{"argoseal.dev/tag":"t"},`), refused: reason.TagGuarded},
	"a kill command may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/kill-cmd-wait":"[\"/x\"]"}`), refused: reason.TagGuarded},
	"a kill command may not come later": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/kill-cmd-main":"[\"/x\"]"}`), refused: reason.TagGuarded},
	"the node's id may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/node-id":"w-2"}`), refused: reason.TagGuarded},
	"the workflow's label may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/workflow":"v"}`), refused: reason.TagGuarded},
	"the workflow's label may not go": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/workflow":null}`), refused: reason.TagGuarded},
	"the owner may not go": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"ownerReferences":null`), refused: reason.TagGuarded},
	"the owner may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: metadata(`"ownerReferences":[{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","name":"v","uid":"7d1ab1ce-0000-4000-8000-000000000000"}]`), refused: reason.TagGuarded},
	"a container's image may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: `{"spec":{"containers":[{"name":"main","image":"localhost/other:1"}]}}`, refused: reason.TagGuarded},
	"an init container's image may not change": {
		as: clusterAdmin, on: pods, name: "tagged", body: `{"spec":{"initContainers":[{"name":"init","image":"localhost/other:1"}]}}`, refused: reason.TagGuarded},

	"a scheduler may bind a pod": {
		as: clusterAdmin, verb: "create", on: pods, name: "untagged", sub: "binding", body: binding(`"annotations":{"x":"y"}`)},
	"a Binding may not bring a tag": {
		as: clusterAdmin, verb: "create", on: pods, name: "untagged", sub: "binding", body: binding(`"annotations":{"argoseal.dev/tag":"u"}`), refused: reason.TagGuarded},
	"a Binding may not bring Argo's labels": {
		as: clusterAdmin, verb: "create", on: pods, name: "untagged", sub: "binding", body: binding(`"labels":{"workflows.argoproj.io/workflow":"v"}`), refused: reason.TagGuarded},
}

func pod(fields string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{` + fields + `"name":"new","namespace":"NS"},"spec":{` + podSpec + `}}`
}

// adoptionCases: what Argo takes pods for its own by is its controller's.
var adoptionCases = map[string]attempt{
	"Argo may mark the pod completed": {
		as: argo, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/completed":"true"}`)},
	"a Job may make pods with a workflow's label": {
		as: jobs, verb: "create", on: pods, body: adoptable("")},
	"a tenant may make pods that Argo has done with": {
		as: tenant, verb: "create", on: pods, body: adoptable(`,"workflows.argoproj.io/completed":"true"`)},
	"a pod that is not Argo's may get a workflow's label": {
		as: tenant, on: pods, name: "untagged", body: metadata(`"labels":{"workflows.argoproj.io/workflow":"w"}`)},
	"and lose it": {
		as: tenant, on: pods, name: "labelled", body: metadata(`"labels":{"workflows.argoproj.io/workflow":null}`)},
	"others of Argo's annotations are free": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/progress":"1/2"}`)},
	"a pod that is not Argo's may be debugged": {
		as: tenant, on: pods, name: "untagged", sub: "ephemeralcontainers", body: debugging},

	"a tenant may not make a pod that Argo would adopt": {
		as: tenant, verb: "create", on: pods, body: adoptable(`,"workflows.argoproj.io/completed":"false"`), refused: reason.CreatorNotArgo},
	"nor may a Job": {
		as: jobs, verb: "create", on: pods, body: adoptable(`,"workflows.argoproj.io/completed":"false"`), refused: reason.CreatorNotArgo},
	"nor a cluster admin": {
		as: clusterAdmin, verb: "create", on: pods, body: adoptable(`,"workflows.argoproj.io/completed":"false"`), refused: reason.CreatorNotArgo},
	"a plain pod may not become a step's": {
		as: tenant, on: pods, name: "untagged", refused: reason.TagGuarded, body: metadata(
			`"labels":{"workflows.argoproj.io/workflow":"w","workflows.argoproj.io/completed":"false"},"annotations":{"workflows.argoproj.io/node-id":"w-1","workflows.argoproj.io/node-name":"w"}`)},
	"a Job's pod may not become a step's": {
		as: tenant, on: pods, name: "labelled", body: metadata(`"labels":{"workflows.argoproj.io/completed":"false"}`), refused: reason.TagGuarded},
	"a cluster admin may not make it one": {
		as: clusterAdmin, on: pods, name: "labelled", body: metadata(`"labels":{"workflows.argoproj.io/completed":"false"}`), refused: reason.TagGuarded},
	"nor through status": {
		as: tenant, on: pods, name: "labelled", sub: "status", body: metadata(`"labels":{"workflows.argoproj.io/completed":"false"}`), refused: reason.TagGuarded},
	"nor may a node, where no other guard is before ours": {
		as: node, on: pods, name: "tagged", sub: "status", body: metadata(`"annotations":{"workflows.argoproj.io/node-id":"x"}`), refused: reason.TagGuarded},
	"a tenant may not say that Argo has done with a pod": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/completed":"true"}`), refused: reason.TagGuarded},
	"a tenant may not take the pod away from Argo": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/completed":null}`), refused: reason.TagGuarded},
	"nor give it to another of Argo's controllers": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/controller-instanceid":"x"}`), refused: reason.TagGuarded},
	"nor keep it from being stopped": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"labels":{"workflows.argoproj.io/on-exit":"true"}`), refused: reason.TagGuarded},
	"a node's name may not come later": {
		as: tenant, on: pods, name: "tagged", body: metadata(`"annotations":{"workflows.argoproj.io/node-name":"w"}`), refused: reason.TagGuarded},
	"a tagged pod may not be debugged": {
		as: clusterAdmin, on: pods, name: "tagged", sub: "ephemeralcontainers", body: debugging, refused: reason.DebugContainer},
}

const debugging = `{"spec":{"ephemeralContainers":[{"name":"e","image":"localhost/none:1"}]}}`

// adoptable is a pod with a workflow's label and others.
func adoptable(more string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"new","namespace":"NS","labels":{"workflows.argoproj.io/workflow":"w"` + more + `}},
		"spec":{"schedulerName":"nobody",` + podSpec + `}}`
}

func binding(fields string) string {
	return `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"untagged","namespace":"NS",` + fields + `},
		"target":{"apiVersion":"v1","kind":"Node","name":"guards-node"}}`
}

// recordCases: our own resources are the notary's.
var recordCases = map[string]attempt{
	"the notary may create a Provenance": {as: notary, verb: "create", on: provenances, body: record("new")},
	"the notary may write its status":    {as: notary, verb: "update", on: provenances, sub: "status", name: "old", body: sealed},
	"the notary may create an ArtifactSeal": {
		as: notary, verb: "create", on: seals, body: seal},
	"the controller may create a WorkflowProvenance": {as: follower, verb: "create", on: workflowed, body: followed},
	"a tenant may not":                                    {as: tenant, verb: "create", on: workflowed, body: followed, refused: reason.RecordGuarded},
	"nor a cluster admin":                                 {as: clusterAdmin, verb: "create", on: workflowed, body: followed, refused: reason.RecordGuarded},
	"the notary may keep a checkpoint":                    {as: notary, verb: "create", on: tlogs, body: kept},
	"a cluster admin may not keep another":                {as: clusterAdmin, verb: "create", on: tlogs, body: kept, refused: reason.RecordGuarded},
	"nor may the controller":                              {as: unbound, verb: "create", on: tlogs, body: kept, refused: reason.RecordGuarded},
	"what is the notary's, the controller may not create": {as: unbound, verb: "create", on: provenances, body: record("new"), refused: reason.RecordGuarded},
	"an operator may delete":                              {as: operator, verb: "delete", on: provenances, name: "old"},
	"a cluster admin may delete":                          {as: clusterAdmin, verb: "delete", on: provenances, name: "old"},
	"a namespace is emptied when it goes":                 {as: emptier, verb: "deletecollection", on: provenances},
	"the garbage collector may delete":                    {as: collector, verb: "delete", on: provenances, name: "old"},
	"a cluster admin may remove what is stuck":            {as: clusterAdmin, on: provenances, name: "old", body: metadata(`"finalizers":[]`)},
	"a tenant may not create a Provenance":                {as: tenant, verb: "create", on: provenances, body: record("new"), refused: reason.RecordGuarded},
	"a tenant may not create an ArtifactSeal":             {as: tenant, verb: "create", on: seals, body: seal, refused: reason.RecordGuarded},
	"a cluster admin may not create one either":           {as: clusterAdmin, verb: "create", on: provenances, body: record("new"), refused: reason.RecordGuarded},
	"a notary of another namespace is none":               {as: impostor, verb: "create", on: provenances, body: record("new"), refused: reason.RecordGuarded},
	"a tenant may not write a status":                     {as: tenant, on: provenances, sub: "status", name: "old", body: status(`"bundle":"{}"`), refused: reason.RecordGuarded},
	"a cluster admin may not write a status":              {as: clusterAdmin, on: provenances, sub: "status", name: "old", body: status(`"bundle":"{}"`), refused: reason.RecordGuarded},
	"the garbage collector may not write one":             {as: collector, on: provenances, sub: "status", name: "old", body: status(`"bundle":"{}"`), refused: reason.RecordGuarded},
	"a tenant may not touch metadata":                     {as: tenant, on: provenances, name: "old", body: metadata(`"labels":{"x":"y"}`), refused: reason.RecordGuarded},
	"a grant in the namespace does not delete":            {as: tenant, verb: "delete", on: provenances, name: "old", refused: reason.RecordGuarded},
	"a grant in the namespace does not delete all":        {as: tenant, verb: "deletecollection", on: provenances, refused: reason.RecordGuarded},
}

const (
	sealed = `{"apiVersion":"argoseal.dev/v1alpha1","kind":"Provenance","metadata":{"name":"old","namespace":"NS"},
		"spec":{"pod":{"name":"p","uid":"u"},"workflow":{"name":"w","uid":"u"},"nodeID":"n"},"status":{"bundle":"{}"}}`
	followed = `{"apiVersion":"argoseal.dev/v1alpha1","kind":"WorkflowProvenance","metadata":{"name":"followed","namespace":"NS"},
		"spec":{"workflow":{"name":"w","uid":"u"}}}`
	kept = `{"apiVersion":"argoseal.dev/v1alpha1","kind":"TransparencyLog","metadata":{"name":"guards"},"spec":{"url":"http://log"}}`
	seal = `{"apiVersion":"argoseal.dev/v1alpha1","kind":"ArtifactSeal","metadata":{"name":"s","namespace":"NS"},
		"spec":{"location":{"store":"s","bucket":"b","key":"k","kind":"object"},"workflow":{"name":"w","uid":"u"},
		"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":1,"provenance":"old",
		"producer":{"pod":{"name":"p","uid":"u"},"nodeID":"n","template":"t","output":"o","finishedAt":"2026-01-01T00:00:00Z"}}}`
)

// modeCases: NS is in mode enforce, NS-audit in mode audit.
var modeCases = map[string]attempt{
	"a tenant may raise the mode":            {as: tenant, on: namespaces, name: "NS-audit", body: mode(`"enforce"`)},
	"a tenant may edit other labels":         {as: tenant, on: namespaces, name: "NS", body: metadata(`"labels":{"x":"y"}`)},
	"a namespace may begin with a mode":      {as: clusterAdmin, verb: "create", on: namespaces, body: begins("enforce")},
	"a namespace may not begin with another": {as: clusterAdmin, verb: "create", on: namespaces, body: begins("Enforce"), refused: reason.ModeUnknown},
	"an unknown mode may not come":           {as: clusterAdmin, on: namespaces, name: "NS", body: mode(`"Enforce"`), refused: reason.ModeUnknown},
	"an empty mode may not come":             {as: clusterAdmin, on: namespaces, name: "NS", body: mode(`""`), refused: reason.ModeUnknown},
	"nor through status":                     {as: clusterAdmin, on: namespaces, name: "NS", sub: "status", body: mode(`"strict"`), refused: reason.ModeUnknown},
	"nobody gives our own namespace one":     {as: clusterAdmin, on: namespaces, name: release, body: mode(`"enforce"`), refused: reason.ModeUnknown},
	"nor kube-system":                        {as: clusterAdmin, on: namespaces, name: "kube-system", body: mode(`"enforce"`), refused: reason.ModeUnknown},
	"an operator may lower the mode":         {as: operator, on: namespaces, name: "NS", body: mode(`"warn"`)},
	"a cluster admin may remove the mode":    {as: clusterAdmin, on: namespaces, name: "NS", body: mode(`null`)},
	"a tenant may not lower enforce to warn": {as: tenant, on: namespaces, name: "NS", body: mode(`"warn"`), refused: reason.ModeGuarded},
	"a tenant may not lower it to audit":     {as: tenant, on: namespaces, name: "NS", body: mode(`"audit"`), refused: reason.ModeGuarded},
	"a tenant may not remove enforce":        {as: tenant, on: namespaces, name: "NS", body: mode(`null`), refused: reason.ModeGuarded},
	"a tenant may not remove audit":          {as: tenant, on: namespaces, name: "NS-audit", body: mode(`null`), refused: reason.ModeGuarded},
	"a tenant may not remove all labels":     {as: tenant, on: namespaces, name: "NS", body: metadata(`"labels":null`), refused: reason.ModeGuarded},
	"a tenant may not do it through status":  {as: tenant, on: namespaces, name: "NS", sub: "status", body: mode(`null`), refused: reason.ModeGuarded},
	"a tenant may not do it through finalize": {as: tenant, verb: "update", on: namespaces, sub: "finalize", refused: reason.ModeGuarded,
		body: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS"},"spec":{"finalizers":["kubernetes"]}}`},
}

func begins(mode string) string {
	return `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS-new","labels":{"argoseal.dev/mode":"` + mode + `"}}}`
}

func mode(value string) string { return metadata(`"labels":{"argoseal.dev/mode":` + value + `}`) }

// stored are copies of templates, as Argo keeps them in a Workflow's status.
const stored = `"storedTemplates":{"namespaced/lib/t":{"name":"t"}},"storedWorkflowTemplateSpec":{"entrypoint":"main","shutdown":"Stop"}`

// workflow is one that Argo's controller leaves alone: it is another's.
func workflow(name, status string) string {
	return `{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow",
		"metadata":{"name":"` + name + `","namespace":"NS","labels":{"workflows.argoproj.io/controller-instanceid":"nobody"}},
		"spec":{"entrypoint":"main","arguments":{"artifacts":[{"name":"a","s3":{"key":"k"}}]},"templates":[{"name":"main","container":{"image":"i"}}]},
		"status":{` + status + `}}`
}

// parameters changes those of a workflow and those that Argo executes.
func parameters(own, executed string) string {
	arguments := func(value string) string { return `"arguments":{"parameters":[{"name":"p","value":"` + value + `"}]}` }
	return `{"spec":{` + arguments(own) + `},"status":{"storedWorkflowTemplateSpec":{` + arguments(executed) + `}}}`
}

// retried is what argo retry writes, and more, to one that has ended.
func retried(phase, more string) string {
	var o, with map[string]any
	for text, into := range map[string]*map[string]any{
		`{"metadata":{"labels":{"workflows.argoproj.io/completed":null}},"status":{"phase":` + phase + `,"message":"","finishedAt":null}}`: &o,
		more: &with,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			panic(err)
		}
	}
	if status, found := with["status"].(map[string]any); found {
		maps.Copy(o["status"].(map[string]any), status)
		o["spec"] = with["spec"]
	}
	body, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(body)
}

func spec(fields string) string { return `{"spec":{` + fields + `}}` }

// workflowCases: what the gate resolves inputs by is not its users' to change.
var workflowCases = map[string]attempt{
	"a workflow may be submitted":  {as: tenant, verb: "create", on: workflows, body: workflow("new", `"nodes":{"n":{}}`)},
	"a workflow may be stopped":    {as: tenant, on: workflows, name: "under-way", body: spec(`"shutdown":"Stop"`)},
	"a workflow may be suspended":  {as: tenant, on: workflows, name: "under-way", body: spec(`"suspend":true`)},
	"its parameters may change":    {as: tenant, on: workflows, name: "under-way", body: spec(`"arguments":{"parameters":[{"name":"p","value":"v"}]}`)},
	"its nodes may change":         {as: tenant, on: workflows, name: "under-way", body: status(`"nodes":{"n":{"phase":"Running"}}`)},
	"a stopped one may be retried": {as: tenant, on: workflows, name: "under-way", body: status(`"storedWorkflowTemplateSpec":{"shutdown":null}`)},
	"Argo may spell its spec anew": {as: argo, on: workflows, name: "under-way", body: spec(`"templates":[{"name":"main","inputs":{},"container":{"image":"i"}}]`)},
	"Argo may store templates":     {as: argo, on: workflows, name: "under-way", body: status(`"storedTemplates":{"namespaced/lib/u":{"name":"u"}}`)},
	"one that has ended may be retried, as Argo v3.7 does": {
		as: tenant, on: workflows, name: "ended", body: retried(`"Running"`, `{}`)},
	"one that has ended may be retried, as Argo v4.0 does": {
		as: tenant, on: workflows, name: "ended", body: retried(`null`, `{}`)},
	"one that has ended may be retried with other parameters": {
		as: tenant, on: workflows, name: "ended", body: retried(`"Running"`, parameters("w", "w"))},
	"Argo may say that it has ended":        {as: argo, on: workflows, name: "under-way", body: status(`"phase":"Succeeded"`)},
	"Argo may take up one that was retried": {as: argo, on: workflows, name: "ended", body: status(`"phase":"Running"`)},
	"a finalizer may be taken away":         {as: clusterAdmin, on: workflows, name: "under-way", body: metadata(`"finalizers":null`)},

	"a tenant may not change its templates": {
		as: tenant, on: workflows, name: "under-way", body: spec(`"templates":[{"name":"main","container":{"image":"j"}}]`), refused: reason.WorkflowGuarded},
	"a cluster admin may not change its entrypoint": {
		as: clusterAdmin, on: workflows, name: "under-way", body: spec(`"entrypoint":"other"`), refused: reason.WorkflowGuarded},
	"a tenant may not add an exit handler": {
		as: tenant, on: workflows, name: "under-way", body: spec(`"onExit":"main"`), refused: reason.WorkflowGuarded},
	"a tenant may not remove a field": {
		as: tenant, on: workflows, name: "under-way", body: spec(`"entrypoint":null`), refused: reason.WorkflowGuarded},
	"a tenant may not change what is given to it": {
		as: tenant, on: workflows, name: "under-way", body: spec(`"arguments":{"artifacts":[{"name":"a","s3":{"key":"l"}}]}`), refused: reason.WorkflowGuarded},
	"a tenant may not change a stored template": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedTemplates":{"namespaced/lib/t":{"name":"u"}}`), refused: reason.WorkflowGuarded},
	"a tenant may not add a stored template": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedTemplates":{"namespaced/lib/u":{"name":"u"}}`), refused: reason.WorkflowGuarded},
	"a tenant may not change the stored spec": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedWorkflowTemplateSpec":{"entrypoint":"other"}`), refused: reason.WorkflowGuarded},
	"a tenant may not change the stored parameters": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedWorkflowTemplateSpec":{"arguments":{"parameters":[{"name":"p","value":"w"}]}}`), refused: reason.WorkflowGuarded},
	"a tenant may not change both while it runs": {
		as: tenant, on: workflows, name: "under-way", body: parameters("w", "w"), refused: reason.WorkflowGuarded},
	"a tenant may not retry with others than are said": {
		as: tenant, on: workflows, name: "ended", body: retried(`"Running"`, parameters("v", "w")), refused: reason.WorkflowGuarded},
	"a tenant may not change both and leave it ended": {
		as: tenant, on: workflows, name: "ended", body: parameters("w", "w"), refused: reason.WorkflowGuarded},
	"a tenant may not say that it has ended": {
		as: tenant, on: workflows, name: "under-way", body: status(`"phase":"Failed"`), refused: reason.WorkflowGuarded},
	"a tenant may not say that it has ended otherwise": {
		as: tenant, on: workflows, name: "ended", body: status(`"phase":"Succeeded"`), refused: reason.WorkflowGuarded},
	"a cluster admin may not begin it again and leave the rest": {
		as: clusterAdmin, on: workflows, name: "ended", body: status(`"phase":"Running"`), refused: reason.WorkflowGuarded},
	"a tenant may not bring stored parameters along": {
		as: tenant, verb: "create", on: workflows, body: workflow("started", `"phase":"Failed","storedWorkflowTemplateSpec":{"arguments":{"parameters":[{"name":"p","value":"v"}]}}`), refused: reason.CopyUnknown},
	// Argo's controller takes a name for its own whose letters differ in case only,
	// in a Workflow with a number for a parameter.
	"a tenant may not bring copies along under a name that Argo takes for theirs": {
		as: tenant, verb: "create", on: workflows, body: workflow("new", `"StoredTemplates":{"namespaced/lib/t":{"name":"t"}}`), refused: reason.WorkflowGuarded},
	"nor under one with a letter that folds to another": {
		as: tenant, verb: "create", on: workflows, body: workflow("new", "\"\u017ftoredWorkflowTemplateSpec\":{}"), refused: reason.WorkflowGuarded},
	"nor add them later": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedtemplates":{"namespaced/lib/t":{"name":"u"}}`), refused: reason.WorkflowGuarded},
	"nor end it so": {
		as: tenant, on: workflows, name: "under-way", body: status("\"pha\u017fe\":\"Failed\""), refused: reason.WorkflowGuarded},
	"a tenant may not give it other artifacts so": {
		as: tenant, on: workflows, name: "under-way", body: spec("\"arguments\":{\"artifact\u017f\":[{\"name\":\"a\",\"s3\":{\"key\":\"l\"}}]}"), refused: reason.WorkflowGuarded},
	"nor the copy that Argo executes": {
		as: tenant, on: workflows, name: "under-way", body: status(`"storedWorkflowTemplateSpec":{"arguments":{"Artifacts":[{"name":"a","s3":{"key":"l"}}]}}`), refused: reason.WorkflowGuarded},
	"a tenant may not remove the status": {
		as: tenant, on: workflows, name: "under-way", body: `{"status":null}`, refused: reason.WorkflowGuarded},
	"a tenant may not bring stored templates along": {
		as: tenant, verb: "create", on: workflows, body: workflow("memoized", stored), refused: reason.CopyUnknown},
}

func TestGuards(t *testing.T) {
	c := connect(t)
	c.waitForGuards()
	ns := c.prepare()
	for group, cases := range map[string]map[string]attempt{
		"status": statusCases, "identity": identityCases, "adoption": adoptionCases, "records": recordCases, "mode": modeCases, "workflow": workflowCases,
		"exec": execCases, "configuration": configurationCases, "definitions": definitionCases, "anchors": anchorCases,
	} {
		for name, a := range cases {
			t.Run(group+"/"+name, func(t *testing.T) {
				checkVerdict(t, a.refused, c.try(a, ns, true))
			})
		}
	}
}

// checkVerdict compares an answer with the code that was expected.
func checkVerdict(t *testing.T, want reason.Code, err error) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused, want it admitted: %v", err)
	case want != "" && err == nil:
		t.Errorf("admitted, want %s", want)
	case want != "" && !strings.Contains(strings.ReplaceAll(err.Error(), "denied the request", "denied request"), "denied request: "+string(want)+": "):
		t.Errorf("refused otherwise, want %s: %v", want, err)
	}
}
