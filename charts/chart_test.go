package charts_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admission "k8s.io/api/admissionregistration/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/argoseal/argoseal/pkg/reason"
)

var update = flag.Bool("update", false, "write the golden files")

// helmEnv names the helm to use instead of the one in PATH.
const helmEnv = "ARGOSEAL_BIN_HELM"

// helm runs helm on the chart. Where there is none the test is skipped, unless
// somebody said where it is.
func helm(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	program := os.Getenv(helmEnv)
	if program == "" {
		var err error
		if program, err = exec.LookPath("helm"); err != nil {
			t.Skipf("no helm in PATH, and %s is not set", helmEnv)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	// Nothing of the cluster or of the user's own settings.
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", &helmError{errOut.String()}
	}
	return out.String(), nil
}

type helmError struct{ text string }

func (e *helmError) Error() string { return e.text }

// template renders the chart without a cluster.
func template(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "argoseal", "argoseal", "--namespace", "argoseal-system",
		"--kube-version", "1.36.0"}, args...)...)
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestGolden: what the values files under testdata render to.
func TestGolden(t *testing.T) {
	golden(t, "testdata", 3, template)
}

// golden compares what the values files of a folder, so many at least, render to with the
// files beside them.
func golden(t *testing.T, folder string, atLeast int, render func(*testing.T, ...string) (string, error)) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.values.yaml")
	if err != nil || len(files) < atLeast {
		t.Fatalf("values files %v: %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".values.yaml"), func(t *testing.T) {
			got, err := render(t, "-f", file)
			if err != nil {
				t.Fatal(err)
			}
			got = withoutSchemas(got)
			golden := strings.TrimSuffix(file, ".values.yaml") + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (-want +got, go test ./charts -update):\n%s", golden, d)
			}
		})
	}
}

// withoutSchemas leaves the schemas of our resources out: `make generate` makes them,
// and CI compares them.
func withoutSchemas(rendered string) string {
	docs := strings.Split(rendered, "\n---\n")
	for i, doc := range docs {
		if head, _, found := strings.Cut(doc, "\nspec:\n"); found && strings.Contains(head, "\nkind: CustomResourceDefinition\n") {
			docs[i] = head
		}
	}
	return strings.Join(docs, "\n---\n")
}

func TestLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", "argoseal", "-f", "testdata/default.values.yaml"); err != nil {
		t.Fatal(out, err)
	}
}

