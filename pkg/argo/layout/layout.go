package layout

// Containers of a pod. Of a container set the one that is named so has the inputs and
// the files that are stored.
const (
	ContainerInit = "init"
	ContainerWait = "wait"
	ContainerMain = "main"
)

// Volumes that Argo gives a pod.
const (
	VolumeRun       = "var-run-argo"
	VolumeTmp       = "tmp-dir-argo"
	VolumeInputs    = "input-artifacts"
	VolumeStaging   = "argo-staging"
	VolumeExecToken = "exec-sa-token"
	VolumeOffloaded = "argo-env-config"
)

// Paths in Argo's containers and, of the run and staging volumes, in the step's.
const (
	PathRun       = "/var/run/argo"
	PathTmp       = "/tmp"
	PathInputs    = "/argo/inputs/artifacts"
	PathStaging   = "/argo/staging"
	PathSecrets   = "/argo/secret"
	PathMainFiles = "/mainctrfs" // where init and wait have the volumes that main mounts
	PathToken     = "/var/run/secrets/kubernetes.io/serviceaccount"

	// FileExecutor and FileTemplate are what init leaves in PathRun, FileScript what
	// it leaves in PathStaging.
	FileExecutor = "argoexec"
	FileTemplate = "template"
	FileScript   = "script"
	// PathExecutor is init's copy of argoexec, under which containers of a step run.
	PathExecutor = PathRun + "/" + FileExecutor

	// ArchiveSuffix ends the name of an archive that is staged for upload.
	ArchiveSuffix = ".tgz"
)

// Variables of containers.
const (
	EnvTemplate                      = "ARGO_TEMPLATE"
	EnvDeadline                      = "ARGO_DEADLINE"
	EnvPlugins                       = "ARGO_ARTIFACT_PLUGIN_NAMES"
	EnvArgsFile                      = "ARGO_CONTAINER_ARGS_FILE"
	EnvContainerName                 = "ARGO_CONTAINER_NAME"
	EnvIncludeScriptOutput           = "ARGO_INCLUDE_SCRIPT_OUTPUT"
	EnvNodeID                        = "ARGO_NODE_ID"
	EnvProgressFile                  = "ARGO_PROGRESS_FILE"
	EnvProgressFileTickDuration      = "ARGO_PROGRESS_FILE_TICK_DURATION"
	EnvProgressPatchTickDuration     = "ARGO_PROGRESS_PATCH_TICK_DURATION"
	EnvTerminationGracePeriodSeconds = "ARGO_TERMINATION_GRACE_PERIOD_SECONDS"
	EnvPodName                       = "ARGO_POD_NAME"
	EnvPodUID                        = "ARGO_POD_UID"
	EnvWorkflowName                  = "ARGO_WORKFLOW_NAME"
	EnvWorkflowUID                   = "ARGO_WORKFLOW_UID"
	EnvInstanceID                    = "ARGO_INSTANCE_ID"

	// Offloaded stands for a template that is in a ConfigMap.
	Offloaded = "offloaded"
)

// Group, APIVersion and Kind are those of a Workflow.
const (
	Group      = "argoproj.io"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
	Kind       = "Workflow"
)

// Labels and annotations.
const (
	// Prefix begins all of them.
	Prefix = "workflows." + Group + "/"
	// LabelWorkflow has the Workflow's name.
	LabelWorkflow = Prefix + "workflow"
	// LabelCompleted is Uncompleted for as long as Argo watches the pod.
	LabelCompleted = Prefix + "completed"
	Uncompleted    = "false"
	LabelComponent = Prefix + "component"
	// LabelResubmitted has the name of the Workflow that another one is a
	// resubmission of.
	LabelResubmitted   = Prefix + "resubmitted-from-workflow"
	AnnotationNodeID   = Prefix + "node-id"
	AnnotationNodeName = Prefix + "node-name"
	// AnnotationKillWait says what Argo runs in wait to end it. Argo's default is
	// the argoexec in /var/run/argo, which a step can rewrite; KillWait is the
	// image's own.
	AnnotationKillWait = Prefix + "kill-cmd-wait"
	KillWait           = `["/bin/argoexec","kill","%d","1"]`
)
