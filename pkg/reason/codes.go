package reason

// entry is a row of the reference.
type entry struct {
	code      Code
	meaning   string
	remedy    string
	retryable bool
	exit      int
}

// General.
const (
	Internal     Code = "Internal"
	Overloaded   Code = "Overloaded"
	LookupFailed Code = "LookupFailed"
	RequestBad   Code = "RequestInvalid"
	TooNew       Code = "TooNew"
)

// The pod is not what Argo makes.
const (
	CreatorNotArgo          Code = "CreatorNotArgo"
	OwnerMismatch           Code = "OwnerMismatch"
	NodeMismatch            Code = "NodeMismatch"
	MetadataReserved        Code = "MetadataReserved"
	ExecutorImageNotAllowed Code = "ExecutorImageNotAllowed"
	ExecutorUserUnknown     Code = "ExecutorUserUnknown"
	UnknownPodLayout        Code = "UnknownPodLayout"
	UnsupportedPod          Code = "UnsupportedPod"
	AuxiliaryAltered        Code = "AuxiliaryAltered"
	TemplateInvalid         Code = "TemplateInvalid"
	TemplateOffloaded       Code = "TemplateOffloaded"
	InitAltered             Code = "InitAltered"
	WaitAltered             Code = "WaitAltered"
	EmissaryAltered         Code = "EmissaryAltered"
	ForeignMount            Code = "ForeignMount"
	SharedProcesses         Code = "SharedProcesses"
	DebugContainer          Code = "DebugContainer"
	SidecarMissing          Code = "SidecarMissing"
	ReplicasDisagree        Code = "ReplicasDisagree"
	SidecarAltered          Code = "SidecarAltered"
	NameTaken               Code = "NameTaken"
	TagInvalid              Code = "TagInvalid"
)

// The input has no acceptable evidence.
const (
	LocationInvalid      Code = "LocationInvalid"
	StoreUnsupported     Code = "StoreUnsupported"
	ArchiveUnsupported   Code = "ArchiveUnsupported"
	ArchiveMismatch      Code = "ArchiveMismatch"
	DaemonUnsupported    Code = "DaemonUnsupported"
	MountUnsupported     Code = "MountUnsupported"
	ModeUnsupported      Code = "ModeUnsupported"
	RemoteUnsupported    Code = "RemoteUnsupported"
	NoProvenance         Code = "NoProvenance"
	ProvenancePending    Code = "ProvenancePending"
	NotSealed            Code = "NotSealed"
	ProvenanceInvalid    Code = "ProvenanceInvalid"
	SubjectMismatch      Code = "SubjectMismatch"
	WorkflowMismatch     Code = "WorkflowMismatch"
	OriginMismatch       Code = "OriginMismatch"
	OriginUnknown        Code = "OriginUnknown"
	DefinitionIncomplete Code = "DefinitionIncomplete"
	DefinitionTooLarge   Code = "DefinitionTooLarge"
	BuilderNotTrusted    Code = "BuilderNotTrusted"
	ProducerFailed       Code = "ProducerFailed"
	PinsMissing          Code = "PinsMissing"
	PinMismatch          Code = "PinMismatch"
	ModeChanged          Code = "ModeChanged"
	AdmissionRefused     Code = "AdmissionRefused"
	GuardsNotHeld        Code = "GuardsNotHeld"
	GuardsUnknown        Code = "GuardsUnknown"
	TrustedRootNotReady  Code = "TrustedRootNotReady"
)

// Policies: what they refuse, and that they cannot be asked.
const (
	PolicyNotSynced Code = "PolicyNotSynced"
	PolicyInvalid   Code = "PolicyInvalid"
	PolicyConflict  Code = "PolicyConflict"
	Revoked         Code = "Revoked"
	ImageInvalid    Code = "ImageInvalid"
	ImageNotPinned  Code = "ImageNotPinned"
	ImageUnproven   Code = "ImageUnproven"
	PolicyNarrowed  Code = "PolicyNarrowed"
	PlaceUncertain  Code = "PlaceUncertain"
	LevelTooLow     Code = "LevelTooLow"
	SealTooOld      Code = "SealTooOld"
	LogNotTrusted   Code = "LogNotTrusted"

	ReproductionMissing Code = "ReproductionMissing"
	SBOMMissing         Code = "SBOMMissing"
	AttestationInvalid  Code = "AttestationInvalid"
)

