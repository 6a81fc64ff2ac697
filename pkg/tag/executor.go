package tag

// Executor is what a tag says about Argo's executor in the pod: argo.Executor, spelled.
type Executor struct {
	// Image is the reference exactly as the pod names it.
	Image string `json:"image"`
	// Env are the variables of Argo's configuration: NAME=VALUE.
	Env []string `json:"env,omitempty"`
	// User is the one that the image names for itself; nil: root.
	User *int64 `json:"user,omitempty"`
}
