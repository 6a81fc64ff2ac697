package part

import "github.com/argoseal/argoseal/e2e/cluster/gobuild"

// The tools: programs that tests and make targets call. Nothing of them runs
// in the cluster, apart from Rekor, which the chart starts.

// rekorRecipe is Rekor v2 on a POSIX file system: the transparency log that
// the chart can run itself.
var rekorRecipe = gobuild.Recipe{
	Name:    "rekor-tiles",
	Module:  "github.com/sigstore/rekor-tiles/v2",
	Version: "v2.3.0",
	Sum:     "h1:HhMgH61UP0t899V8Fjt7pz1YdgOBptbaQdnCF+79cdc=",
	Targets: []gobuild.Target{{Name: "rekor-server-posix", Package: "./cmd/rekor-server/posix"}},
	LDFlags: []string{"-X sigs.k8s.io/release-utils/version.gitVersion=v2.3.0"},
}

// rekorV1Recipe is the server of Rekor v1, the transparency log that others run. Its
// entries lie in Trillian.
var rekorV1Recipe = gobuild.Recipe{
	Name:    "rekor-v1",
	Module:  "github.com/sigstore/rekor",
	Version: "v1.5.4",
	Sum:     "h1:A9zITTrkRwO+8lfq7L/gBR7rDHHcBQJRI+a0JQo4xDM=",
	Targets: []gobuild.Target{{Name: "rekor-server", Package: "./cmd/rekor-server"}},
	LDFlags: []string{"-X sigs.k8s.io/release-utils/version.gitVersion=v1.5.4"},
}

// trillianRecipe is what keeps the tree of a Rekor v1, in MySQL or MariaDB: the only
// storage that Trillian calls stable. Its storage in memory finds no duplicates.
var trillianRecipe = gobuild.Recipe{
	Name:    "trillian",
	Module:  "github.com/google/trillian",
	Version: "v1.8.0",
	Sum:     "h1:AnbjOFFMQyvqpPAARj97CKEXmoSpCy2hZw0T7Y1Y0BA=",
	Targets: []gobuild.Target{
		{Name: "trillian_log_server", Package: "./cmd/trillian_log_server"},
		{Name: "trillian_log_signer", Package: "./cmd/trillian_log_signer"},
		{Name: "createtree", Package: "./cmd/createtree"},
	},
	// Else there are the drivers of four databases, and two ways to elect a signer.
	Tags: []string{"mysql", "etcd"},
}

var helmRecipe = gobuild.Recipe{
	Name:    "helm",
	Module:  "helm.sh/helm/v3",
	Version: "v3.22.0",
	Sum:     "h1:n1if5iQgHYsujPAcO5oonH/KiSNUmqmUF0iGVjSF3AU=",
	Targets: []gobuild.Target{{Name: "helm", Package: "./cmd/helm"}},
	LDFlags: []string{
		"-X helm.sh/helm/v3/internal/version.version=v3.22.0",
		// What `helm template` and `helm lint` take for the cluster's version.
		"-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
		"-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=36",
		"-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
		"-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
	},
}

var cosignRecipe = gobuild.Recipe{
	Name:    "cosign",
	Module:  "github.com/sigstore/cosign/v3",
	Version: "v3.1.3",
	Sum:     "h1:001JQRI/PJ/5T+g/kJ1KTvKFbb322+fomc+pHDZ/6sg=",
	Targets: []gobuild.Target{{Name: "cosign", Package: "./cmd/cosign"}},
	LDFlags: []string{"-X sigs.k8s.io/release-utils/version.gitVersion=v3.1.3"},
}

// ghRecipe is GitHub's command line, for which its attestations are made.
var ghRecipe = gobuild.Recipe{
	Name:    "gh",
	Module:  "github.com/cli/cli/v2",
	Version: "v2.83.0",
	Sum:     "h1:DIh4WStSDm15OT43vImvKp21v9JAg8pBbdVoisknTKo=",
	Targets: []gobuild.Target{{Name: "gh", Package: "./cmd/gh"}},
	LDFlags: []string{"-X github.com/cli/cli/v2/internal/build.Version=v2.83.0"},
}

// slsaVerifierRecipe judges summaries of verifications.
var slsaVerifierRecipe = gobuild.Recipe{
	Name:    "slsa-verifier",
	Module:  "github.com/slsa-framework/slsa-verifier/v2",
	Version: "v2.7.1",
	Sum:     "h1:UofvmqdJysF8K13h42/NVD+7IFQjZBOWMDmfZsLUimw=",
	Targets: []gobuild.Target{{Name: "slsa-verifier", Package: "./cli/slsa-verifier"}},
}

