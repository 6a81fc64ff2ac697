package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// sealedRun is a step that was sealed, by what its statement says.
func sealedRun(t *testing.T, change func(*provenance.Facts)) sealedStep {
	t.Helper()
	f := sealtest.Facts(location, digest)
	change(&f)
	payload, err := provenance.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := provenance.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	return sealedStep{Statement: s, sha256: artifact.DigestOfText(string(payload))}
}

// twoRuns are a step, and the same one that was run again: what it stores elsewhere are
// other bytes of the same.
func twoRuns(t *testing.T, change func(*provenance.Facts)) (first, again sealedStep) {
	t.Helper()
	first = sealedRun(t, func(*provenance.Facts) {})
	return first, sealedRun(t, func(f *provenance.Facts) {
		f.Step.Namespace, f.Step.Workflow.UID, f.Step.Pod.UID = "again", "second-workflow", "second-pod"
		f.Subjects[0].URI, f.Subjects[0].SHA256 = "s3://minio:9000/artifacts/again.tgz", artifact.DigestOfText("other bytes")
		change(f)
	})
}

// signedIn signs what two runs say with a notary's key, in a log in memory.
func signedIn(t *testing.T, by *sealtest.Notary, first, again sealedStep, notes ...string) (*attested, error) {
	t.Helper()
	r := reproduce.Compare(first.Statement, again.Statement, nil, nil)
	r.Notes = append(r.Notes, notes...)
	return (&attestOptions{sealer: by.Sealer}).sign(t.Context(), first, again, &r, t.Logf)
}