// The notary's words: why a pod or an output is not (yet) sealed.
const (
	Sealed                Code = "Sealed"
	Pending               Code = "Pending"
	TagExpired            Code = "TagExpired"
	StructureAltered      Code = "StructureAltered"
	WorkflowGone          Code = "WorkflowGone"
	UploadFailed          Code = "UploadFailed"
	MeasurementMissing    Code = "MeasurementMissing"
	MeasurementIncomplete Code = "MeasurementIncomplete"
	SidecarRestarted      Code = "SidecarRestarted"
	ForeignProcess        Code = "ForeignProcess"
	DefinitionChanged     Code = "DefinitionChanged"
	OutputAbsent          Code = "OutputAbsent"
	OutputUnreadable      Code = "OutputUnreadable"
	FilesUnknown          Code = "FilesUnknown"
	PrefixUnsupported     Code = "PrefixUnsupported"
	NothingToSeal         Code = "NothingToSeal"
	WorkflowTooLarge      Code = "WorkflowTooLarge"
	BudgetExceeded        Code = "BudgetExceeded"
	BudgetNear            Code = "BudgetNear"
	StoresByItself        Code = "StoresByItself"
	PodGone               Code = "PodGone"
	KeyMismatch           Code = "KeyMismatch"
	LogMismatch           Code = "LogMismatch"
	LogForked             Code = "LogForked"
	LogRolledBack         Code = "LogRolledBack"
	LogUnchecked          Code = "LogUnchecked"
	KeyServiceFailed      Code = "KeyServiceFailed"
	TimestampFailed       Code = "TimestampFailed"
	CertificateFailed     Code = "CertificateFailed"
	RootChanged           Code = "RootChanged"
	RootExpires           Code = "RootExpires"
	RootRefused           Code = "RootRefused"
	RootUnread            Code = "RootUnread"
	ArgoChanged           Code = "ArgoChanged"
	ArgoUnread            Code = "ArgoUnread"
)

// Guards: what the chart's ValidatingAdmissionPolicies refuse. They work while
// our processes are down; their messages begin with these codes.
const (
	StatusGuarded        Code = "StatusGuarded"
	RecordGuarded        Code = "RecordGuarded"
	TagGuarded           Code = "TagGuarded"
	ModeGuarded          Code = "ModeGuarded"
	ModeUnknown          Code = "ModeUnknown"
	CopyUnknown          Code = "CopyUnknown"
	WorkflowGuarded      Code = "WorkflowGuarded"
	ExecGuarded          Code = "ExecGuarded"
	ConfigurationGuarded Code = "ConfigurationGuarded"
	AnchorGuarded        Code = "AnchorGuarded"
)

// Secrets: what the sentinel's policies refuse. Their messages begin with
// these codes, too.
const (
	SecretNotGranted    Code = "SecretNotGranted"
	SecretUseDenied     Code = "SecretUseDenied"
	SecretRightsGuarded Code = "SecretRightsGuarded"
	AccessNotHeld       Code = "AccessNotHeld"
	EscrowHeld          Code = "EscrowHeld"
)

// In the pod: what argoseal-verify found.
const (
	InputAltered Code = "InputAltered"
	InputMissing Code = "InputMissing"
	InputExtra   Code = "InputExtra"
)

// The CLI's words.
const (
	BundleInvalid     Code = "BundleInvalid"
	SignatureInvalid  Code = "SignatureInvalid"
	LogEntryInvalid   Code = "LogEntryInvalid"
	StatementInvalid  Code = "StatementInvalid"
	SignerExpired     Code = "SignerExpired"
	SignerCompromised Code = "SignerCompromised"
	LogExpired        Code = "LogExpired"
	LogCopyInvalid    Code = "LogCopyInvalid"
	DigestMismatch    Code = "DigestMismatch"
	ValueMismatch     Code = "ValueMismatch"
	UsageInvalid      Code = "UsageInvalid"
	ProducerUnstated  Code = "ProducerUnstated"
	ProducerMismatch  Code = "ProducerMismatch"
	ModeTooLow        Code = "ModeTooLow"
	AccessTooWide     Code = "AccessTooWide"
	NotReproduced     Code = "NotReproduced"
	NotComparable     Code = "NotComparable"
)

