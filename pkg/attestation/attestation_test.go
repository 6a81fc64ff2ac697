package attestation_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/attestation"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

// What GitHub and Tekton Chains state is read: who built, how, and what.
func TestWhatOthersStateIsRead(t *testing.T) {
	built := []sealtest.Built{{Name: "model.bin", SHA256: digest("a")}, {Name: "notes.txt", SHA256: digest("b")}}
	for name, c := range map[string]struct {
		payload            []byte
		builder, buildType string
	}{
		"GitHub's":                {sealtest.GitHub(t, built...), sealtest.GitHubBuilder, sealtest.GitHubBuildType},
		"Chains'":                 {sealtest.Chains(t, built...), sealtest.ChainsBuilder, sealtest.ChainsBuildType},
		"with more than is known": {changed(t, sealtest.GitHub(t, built...), `"runDetails":{`, `"runDetails":{"later":[1],`), sealtest.GitHubBuilder, sealtest.GitHubBuildType},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := attestation.Parse(c.payload)
			if err != nil || s.Builder != c.builder || s.BuildType != c.buildType || len(s.Subjects) != 2 {
				t.Fatalf("got %+v, %v", s, err)
			}
			if b, err := s.Subject("notes.txt"); err != nil || b.SHA256 != digest("b") {
				t.Errorf("got %+v, %v", b, err)
			}
			for _, name := range []string{"", "other.txt", "notes"} {
				if b, err := s.Subject(name); reason.Of(err) != reason.SubjectMismatch {
					t.Errorf("subject %q: got %+v, %v", name, b, err)
				}
			}
		})
	}
	alone, err := attestation.Parse(sealtest.GitHub(t, built[:1]...))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := alone.Subject(""); err != nil || b.SHA256 != digest("a") {
		t.Errorf("the only one: got %+v, %v", b, err)
	}
	twice, err := attestation.Parse(sealtest.GitHub(t, built[0], sealtest.Built{Name: "model.bin", SHA256: digest("c")}))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := twice.Subject("model.bin"); reason.Of(err) != reason.SubjectMismatch {
		t.Errorf("two of a name: got %+v, %v", b, err)
	}
}

// The very statements of the controller of Tekton Chains, v0.26.2, are read: those that it made in
// `make interop` (TestWhatTektonChainsSignsCounts, with -update).
func TestWhatTektonChainsMadeIsRead(t *testing.T) {
	for file, buildType := range map[string]string{"chains-taskrun.json": sealtest.ChainsV2BuildType, "chains-pipelinerun.json": "tekton.dev/v1/PipelineRun"} {
		s, err := attestation.Parse(chainsMade(t, file))
		if err != nil || s.Builder != sealtest.ChainsBuilder || s.BuildType != buildType {
			t.Fatalf("%s: got %+v, %v", file, s, err)
		}
		want := attestation.Subject{Name: "https://files.example.com/models/hello-art.tgz", SHA256: artifact.DigestOfText("Hello, Argoseal\n")}
		if b, err := s.Subject(""); err != nil || b != want {
			t.Errorf("%s: got %+v, %v", file, b, err)
		}
		if b, err := s.Subject("hello-art.tgz"); reason.Of(err) != reason.SubjectMismatch {
			t.Errorf("%s, by another name: got %+v, %v", file, b, err)
		}
	}
}

func chainsMade(tb testing.TB, file string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func changed(t *testing.T, payload []byte, from, to string) []byte {
	t.Helper()
	if !strings.Contains(string(payload), from) {
		t.Fatalf("%s is not in %s", from, payload)
	}
	return []byte(strings.Replace(string(payload), from, to, 1))
}

func TestWhatIsNoProvenanceOfOthersIsRefused(t *testing.T) {
	good := sealtest.GitHub(t, sealtest.Built{Name: "model.bin", SHA256: digest("a")})
	theirs := sealtest.Chains(t, sealtest.Built{Name: "model.bin", SHA256: digest("a")})
	for name, payload := range map[string][]byte{
		"nothing":                       nil,
		"no JSON":                       []byte("model.bin"),
		"more than the largest payload": append(append([]byte{}, good...), strings.Repeat(" ", attestation.MaxStatement)...),
		"another statement":             changed(t, good, "https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v2"),
		"another predicate":             changed(t, good, "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1.1"),
		"a predicate of another type":   changed(t, good, "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"),
		"of v0.2 as of v1":              changed(t, theirs, "https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"),
		"a field twice":                 changed(t, good, `"builder":{`, `"builder":{"id":"https://github.com/evil"},"builder":{`),
		"a field by two names":          changed(t, good, `"buildType":`, `"build_type":"other","buildType":`),
		"no builder":                    changed(t, good, `"id":"`+sealtest.GitHubBuilder+`"`, `"id":""`),
		"no build type of v0.2":         changed(t, theirs, `"buildType":"`+sealtest.ChainsBuildType+`"`, `"buildType":""`),
		"half a digest":                 changed(t, good, `"sha256":"`+string(digest("a")), `"sha256":"`+string(digest("a"))[:62]),
		"a digest in capitals":          changed(t, good, `"sha256":"`+string(digest("a")), `"sha256":"`+strings.Repeat("A", 64)),
		"no subject":                    changed(t, good, `"subject":[{"digest":{"sha256":"`+string(digest("a"))+`"},"name":"model.bin"}]`, `"subject":[]`),
		"a builder of ours":             changed(t, good, sealtest.GitHubBuilder, "https://argoseal.dev/builders/v1/test/observed"),
		"a build type of ours":          changed(t, good, sealtest.GitHubBuildType, "https://argoseal.dev/buildtypes/argo-step/v2"),
		"one of our own":                sealtest.Payload(t, "s3://minio:9000/artifacts/a", digest("a")),
		"two statements":                append(append([]byte{}, good...), good...),
		"endless nesting":               []byte(strings.Repeat(`{"predicate":`, 3000)),
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := attestation.Parse(payload); reason.Of(err) != reason.StatementInvalid {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	// Digests of other kinds are skipped, and are none that could be pinned.
	s, err := attestation.Parse(changed(t, good, `"sha256":"`+string(digest("a")), `"sha512":"`+strings.Repeat("a", 128)))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Subject("model.bin"); reason.Of(err) != reason.SubjectMismatch {
		t.Errorf("got %+v, %v", b, err)
	}
}

// Whoever signs may put anything into a payload.
func FuzzParse(f *testing.F) {
	f.Add(sealtest.GitHub(f, sealtest.Built{Name: "model.bin", SHA256: digest("a")}))
	f.Add(sealtest.Chains(f, sealtest.Built{Name: "model.bin", SHA256: digest("a")}))
	f.Add(chainsMade(f, "chains-taskrun.json"))
	f.Add(chainsMade(f, "chains-pipelinerun.json"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := attestation.Parse(payload)
		if err != nil {
			if reason.Of(err) != reason.StatementInvalid {
				t.Errorf("got %v", err)
			}
			return
		}
		if s.Builder == "" || s.BuildType == "" || len(s.Subjects) == 0 {
			t.Errorf("it is read as %+v", s)
		}
	})
}