// TestRefused are values that must not render.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		set  string
		want string
	}{
		"an unknown value":                    {"webhok.replicaCount=1", "additional properties 'webhok' not allowed"},
		"an unknown value deep down":          {"rekor.persistence.sise=1Gi", "additional properties 'sise' not allowed"},
		"a gate that may be open":             {"webhook.failurePolicy=Ignore", "/webhook/failurePolicy"},
		"no Argo, and no cluster to ask":      {"argo.controllers=null", "argo.controllers and argo.executorImages are missing"},
		"no executor, and no cluster to ask":  {"argo.executorImages=null", "argo.controllers and argo.executorImages are missing"},
		"a digest that is none":               {"signer.image.digest=latest", "/signer/image/digest"},
		"a user that is no number":            {"argo.executorUsers={a:1=root}", "/argo/executorUsers/0"},
		"an addition that is none":            {"argo.executorAdditions={VAULT_ADDR=x}", "/argo/executorAdditions/0"},
		"a user of an image that nobody runs": {"argo.executorUsers={a:1=1}", "argo.executorUsers is about the image a:1"},
		"a signer without a digest":           {"signer.image.digest=", "signer.image.digest is missing"},
		"a controller without a namespace":    {"argo.controllers={argo}", "/argo/controllers/0"},
		"a webhook that gives up too early":   {"webhook.timeoutSeconds=1", "/webhook/timeoutSeconds"},
		"no webhook":                          {"webhook.replicaCount=0", "/webhook/replicaCount"},
		"a log on shared storage":             {"rekor.persistence.accessModes={ReadWriteMany}", "/rekor/persistence/accessModes/0"},
		"a second log of no version":          {"rekor.also.version=3", "/rekor/also/version"},
		"a second log at no URL":              {"rekor.also.url=elsewhere", "/rekor/also/url"},
		"a timestamp authority at no URL":     {"timestamps.url=elsewhere", "/timestamps/url"},
		"timestamps that are maybe required":  {"timestamps.required=maybe", "/timestamps/required"},
		"a Fulcio that reads tokens in plain": {"notary.fulcio.url=http://fulcio.example.com", "/notary/fulcio/url"},
		"a Fulcio for no audience":            {"notary.fulcio.audience=", "/notary/fulcio/audience"},
		"a Fulcio beside a key":               {"notary.fulcio.url=https://f.example.com,notary.signingKey.rotateAfter=48h", "in place of a signing key"},
		"a Fulcio and no time":                {"notary.fulcio.url=https://f.example.com", "needs timestamps.url"},
		"a TUF repository at no URL":          {"tuf.url=elsewhere", "/tuf/url"},
		"a TUF repository that nobody knows":  {"tuf.url=https://tuf.example.com", "tuf.root is missing"},
		"a root that follows, and is given":   {"tuf.url=https://tuf-repo-cdn.sigstore.dev,rekor.enabled=false,rekor.url=https://log.example.com,rekor.trustedRoot=x", "rekor.trustedRoot would take back"},
		"a registry with a scheme":            {"global.imageRegistry=https://registry.example.com", "/global/imageRegistry"},
		"two programs that are one user":      {"webhook.serviceAccount.name=argoseal-notary", "webhook.serviceAccount.name and notary.serviceAccount.name are both argoseal-notary"},
		"what has no secret as the notary":    {"tuf.serviceAccount.name=argoseal-notary", "are both argoseal-notary"},
		"a port that only root may have":      {"webhook.port=443", "/webhook/port"},
		"a budget that is no amount":          {"budget.bytes=much", "/budget/bytes"},
		"no log at all":                       {"rekor.enabled=false", "rekor.url is missing"},
		"a log here, and one elsewhere":       {"rekor.url=https://log.example.com", "rekor.url is about a log that somebody else runs"},
		"a log here that is read elsewhere":   {"rekor.tilesURL=https://log.example.com", "rekor.tilesURL is about a log that somebody else runs"},
		"a log here with another's key":       {"rekor.trustedRoot=x", "rekor.trustedRoot is about a log that somebody else runs"},
		"a log here of another version":       {"rekor.version=1", "rekor.version is about a log that somebody else runs"},
		"an archive of nothing":               {"retention.archive.existingClaim=archive", "set retention.maxAge"},
		"records that nobody removes":         {"retention.maxAge=2160h,controller.enabled=false", "set controller.enabled=true"},
		"records by number, removed by none":  {"retention.maxWorkflows=5,controller.enabled=false", "set controller.enabled=true"},
		"a key that is hardly used":           {"notary.signingKey.rotateAfter=23h", "rotateAfter is 23h: give it 24h or more"},
		"a service's key by age":              {"notary.signingKey.uri=gcpkms://k,notary.signingKey.rotateAfter=48h", "leave it out beside notary.signingKey.uri"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template(t, "-f", "testdata/default.values.yaml", "--set", tc.set)
			if err == nil {
				t.Fatal("rendered")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refused without %q: %v", tc.want, err)
			}
		})
	}
}

// TestAgreeing are values like those that TestRefused has, which do not contradict each other.
func TestAgreeing(t *testing.T) {
	const elsewhere = "rekor.enabled=false,rekor.url=https://log.example.com"
	for name, tc := range map[string]struct {
		set  string
		want string
	}{
		"a log elsewhere":                {elsewhere, "--rekor-url=https://log.example.com\n"},
		"a log that is read elsewhere":   {elsewhere + ",rekor.tilesURL=https://tiles.example.com", "--rekor-tiles-url=https://tiles.example.com\n"},
		"a log elsewhere with its key":   {elsewhere + ",rekor.trustedRoot=x", "trusted_root.json: \"x\"\n"},
		"a log of another version":       {elsewhere + ",rekor.version=1", "--rekor-version=1\n"},
		"an archive of what is old":      {"retention.archive.existingClaim=archive,retention.maxAge=2160h", "--archive-dir=/archive\n"},
		"an archive of what is too many": {"retention.archive.existingClaim=archive,retention.maxWorkflows=5", "--archive-dir=/archive\n"},
		"a key of a day":                 {"notary.signingKey.rotateAfter=24h", "--rotate-signing-key-after=24h\n"},
		"a key of a month":               {"notary.signingKey.rotateAfter=0720h", "--rotate-signing-key-after=0720h\n"},
		"a service's key":                {"notary.signingKey.uri=gcpkms://k", "--signing-key=gcpkms://k\"\n"},
		"no retention":                   {"controller.enabled=false", "--rekor-url="},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := template(t, "-f", "testdata/default.values.yaml", "--set", tc.set)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out, tc.want) {
				t.Errorf("rendered without %q", tc.want)
			}
		})
	}
}

