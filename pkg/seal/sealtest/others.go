package sealtest

import (
	"encoding/json"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Who builds in the statements of others that are made here, how, and under which identity
// GitHub's are signed.
const (
	GitHubBuilder   = "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main"
	GitHubBuildType = "https://actions.github.io/buildtypes/workflow/v1"
	GitHubIssuer    = "https://token.actions.githubusercontent.com"
	ChainsBuilder   = "https://tekton.dev/chains/v2"
	ChainsBuildType = "tekton.dev/v1/TaskRun"
	// ChainsV2BuildType is that of the format slsa/v2alpha4, and of those before it.
	ChainsV2BuildType = "https://tekton.dev/chains/v2/slsa"
)

// Built is what somebody built: its name and its digest.
type Built struct {
	Name   string
	SHA256 artifact.Digest
}

func subjectsOf(built []Built) []any {
	var all []any
	for _, b := range built {
		all = append(all, map[string]any{"name": b.Name, "digest": map[string]any{"sha256": string(b.SHA256)}})
	}
	return all
}

// GitHub is a statement as GitHub's attestations of builds have it: SLSA Provenance v1.
func GitHub(tb testing.TB, built ...Built) []byte {
	tb.Helper()
	return statement(tb, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjectsOf(built), "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType": GitHubBuildType,
				"externalParameters": map[string]any{
					"workflow": map[string]any{"ref": "refs/heads/main", "repository": "https://github.com/acme/model", "path": ".github/workflows/release.yml"},
				},
				"internalParameters": map[string]any{
					"github": map[string]any{"event_name": "push", "repository_id": "1", "repository_owner_id": "2", "runner_environment": "github-hosted"},
				},
				"resolvedDependencies": []any{map[string]any{
					"uri": "git+https://github.com/acme/model@refs/heads/main", "digest": map[string]any{"gitCommit": "63216a3022ed606538399634cd1c525f8bd4657f"},
				}},
			},
			"runDetails": map[string]any{
				"builder":  map[string]any{"id": GitHubBuilder},
				"metadata": map[string]any{"invocationId": "https://github.com/acme/model/actions/runs/1/attempts/1"},
			},
		},
	})
}

// Chains is a statement as Tekton Chains makes it by default: SLSA Provenance v0.2.
func Chains(tb testing.TB, built ...Built) []byte {
	tb.Helper()
	return statement(tb, map[string]any{
		"_type": "https://in-toto.io/Statement/v0.1", "subject": subjectsOf(built), "predicateType": "https://slsa.dev/provenance/v0.2",
		"predicate": map[string]any{
			"builder": map[string]any{"id": ChainsBuilder}, "buildType": ChainsBuildType,
			"invocation": map[string]any{
				"configSource": map[string]any{"uri": "git+https://github.com/acme/tasks.git", "digest": map[string]any{"sha1": "63216a3022ed606538399634cd1c525f8bd4657f"}, "entryPoint": "build"},
				"parameters":   map[string]any{"platforms": []any{"linux/amd64"}},
				"environment":  map[string]any{"labels": map[string]any{"tekton.dev/task": "build"}},
			},
			"buildConfig": map[string]any{"steps": []any{map[string]any{"entryPoint": "make", "environment": map[string]any{"container": "build"}}}},
			"metadata": map[string]any{
				"buildStartedOn": "2026-11-21T10:00:00Z", "buildFinishedOn": "2026-11-21T10:00:07Z", "reproducible": false,
				"completeness": map[string]any{"parameters": false, "environment": false, "materials": false},
			},
			"materials": []any{map[string]any{"uri": "oci://gcr.io/acme/builder", "digest": map[string]any{"sha256": string(built[0].SHA256)}}},
		},
	})
}

// ChainsV2 is a statement as Tekton Chains makes it in the format slsa/v2alpha4: SLSA
// Provenance v1.
func ChainsV2(tb testing.TB, built ...Built) []byte {
	tb.Helper()
	return statement(tb, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjectsOf(built), "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            ChainsV2BuildType,
				"externalParameters":   map[string]any{"runSpec": map[string]any{"serviceAccountName": "default", "taskRef": map[string]any{"name": "build", "kind": "Task"}, "timeout": "1h0m0s"}},
				"internalParameters":   map[string]any{"tekton-pipelines-feature-flags": map[string]any{"enableAPIFields": "beta", "verificationNoMatchPolicy": "ignore"}},
				"resolvedDependencies": []any{map[string]any{"name": "task", "uri": "git+https://github.com/acme/tasks.git", "digest": map[string]any{"sha1": "63216a3022ed606538399634cd1c525f8bd4657f"}}},
			},
			"runDetails": map[string]any{
				"builder":    map[string]any{"id": ChainsBuilder},
				"metadata":   map[string]any{"invocationId": "63f6d3cb-9d1b-4f2b-8c4e-111111111111", "startedOn": "2026-11-21T10:00:00Z", "finishedOn": "2026-11-21T10:00:07Z"},
				"byproducts": []any{map[string]any{"name": "taskRunResults/build/size", "mediaType": "application/json", "content": "IjE5Ig=="}},
			},
		},
	})
}

func statement(tb testing.TB, of map[string]any) []byte {
	tb.Helper()
	raw, err := json.Marshal(of)
	check(tb, err)
	return raw
}

// Attest signs and logs what others state, whatever it is.
func (n *Notary) Attest(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	return JSON(tb, n.Forge(tb, payload))
}
