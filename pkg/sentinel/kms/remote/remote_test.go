package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// A key has one name, which leads to it alone.
func TestAKeyHasOneName(t *testing.T) {
	for _, given := range []string{
		"", "x", "base64key://c2VjcmV0", "awskms", "awskms:" + arn, "awskms://", "awskms://1234abcd-12ab-34cd-56ef-1234567890ab",
		"awskms:///alias/secrets", "awskms:///arn:aws:kms:eu-west-1:111122223333:alias/secrets", "awskms://host/" + arn,
		"awskms:///" + strings.ReplaceAll(arn, "key/", "key%2f"), "awskms:////" + arn, "awskms:///" + arn + "/", "awskms://me@/" + arn,
		"awskms:///" + arn + "#x", "awskms:///" + arn + "?region=eu-west-2", "awskms:///" + arn + "?context_a=b",
		"awskms:///" + arn + "?profile=a&profile=b", "awskms:///" + arn + "?endpoint=http://192.0.2.1", "awskms:///" + arn + "?endpoint=https:",
		"awskms:///" + arn + "?endpoint=http://127.0.0.1.example.com", "awskms:///" + arn + "?endpoint=%zz",
	} {
		if key, err := Open(t.Context(), given); !errors.Is(err, ErrURL) {
			t.Errorf("%q is %q, %v", given, key.ID, err)
		}
	}
	for _, given := range []string{"", "?endpoint=http://127.0.0.1:1", "?endpoint=https://kms.example.com"} {
		key, err := Open(t.Context(), "awskms:///"+arn+given)
		if err != nil || key.ID != "awskms:///"+arn {
			t.Errorf("with %q it is %q, %v", given, key.ID, err)
		}
	}
}

// AWS is told which key to encrypt with, and to decrypt with. The service here is none:
// it shows what is asked. TestSecretsUnderAKeyService asks one.
func TestAWSIsToldTheKey(t *testing.T) {
	var asked []map[string]any
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := map[string]any{"target": r.Header.Get("X-Amz-Target")}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		asked = append(asked, body)
		_, _ = w.Write([]byte(`{"CiphertextBlob":"ZW5jcnlwdGVk","Plaintext":"cGxhaW4="}`))
	}))
	defer service.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	key, err := Open(t.Context(), "awskms:///"+arn+"?endpoint="+service.URL)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := key.Keeper.Encrypt(t.Context(), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.Keeper.Decrypt(t.Context(), encrypted)
	if err != nil || !bytes.Equal(plain, []byte("plain")) {
		t.Errorf("it is %q, %v", plain, err)
	}
	if len(asked) != 2 || asked[0]["target"] != "TrentService.Encrypt" || asked[1]["target"] != "TrentService.Decrypt" || asked[0]["KeyId"] != arn || asked[1]["KeyId"] != arn {
		t.Errorf("it is asked %v", asked)
	}
}