// TestWhatIsFoundIsOneArgument: what is found in the cluster passes no schema,
// and a ConfigMap of a tenant's may be among it.
func TestWhatIsFoundIsOneArgument(t *testing.T) {
	const injected = "- --signer-image=evil"
	for value, tc := range map[string]struct {
		set  string
		want int // webhook and notary; as whom executors run only the webhook has to know
	}{
		"executorImages":    {`argo.executorImages=["a=b\n` + injected + `"]`, 2},
		"executorEnv":       {`argo.executorEnv=["a=b\n` + injected + `"]`, 2},
		"executorAdditions": {`argo.executorAdditions=["variable:a=b\n` + injected + `"]`, 2},
		"plainStores":       {`argo.plainStores=["a=b\n` + injected + `"]`, 1},
		"executorUsers":     {`argo.executorImages=["a=b\n` + injected + `"],argo.executorUsers=["a=b\n` + injected + `=1"]`, 3},
	} {
		out, err := template(t, "-f", "testdata/default.values.yaml", "--skip-schema-validation", "--set-json", tc.set)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out, `a=b\n`+injected); n != tc.want {
			t.Errorf("%s: it is there %d times, want %d", value, n, tc.want)
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(strings.TrimSpace(line), injected) {
				t.Errorf("%s makes an argument of its own", value)
			}
		}
	}
}

// TestOneRegistryForAllImages: what a mirror has instead of the images' own registry,
// which a reference need not name.
func TestOneRegistryForAllImages(t *testing.T) {
	out, err := template(t, "-f", "testdata/default.values.yaml", "--set", "global.imageRegistry=mirror.example.com:5000/ghcr/,webhook.image.repository=team/webhook,rekor.image.repository=localhost/rekor")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"image: mirror.example.com:5000/ghcr/team/webhook:", "image: mirror.example.com:5000/ghcr/argoseal/argoseal-notary:",
		"image: mirror.example.com:5000/ghcr/rekor:", "--signer-image=mirror.example.com:5000/ghcr/argoseal/argoseal-signer@" + digest,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(out, "ghcr.io") {
		t.Error("an image comes from its own registry")
	}
}

// TestOpenShiftGivesUsers: its namespaces have users of their own, and pods that name
// another one are refused there.
func TestOpenShiftGivesUsers(t *testing.T) {
	named := func(args ...string) []string {
		out, err := template(t, append(args, "-f", "testdata/default.values.yaml")...)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, field := range []string{"runAsUser:", "runAsGroup:", "fsGroup:"} {
			if strings.Contains(out, field) {
				found = append(found, field)
			}
		}
		return found
	}
	if found := named(); len(found) != 3 {
		t.Errorf("elsewhere pods name %q only", found)
	}
	if found := named("--api-versions", "security.openshift.io/v1"); len(found) != 0 {
		t.Errorf("on OpenShift pods name %q", found)
	}
}

// objects renders the defaults and picks the objects of a kind.
func objects[T any](t *testing.T, kind string) []T {
	t.Helper()
	out, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := of[T](t, out, kind)
	if len(found) == 0 {
		t.Fatalf("no %s", kind)
	}
	return found
}

// budget defends etcd, and no evidence: where it cannot decide, steps begin.
const budget = "argoseal-budget"

// warning is no guard: it tells whoever writes a policy what it leaves open.
const warning = "argoseal-pins"

// TestGuardsSayWhy: the message of a guard is a line as pkg/reason makes them.
func TestGuardsSayWhy(t *testing.T) {
	for _, policy := range objects[admission.ValidatingAdmissionPolicy](t, "ValidatingAdmissionPolicy") {
		if policy.Name == warning {
			continue
		}
		if p := policy.Spec.FailurePolicy; (p == nil || *p != admission.Fail) && policy.Name != budget {
			t.Errorf("%s does not fail closed", policy.Name)
		}
		for _, v := range policy.Spec.Validations {
			name, _, _ := strings.Cut(v.Message, ":")
			code := reason.Code(name)
			if !slices.Contains(reason.All(), code) {
				t.Errorf("%s: no reason code in front of %q", policy.Name, v.Message)
				continue
			}
			if !strings.HasSuffix(v.Message, ". "+code.Remedy()) {
				t.Errorf("%s: %q does not end with the remedy %q", policy.Name, v.Message, code.Remedy())
			}
		}
	}
}

