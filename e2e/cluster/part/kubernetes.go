package part

import (
	_ "embed"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
)

// kubernetesRecipe builds all of Kubernetes that runs here, and kubectl. One
// file each says how they are run: apiserver.go, controllermanager.go,
// scheduler.go, kubelet.go, kubeproxy.go.
var kubernetesRecipe = gobuild.Recipe{
	Name:        "kubernetes",
	Module:      "k8s.io/kubernetes",
	Version:     "v1.36.3",
	Sum:         "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=",
	DropReplace: strings.Fields(kubernetesStaging),
	Require:     stagingVersions("v0.36.3"),
	Sums:        kubernetesSums,
	// A workspace and a vendor folder whose modules the archive lacks.
	Remove: []string{"go.work", "go.work.sum", "vendor", "staging"},
	Targets: []gobuild.Target{
		{Name: "kube-apiserver", Package: "./cmd/kube-apiserver"},
		{Name: "kubelet", Package: "./cmd/kubelet"},
		{Name: "kube-controller-manager", Package: "./cmd/kube-controller-manager"},
		{Name: "kube-scheduler", Package: "./cmd/kube-scheduler"},
		{Name: "kube-proxy", Package: "./cmd/kube-proxy"},
		{Name: "kubectl", Package: "./cmd/kubectl"},
	},
	LDFlags: []string{
		"-X k8s.io/component-base/version.gitVersion=v1.36.3",
		"-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/component-base/version.gitMinor=36",
		"-X k8s.io/client-go/pkg/version.gitVersion=v1.36.3",
	},
}

// kubernetesSums are the go.sum lines of the staging modules as published.
//
//go:embed kubernetes.sum
var kubernetesSums string

// kubernetesStaging are the modules that live in the Kubernetes repository's
// staging folder. Its go.mod replaces them by that folder; published, each is
// a module of its own.
const kubernetesStaging = `
k8s.io/api
k8s.io/apiextensions-apiserver
k8s.io/apimachinery
k8s.io/apiserver
k8s.io/cli-runtime
k8s.io/client-go
k8s.io/cloud-provider
k8s.io/cluster-bootstrap
k8s.io/code-generator
k8s.io/component-base
k8s.io/component-helpers
k8s.io/controller-manager
k8s.io/cri-api
k8s.io/cri-client
k8s.io/cri-streaming
k8s.io/csi-translation-lib
k8s.io/dynamic-resource-allocation
k8s.io/endpointslice
k8s.io/externaljwt
k8s.io/kms
k8s.io/kube-aggregator
k8s.io/kube-controller-manager
k8s.io/kube-proxy
k8s.io/kube-scheduler
k8s.io/kubectl
k8s.io/kubelet
k8s.io/metrics
k8s.io/mount-utils
k8s.io/pod-security-admission
k8s.io/sample-apiserver
k8s.io/sample-cli-plugin
k8s.io/sample-controller
k8s.io/streaming
`

// stagingVersions asks for one version of all staging modules.
func stagingVersions(version string) []string {
	modules := strings.Fields(kubernetesStaging)
	for i, m := range modules {
		modules[i] = m + "@" + version
	}
	return modules
}
