package v1alpha1

// Rules about container images, of all pods, Argo's or not.

// ImageRule admits container images, and is about all whose name matches.
//
// +kubebuilder:validation:XValidation:rule="(has(self.sha256) || has(self.producers)) != (has(self.anyContent) && self.anyContent)",message="say which images are admitted: sha256, producers or both, or else anyContent: true"
type ImageRule struct {
	// name of the images, REGISTRY/REPOSITORY, without tag and digest. * stands for any
	// characters but a slash, ** for any characters; the registry cannot have wildcards,
	// but ** alone stands for all images. Images without a registry are of docker.io, and
	// those of one word of docker.io/library.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^(\*\*|[^/*@A-Z]+/[a-z0-9_./*-]+)$`
	Name string `json:"name"`
	// sha256 of manifests or indexes that are admitted, lower-case hex.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{64}$`
	SHA256 []string `json:"sha256,omitempty"`
	// producers are steps that made them: an image is admitted if one of these has a
	// seal of its manifest.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Producers []ImageProducer `json:"producers,omitempty"`
	// anyContent admits whatever the registry has under that name, by tag too.
	// +optional
	AnyContent bool `json:"anyContent,omitempty"`
}

// ImageProducer is whose seals count for images.
//
// +kubebuilder:validation:XValidation:rule="has(self.namespaces) != (has(self.sameNamespace) && self.sameNamespace)",message="say where the producing workflow may have run: exactly one of namespaces and sameNamespace: true"
// +kubebuilder:validation:XValidation:rule="has(self.workflowTemplate) != (has(self.anyWorkflow) && self.anyWorkflow)",message="say whose workflows are trusted: exactly one of workflowTemplate and anyWorkflow: true"
type ImageProducer struct {
	// output is the name of the output artifact that is the image's manifest, or its
	// index, to the byte: one file, stored without an archive. With layout: true it is the
	// name of the output that is the image layout.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=248
	Output string `json:"output"`
	// layout: the output is not the manifest, but an OCI image layout or an archive of
	// one, in which the image lay whole.
	// +optional
	Layout bool `json:"layout,omitempty"`
	// namespaces in which the producing workflow may have run, by name.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`
	// sameNamespace: it ran in the namespace of the pod that has the image.
	// +optional
	SameNamespace bool `json:"sameNamespace,omitempty"`
	// workflowTemplate that the producing workflow refers to, without any field
	// that overrides it.
	// +optional
	WorkflowTemplate *TrustedTemplate `json:"workflowTemplate,omitempty"`
	// anyWorkflow trusts whoever may run workflows in these namespaces.
	// +optional
	AnyWorkflow bool `json:"anyWorkflow,omitempty"`
	// templates whose outputs count, by name; absent: all of the workflow's.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Templates []string `json:"templates,omitempty"`
}
