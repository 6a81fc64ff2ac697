package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
)

func good() options {
	return options{
		namespace:      "argoseal-system",
		rekorURL:       "http://rekor.svc",
		rekorVersion:   2,
		controllers:    []string{"argo/argo"},
		executorImages: []string{"quay.io/argoproj/argoexec:v3.7.18"},
		signerImages:   []string{"ghcr.io/argoseal/argoseal-signer@sha256:" + strings.Repeat("1", 64)},
		claimDuration:  15 * time.Second,
		workers:        1,
		queries:        1,
	}
}

func TestFlagsThatCannotWorkAreRefused(t *testing.T) {
	if err := good().check(); err != nil {
		t.Fatalf("good flags are refused: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*options)
		want   string
	}{
		"no namespace":            {func(o *options) { o.namespace = "" }, "--namespace"},
		"no log":                  {func(o *options) { o.rekorURL = "" }, "--rekor-url"},
		"no controller":           {func(o *options) { o.controllers = nil }, "--argo-controller"},
		"no executor":             {func(o *options) { o.executorImages = nil }, "--executor-image"},
		"no signer":               {func(o *options) { o.signerImages = nil }, "--signer-image"},
		"a signer by tag":         {func(o *options) { o.signerImages[0] = "signer:v1" }, "by digest"},
		"two of them are missing": {func(o *options) { o.namespace, o.rekorURL = "", "" }, "--namespace, --rekor-url"},
		"a claim that is no time": {func(o *options) { o.claimDuration = time.Second }, "--claim-duration"},
		"a log of no version":     {func(o *options) { o.rekorVersion = 0 }, "--rekor-version"},
		"a second of no version":  {func(o *options) { o.alsoURL = "http://second" }, "--also-rekor-version"},
		"the same log twice":      {func(o *options) { o.alsoURL, o.alsoVersion = o.rekorURL+"/", 1 }, "--also-rekor-url"},
		"a key that is no older":  {func(o *options) { o.rotateAfter = time.Hour }, "--rotate-signing-key-after"},
		"a key of no AWS":         {func(o *options) { o.signingKey = "awskms:///seals" }, "--signing-key"},
		"a key of no Vault":       {func(o *options) { o.signingKey = "hashivault://transit/keys/seals" }, "--signing-key"},
		"a service's key by age":  {func(o *options) { o.rotateAfter, o.signingKey = 48*time.Hour, "x://y" }, "--signing-key"},
		"a token for nobody":      {func(o *options) { o.fulcioToken = "/token" }, "--fulcio-url"},
		"a Fulcio and no token":   {func(o *options) { o.fulcioURL = "https://fulcio" }, "--fulcio-token"},
		"a Fulcio and a key":      {func(o *options) { certified(o); o.signingKey = "x://y" }, "--signing-key"},
		"a Fulcio's key by age":   {func(o *options) { certified(o); o.rotateAfter = 48 * time.Hour }, "--rotate-signing-key-after"},
		"a Fulcio and no time":    {func(o *options) { certified(o); o.stampsURL = "" }, "--timestamps-url"},
		"a time that may be late": {func(o *options) { certified(o); o.stampsRequired = false }, "required"},
		"no time in the second": {func(o *options) {
			certified(o)
			o.stampsURL, o.rekorVersion, o.alsoURL, o.alsoVersion = "", 1, "http://second", 2
		}, "--timestamps-url"},
		"a budget below zero":   {func(o *options) { o.bounds.objects = -1 }, "--budget-objects"},
		"a budget that is none": {func(o *options) { o.bounds.bytes = "much" }, "--budget-bytes"},
		"tiles of a Rekor v1":   {func(o *options) { o.rekorVersion, o.tilesURL = 1, "http://tiles" }, "--rekor-tiles-url"},
		"everybody's log as own": {func(o *options) {
			o.ownLog, o.rekorURL, o.tilesURL = true, "https://log2025-1.rekor.sigstore.dev", "https://log2025-1.rekor.sigstore.dev"
		}, "--own-rekor"},
		"everybody's tiles as own": {func(o *options) { o.ownLog, o.tilesURL = true, "https://Rekor.Sigstore.dev.:443/x" }, "--own-rekor"},
		"no workers":               {func(o *options) { o.workers = 0 }, "--workers"},
		"no queries":               {func(o *options) { o.queries = 0 }, "--queries-per-second"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.change(&o)
			if err := o.check(); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one about %s", err, c.want)
			}
		})
	}
}

