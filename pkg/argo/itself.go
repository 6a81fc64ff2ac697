package argo

import "slices"

// launcherKubeflow is the init container by which Kubeflow Pipelines 2 puts its launcher
// before a step's own program.
const launcherKubeflow = "kfp-launcher"

// StoresByItself names the program that moves a step's artifacts past Argo, so that
// nobody seals or checks them; empty if we know of none. Such a step gives no
// artifacts to Argo. (Kubeflow Pipelines 1.8 puts its own program there, too, but
// leaves artifacts to Argo.)
func (s *Step) StoresByItself() string {
	if len(s.Inputs)+len(s.Outputs) > 0 || !slices.ContainsFunc(s.template.InitContainers, func(c userContainer) bool { return c.Name == launcherKubeflow }) {
		return ""
	}
	return "the launcher of Kubeflow Pipelines"
}