// TestEveryGuardIsBound: a policy without a binding that denies does nothing.
func TestEveryGuardIsBound(t *testing.T) {
	denies, warns := map[string]bool{}, map[string]bool{}
	for _, b := range objects[admission.ValidatingAdmissionPolicyBinding](t, "ValidatingAdmissionPolicyBinding") {
		denies[b.Spec.PolicyName] = slices.Equal(b.Spec.ValidationActions, []admission.ValidationAction{admission.Deny})
		warns[b.Spec.PolicyName] = slices.Equal(b.Spec.ValidationActions, []admission.ValidationAction{admission.Warn})
	}
	if !warns[warning] {
		t.Errorf("%s does not only warn", warning)
	}
	for _, policy := range objects[admission.ValidatingAdmissionPolicy](t, "ValidatingAdmissionPolicy") {
		if !denies[policy.Name] && policy.Name != warning {
			t.Errorf("%s is not bound, or its binding does not deny", policy.Name)
		}
	}
}

// TestDrainsAreNotHeldUp: a budget keeps pods that work, and none that is not ready, which
// would never become so where it is to go from.
func TestDrainsAreNotHeldUp(t *testing.T) {
	ours, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sentinels, err := sentinelTemplate(t, "-f", "testdata/sentinel/access.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	budgets := append(of[policyv1.PodDisruptionBudget](t, ours, "PodDisruptionBudget"), of[policyv1.PodDisruptionBudget](t, sentinels, "PodDisruptionBudget")...)
	if len(budgets) < 4 {
		t.Errorf("only %d budgets", len(budgets))
	}
	for _, b := range budgets {
		if p := b.Spec.UnhealthyPodEvictionPolicy; p == nil || *p != policyv1.AlwaysAllow {
			t.Errorf("%s keeps pods that are not ready", b.Name)
		}
		if b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.String() != "1" {
			t.Errorf("%s lets %v go that are ready", b.Name, b.Spec.MaxUnavailable)
		}
	}
}

// TestLeastPrivilege holds what the programs may not have in the cluster.
func TestLeastPrivilege(t *testing.T) {
	writes := []string{"create", "update", "patch", "delete", "deletecollection"}
	for _, role := range objects[rbacv1.ClusterRole](t, "ClusterRole") {
		if role.Name != "argoseal-webhook" && role.Name != "argoseal-notary" {
			continue
		}
		for _, rule := range role.Rules {
			everything := append(append(slices.Clone(rule.APIGroups), rule.Resources...), rule.Verbs...)
			if slices.Contains(everything, "*") {
				t.Errorf("%s has a wildcard: %v", role.Name, rule)
			}
			for _, r := range rule.Resources {
				write := slices.ContainsFunc(rule.Verbs, func(v string) bool { return slices.Contains(writes, v) })
				reads := role.Name == "argoseal-notary" && slices.Equal(rule.Resources, []string{"pods/log"}) && slices.Equal(rule.Verbs, []string{"get"})
				switch {
				case r == "pods/log" && reads: // what no termination message holds
				case r == "secrets", r == "configmaps", r == "pods/log", r == "pods/exec":
					t.Errorf("%s may touch %s of tenants", role.Name, r)
				case write && (r == "pods" || r == "namespaces" || r == "workflows"):
					t.Errorf("%s may write %s", role.Name, r)
				}
			}
		}
	}
	for _, role := range objects[rbacv1.Role](t, "Role") {
		for _, rule := range role.Rules {
			// Trust domains may have any name. ConfigMaps of our namespace are no secret.
			domains := slices.Equal(rule.Resources, []string{"configmaps"}) && slices.Equal(rule.Verbs, []string{"get", "list", "watch"})
			// A replica's Lease has the name of its pod, which nobody knows before.
			leases := role.Name == "argoseal-notary" && slices.Equal(rule.Resources, []string{"leases"})
			if !slices.Equal(rule.Verbs, []string{"create"}) && !domains && !leases && len(rule.ResourceNames) == 0 {
				t.Errorf("%s: a rule without names: %v", role.Name, rule)
			}
		}
	}
}
