package v1alpha1

// Inputs from outside: their places, and what has to hold of their content.

// Content says which content of an input from outside is admitted; exactly one
// field is given.
type Content struct {
	// sha256 of the one file that the step gets, lower-case hex. What Argo
	// unpacks is no such file: give treeSHA256 there.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256,omitempty"`
	// treeSHA256 is the tree digest of what the step gets (docs/tree-digest.md).
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	TreeSHA256 string `json:"treeSHA256,omitempty"`
	// attested admits what others attest to have built, by its digest. Only a
	// ClusterProvenancePolicy may say so.
	// +optional
	Attested *Attested `json:"attested,omitempty"`
	// anyContent admits whatever is there when the step runs.
	// +optional
	AnyContent bool `json:"anyContent,omitempty"`
	// tolerate lists what the pod may have although it can change which server the
	// place's name leads to. Where a digest is given it makes no difference.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tolerate []Doubt `json:"tolerate,omitempty"`
}

// MaxAttestation is the size of the largest bundle in a policy, in bytes.
const MaxAttestation = 64 << 10

// Attested names a statement of others about what they built, and what of it has to hold.
// As long as it does not, nothing is admitted by the entry, nor where it matches.
type Attested struct {
	// domain is the trust domain under which the bundle has to hold, by its name: its
	// signers and its logs (docs/trust.md). Not the installation's own.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'installed'",message="seals of this installation count by allow.producers"
	Domain string `json:"domain"`
	// builder is the builder id that the statement has, exactly. The domain has to
	// list it, too.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Builder string `json:"builder"`
	// buildType is that of the statement, exactly.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	BuildType string `json:"buildType"`
	// subject is the name of the statement's subject that is meant; absent: it has one
	// alone.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Subject string `json:"subject,omitempty"`
	// bundle is a Sigstore bundle of version 0.3, JSON, with a statement whose predicate is
	// SLSA Provenance v1 or v0.2.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	Bundle string `json:"bundle"`
}

// Doubt is why the name of a place may lead to another server than the one that
// the author of a policy had in mind.
//
// +kubebuilder:validation:Enum=CASecret;DNS;EarlierContainers;Headers;HostAliases;HostNetwork;NamespaceNames;PlainHTTP;Region;UnknownHostKey
type Doubt string

const (
	// DoubtCASecret: the server is trusted by a certificate authority out of a
	// Secret of the step's namespace, or by certificates that were added to Argo's init.
	DoubtCASecret Doubt = "CASecret"
	// DoubtDNS: the pod has name servers or a search path of its own.
	DoubtDNS Doubt = "DNS"
	// DoubtEarlierContainers: a container that is neither Argo's nor ours starts
	// before the one that downloads. All containers of a pod share its network and
	// can write its /etc/hosts and /etc/resolv.conf.
	DoubtEarlierContainers Doubt = "EarlierContainers"
	// DoubtHeaders: the request has headers of the workflow's by which a server may
	// give something else.
	DoubtHeaders Doubt = "Headers"
	// DoubtHostAliases: the pod writes its own /etc/hosts.
	DoubtHostAliases Doubt = "HostAliases"
	// DoubtHostNetwork: names mean what they mean on the node.
	DoubtHostNetwork Doubt = "HostNetwork"
	// DoubtNamespaceNames: the name is one that Services of the step's namespace can
	// answer, and the server does not have to prove that it is the one.
	DoubtNamespaceNames Doubt = "NamespaceNames"
	// DoubtPlainHTTP: a store of S3 or Azure is asked without TLS.
	DoubtPlainHTTP Doubt = "PlainHTTP"
	// DoubtRegion: the region is of another partition of Amazon's, where the bucket
	// can be somebody else's.
	DoubtRegion Doubt = "Region"
	// DoubtUnknownHostKey: git takes whatever host key the server shows
	// (insecureIgnoreHostKey), so whoever is on the way may answer. It matters for
	// commits, too.
	DoubtUnknownHostKey Doubt = "UnknownHostKey"
)

