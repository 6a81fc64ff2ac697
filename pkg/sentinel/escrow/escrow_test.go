package escrow_test

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"

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
