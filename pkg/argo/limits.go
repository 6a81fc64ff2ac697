package argo

// Limits of what is read of a pod, in bytes but for the number of artifacts.
const (
	maxTemplateBytes = 131072
	maxArtifacts     = 1024
	maxArtifactName  = 128
	maxPath          = 4096
	maxMetadata      = 4096
)

const (
	// ReservedPrefix begins every name of a container or volume that is ours.
	ReservedPrefix = "argoseal-"
	// SignerContainer is our native sidecar, VerifyContainer our init container, and
	// PrepareContainer the one that brings it its program.
	SignerContainer  = ReservedPrefix + "signer"
	VerifyContainer  = ReservedPrefix + "verify"
	PrepareContainer = ReservedPrefix + "prepare"
	// EmptyVolume is our volume in which nothing lies.
	EmptyVolume = ReservedPrefix + "no-token"
)
