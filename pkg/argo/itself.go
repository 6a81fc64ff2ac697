package argo

import "slices"

// launcherKubeflow is the init container by which Kubeflow Pipelines 2 puts its launcher
// before a step's own program.
const launcherKubeflow = "kfp-launcher"

// StoresByItself names what moves the artifacts of a step past Argo, so that nobody
// seals or checks them: empty if nothing is known to. Such a step gives Argo none.
// (What Kubeflow Pipelines 1.8 puts there leaves them to Argo.)
func (s *Step) StoresByItself() string {
	if len(s.Inputs)+len(s.Outputs) > 0 || !slices.ContainsFunc(s.template.InitContainers, func(c userContainer) bool { return c.Name == launcherKubeflow }) {
		return ""
	}
	return "the launcher of Kubeflow Pipelines"
}