// An own log is one whose name only looks like Sigstore's, too.
func TestALogOfOnesOwnIsTaken(t *testing.T) {
	for _, at := range []string{"http://argoseal-rekor.argoseal-system.svc", "https://rekor.notsigstore.dev", "https://sigstore.dev.example.com"} {
		o := good()
		o.ownLog, o.rekorURL, o.tilesURL = true, at, at+":8080"
		if err := o.check(); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// The chart says of its own log that it is, also where an operator has left out its tiles.
func TestAnOwnLogWithoutTilesIsAskedAlone(t *testing.T) {
	o := good()
	o.ownLog = true
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	all, own, err := o.recorders(nil)
	if err != nil || len(all) != 1 || own != nil {
		t.Errorf("got %d recorders, own %v: %v", len(all), own, err)
	}
}

// certified has Fulcio certify what signs.
func certified(o *options) {
	o.fulcioURL, o.fulcioToken, o.stampsURL, o.stampsRequired = "https://fulcio", "/token", "https://timestamps", true
}

// With a timestamp authority a certificate goes with a Rekor v2, and without with a Rekor v1.
func TestFulcioNeedsATime(t *testing.T) {
	for name, change := range map[string]func(*options){
		"timestamps":     func(*options) {},
		"a Rekor v1":     func(o *options) { o.rekorVersion, o.stampsURL = 1, "" },
		"both, and both": func(o *options) { o.alsoURL, o.alsoVersion = "http://second", 1 },
	} {
		o := good()
		certified(&o)
		change(&o)
		if err := o.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A notary that its operator binds to one authority does not begin without it.
func TestCertificatesThatAreNotThereAreRefused(t *testing.T) {
	t.Setenv("SSL_CERT_DIR", "")
	t.Setenv("SSL_CERT_FILE", filepath.Join(t.TempDir(), "ca.pem"))
	if err := good().check(); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("got %v", err)
	}
}

// Each key service that is linked takes its URIs as docs/trust.md has them.
func TestKeyServicesTakeTheirURIs(t *testing.T) {
	uris := []string{
		"awskms:///arn:aws:kms:eu-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"awskms:///1234abcd-12ab-34cd-56ef-1234567890ab", "awskms:///alias/seals",
		"awskms:///arn:aws:kms:eu-west-2:111122223333:alias/seals",
		"azurekms://seals.vault.azure.net/key/0123456789abcdef",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
		"hashivault://seals", "openbao://seals",
	}
	asked := map[string]bool{}
	for _, uri := range uris {
		o := good()
		o.signingKey = uri
		if err := o.check(); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
		scheme, _, _ := strings.Cut(uri, "://")
		asked[scheme+"://"] = true
	}
	for _, linked := range kms.SupportedProviders() {
		if services[linked] == nil || !asked[linked] {
			t.Errorf("of %s nobody knows what its URIs are", linked)
		}
		delete(asked, linked)
	}
	if len(asked) > 0 {
		t.Errorf("no client is linked of %v", asked)
	}
}

func TestControllersAreServiceAccounts(t *testing.T) {
	said, err := good().said()
	if id := said.Identity; err != nil || len(id.Controllers) != 1 || id.Controllers[0] != "system:serviceaccount:argo:argo" {
		t.Errorf("controllers are %v, %v", id.Controllers, err)
	}
	for _, bad := range []string{"argo", "/argo", "argo/", "a/b/c", ""} {
		o := good()
		o.controllers = []string{bad}
		if _, err := o.said(); err == nil {
			t.Errorf("%q is taken for a ServiceAccount", bad)
		}
	}
}

// A key under which a log makes or keeps no seals is refused before anything starts.
func TestAKeyThatDoesNotFitTheLogIsRefused(t *testing.T) {
	private := func(key crypto.PrivateKey, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		pem, err := cryptoutils.MarshalPrivateKeyToPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	ofRSA := private(rsa2048, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ofP384 := private(p384, err)
	for name, c := range map[string]struct {
		key             []byte
		version, second int
		want            reason.Code
	}{
		"RSA in a Rekor v2":   {ofRSA, 2, 0, reason.UsageInvalid},
		"RSA in a Rekor v1":   {ofRSA, 1, 0, ""},
		"RSA in both":         {ofRSA, 1, 2, reason.UsageInvalid},
		"P-384 in a Rekor v2": {ofP384, 2, 0, ""},
		"P-384 in a Rekor v1": {ofP384, 1, 0, reason.UsageInvalid},
		"P-384 in both":       {ofP384, 2, 1, reason.UsageInvalid},
	} {
		o := good()
		o.rekorVersion = c.version
		if c.second != 0 {
			o.alsoURL, o.alsoVersion = "http://second", c.second
		}
		api := fake.NewClientBuilder().WithObjects(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: v1alpha1.SecretSigningKey},
			Data:       map[string][]byte{keyring.PrivateKeyKey: c.key},
		}).Build()
		if _, err := signerOf(t.Context(), api, o); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
