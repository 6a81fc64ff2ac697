package argo

// Names that Argo Workflows v3.7 gives to the parts of a pod.
const (
	containerInit = "init"
	containerWait = "wait"
	containerMain = "main"

	volumeRun       = "var-run-argo"
	volumeTmp       = "tmp-dir-argo"
	volumeInputs    = "input-artifacts"
	volumeStaging   = "argo-staging"
	volumeExecToken = "exec-sa-token"
	volumeOffloaded = "argo-env-config"

	pathRun       = "/var/run/argo"
	pathTmp       = "/tmp"
	pathInputs    = "/argo/inputs/artifacts"
	pathStaging   = "/argo/staging"
	pathSecrets   = "/argo/secret"
	pathMainFiles = "/mainctrfs"
	pathToken     = "/var/run/secrets/kubernetes.io/serviceaccount"

	envTemplate = "ARGO_TEMPLATE"
	envDeadline = "ARGO_DEADLINE"
	envPlugins  = "ARGO_ARTIFACT_PLUGIN_NAMES"
	envArgsFile = "ARGO_CONTAINER_ARGS_FILE"
	offloaded   = "offloaded"

	prefix              = "workflows.argoproj.io/"
	labelWorkflow       = prefix + "workflow"
	labelComponent      = prefix + "component"
	annotationNodeID    = prefix + "node-id"
	annotationNodeName  = prefix + "node-name"
	ownerAPIVersion     = "argoproj.io/v1alpha1"
	ownerGroup          = "argoproj.io/"
	ownerKind           = "Workflow"
	emissary            = pathRun + "/argoexec"
	maxTemplateBytes    = 131072
	maxArtifacts        = 1024
	maxArtifactName     = 128
	maxPath             = 4096
	maxMetadata         = 4096
	stagedArchiveSuffix = ".tgz"
)

const (
	// ReservedPrefix begins every name of a container or volume that is ours.
	ReservedPrefix = "argoseal-"
	// SignerContainer is our native sidecar, VerifyContainer our init container.
	SignerContainer = ReservedPrefix + "signer"
	VerifyContainer = ReservedPrefix + "verify"

	// KillAnnotation says what Argo runs in wait to end it. Argo's default is
	// the argoexec in /var/run/argo, which a step can rewrite; KillCommand is
	// the image's own.
	KillAnnotation = prefix + "kill-cmd-wait"
	KillCommand    = `["/bin/argoexec","kill","%d","1"]`
)