// chainsRecipe is the controller of Tekton Chains, which signs what others build.
var chainsRecipe = gobuild.Recipe{
	Name:    "chains",
	Module:  "github.com/tektoncd/chains",
	Version: "v0.26.2",
	Sum:     "h1:Y1D79P14EXKRzF1zzR5jDQPm2QvwjtowzdrqW7kgps8=",
	Targets: []gobuild.Target{{Name: "chains-controller", Package: "./cmd/controller"}},
}

// localKMSRecipe is a server that answers as AWS KMS does.
var localKMSRecipe = gobuild.Recipe{
	Name:    "local-kms",
	Module:  "github.com/nsmithuk/local-kms",
	Version: "v0.0.0-20260228092603-2a5e92d09ab6",
	Sum:     "h1:kCiMJ8KHc9CLE+nL5W5c0hFEhjyZMRNJroF8huqLoNM=",
	Targets: []gobuild.Target{{Name: "local-kms", Package: "."}},
}

// fulcioRecipe issues certificates for ServiceAccount tokens.
var fulcioRecipe = gobuild.Recipe{
	Name:    "fulcio",
	Module:  "github.com/sigstore/fulcio",
	Version: "v1.8.8",
	Sum:     "h1:AtVoVQ4R7YaP6RHIH9puHyB398CHS/9WYc6d+gKf5Y0=",
	Targets: []gobuild.Target{{Name: "fulcio", Package: "."}},
	LDFlags: []string{"-X sigs.k8s.io/release-utils/version.gitVersion=v1.8.8"},
}

// timestampRecipe is Sigstore's own timestamp authority.
var timestampRecipe = gobuild.Recipe{
	Name:    "timestamp-server",
	Module:  "github.com/sigstore/timestamp-authority/v2",
	Version: "v2.1.3",
	Sum:     "h1:Fc+LjCTfik1lh3YLkaosENfkXa3R2Y1nswiUKutBdFA=",
	Targets: []gobuild.Target{{Name: "timestamp-server", Package: "./cmd/timestamp-server"}},
	LDFlags: []string{"-X sigs.k8s.io/release-utils/version.gitVersion=v2.1.3"},
}

// scorecardTestRecipe is the program that runs Operator Scorecard's own six tests on a
// bundle for the Operator Lifecycle Manager, in its image.
var scorecardTestRecipe = gobuild.Recipe{
	Name:    "scorecard-test",
	Module:  "github.com/operator-framework/operator-sdk",
	Version: "v1.42.3",
	Sum:     "h1:eNdWDTUQdR90wp9326JPt1AxFuuW3gm6515jOEAzFCI=",
	Targets: []gobuild.Target{{Name: "scorecard-test", Package: "./images/scorecard-test"}},
	// It only reads folders: no signature of an image needs GPG's library here.
	Tags: []string{"containers_image_openpgp"},
}

// kwokRecipe plays nodes and what becomes of their pods: for the benchmark of throughput.
var kwokRecipe = gobuild.Recipe{
	Name:    "kwok",
	Module:  "sigs.k8s.io/kwok",
	Version: "v0.8.0",
	Sum:     "h1:OTIOTwgROqPMovcTwxICx2eYQ4AwLpSx5EpjbDKF4SQ=",
	Targets: []gobuild.Target{{Name: "kwok", Package: "./cmd/kwok"}},
}

var golangciLintRecipe = gobuild.Recipe{
	Name:    "golangci-lint",
	Module:  "github.com/golangci/golangci-lint/v2",
	Version: "v2.15.0",
	Sum:     "h1:w94zf8HAYI7hm3164kwKsvZRuqXvY+YxeFoTbu1OLg8=",
	Targets: []gobuild.Target{{Name: "golangci-lint", Package: "./cmd/golangci-lint"}},
	LDFlags: []string{"-X main.version=v2.15.0"},
}

var controllerToolsRecipe = gobuild.Recipe{
	Name:    "controller-tools",
	Module:  "sigs.k8s.io/controller-tools",
	Version: "v0.23.0",
	Sum:     "h1:GFmPTaHSyje/kZv/4XOdR1v3rWz0/OJixwpPnGyV4Sw=",
	Targets: []gobuild.Target{{Name: "controller-gen", Package: "./cmd/controller-gen"}},
	LDFlags: []string{"-X sigs.k8s.io/controller-tools/pkg/version.version=v0.23.0"},
}