// S3Input admits objects from outside by their location.
//
// +kubebuilder:validation:XValidation:rule="[has(self.sha256), has(self.treeSHA256), has(self.attested), has(self.anyContent) && self.anyContent].filter(given, given).size() == 1",message="say what content is admitted: exactly one of sha256, treeSHA256, attested and anyContent: true"
type S3Input struct {
	// location as seals spell it, s3://STORE/BUCKET/KEY with every segment
	// percent-encoded. * stands for any characters but a slash, ** for any
	// characters. The store cannot have wildcards.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^s3://[^/*]+/[^/]+/[!-~]+$')",message="want s3://STORE/BUCKET/KEY, percent-encoded, with * or ** in BUCKET and KEY only"
	Location string `json:"location"`

	Content `json:",inline"`
}

// GCSInput admits objects from outside by their location.
//
// +kubebuilder:validation:XValidation:rule="[has(self.sha256), has(self.treeSHA256), has(self.attested), has(self.anyContent) && self.anyContent].filter(given, given).size() == 1",message="say what content is admitted: exactly one of sha256, treeSHA256, attested and anyContent: true"
type GCSInput struct {
	// location as seals spell it, gs://BUCKET/KEY with every segment percent-encoded.
	// * stands for any characters but a slash, ** for any characters. The bucket
	// cannot have wildcards. Where there is no such object, Argo fetches everything
	// whose key begins so.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^gs://[^/*]+/[!-~]+$')",message="want gs://BUCKET/KEY, percent-encoded, with * or ** in KEY only"
	Location string `json:"location"`

	Content `json:",inline"`
}

// AzureInput admits blobs from outside by their location.
//
// +kubebuilder:validation:XValidation:rule="[has(self.sha256), has(self.treeSHA256), has(self.attested), has(self.anyContent) && self.anyContent].filter(given, given).size() == 1",message="say what content is admitted: exactly one of sha256, treeSHA256, attested and anyContent: true"
type AzureInput struct {
	// location as seals spell it, azure://STORE/CONTAINER/BLOB with every segment
	// percent-encoded. * stands for any characters but a slash, ** for any
	// characters. The store cannot have wildcards. Where there is no such blob, Argo
	// fetches everything whose name begins so.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^azure://[^/*]+/[^/]+/[!-~]+$')",message="want azure://STORE/CONTAINER/BLOB, percent-encoded, with * or ** in CONTAINER and BLOB only"
	Location string `json:"location"`

	Content `json:",inline"`
}

// HTTPInput admits what Argo fetches by its URL.
//
// +kubebuilder:validation:XValidation:rule="[has(self.sha256), has(self.treeSHA256), has(self.attested), has(self.anyContent) && self.anyContent].filter(given, given).size() == 1",message="say what content is admitted: exactly one of sha256, treeSHA256, attested and anyContent: true"
type HTTPInput struct {
	// url as the workflow spells it. * stands for any characters but a slash,
	// ** for any characters, neither for a question mark. The host cannot have
	// wildcards.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/*?@]+/[!-~]*$')",message="want https://HOST/PATH, percent-encoded, with * or ** in PATH only"
	URL string `json:"url"`

	Content `json:",inline"`
}

// GitInput admits commits of repositories, and the named branches and tags.
type GitInput struct {
	// repository is its URL, as the workflow spells it, with * and ** as in url.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^((https?://|ssh://([^/*?@]+@)?)[^/*?@]+/|[^/*?@:]+@[^/*?@:]+:)[!-~]+$')",message="want https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH, with * or ** in PATH only"
	Repository string `json:"repository"`
	// branches that may be given instead of a commit, by name. Whoever may push
	// to one decides what the step gets.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9][A-Za-z0-9._/-]*$`
	Branches []string `json:"branches,omitempty"`
	// tags that may be given instead of a commit, by name. Whoever may make or move
	// one, or may push to a branch of that name, decides what the step gets.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9][A-Za-z0-9._/-]*$`
	Tags []string `json:"tags,omitempty"`
	// defaultBranch admits inputs that give no revision. Whoever may push to the
	// branch that the repository calls its default one, or may call another one so,
	// decides what the step gets.
	// +optional
	DefaultBranch bool `json:"defaultBranch,omitempty"`
	// tolerate lists what the pod may have although it can change which server the
	// repository's name leads to. Only UnknownHostKey makes a difference to commits.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tolerate []Doubt `json:"tolerate,omitempty"`
}
