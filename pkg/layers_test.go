package pkg_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says for every package of the module which others of the module it
// imports, tests apart. A package or an import that is not here fails, and so does
// what is here and is no longer there: whoever adds one decides that it may be.
var mayImport = map[string][]string{
	// Words: they import nothing of ours, or how texts are cut.
	"pkg/api/v1alpha1":    {},
	"pkg/argo/layout":     {},
	"pkg/argo/nodes":      {},
	"pkg/artifact":        {},
	"pkg/reason":          {"pkg/text"},
	"pkg/sidecar/company": {},
	"pkg/connections":     {},
	"pkg/memory":          {},
	"pkg/fairshare":       {},
	"pkg/pages":           {},
	"pkg/jsonsize":        {},
	"pkg/text":            {},
	"pkg/turns":           {},
	"pkg/version":         {},

	// What artifacts are, in pods and outside.
	"pkg/content":        {"pkg/artifact", "pkg/reason"},
	"pkg/image":          {"pkg/artifact"},
	"pkg/image/oci":      {"pkg/artifact"},
	"pkg/image/referrer": {},
	"pkg/measurement":    {"pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/image/oci", "pkg/reason", "pkg/text"},
	"pkg/pin":            {"pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/reason"},

	// What Argo's pods and workflows are, and what we add to them.
	"pkg/argo/controller": {},
	"pkg/argo/graph":      {"pkg/artifact", "pkg/memory"},
	"pkg/argo/definition": {"pkg/argo/graph", "pkg/argo/layout", "pkg/artifact", "pkg/reason"},
	"pkg/argo":            {"pkg/api/v1alpha1", "pkg/argo/definition", "pkg/argo/graph", "pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/measurement", "pkg/memory", "pkg/reason"},
	"pkg/sidecar":         {"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/layout", "pkg/content", "pkg/measurement", "pkg/pin", "pkg/reason"},
	"pkg/tag":             {"pkg/api/v1alpha1", "pkg/memory", "pkg/pin", "pkg/reason", "pkg/version"},

	// What is said of an artifact, and what is made of it.
	"pkg/provenance":  {"pkg/api/v1alpha1", "pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/image/oci", "pkg/reason", "pkg/sbom", "pkg/version"},
	"pkg/sbom":        {},
	"pkg/attestation": {"pkg/artifact", "pkg/provenance", "pkg/reason"},
	"pkg/verify":      {"pkg/provenance", "pkg/reason"},
	"pkg/policy":      {"pkg/api/v1alpha1", "pkg/artifact", "pkg/content", "pkg/image", "pkg/provenance", "pkg/reason", "pkg/sbom"},
	"pkg/seal":        {"pkg/api/v1alpha1", "pkg/provenance", "pkg/reason", "pkg/text", "pkg/verify"},

	// What asks others: the API server, the log.
	"pkg/argo/stored":    {"pkg/argo/definition", "pkg/argo/graph", "pkg/argo/layout", "pkg/fairshare", "pkg/jsonsize", "pkg/reason"},
	"certs":              {},
	"certs/public":       {},
	"pkg/epoch":          {"pkg/reason"},
	"pkg/epoch/keeper":   {"pkg/api/v1alpha1", "pkg/cluster", "pkg/epoch", "pkg/memory", "pkg/reason"},
	"pkg/followed":       {"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/controller", "pkg/cluster", "pkg/reason", "pkg/text"},
	"pkg/notary/trusted": {"pkg/api/v1alpha1", "pkg/argo", "pkg/followed", "pkg/reason"},
	"pkg/cluster":        {"pkg/reason"},
	"pkg/trust":          {"pkg/api/v1alpha1", "pkg/cluster", "pkg/tag", "pkg/verify"},
	"pkg/notary/keyring": {"pkg/api/v1alpha1", "pkg/cluster", "pkg/provenance", "pkg/reason", "pkg/seal", "pkg/tag", "pkg/trust", "pkg/verify"},
	"pkg/notary/budget":  {"pkg/api/v1alpha1", "pkg/reason"},
	"pkg/notary/claim":   {},
	"pkg/notary": {
		"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/definition", "pkg/argo/layout", "pkg/argo/stored", "pkg/artifact", "pkg/content", "pkg/epoch", "pkg/fairshare", "pkg/image/oci", "pkg/jsonsize", "pkg/measurement", "pkg/memory", "pkg/notary/budget", "pkg/notary/claim", "pkg/notary/keyring",
		"pkg/pages", "pkg/pin", "pkg/provenance", "pkg/reason", "pkg/seal", "pkg/sidecar", "pkg/tag", "pkg/text", "pkg/turns",
	},
	"pkg/tuf":             {},
	"pkg/tuf/keeper":      {"pkg/api/v1alpha1", "pkg/cluster", "pkg/reason", "pkg/text", "pkg/tuf", "pkg/verify"},
	"pkg/tlog":            {"pkg/reason"},
	"pkg/seal/early":      {"pkg/seal", "pkg/tlog"},
	"pkg/notary/logwatch": {"pkg/api/v1alpha1", "pkg/cluster", "pkg/reason", "pkg/seal", "pkg/text", "pkg/tlog"},
	"pkg/notary/workflow": {
		"pkg/api/v1alpha1", "pkg/argo/layout", "pkg/argo/nodes", "pkg/argo/stored", "pkg/artifact", "pkg/memory", "pkg/notary/claim", "pkg/notary/keyring", "pkg/provenance", "pkg/reason", "pkg/seal", "pkg/text", "pkg/turns",
	},
	"webhook/inject": {"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/layout", "pkg/pin", "pkg/reason", "pkg/sidecar"},
	"webhook/evidence": {
		"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/layout", "pkg/artifact", "pkg/attestation", "pkg/content", "pkg/memory", "pkg/provenance", "pkg/reason", "pkg/sbom", "pkg/sidecar",
		"pkg/tag", "pkg/verify",
	},
	"webhook/gate": {
		"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/definition", "pkg/argo/graph", "pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/epoch", "pkg/pin",
		"pkg/policy", "pkg/provenance", "pkg/reason", "pkg/sidecar", "pkg/tag", "webhook/evidence",
	},
	"webhook/images": {"pkg/api/v1alpha1", "pkg/argo/layout", "pkg/artifact", "pkg/image", "pkg/memory", "pkg/policy", "pkg/provenance", "pkg/reason", "webhook/evidence"},
	"webhook/store":  {},
	"webhook/server": {
		"pkg/api/v1alpha1", "pkg/argo", "pkg/argo/definition", "pkg/argo/graph", "pkg/argo/layout", "pkg/argo/stored", "pkg/artifact", "pkg/connections", "pkg/fairshare", "pkg/jsonsize", "pkg/memory", "pkg/policy", "pkg/reason",
		"pkg/tag", "pkg/text", "webhook/evidence", "webhook/gate", "webhook/images", "webhook/inject", "webhook/store",
	},

	// What became of a whole workflow, told.
	"pkg/monitor":            {"pkg/api/v1alpha1", "pkg/argo/nodes", "pkg/reason", "pkg/text"},
	"pkg/monitor/controller": {"pkg/api/v1alpha1", "pkg/argo/layout", "pkg/argo/nodes", "pkg/argo/stored", "pkg/jsonsize", "pkg/monitor", "pkg/text", "pkg/turns"},

	// Which records may go, and who removes them.
	"pkg/archive":              {"pkg/reason"},
	"pkg/retention":            {"pkg/artifact", "pkg/provenance"},
	"pkg/retention/controller": {"pkg/api/v1alpha1", "pkg/archive", "pkg/argo/layout", "pkg/artifact", "pkg/policy", "pkg/provenance", "pkg/reason", "pkg/retention"},

	// What became of what was sealed.
	"pkg/scrub":            {"pkg/artifact", "pkg/content", "pkg/provenance"},
	"pkg/scrub/s3":         {"pkg/scrub"},
	"pkg/scrub/controller": {"pkg/api/v1alpha1", "pkg/artifact", "pkg/content", "pkg/provenance", "pkg/scrub", "pkg/text"},

	// What a step makes when it is run again.
	"pkg/reproduce": {"pkg/argo", "pkg/argo/definition", "pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/provenance", "pkg/reason"},

	// What an artifact was made from.
	"pkg/trace": {"pkg/artifact", "pkg/provenance", "pkg/reason", "pkg/text"},

	// The protection of Secrets, a system of its own.
	"pkg/sentinel/apiserver":  {},
	"pkg/sentinel/encryption": {},
	"pkg/sentinel/kms":        {"pkg/text"},
	"pkg/sentinel/kms/remote": {"pkg/sentinel/kms"},
	"pkg/sentinel/lease":      {},
	"pkg/sentinel/migration":  {},
	"pkg/sentinel/agent":      {"pkg/sentinel/encryption"},
	"pkg/sentinel/etcd":       {"pkg/sentinel/encryption"},
	"pkg/sentinel/escrow":     {"pkg/sentinel/encryption"},
	"pkg/sentinel/controller": {
		"pkg/api/v1alpha1", "pkg/sentinel/agent", "pkg/sentinel/apiserver", "pkg/sentinel/encryption", "pkg/sentinel/escrow", "pkg/sentinel/migration",
		"pkg/text",
	},

	"pkg/sentinel/access":            {"pkg/api/v1alpha1", "pkg/argo/layout"},
	"pkg/sentinel/access/controller": {"pkg/api/v1alpha1", "pkg/sentinel/access", "pkg/text", "pkg/turns"},
	"pkg/sentinel/audit":             {"pkg/api/v1alpha1", "pkg/sentinel/access"},

	"pkg/program": {"pkg/connections", "pkg/reason"},

	// Programs: they alone put the rest together.
	"cmd/argoseal":            {"pkg/api/v1alpha1", "pkg/archive", "pkg/argo", "pkg/argo/layout", "pkg/artifact", "pkg/cluster", "pkg/content", "pkg/image", "pkg/image/referrer", "pkg/policy", "pkg/provenance", "pkg/reason", "pkg/reproduce", "pkg/sbom", "pkg/seal", "pkg/sentinel/access", "pkg/sentinel/audit", "pkg/text", "pkg/tlog", "pkg/trace", "pkg/trust", "pkg/tuf", "pkg/verify"},
	"cmd/argoseal-controller": {"pkg/api/v1alpha1", "pkg/archive", "pkg/argo/stored", "pkg/monitor/controller", "pkg/pages", "pkg/program", "pkg/reason", "pkg/retention", "pkg/retention/controller"},
	"cmd/argoseal-scrubber":   {"certs/public", "pkg/api/v1alpha1", "pkg/artifact", "pkg/program", "pkg/reason", "pkg/scrub", "pkg/scrub/controller", "pkg/scrub/s3"},
	"cmd/argoseal-signer":     {"pkg/argo/layout", "pkg/artifact", "pkg/measurement", "pkg/pin", "pkg/reason", "pkg/sidecar/company"},
	"cmd/argoseal-notary": {
		"certs/public", "pkg/api/v1alpha1", "pkg/argo", "pkg/argo/stored", "pkg/cluster", "pkg/connections", "pkg/epoch/keeper", "pkg/followed", "pkg/notary", "pkg/notary/budget", "pkg/notary/keyring", "pkg/notary/logwatch", "pkg/notary/trusted", "pkg/notary/workflow",
		"pkg/pages", "pkg/program", "pkg/provenance", "pkg/reason", "pkg/seal", "pkg/seal/early", "pkg/sidecar", "pkg/tlog", "pkg/trust", "pkg/tuf", "pkg/tuf/keeper", "pkg/verify",
	},
	"cmd/argoseal-webhook": {"certs", "pkg/api/v1alpha1", "pkg/argo", "pkg/cluster", "pkg/connections", "pkg/epoch/keeper", "pkg/followed", "pkg/program", "pkg/reason", "pkg/sidecar", "pkg/trust", "pkg/verify", "webhook/evidence", "webhook/gate", "webhook/images", "webhook/server"},
	"cmd/argoseal-sentinel": {
		"certs/public", "pkg/api/v1alpha1", "pkg/connections", "pkg/pages", "pkg/program", "pkg/reason", "pkg/sentinel/access/controller", "pkg/sentinel/agent", "pkg/sentinel/apiserver", "pkg/sentinel/controller", "pkg/sentinel/encryption",
		"pkg/sentinel/escrow", "pkg/sentinel/etcd", "pkg/sentinel/kms", "pkg/sentinel/kms/remote", "pkg/sentinel/lease", "pkg/sentinel/migration",
	},
	"docs/reference": {"pkg/api/v1alpha1", "pkg/reason"},

	// For tests alone.
	"pkg":                        {},
	"charts":                     {},
	"docs":                       {},
	"pkg/argo/argotest":          {"pkg/argo", "pkg/argo/definition"},
	"pkg/argo/stored/storedtest": {"pkg/argo/layout", "pkg/argo/stored"},
	"pkg/content/argoexec":       {},
	"pkg/content/contenttest":    {"pkg/artifact"},
	"pkg/epoch/epochtest":        {"pkg/epoch"},
	"pkg/seal/sealtest":          {"pkg/api/v1alpha1", "pkg/artifact", "pkg/content", "pkg/provenance", "pkg/reason", "pkg/sbom", "pkg/seal", "pkg/verify"},
	"pkg/tag/tagtest":            {"pkg/tag"},
	"pkg/tlog/tlogtest":          {"pkg/seal", "pkg/tlog"},
	"pkg/tuf/tuftest":            {},

	// The development cluster, which is a product of its own, and what runs on it.
	"e2e/cluster/gobuild": {},
	"e2e/cluster/image":   {},
	"e2e/cluster/layout":  {},
	"e2e/cluster/pki":     {},
	"e2e/cluster/proc":    {},
	"e2e/cluster/part":    {"e2e/cluster/gobuild", "e2e/cluster/image", "e2e/cluster/layout", "e2e/cluster/pki"},
	"e2e/cluster/kube":    {"e2e/cluster/part"},
	"e2e/cluster":         {"e2e/cluster/gobuild", "e2e/cluster/image", "e2e/cluster/kube", "e2e/cluster/layout", "e2e/cluster/part", "e2e/cluster/pki", "e2e/cluster/proc"},
	"e2e/flood":           {},
	"e2e/images":          {"e2e/cluster/gobuild", "e2e/cluster/image", "e2e/cluster/layout", "e2e/cluster/part"},
	"e2e/lab":             {"e2e/cluster/kube", "e2e/cluster/layout", "e2e/cluster/part", "pkg/api/v1alpha1", "pkg/artifact", "pkg/content", "pkg/provenance", "pkg/reason", "pkg/verify"},
	"e2e/scenario":        {"e2e/lab", "pkg/api/v1alpha1", "pkg/reason"},
	"e2e/bench":           {"e2e/cluster/part", "e2e/lab", "pkg/api/v1alpha1", "pkg/artifact", "pkg/content", "pkg/measurement", "pkg/reason"},
	"e2e/demo":            {"e2e/cluster/part", "e2e/lab", "e2e/scenario", "pkg/api/v1alpha1"},
	"e2e/upgrade":         {"e2e/lab", "pkg/api/v1alpha1", "pkg/reason"},
	"e2e/scorecard":       {},
	"e2e/browser":         {},
	"e2e/interop":         {},
	"e2e/sentinel":        {},
	"e2e/suite":           {},
	"e2e/suites":          {},
	"e2e/suites/paper":    {"e2e/suites"},
	"e2e/suites/sentinel": {"e2e/suites"},

	// The control plane that the protection of Secrets is shown and tried on.
	"e2e/sentinel/control": {"e2e/cluster/kube", "e2e/cluster/pki", "pkg/sentinel/agent", "pkg/sentinel/lease"},
	"e2e/sentinel/demo":    {"e2e/cluster/kube", "e2e/sentinel/control", "pkg/api/v1alpha1", "pkg/reason", "pkg/sentinel/encryption"},
	"e2e/sentinel/soak":    {},
}

// A build tag could hide a package or an import, so those that tests have are set.
func TestPackagesImportWhatTheyMay(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-tags", "integration,e2e", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		there[name] = true
		may, listed := mayImport[name]
		if !listed {
			t.Errorf("%s is not listed here", name)
		}
		does := map[string]bool{}
		for _, path := range words[1:] {
			if other, ours := strings.CutPrefix(path, module); ours {
				does[other] = true
				if listed && !slices.Contains(may, other) {
					t.Errorf("%s may not import %s", name, other)
				}
			}
		}
		for _, other := range may {
			if !does[other] {
				t.Errorf("%s is listed with %s, which it does not import", name, other)
			}
		}
	}
	for name := range mayImport {
		if !there[name] {
			t.Errorf("there is no package %s", name)
		}
	}
}
