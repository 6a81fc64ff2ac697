package escrow_test

import (
	"crypto/aes"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

func newKey(t *testing.T, p encryption.Provider) encryption.Key {
	t.Helper()
	k, err := encryption.NewKey(p, 3, time.Unix(1_800_000_000, 0), strings.NewReader(strings.Repeat("k", 64)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhoeverItIsFor(t *testing.T) {
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []encryption.Provider{encryption.Secretbox, encryption.AESGCM, encryption.AESCBC} {
		key := newKey(t, p)
		for what, c := range map[string]struct {
			to  []string
			by  age.Identity
			can bool
		}{
			"its recipient":              {to: []string{mine.Recipient().String()}, by: mine, can: true},
			"one of two":                 {to: []string{theirs.Recipient().String(), mine.Recipient().String()}, by: mine, can: true},
			"a recipient against quanta": {to: []string{hybrid.Recipient().String()}, by: hybrid, can: true},
			"somebody else":              {to: []string{theirs.Recipient().String()}, by: mine},
		} {
			sealed, err := escrow.Seal(key, c.to)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(sealed, "kkkk") || strings.Contains(sealed, "a2tra2") {
				t.Error("it can be read")
			}
			got, err := escrow.Open(sealed, c.by)
			if (err == nil) != c.can || c.can && !got.Equal(key) {
				t.Errorf("%s, %s: %v, %v", p, what, got, err)
			}
		}
	}
}

func TestWhatIsNoRecipient(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for what, to := range map[string][]string{
		"nobody":      nil,
		"an identity": {identity.String()},
		"a comment":   {identity.Recipient().String(), "# and nobody"},
		"a name":      {"alice"},
	} {
		if _, err := escrow.Seal(newKey(t, encryption.Secretbox), to); err == nil || strings.Contains(err.Error(), identity.String()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	sealed, err := escrow.Seal(newKey(t, encryption.Secretbox), []string{identity.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	middle := len(sealed) / 2
	for what, text := range map[string]string{"nothing": "", "something else": "key", "a part": sealed[:middle], "an altered copy": sealed[:middle] + "A" + sealed[middle+1:]} {
		if _, err := escrow.Open(text, identity); err == nil {
			t.Errorf("%s is opened", what)
		}
	}
}

// What has no material is no key to bring back. Somebody may have planted it: an API server
// would ask their plugin.
func TestWhatHasNoMaterialIsNotOpened(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	planted, err := encryption.Plugin{Name: "kms", Endpoint: "unix:///tmp/theirs.sock", Timeout: time.Second}.Key()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []encryption.Key{planted, encryption.Off().Write()} {
		sealed, err := escrow.Seal(k, []string{identity.Recipient().String()})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := escrow.Open(sealed, identity); err == nil {
			t.Errorf("%s is opened as %s", k, got)
		}
	}
}

// A value that is too short to have been encrypted opens under no key, and one that was
// under its own alone.
func TestOnlyWhatWasEncryptedOpens(t *testing.T) {
	const path = "/registry/secrets/n/1"
	key := newKey(t, encryption.AESCBC)
	header := "k8s:enc:aescbc:v1:" + key.Name + ":"
	for n := range 34 {
		if escrow.Opens(key, path, []byte(header+strings.Repeat("x", n))) {
			t.Errorf("%d bytes open", n)
		}
	}
	block, err := aes.NewCipher([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"{}", "k8s\x00 a Secret"} {
		sealed, err := aestransformer.NewCBCTransformer(block).TransformToStorage(t.Context(), []byte(plain), value.DefaultContext(path))
		if err != nil {
			t.Fatal(err)
		}
		if !escrow.Opens(key, path, append([]byte(header), sealed...)) {
			t.Errorf("%q does not open", plain)
		}
	}
}
