package v1alpha1

// Group is the API group and the domain of all our labels and annotations.
const Group = "argoseal.dev"

const (
	// LabelMode on a namespace switches Argoseal on; see Mode for the values.
	// A namespace without it is left alone: not a byte of any pod changes.
	LabelMode = Group + "/mode"

	// AnnotationTag on a pod is the admission tag (package tag): what our
	// mutating webhook saw, under a MAC. The notary seals tagged pods only.
	AnnotationTag = Group + "/tag"

	// LabelLocation on an ArtifactSeal is artifact.LocationName of its location:
	// so that seals of other workflows can be found. It proves nothing.
	LabelLocation = Group + "/location"

	// LabelSHA256 on the ArtifactSeal of a single file has the first 63 digits of its
	// SHA-256, all that a label has room for: so that the seal of an image's manifest can
	// be found. It proves nothing.
	LabelSHA256 = Group + "/sha256"

	// LabelImagePrefix, with the first 63 digits of a container image's digest after it,
	// is a label of the ArtifactSeal of an output in which the image lay whole: so that
	// it can be found. Its value is ImageMeasured. It proves nothing.
	LabelImagePrefix = "image." + Group + "/"
	// ImageMeasured says that our sidecar has measured the image.
	ImageMeasured = "measured"
)

// Mode is the value of LabelMode.
type Mode string

const (
	// ModeEnforce seals what is produced and refuses what cannot prove its
	// provenance. Every unknown value is treated as this one.
	ModeEnforce Mode = "enforce"
	// ModeWarn seals, and admits with an admission warning.
	ModeWarn Mode = "warn"
	// ModeAudit seals, and records the verdict as an audit annotation.
	ModeAudit Mode = "audit"
)

// ParseMode reads a LabelMode value. What it does not know is ModeEnforce:
// a typo must not switch the gate off.
func ParseMode(value string) Mode {
	switch m := Mode(value); m {
	case ModeWarn, ModeAudit:
		return m
	default:
		return ModeEnforce
	}
}

// ConditionSealed is on Provenances and WorkflowProvenances. True: the outputs are
// sealed. False with reason Pending: a seal is on its way. False with any other reason:
// final, there will be none, or not of all, and the reason says why. Unknown: the
// workflow has not ended.
const ConditionSealed = "Sealed"

// ConditionReady is on policies, SecretAccesses and the SecretEncryption. True: it is
// in force; of a SecretAccess that what it grants is there, so that it is in force if the
// chart's admission policies and their bindings are, which nobody looks for. False: the
// message says why not; what a policy applies to that cannot be evaluated is refused.
const ConditionReady = "Ready"

// Names of the programs' own objects, all in the namespace Argoseal runs in.
const (
	// SecretTagKey holds the MAC keys of admission tags (package tag).
	SecretTagKey = "argoseal-tag-key"
	// SecretSigningKey holds the notary's private key, PEM (PKCS #8).
	SecretSigningKey = "argoseal-signing-key"
	// SecretParameterKey holds the key under which the notary redacts parameters,
	// ParameterKeyKey.
	SecretParameterKey = "argoseal-parameter-key"
	// ParameterKeyKey is the one key of SecretParameterKey: random bytes.
	ParameterKeyKey = "parameter.key"
	// SecretLogKey holds the private key of the log that the chart runs.
	SecretLogKey = "argoseal-log-key"
	// SecretServingCertificate holds the webhook's serving certificate and CA.
	SecretServingCertificate = "argoseal-webhook-tls"
	// ConfigMapTrustedRoot holds what verification trusts: see the keys below.
	ConfigMapTrustedRoot = "argoseal-trusted-root"
	// TrustedRootKey is the standard Sigstore trusted_root.json.
	TrustedRootKey = "trusted_root.json"
	// FollowedKey, beside a TrustedRootKey that follows a TUF repository, is what was
	// verified of that last (package tuf, type Record).
	FollowedKey = "tuf.json"
	// ConfigMapTUFRoot holds the root.json of that repository, which the operator trusts:
	// the chart makes it.
	ConfigMapTUFRoot = "argoseal-tuf-root"
	// ConfigMapNotaryKey holds the notary's public key under NotaryKeyKey. It
	// is apart from the trusted root because the two have different writers.
	ConfigMapNotaryKey = "argoseal-notary-key"
	// NotaryKeyKey is the notary's public key, PEM (SPKI).
	NotaryKeyKey = "notary.pub"
	// RulesKey, beside the keys of a domain, limits them (package verify, type Rules):
	// in ConfigMapNotaryKey, where it may be missing, and in those of domains.
	RulesKey = "domain.json"
	// RotateKey, in ConfigMapNotaryKey, is when somebody asked for a new signing key:
	// another text asks for another one.
	RotateKey = "rotate"
	// ConfigMapDomainPrefix, with a domain's name after it, names the ConfigMap of a
	// trust domain beside that of the installation: it has TrustedRootKey,
	// NotaryKeyKey and RulesKey.
	ConfigMapDomainPrefix = "argoseal-trust-"
	// DomainInstalled is the name of the installation's own trust domain.
	DomainInstalled = "installed"
	// ConfigMapTrusted holds which Argo and which signers the notary was told to
	// trust, now and before, as JSON under TrustedKey (package notary/trusted).
	ConfigMapTrusted = "argoseal-trusted"
	// TrustedKey is the one key of ConfigMapTrusted.
	TrustedKey = "trusted.json"
	// ConfigMapBelieved is what the release before this one has instead of
	// ConfigMapTrusted, with BelievedKey. A rollback finds it.
	ConfigMapBelieved = "argoseal-believed"
	// ConfigMapArgo holds what Argo's controllers run in the namespaces that the
	// operator named, as JSON under ArgoKey (package followed), and their user names for
	// the admission policies under ArgoControllersKey. The chart makes it, the notary
	// keeps what is in it.
	ConfigMapArgo = "argoseal-argo"
	// ArgoKey is the record in ConfigMapArgo.
	ArgoKey = "argo.json"
	// ArgoControllersKey has user names, one a line.
	ArgoControllersKey = "controllers"
	// ConfigMapBudget names the namespaces that have used up their budget (package
	// notary/budget), for the admission policy of that name. The chart makes it, the
	// notary keeps what is in it.
	ConfigMapBudget = "argoseal-budget"
	// BudgetFullKey has their names, one a line; BudgetNearKey those of the namespaces that
	// soon will have, and BudgetToldKey when events told whom.
	BudgetFullKey = "full"
	BudgetNearKey = "near"
	BudgetToldKey = "told"
	// ConfigMapEpochs holds since when each namespace has had its mode, as JSON
	// under EpochsKey (package epoch). The notary keeps it.
	ConfigMapEpochs = "argoseal-epochs"
	// EpochsKey is the one key of ConfigMapEpochs.
	EpochsKey = "epochs.json"
	// BelievedKey is the one key of ConfigMapBelieved.
	BelievedKey = "believed.json"
)