var rows = []entry{
	{code: Internal, meaning: "An error of our own, or of something we depend on, that has no code.", remedy: "Look at the log of the Argoseal process that said so", exit: 1},
	{code: Overloaded, meaning: "The webhook has as many requests at work as it may have.", remedy: "It is retried; raise webhook.replicaCount if it lasts", retryable: true},
	{code: LookupFailed, meaning: "The API server did not answer a lookup that the decision needs.", remedy: "It is retried", retryable: true},
	{code: RequestBad, meaning: "The admission request is not one we understand.", remedy: "Check that the webhook configuration is the chart's"},
	{code: TooNew, meaning: "A tag or a statement is of a version that a later release of Argoseal writes: an upgrade is under way, or one was rolled back.", remedy: "It is retried; finish the upgrade, or verify with the release that wrote it", retryable: true, exit: 9},

	{code: CreatorNotArgo, meaning: "A pod that Argo's controller would take for one of a workflow's was not made by it.", remedy: "Leave out the label workflows.argoproj.io/completed; set argo.controllers if Argo's controller runs under another ServiceAccount"},
	{code: OwnerMismatch, meaning: "Labels, owner and the live Workflow do not agree.", remedy: "Submit the step through Argo"},
	{code: NodeMismatch, meaning: "Pod name, node name and node id do not belong together.", remedy: "Submit the step through Argo"},
	{code: MetadataReserved, meaning: "The metadata of a template, or the podMetadata of a workflow, sets labels or annotations by which Argo, and we, know which step of which workflow a pod is.", remedy: "Leave these keys out of metadata and podMetadata; others of Argo's, such as kill-cmd-* and progress, are free"},
	{code: ExecutorImageNotAllowed, meaning: "init or wait does not run a configured Argo executor image.", remedy: "If Argo was upgraded or configured anew, run helm upgrade for Argoseal, or have it follow Argo (argo.namespaces); else find which podSpecPatch or webhook changes the image"},
	{code: ExecutorUserUnknown, meaning: "init or wait must not run as root, and only their image knows as whom they run; ours have to run as the same user.", remedy: "Say in argo.executorUsers as whom the image runs, or set runAsUser where runAsNonRoot is set: in the workflow's securityContext or that of Argo's executor"},
	{code: UnknownPodLayout, meaning: "The pod's layout is not one this version knows.", remedy: "Use a supported Argo version"},
	{code: UnsupportedPod, meaning: "This kind of Argo pod, or one with so many inputs, is not supported in labelled namespaces yet.", remedy: "Run it in a namespace without the label"},
	{code: AuxiliaryAltered, meaning: "A pod by which Argo deletes artifacts (artifactGC) or makes HTTP requests (its agent) is not as Argo makes it. Without the former a workflow cannot be deleted.", remedy: "Take what the message names out of the podSpecPatch of artifactGC or of the workflow; list in argo.executorAdditions what a webhook of yours adds to Argo's container, and let containers that it adds mount none of Argo's volumes"},
	{code: TemplateInvalid, meaning: "ARGO_TEMPLATE is missing, given twice or not readable.", remedy: "Submit the step through Argo, without patching ARGO_TEMPLATE"},
	{code: TemplateOffloaded, meaning: "The template is so large that Argo keeps it in a ConfigMap, which can change after admission.", remedy: "Make the template smaller than 128 KiB"},
	{code: InitAltered, meaning: "Argo's init container is not as Argo makes it.", remedy: "Find who changes it, and take that back: a podSpecPatch, Argo's configuration, or another webhook. List in argo.executorAdditions what a webhook of yours is to add"},
	{code: WaitAltered, meaning: "Argo's wait container is not as Argo makes it.", remedy: "Find who changes it, and take that back: a podSpecPatch, Argo's configuration, or another webhook. List in argo.executorAdditions what a webhook of yours is to add"},
	{code: EmissaryAltered, meaning: "A container does not run under Argo's emissary.", remedy: "Find who changes its command, and take that back: a podSpecPatch, or another webhook"},
	{code: ForeignMount, meaning: "A container mounts what only Argo's or our containers may mount or change, inputs that its template does not give it, or the pod has a volume of the host's.", remedy: "Find who adds it, and take that back: the template, a podSpecPatch, or another webhook. Where a step's own init container or sidecar takes inputs, its template has to say so, by mirrorVolumeMounts or a podSpecPatch without parameters"},
	{code: SharedProcesses, meaning: "The pod shares its process namespace, so a step could reach our containers.", remedy: "Unset shareProcessNamespace and hostPID"},
	{code: DebugContainer, meaning: "The pod has an ephemeral container, which could reach the others' processes.", remedy: "Debug the step in a namespace without the label"},
	{code: SidecarMissing, meaning: "A container that Argoseal adds is not there.", remedy: "It is retried; if it lasts, check the mutating webhook configuration", retryable: true},
	{code: ReplicasDisagree, meaning: "The mutating webhook knew another signer, or another executor of Argo's, than this replica does, or was of the release before: an upgrade is under way. Or its clock differs from the API server's by half a minute.", remedy: "It is retried; finish the upgrade, or set the clocks", retryable: true},
	{code: SidecarAltered, meaning: "A container that Argoseal added was changed afterwards.", remedy: "Find the webhook or patch that changes it and exempt these containers"},
	{code: NameTaken, meaning: "The pod brings a container or volume with a name that is Argoseal's.", remedy: "Rename it: names that begin with argoseal- are reserved"},
	{code: TagInvalid, meaning: "The admission tag is missing, was not made by us or is not about this pod.", remedy: "Do not set argoseal.dev/ annotations yourself"},

	{code: LocationInvalid, meaning: "The artifact's location is ambiguous or not canonical.", remedy: "Give one store and a key without '.' or '..' segments; one of a directory without an archive has no empty segments either"},
	{code: StoreUnsupported, meaning: "The artifact's kind of store is not supported.", remedy: "Use S3, GCS or Azure Blob Storage"},
	{code: ArchiveUnsupported, meaning: "The artifact's archive strategy is empty, more than one, or not possible for its path or for git.", remedy: "Give one of tar, zip and none, or leave the strategy out; for git leave it out"},
	{code: ArchiveMismatch, meaning: "The input's archive strategy would make something else of the artifact than what was sealed, or than the stored file whose sha256 a policy pins.", remedy: "Give the input the archive strategy of the output that it comes from; archive none gives the stored file itself; what Argo unpacks of an input from outside needs a policy with treeSHA256"},
	{code: DaemonUnsupported, meaning: "The step is a daemon: its pod outlives it and is killed in the end, so what it stores is neither the whole of its work nor there when others ask for it.", remedy: "Let a step that ends make the artifact"},
	{code: MountUnsupported, meaning: "Something is mounted at, above or below the artifact's path that hides a part of it, or Argo and main do not see the same there.", remedy: "Mount volumes by the template, not by a patch, and none over the path; on a volume, use a path below its own mount path, without subPathExpr, and store an archive if another volume is mounted there"},
	{code: ModeUnsupported, meaning: "All files of the input get another mode, and its seal, of an older release, does not say what the archive holds apart from modes.", remedy: "Let this release seal it again, or set the modes in the step instead of by recurseMode"},
	{code: RemoteUnsupported, meaning: "What the input asks of git or http cannot be held to a policy, or no policy says that it gives up what would be held.", remedy: "Give git a commit as revision, and neither fetch nor an insecure option, or have a ClusterProvenancePolicy take what there is instead (allow.git: defaultBranch, tolerate: [UnknownHostKey]); write URLs plainly (https://host/path, git@host:path)"},
	{code: NoProvenance, meaning: "Nothing in this workflow sealed an artifact at this location, nothing is on its way, and no policy allows it from outside.", remedy: "Produce it in a step of this workflow, or have a ClusterProvenancePolicy allow it from outside"},
	{code: ProvenancePending, meaning: "The artifact's producer has ended and its seal is on its way, or the producer still runs.", remedy: "It is retried", retryable: true},
	{code: NotSealed, meaning: "The producer has a final record without a seal.", remedy: "Look at the producer's Provenance: kubectl get provenances -o wide"},
	{code: ProvenanceInvalid, meaning: "There is evidence, and it does not verify.", remedy: "Run argoseal verify on the bundle. If Argoseal was installed anew under another key or log, run the producing workflow again; else treat it as tampering"},
	{code: SubjectMismatch, meaning: "The verified statement does not speak of this location with this digest.", remedy: "Treat it as tampering; run the producing step again", exit: 8},
	{code: WorkflowMismatch, meaning: "The artifact was sealed in another workflow.", remedy: "Produce it in a step of this workflow, or have a ClusterProvenancePolicy trust its producer"},
	{code: OriginMismatch, meaning: "The input is not what the workflow's definition takes it from: another step's, another output, or of another kind.", remedy: "Two steps that store under one key do this honestly, and the last one counts: give each output a key of its own, and run the workflow again. Where no two do, treat it as tampering with WorkflowTaskResults or memoized results"},
	{code: OriginUnknown, meaning: "The workflow's definition does not say which step the input comes from: that depends on what a step reports.", remedy: "Name templates and artifacts literally, or by parameters whose values the workflow gives: not by what a step reports"},
	{code: DefinitionIncomplete, meaning: "Argo has not stored its copy of a referenced template yet.", remedy: "It is retried", retryable: true},
	{code: DefinitionTooLarge, meaning: "What the workflow is to run, with Argo's copies of templates, unpacks to more than is read: it has hundreds of thousands of small values. What its status says of its nodes does not count.", remedy: "Give long lists as the text of a parameter (withParam) or as an artifact instead of as values, or make several workflows"},
	{code: BuilderNotTrusted, meaning: "The statement names a builder that is not ours, or one that its signer may not speak for.", remedy: "Check the cluster name both installs were given, and the builders of the signer's trust domain", exit: 19},
	{code: ProducerFailed, meaning: "The step that produced the artifact failed.", remedy: "Fix the producing step, or have a ClusterProvenancePolicy allow what failed producers left", exit: 16},
	{code: PinsMissing, meaning: "The evidence came between our two webhooks, so the pod has no pins yet.", remedy: "It is retried", retryable: true},
	{code: PinMismatch, meaning: "The pod's pins are not the ones the evidence gives.", remedy: "It is retried; if it lasts, another webhook changes the pod", retryable: true},
	{code: ModeChanged, meaning: "The artifact was produced before the namespace's mode changed.", remedy: "Resubmit the workflow"},
	{code: AdmissionRefused, meaning: "The pod ran in mode enforce although admission had refused its inputs: the validating webhook was not asked.", remedy: "Restore the webhook configurations of the chart (helm upgrade) and run the step again"},
	{code: GuardsNotHeld, meaning: "The guards have not held all the time since the workflow, or its pod, was made: the namespace had no mode for a while, or Argoseal's policies were not there. What others may have written meanwhile proves nothing.", remedy: "Submit the workflow again"},
	{code: GuardsUnknown, meaning: "It is not on record yet since when the namespace has had its mode, or it has had it for some seconds only.", remedy: "It is retried; if it lasts, look at the log of the notary, which keeps the record", retryable: true},
	{code: TrustedRootNotReady, meaning: "There is no trusted root yet, so nothing can be verified.", remedy: "It is retried; look at the notary and the log if it lasts", retryable: true},

	{code: PolicyNotSynced, meaning: "The webhook cannot read the policies and revocations.", remedy: "It is retried; if it lasts, check that the API server answers the webhook and the CRDs of this release are installed", retryable: true},
	{code: PolicyInvalid, meaning: "A policy that applies here cannot be evaluated.", remedy: "Correct or delete the policy that the message names"},
	{code: Revoked, meaning: "A Revocation takes back trust in the artifact, or in something that it was made from.", remedy: "Make it anew from what is trusted; `argoseal taint --dry-run` lists what else is affected"},
	{code: ImageInvalid, meaning: "A policy asks for something of container images in this namespace, and the name of one cannot be read.", remedy: "Write it as REGISTRY/REPOSITORY@sha256:DIGEST"},
	{code: ImageNotPinned, meaning: "A policy is about this container image, and the pod names it by tag, or by a digest that is no SHA-256.", remedy: "Write it as REGISTRY/REPOSITORY@sha256:DIGEST"},
	{code: ImageUnproven, meaning: "A policy is about this container image, and it neither lists the digest nor trusts who sealed its manifest, if anybody did.", remedy: "Use an image that the policy admits; or have a step that the policy trusts make it, and hand out its manifest; or have its digest listed"},
	{code: PolicyConflict, meaning: "Policies pin different contents for the same input, so nothing can satisfy them all.", remedy: "Make the policies that the message names agree"},
	{code: PolicyNarrowed, meaning: "The cluster's policies allow the input, and a ProvenancePolicy of the namespace does not.", remedy: "Add it to allow in the policy that the message names"},
	{code: PlaceUncertain, meaning: "A policy admits any content from this place, and something about the pod can change which server the place's name leads to, or the server does not have to prove that it is the one.", remedy: "Take what the message names out of the workflow or the artifact's location, pin the content in the policy (sha256, treeSHA256, a commit), or list the words in brackets under tolerate in the policy's entry"},
	{code: LevelTooLow, meaning: "A policy asks for a higher builder level than the seal has.", remedy: "Produce it at the level that the policy asks for, or relax the policy", exit: 17},
	{code: SealTooOld, meaning: "The seal is older than a policy allows.", remedy: "Run the producing workflow again"},
	{code: LogNotTrusted, meaning: "The seal is recorded in no transparency log that a policy counts.", remedy: "Run the producing workflow again if the notary has another log by now, or add the log to require.logs of the policy that the message names"},
	{code: ReproductionMissing, meaning: "A policy asks that somebody else has run the step again and that it made the same, and there is no statement of that which counts: none by a trust domain that the policy names, or one about another seal, with another result, or with a caveat.", remedy: "Have that party run it again and publish the result (argoseal reproduce --publish), and submit the workflow again"},
	{code: SBOMMissing, meaning: "A policy asks that there is an SBOM of these bytes, and nobody's word of that counts: none by a trust domain that the policy names, or one about other bytes or in another format.", remedy: "Have that party make the SBOM and publish that there is one (argoseal sbom --publish), and submit the workflow again"},
	{code: AttestationInvalid, meaning: "A policy admits the input by what others attest to have built, and the bundle in its entry does not hold: under the trust domain that the policy names, for that builder and build type, about that subject.", remedy: "Put a bundle that holds into the entry that the message names, or have an operator list the builder under attests in domain.json of that domain; else pin the content (sha256, treeSHA256)"},

	{code: Sealed, meaning: "Every declared output is sealed, or its absence has a reason."},
	{code: Pending, meaning: "The seal is on its way.", remedy: "Wait; look at the notary's log if it lasts", retryable: true},
	{code: TagExpired, meaning: "The admission tag was not issued when the pod was created.", remedy: "Submit the step through Argo"},
	{code: StructureAltered, meaning: "The stored pod no longer has the structure that was admitted.", remedy: "Find who changes pods after admission"},
	{code: WorkflowGone, meaning: "The workflow was deleted before its pod could be sealed.", remedy: "Keep workflows until their pods are sealed"},
	{code: UploadFailed, meaning: "Argo's wait container failed or never started, so nothing is known to be in the store.", remedy: "Look at the log of the container that the message names"},
	{code: MeasurementMissing, meaning: "The signing sidecar left no measurement.", remedy: "Look at the log of argoseal-signer; was it killed or out of memory?"},
	{code: MeasurementIncomplete, meaning: "The measurement was cut, does not parse, does not speak of every declared output, or is in a log of the sidecar's that is gone or says something else.", remedy: "Run the step again; if it has too many outputs, declare fewer in this template"},
	{code: SidecarRestarted, meaning: "The signing sidecar was restarted, so it may have missed something.", remedy: "Look at the log of argoseal-signer; run the step again"},
	{code: ForeignProcess, meaning: "Another process was in the container of the signing sidecar, so what it measured may be the other's word.", remedy: "Find who runs commands in argoseal-signer, on the node if not through the API server; run the step again"},
	{code: DefinitionChanged, meaning: "The Workflow, or a template that it refers to, was changed after the step was admitted, or the step did not run what they say, so what it was asked to do is not certain.", remedy: "Do not change the arguments of a running Workflow, nor a template while workflows that use it start; submit it again"},
	{code: OutputAbsent, meaning: "The output was not staged for upload.", remedy: "Nothing to do if it is optional"},
	{code: OutputUnreadable, meaning: "The staged output is not what Argo would stage and unpack, or not something we can measure.", remedy: "Change what the message names: store what a link leads to instead of one that leads out, files that their owner may read, names without control characters; the log of argoseal-signer says more"},
	{code: FilesUnknown, meaning: "The input is a part of a directory that was stored without an archive, or everything below a key where such a directory is one of several parts, and its record does not list the directory's files, so nothing is known of them one by one: there are too many files in the pod's directories, one has a control character in its name, or the sidecar's log is gone.", remedy: "Keep the list of all such files of one pod, 45 bytes and the path for each, within 128 KiB, and run the producing step again; or consume the directory whole, by its own key; or make of it outputs that are one file each"},
	{code: PrefixUnsupported, meaning: "The input is everything below a key, where several steps each stored a part, and these cannot be pinned: they have too many files in all, one part lies where another does or below it, or one counts by a policy only. Or the input is a directory without an archive, and the step has another one beside it of which nobody knows the files (a clone, any content).", remedy: "Give each part a key of its own that is not below another's, and keep what lies below the one key within 512 files and 32 KiB, 45 bytes and the path for each: pack the files of a part into one. Beside a clone, take a directory in an archive, or in a step of its own"},
	{code: NothingToSeal, meaning: "The pod declares no output artifact."},
	{code: WorkflowTooLarge, meaning: "The workflow's steps have more to be stated than fits into one statement about the workflow, or into the record beside its nodes. Each step's own seal counts as before.", remedy: "Hand over fewer outputs or smaller parameters, or make of it several workflows, if a statement about the whole is wanted"},
	{code: BudgetExceeded, meaning: "The namespace has as many records of Argoseal's as its budget allows, by number or by bytes. Its steps do not begin in mode enforce; what had begun and found no room is not sealed.", remedy: "Ask the operators of Argoseal to export and remove old records (retention.maxAge, retention.archive; argoseal export), or to raise the budget (budget.objects, budget.bytes)"},
	{code: BudgetNear, meaning: "The namespace's records have used four fifths of their budget, or more. When it is used up, no step begins there in mode enforce.", remedy: "Ask the operators of Argoseal to export and remove old records (retention.maxAge, retention.archive; argoseal export), or to raise the budget (budget.objects, budget.bytes)"},
	{code: StoresByItself, meaning: "The step hands Argo no artifact, and what it runs moves artifacts by itself, as the launcher of Kubeflow Pipelines 2 does. It is admitted, and an event of its Workflow says so: nobody seals or checks what is moved so.", remedy: "Hand over by Argo's own artifacts (inputs.artifacts, outputs.artifacts) what is to be sealed and checked"},
	{code: PodGone, meaning: "The pod was deleted before what it did was on record.", remedy: "Give the workflow's podGC a deleteDelayDuration, and run the step again"},
	{code: KeyMismatch, meaning: "A private key and what was published for it do not belong together.", remedy: "Restore the Secret or the ConfigMap from a backup; or, to start anew, delete both: seals made before will no longer verify"},
	{code: LogMismatch, meaning: "What the log that the notary writes to answers cannot verify under the trusted root, so nothing is sent to it.", remedy: "Give the notary the log's URL as the trusted root has it, or put the trusted_root.json of that log into ConfigMap argoseal-trusted-root"},
	{code: LogForked, meaning: "The transparency log has signed two checkpoints that contradict each other: its history is not the one that it had. The notary adds nothing to it.", remedy: "Keep what the TransparencyLog has (both checkpoints prove it), restore the log's volume as it was, or give the log a new key: docs/log.md", exit: 24},
	{code: LogRolledBack, meaning: "The transparency log has fewer entries than a checkpoint that it has signed: it began again under the same key, with an empty volume or an older one. The notary adds nothing to it.", remedy: "Restore the log's volume as it was, or give the log a new key: docs/log.md", exit: 25},
	{code: LogUnchecked, meaning: "It could not be checked whether the transparency log still has what it had: its checkpoint or its tiles cannot be read, or do not fit together. The notary waits before it adds to a log of which it has known nothing for five minutes, or since it started.", remedy: "It is retried; if it lasts, look at the log and at what serves its tiles, and at the notary's log", retryable: true},
	{code: KeyServiceFailed, meaning: "The key service that holds the signing key did not answer in time, refused, or signed with another key than the one that was published.", remedy: "Look at the notary's rights on the key and at the service; if the URI is an alias that another key has by now, restart the notary, which publishes that key", retryable: true},
	{code: TimestampFailed, meaning: "The timestamp authority did not answer in time, refused, or answered what is no timestamp of this signature under the trusted root, or is far from the notary's clock; or the trusted root has no authority. Where timestamps are required nothing is logged without one.", remedy: "Look at the authority, at timestamps.url and at the authority's certificates in ConfigMap argoseal-trusted-root; timestamps.required=false lets seals go without while it is away", retryable: true},
	{code: CertificateFailed, meaning: "Fulcio gave the notary no certificate to sign under: it did not answer in time, refused the token of the notary's ServiceAccount, or answered with a certificate for another key or identity, or of an authority that the trusted root does not have. Nothing is signed without one.", remedy: "Look at Fulcio and at notary.fulcio; Fulcio has to know the cluster's issuer (type kubernetes) and the audience, and ConfigMap argoseal-trusted-root Fulcio's certificates", retryable: true},
	{code: RootChanged, meaning: "The trusted root of a domain follows a TUF repository, and has changed with it. What the repository has not any more takes no seals from then on; seals made before count as they did.", remedy: "Nothing, if the repository's owners say so, too. If they left out a log or an authority because somebody else has its key, take it out here, too: docs/trust.md#a-tuf-repository"},
	{code: RootExpires, meaning: "Metadata of the TUF repository that a trusted root follows ends soon, or has ended, and there is no newer one. The trusted root stays as it is, and follows nothing once it has ended.", remedy: "Ask who signs that metadata, or look whether something between keeps the newest from this cluster"},
	{code: RootRefused, meaning: "What the TUF repository shows does not hold: a signature, a version, a size or the end of its time; or the file is no trusted root under which this domain's seals verify. The trusted root stays as it is.", remedy: "Look at the message: an older version, or one that has ended, may be a mirror that somebody keeps back; another root.json needs a signature of the one before. docs/trust.md#a-tuf-repository"},
	{code: RootUnread, meaning: "The TUF repository that a trusted root follows could not be read. The trusted root stays as it is.", remedy: "It is retried; look at tuf.url, at the proxy and at what the network lets through", retryable: true},
	{code: ArgoChanged, meaning: "Argo's controllers, their executor images or the variables of these have changed in a namespace of argo.namespaces. What ran before is trusted for ten minutes yet.", remedy: "Nothing, if somebody upgraded or configured Argo; else find who writes Deployments or ConfigMaps there"},
	{code: ArgoUnread, meaning: "A Deployment runs Argo's controller in a namespace of argo.namespaces, and the configuration of that cannot be read, so nobody knows which executor it gives to its pods. What ran there before stays trusted, what it has changed to is not, and other controllers are followed as before.", remedy: "Mend the ConfigMap that the event names, or give the notary the right to read it; pods with an executor that is not known are refused with ExecutorImageNotAllowed meanwhile"},

	{code: StatusGuarded, meaning: "Somebody other than the pod's node tried to change what the node reports about it.", remedy: "Leave pods/status to the kubelet in labelled namespaces; a virtual kubelet of another name needs the verb argoseal-report on its node"},
	{code: RecordGuarded, meaning: "Somebody else than Argoseal tried to write or delete one of its records: a Provenance, an ArtifactSeal, a WorkflowProvenance or a TransparencyLog.", remedy: "Leave them to it; deleting needs the verb manage on provenances.argoseal.dev"},
	{code: TagGuarded, meaning: "What identifies a pod of a labelled namespace may not change after its creation.", remedy: "Submit the step again through Argo"},
	{code: ModeGuarded, meaning: "The namespace's mode may not be lowered or removed by this user.", remedy: "Ask somebody with the verb argoseal-mode on namespaces"},
	{code: ModeUnknown, meaning: "The label argoseal.dev/mode was given a value that is no mode, or to kube-system or Argoseal's own namespace, where nothing is judged.", remedy: "Use enforce, warn or audit, on a namespace other than kube-system and Argoseal's own"},
	{code: CopyUnknown, meaning: "A Workflow was to be created with copies of templates in its status, as Argo does to retry an archived one or to resubmit one with memoized results, and one of them is neither what Argo would make of the resource that is there now nor what a seal of a workflow of that name in the namespace states.", remedy: "Submit it again with argo submit or argo resubmit, without --memoized"},
	{code: WorkflowGuarded, meaning: "Somebody other than Argo's controller tried to change a workflow's definition, or brought copies of templates along that only Argo makes.", remedy: "Submit it again with argo submit or argo resubmit, without --memoized"},
	{code: ExecGuarded, meaning: "Somebody tried to run a command in a container of a workflow's pod, or to attach to one: what a step makes would no longer be the work of its definition alone. In a labelled namespace no container called wait or init, or with a name that begins with argoseal-, takes any.", remedy: "Look at its logs, or run the step in a namespace without the label; who has the verb argoseal-exec on pods in the whole cluster may run commands in a step's own containers"},
	{code: ConfigurationGuarded, meaning: "Argoseal's webhook configurations and CustomResourceDefinitions may not be changed or removed by this user; its own webhook keeps the certificate in the former.", remedy: "Ask somebody with the verb manage on installations.argoseal.dev, such as a cluster admin"},
	{code: AnchorGuarded, meaning: "Keys, trusted root and the like may be written only by the program that makes them.", remedy: "Ask somebody with the verb manage on installations.argoseal.dev, such as a cluster admin"},

	{code: SecretNotGranted, meaning: "A pod, or what pods are made from, takes a Secret that a SecretAccess guards, and its ServiceAccount has no grant for it, or not for this container, or not any more.", remedy: "Ask for a grant under secrets[].mount of the SecretAccess that guards it, or run as the ServiceAccount that has one"},
	{code: SecretUseDenied, meaning: "Somebody without the verb use on a SecretAccess makes a pod, or what pods are made from, that takes a Secret which it guards or runs as a ServiceAccount that may read one; asks for a token of such a ServiceAccount; runs a command in a pod beside guarded Secrets; makes a volume that a guarded Secret opens; or writes or deletes a guarded Secret, which they may not read.", remedy: "Ask for a grant under users of the SecretAccess that guards it; a controller that makes pods needs one, too"},
	{code: SecretRightsGuarded, meaning: "Somebody without the verb use on a SecretAccess writes a role that reaches guarded Secrets, lets others give rights or act as others, or binds a role beside guarded Secrets.", remedy: "Name other Secrets by resourceNames, or ask for a grant under secrets[].get, or under users, of the SecretAccess that guards them"},
	{code: AccessNotHeld, meaning: "A SecretAccess is written or removed by somebody who may not read the namespace's Secrets, or the definition of them all is by somebody who may not read all: nobody grants what they have not.", remedy: "Ask somebody who may get all Secrets of the namespace, or has the verb escalate on secretaccesses there"},
	{code: EscrowHeld, meaning: "A SecretEncryption that has keys in escrow, or the definition of the resource, is deleted, or the definition has no room for them any more, and they would go with it.", remedy: "Store what kubectl get secretencryption cluster -o yaml prints where your snapshots of etcd are, then annotate what you delete with argoseal.dev/delete-escrow=true"},

	{code: InputAltered, meaning: "What was downloaded is not what was admitted.", remedy: "Something else was stored there after admission, or by a step that has no seal: run the producing steps again, and see what their Provenances say", exit: 10},
	{code: InputMissing, meaning: "An admitted input was not downloaded.", remedy: "Run the producing step again", exit: 11},
	{code: InputExtra, meaning: "Something was downloaded that was not admitted.", remedy: "Find what puts it there before the check: an init container of another webhook's, or what a volume had before. If nothing does, treat it as tampering", exit: 12},

	{code: BundleInvalid, meaning: "The bundle cannot be read.", remedy: "Fetch it again", exit: 3},
	{code: SignatureInvalid, meaning: "The signature is not the trusted key's.", remedy: "Check --key, or treat it as forged", exit: 4},
	{code: LogEntryInvalid, meaning: "The log's proof does not verify under the trusted root.", remedy: "Check --trusted-root, or treat it as forged", exit: 5},
	{code: StatementInvalid, meaning: "The signed statement is not one of ours.", remedy: "Verify it with the tool of whoever made it", exit: 6},
	{code: SignerExpired, meaning: "The seal was signed, as far as anybody knows, when its key did not count, or nothing says when it was signed and its key counts no more.", remedy: "Run the producing step again; offline, give --recorded, the creation time of the seal's Provenance", exit: 21},
	{code: SignerCompromised, meaning: "The seal's key is in other hands, and neither a timestamp authority nor the promise of a Rekor v1 proves the seal to be older than that. Rekor v2 proves no time.", remedy: "Run the producing step again", exit: 22},
	{code: LogExpired, meaning: "The log's key did not count when the seal was made, as far as anybody knows.", remedy: "Run the producing step again; check the log's validFor in the trusted root", exit: 23},
	{code: LogCopyInvalid, meaning: "The copy of a transparency log does not add up to its checkpoint: an entry or a tile is missing, or another.", remedy: "Copy it again while the log stands still; if it stays so, treat the log as altered: docs/log.md", exit: 26},
	{code: DigestMismatch, meaning: "The file is not the one the statement speaks of.", remedy: "Treat the file as altered", exit: 7},
	{code: ValueMismatch, meaning: "The statement's parameter has not this value, or it has no such parameter.", remedy: "Give the value byte for byte, without a line end, and the key of the notary that made the statement", exit: 15},
	{code: UsageInvalid, meaning: "The command was not given what it needs.", remedy: "See --help", exit: 2},
	{code: ProducerUnstated, meaning: "Nobody said whose step was to make the artifact.", remedy: "Give --namespace and what narrows it, or --any-producer", exit: 13},
	{code: ProducerMismatch, meaning: "The seal is genuine, and it is of another step than was asked for.", remedy: "Do not use the artifact, or ask for this producer if you trust it", exit: 14},
	{code: ModeTooLow, meaning: "The step ran in a namespace whose mode refuses nothing, so its inputs may be anything.", remedy: "Produce it in mode enforce, or accept it with --mode any", exit: 18},
	{code: AccessTooWide, meaning: "An audit that was asked to fail found rights on Secrets that are too wide, or that nobody uses.", remedy: "See what each finding says", exit: 20},
	{code: NotReproduced, meaning: "The step was run again on the same images, with the same inputs, and made something else.", remedy: "Look at the outputs that differ: the time, random numbers, the order of files, the network and the number of processors are usual reasons", exit: 27},
	{code: NotComparable, meaning: "The step cannot be run again as it ran, or what came of it says nothing of the first run.", remedy: "Do what the message says; it is no word against the artifact", exit: 28},
}

var (
	table = map[Code]entry{}
	order []Code
)

func init() {
	for _, r := range rows {
		table[r.code] = r
		order = append(order, r.code)
	}
}
