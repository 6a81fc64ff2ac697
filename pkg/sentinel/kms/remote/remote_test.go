package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awskmsapi "github.com/aws/aws-sdk-go-v2/service/kms"
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
		"awskms:///" + arn + "?endpoint=http://localhost", "awskms:///" + arn + "?endpoint=http://",
	} {
		if key, err := Open(t.Context(), given); !errors.Is(err, ErrURL) {
			t.Errorf("%q is %q, %v", given, key.ID, err)
		}
	}
	for _, given := range []string{"", "?endpoint=http://127.0.0.1:1", "?endpoint=http://[::1]:1", "?endpoint=https://kms.example.com"} {
		key, err := Open(t.Context(), "awskms:///"+arn+given)
		if err != nil || key.ID != "awskms:///"+arn {
			t.Errorf("with %q it is %q, %v", given, key.ID, err)
		}
	}
}

// An error names no credentials of an endpoint: it gets into logs.
func TestCredentialsInAURLAreRefusedAndNotSaid(t *testing.T) {
	for _, given := range []string{
		"awskms:///" + arn + "?endpoint=https://me:sesame@kms.example.com", "awskms:///" + arn + "?endpoint=https://me:sesame@[",
		"awskms://me:sesame@/" + arn, "awskms:///" + arn + "?endpoint=https://me:sesame@kms.example.com&x=%zz", "base64key://sesame", "awskms://me:sesame@[",
	} {
		if _, err := Open(t.Context(), given); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q gives %v", given, err)
		}
	}
}

// service is no key service: it shows what is asked.
type service struct {
	*httptest.Server
	asked []map[string]any
}

// serve starts one, and takes away what the environment says of AWS.
func serve(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := map[string]any{"target": r.Header.Get("X-Amz-Target"), "by": r.Header.Get("Authorization")}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		s.asked = append(s.asked, body)
		_, _ = w.Write([]byte(`{"CiphertextBlob":"ZW5jcnlwdGVk","Plaintext":"cGxhaW4="}`))
	}))
	t.Cleanup(s.Close)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return s
}

// AWS is told which key to encrypt with, and to decrypt with. The service here is none:
// it shows what is asked. TestSecretsUnderAKeyService asks one.
func TestAWSIsToldTheKey(t *testing.T) {
	service := serve(t)
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
	asked := service.asked
	if len(asked) != 2 || asked[0]["target"] != "TrentService.Encrypt" || asked[1]["target"] != "TrentService.Decrypt" || asked[0]["KeyId"] != arn || asked[1]["KeyId"] != arn {
		t.Errorf("it is asked %v", asked)
	}
}

// The environment can name an endpoint, too. One that others could listen to is not asked,
// and that of the URL counts before it.
func TestTheEnvironmentsEndpointIsSecured(t *testing.T) {
	service := serve(t)
	encrypt := func(options string) error {
		t.Helper()
		key, err := Open(t.Context(), "awskms:///"+arn+options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = key.Keeper.Encrypt(ctx, []byte("plain"))
		return err
	}
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"} {
		t.Setenv(name, service.URL)
		if err := encrypt(""); err != nil {
			t.Errorf("%s here gives %v", name, err)
		}
		t.Setenv(name, "http://192.0.2.1")
		if err := encrypt(""); !errors.Is(err, ErrURL) {
			t.Errorf("%s elsewhere gives %v", name, err)
		}
		if err := encrypt("?endpoint=" + service.URL); err != nil {
			t.Errorf("beside %s the URL's endpoint gives %v", name, err)
		}
	}
	if len(service.asked) != 4 {
		t.Errorf("it is asked %d times", len(service.asked))
	}
}

// What is to be encrypted goes nowhere that the service sends it to.
func TestRedirectsAreNotFollowed(t *testing.T) {
	service := serve(t)
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		sends := httptest.NewServer(http.RedirectHandler(service.URL, status))
		key, err := Open(t.Context(), "awskms:///"+arn+"?endpoint="+sends.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Keeper.Encrypt(t.Context(), []byte("plain")); err == nil {
			t.Errorf("%d is followed", status)
		}
		if _, err := key.Keeper.Decrypt(t.Context(), []byte("encrypted")); err == nil {
			t.Errorf("%d is followed", status)
		}
		twice(t, sends.URL, status)
		sends.Close()
	}
	if len(service.asked) != 0 {
		t.Errorf("where it leads is asked %v", service.asked)
	}
	if client, err := followNothing(http.DefaultClient); err == nil {
		t.Errorf("a client that follows redirects is taken: %v", client)
	}
}

// twice sends what can be sent twice, which AWS' own client would send on.
func twice(t *testing.T, to string, status int) {
	t.Helper()
	client, err := followNothing(awskmsapi.New(awskmsapi.Options{}).Options().HTTPClient)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != status {
		t.Errorf("%d is followed: %s, %v", status, resp.Status, err)
	}
}

// The endpoint of a key's URL is asked for no credentials.
func TestTheEndpointGivesNoCredentials(t *testing.T) {
	service := serve(t)
	var actions []string
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actions = append(actions, r.PostFormValue("Action"))
		_, _ = w.Write([]byte(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>lent</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`))
	}))
	defer tokens.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL_STS": tokens.URL,
		"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/plane", "AWS_WEB_IDENTITY_TOKEN_FILE": token,
	} {
		t.Setenv(name, value)
	}
	key, err := Open(t.Context(), "awskms:///"+arn+"?endpoint="+service.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Keeper.Encrypt(t.Context(), []byte("plain")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(actions, []string{"AssumeRoleWithWebIdentity"}) || len(service.asked) != 1 || !strings.Contains(service.asked[0]["by"].(string), "Credential=lent/") {
		t.Errorf("credentials are asked for by %q, and the service is asked %v", actions, service.asked)
	}
}