func TestAResultIsSignedAndVerified(t *testing.T) {
	by, other := sealtest.NewNotary(t), sealtest.NewNotary(t)
	first, again := twoRuns(t, func(*provenance.Facts) {})
	same, err := signedIn(t, by, first, again)
	if err != nil {
		t.Fatal(err)
	}
	_, unlike := twoRuns(t, func(f *provenance.Facts) { f.Subjects[0].Tree = artifact.DigestOfText("another tree") })
	differs, err := signedIn(t, by, first, unlike)
	if err != nil || differs.verdict != provenance.NotReproduced {
		t.Fatalf("%+v, %v", differs, err)
	}
	_, failed := twoRuns(t, func(f *provenance.Facts) {
		f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}, {Container: "wait"}}}
	})
	if nothing, err := signedIn(t, by, first, failed); nothing != nil || err != nil {
		t.Errorf("of what cannot be compared %+v is signed, %v", nothing, err)
	}

	rules := write(t, []byte(`{"reproduces": true}`))
	verifies := func(bundle []byte, key *sealtest.Notary, args ...string) []string {
		return append([]string{
			"verify", "--bundle", write(t, bundle), "--key", write(t, key.Signer.PublicKeyPEM()), "--trusted-root", write(t, key.TrustedRoot()), "--rules", rules,
		}, args...)
	}
	file := "sha256:" + digest
	code, out, errs := command(t, "", verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--name", location)...)
	for _, want := range []string{"and it produced the same again", "the second run stored other bytes", "again/artifact-passing", string(first.sha256)} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, nothing says %q:\n%s%s", code, want, out, errs)
		}
	}
	code, out, _ = command(t, "", verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "-o", "json")...)
	var said report
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || said.Kind != "reproduction" || said.Subject.Name != location || said.Subject.Size != nil {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	if code, out, errs := command(t, "", verifies(same.bundle, by, file, "--any-producer", "--mode", "any")...); code != 0 {
		t.Errorf("anybody's: exit code %d\n%s%s", code, out, errs)
	}
	doubtful, err := signedIn(t, by, first, again, "nobody has checked it")
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs = command(t, "", verifies(doubtful.bundle, by, file, "--any-producer", "--mode", "any", "--outcome", "any", "--tolerate-caveats", "-o", "json")...)
	said = report{}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || len(said.Caveats) != 1 || said.Caveats[0] != "nobody has checked it" {
		t.Errorf("with a caveat: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	builds := write(t, []byte(`{"builders": ["https://argoseal.dev/builders/v1/test/observed"]}`))
	describes := write(t, []byte(`{"describes": true}`))
	seal := sealtest.Payload(t, location, digest)
	for name, c := range map[string]struct {
		args []string
		want reason.Code
	}{
		"it made something else":       {verifies(differs.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.NotReproduced},
		"another key":                  {verifies(same.bundle, other, file, "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.SignatureInvalid},
		"another file":                 {verifies(same.bundle, by, "sha256:"+strings.Repeat("0", 64), "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.DigestMismatch},
		"what the second run stored":   {verifies(same.bundle, by, "sha256:"+string(artifact.DigestOfText("other bytes")), "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.DigestMismatch},
		"another place":                {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--name", location+"x"), reason.SubjectMismatch},
		"a folder":                     {verifies(same.bundle, by, t.TempDir(), "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.DigestMismatch},
		"nobody in particular":         {verifies(same.bundle, by, file), reason.ProducerUnstated},
		"nobody's cluster":             {verifies(same.bundle, by, file, "--namespace", "argo"), reason.ProducerUnstated},
		"no mode":                      {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test"), reason.ModeTooLow},
		"no mode, of anybody":          {verifies(same.bundle, by, file, "--any-producer"), reason.ModeTooLow},
		"a step that failed":           {verifies(same.bundle, by, file, "--any-producer", "--mode", "any", "--outcome", "failed"), reason.ProducerFailed},
		"something nobody checked":     {verifies(doubtful.bundle, by, file, "--any-producer", "--mode", "any"), reason.NotComparable},
		"another cluster":              {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "staging"), reason.BuilderNotTrusted},
		"another namespace":            {verifies(same.bundle, by, file, "--namespace", "again"), reason.ProducerMismatch},
		"a template":                   {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--workflow-template", "x"), reason.ProducerMismatch},
		"a level":                      {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--level", "isolated"), reason.LevelTooLow},
		"a key that only builds":       {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--rules", builds), reason.BuilderNotTrusted},
		"a seal by who only rebuilds":  {verifies(by.Bundle(t, seal), by, file, "--namespace", "argo", "--builder", "test", "--mode", "any"), reason.BuilderNotTrusted},
		"a seal by who only describes": {verifies(by.Bundle(t, seal), by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--rules", describes), reason.BuilderNotTrusted},
		"a run by who only describes":  {verifies(same.bundle, by, file, "--namespace", "argo", "--builder", "test", "--mode", "any", "--rules", describes), reason.BuilderNotTrusted},
	} {
		if code, out, errs := command(t, "", c.args...); code != c.want.ExitCode() || code == 0 {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, c.want.ExitCode(), out, errs)
		}
	}
}

// A signed result lies where policies look, in place of the one before, and goes with the
// record that it is about.
func TestAResultIsPublished(t *testing.T) {
	by := sealtest.NewNotary(t)
	first, again := twoRuns(t, func(*provenance.Facts) {})
	ns, uid := first.Step.Namespace, first.Step.Pod.UID
	api := clusterOf(t, &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: uid, UID: "record"}})
	o := &attestOptions{file: filepath.Join(t.TempDir(), "reproduction.json"), as: "rebuilder", root: by.Root}
	cmd := &cobra.Command{}
	var before string
	for range 2 {
		a, err := signedIn(t, by, first, again)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.keep(t.Context(), api, first, a, cmd); err != nil {
			t.Fatal(err)
		}
		var r v1alpha1.Reproduction
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: uid + ".rebuilder"}, &r); err != nil {
			t.Fatal(err)
		}
		if r.Spec.Bundle != string(a.bundle) || r.Spec.Bundle == before || r.Spec.Verdict != "Reproduced" || len(r.OwnerReferences) != 1 || r.OwnerReferences[0].UID != "record" {
			t.Errorf("published is %+v", r)
		}
		if raw, err := os.ReadFile(o.file); err != nil || strings.TrimSpace(string(raw)) != r.Spec.Bundle {
			t.Errorf("the file has %s, %v", raw, err)
		}
		before = r.Spec.Bundle
	}
	large := &attested{bundle: make([]byte, v1alpha1.MaxReproduction+1)}
	if err := o.keep(t.Context(), api, first, large, cmd); reason.Of(err) != reason.UsageInvalid {
		t.Errorf("one that has no room: %v", err)
	}
}

// Under the name may be what another rebuilder has signed, or nobody. It stays, unless a flag
// says otherwise; and nothing of its metadata lives on.
func TestWhatOthersPublishedIsNotOverwritten(t *testing.T) {
	by, other := sealtest.NewNotary(t), sealtest.NewNotary(t)
	first, again := twoRuns(t, func(*provenance.Facts) {})
	ours, err := signedIn(t, by, first, again)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := signedIn(t, other, first, again)
	if err != nil {
		t.Fatal(err)
	}
	key := client.ObjectKey{Namespace: first.Step.Namespace, Name: first.Step.Pod.UID + ".rebuilder"}
	for name, bundle := range map[string]string{"another rebuilder's": string(theirs.bundle), "nobody's": "{}"} {
		api := clusterOf(t, &v1alpha1.Reproduction{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: key.Namespace, Name: key.Name, Finalizers: []string{"example.com/mine"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}},
			},
			Spec: v1alpha1.ReproductionSpec{Verdict: "Reproduced", Bundle: bundle},
		})
		o := &attestOptions{as: "rebuilder", root: by.Root}
		var r v1alpha1.Reproduction
		err := o.keep(t.Context(), api, first, ours, &cobra.Command{})
		if getErr := api.Get(t.Context(), key, &r); getErr != nil || reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "--replace") || r.Spec.Bundle != bundle {
			t.Errorf("%s: %v, %v, %+v", name, err, getErr, r)
		}
		o.replace = true
		if err := o.keep(t.Context(), api, first, ours, &cobra.Command{}); err != nil {
			t.Fatal(err)
		}
		if err := api.Get(t.Context(), key, &r); err != nil || r.Spec.Bundle != string(ours.bundle) || len(r.Finalizers) != 0 || len(r.OwnerReferences) != 0 {
			t.Errorf("%s, replaced: %v, %+v", name, err, r)
		}
	}
}

// What the log answers is not trusted, and it is not asked for more of that.
func TestAResultWhoseLogLiesIsNotSigned(t *testing.T) {
	by, log := sealtest.NewNotary(t), sealtest.NewLog(t)
	first, again := twoRuns(t, func(*provenance.Facts) {})
	r := reproduce.Compare(first.Statement, again.Statement, nil, nil)
	o := &attestOptions{sealer: seal.New(by.Signer, seal.NewRecorder(log, clock.RealClock{}), by.Root)} // by.Root trusts another log
	if a, err := o.sign(t.Context(), first, again, &r, t.Logf); a != nil || reason.Of(err) != reason.LogEntryInvalid || log.Size() != 1 {
		t.Errorf("%+v, %v, after %d entries", a, err, log.Size())
	}
}

func TestSigningIsSaidInFull(t *testing.T) {
	by := sealtest.NewNotary(t)
	private, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, root := write(t, private), write(t, by.TrustedRoot())
	base := []string{"reproduce", "ci/x", "--in", "a", "--key", write(t, by.Signer.PublicKeyPEM()), "--trusted-root", root, "--kubeconfig", "/nowhere"}
	whole := []string{"--sign-key", key, "--rekor-url", sealtest.URL, "--publish", "rebuilder"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no key":              {[]string{"--publish", "rebuilder"}, "--sign-key"},
		"replace nothing":     {[]string{"--replace"}, "--sign-key"},
		"no log":              {[]string{"--sign-key", key, "--publish", "rebuilder"}, "--rekor-url"},
		"no place":            {[]string{"--sign-key", key, "--rekor-url", sealtest.URL}, "--attestation"},
		"no name":             {append(whole, "--publish", "Re/builder"), "--publish"},
		"another version":     {append(whole, "--rekor-version", "3"), "--rekor-version"},
		"no URL":              {append(whole, "--rekor-url", "rekor"), "--rekor-url"},
		"a public key":        {append(whole, "--sign-key", write(t, by.Signer.PublicKeyPEM())), "--sign-key"},
		"no such file":        {append(whole, "--sign-key", "/nowhere"), "/nowhere"},
		"no such root":        {append(whole, "--rekor-trusted-root", "/nowhere"), "/nowhere"},
		"a root that is none": {append(whole, "--rekor-trusted-root", key), "trusted root"},
		"no such key service": {append(whole, "--sign-key", "nosuchservice://key"), "nosuchservice"},
	} {
		code, out, errs := command(t, "", append(append([]string{}, base...), c.args...)...)
		if code != reason.UsageInvalid.ExitCode() || !strings.Contains(errs, c.says) || strings.Contains(out+errs, "PRIVATE") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	// All of it, and it goes on to the cluster, which is not there.
	if code, out, errs := command(t, "", append(append([]string{}, base...), whole...)...); code == reason.UsageInvalid.ExitCode() {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
