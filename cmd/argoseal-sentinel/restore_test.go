package main

import (
	"bytes"
	"crypto/aes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/secretbox"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

// escrowed is a resource with keys of letters in escrow, for an identity; the last is
// written with.
func escrowed(t *testing.T, identity *age.X25519Identity, letters ...string) (*v1alpha1.SecretEncryption, []encryption.Key) {
	t.Helper()
	o := &v1alpha1.SecretEncryption{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SecretEncryption"},
		Spec:     v1alpha1.SecretEncryptionSpec{Provider: "secretbox", Resources: []string{"secrets"}},
	}
	var keys []encryption.Key
	for i, letter := range letters {
		key, err := encryption.NewKey(encryption.Secretbox, int64(i), time.Unix(1_800_000_000, 0), strings.NewReader(strings.Repeat(letter, 64)))
		if err != nil {
			t.Fatal(err)
		}
		data, err := escrow.Seal(key, []string{identity.Recipient().String()})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		o.Status.Escrow = append(o.Status.Escrow, v1alpha1.EscrowedKey{Key: key.String(), Data: data})
		o.Status.Key = &v1alpha1.EncryptionKey{Provider: string(key.Provider), Name: key.Name}
	}
	return o, keys
}

// restoring runs the command on a resource, and returns what is in the file that it made.
func restoring(t *testing.T, o *v1alpha1.SecretEncryption, identity string, args ...string) (encryption.Config, string, error) {
	t.Helper()
	resource, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return restoringFrom(t, resource, identity, args...)
}

func restoringFrom(t *testing.T, resource []byte, identity string, args ...string) (encryption.Config, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"escrow.yaml": string(resource), "key.txt": "# a comment\n" + identity + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "config.yaml")
	c := command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(append([]string{"restore", "--from", filepath.Join(dir, "escrow.yaml"), "--identity", filepath.Join(dir, "key.txt"), "--file", file}, args...))
	if err := c.ExecuteContext(t.Context()); err != nil {
		if _, stat := os.Stat(file); stat == nil {
			t.Error("it failed and made a file")
		}
		return encryption.Config{}, out.String(), err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info, err)
	}
	config, err := encryption.Parse(content, []string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	c.SetArgs(append([]string{"restore", "--from", filepath.Join(dir, "escrow.yaml"), "--identity", filepath.Join(dir, "key.txt"), "--file", file}, args...))
	if err := c.ExecuteContext(t.Context()); err == nil {
		t.Error("it replaces a file")
	}
	return config, out.String(), nil
}

func TestRestore(t *testing.T) {
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o, keys := escrowed(t, mine, "a", "b")
	foreign, _ := escrowed(t, other, "c")
	objects := "--objects=" + dump(t, object{[]byte("/registry/secrets/n/1"), under(t, keys[0], "a", "/registry/secrets/n/1")},
		object{[]byte("/registry/secrets/n/2"), under(t, keys[1], "b", "/registry/secrets/n/2")},
		object{[]byte("/registry/secrets/n/3"), under(t, keys[1], "b", "/registry/secrets/n/3")})
	config, out, err := restoring(t, o, mine.String(), objects)
	if err != nil || !config.Write().Equal(keys[1]) || len(config.Keys()) != 3 || !config.Reads(keys[0].Ref) || !config.Reads(encryption.Ref{Provider: encryption.Identity}) {
		t.Errorf("%v, %v", config, err)
	}
	if strings.Contains(out, "YWFh") || !strings.Contains(out, keys[0].String()) {
		t.Errorf("it says %s", out)
	}
	if config, _, err = restoring(t, o, mine.String(), objects, "--write", keys[0].String()); err != nil || !config.Write().Equal(keys[0]) {
		t.Errorf("%v, %v", config, err)
	}
	o.Status.Escrow = append(o.Status.Escrow, foreign.Status.Escrow...)
	if config, out, err = restoring(t, o, mine.String(), objects); err != nil || len(config.Keys()) != 3 || !strings.Contains(out, foreign.Status.Escrow[0].Key+" is left out") {
		t.Errorf("%v, %v, %s", config, err, out)
	}
	o.Status.Escrow[0].Key = "secretbox/another" // somebody has exchanged them
	if config, _, err = restoring(t, o, mine.String(), objects); err != nil || config.Reads(keys[0].Ref) {
		t.Errorf("%v, %v", config, err)
	}
	for what, c := range map[string]struct {
		resource *v1alpha1.SecretEncryption
		identity string
		args     []string
	}{
		"the identity of another": {resource: foreign, identity: mine.String()},
		"no identity":             {resource: o, identity: mine.Recipient().String()},
		"no key in escrow":        {resource: &v1alpha1.SecretEncryption{TypeMeta: o.TypeMeta}, identity: mine.String()},
		"a key that is not there": {resource: o, identity: mine.String(), args: []string{"--write", "secretbox/none"}},
	} {
		if config, _, err := restoring(t, c.resource, c.identity, append(c.args, objects)...); err == nil || strings.Contains(err.Error(), mine.String()) {
			t.Errorf("%s: %v, %v", what, config, err)
		}
	}
}

// under is an object as an API server with a key, made of a letter, stores it.
func under(t *testing.T, key encryption.Key, letter, path string) []byte {
	t.Helper()
	sealed, err := secretbox.NewSecretboxTransformer([32]byte([]byte(strings.Repeat(letter, 32)))).
		TransformToStorage(t.Context(), []byte("k8s\x00 a Secret"), value.DefaultContext(path))
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("k8s:enc:secretbox:v1:"+key.Name+":"), sealed...)
}

// dump writes objects as etcdctl does.
func dump(t *testing.T, objects ...object) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"header": map[string]any{"revision": 1}, "kvs": objects})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "objects.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whoever knows the recipient's public key puts a key of theirs into escrow, and has the
// status say that it is the one that is written with. No server gets it, unless somebody
// says that they know it.
func TestAPlantedKeyIsNotRestored(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o, keys := escrowed(t, identity, "a", "x") // the second is the attacker's, and is in status.key
	const path = "/registry/secrets/n/1"
	genuine := object{[]byte(path), under(t, keys[0], "a", path)}
	// What only says that it lies under the key proves nothing.
	forged := object{[]byte(path), append([]byte("k8s:enc:secretbox:v1:"+keys[1].Name+":"), make([]byte, 64)...)}
	config, out, err := restoring(t, o, identity.String(), "--objects", dump(t, genuine, forged))
	if err != nil || !config.Write().Equal(keys[0]) || config.Reads(keys[1].Ref) || !strings.Contains(out, keys[1].String()+" is left out") {
		t.Errorf("%v, %v, %s", config, err, out)
	}
	if config, _, err := restoring(t, o, identity.String()); err == nil {
		t.Errorf("what nothing proves is restored: %v", config)
	}
	if config, _, err := restoring(t, o, identity.String(), "--objects", dump(t, genuine), "--write", keys[1].String()); err == nil {
		t.Errorf("it writes with %s", config.WriteRef())
	}
	if config, _, err = restoring(t, o, identity.String(), "--trust", keys[0].String(), "--write", keys[0].String()); err != nil || !config.Write().Equal(keys[0]) {
		t.Errorf("a key that somebody knows: %v, %v", config, err)
	}
}

// aescbc tells no other key from the right one for certain: one that somebody plants under
// the name of the right one opens some object by chance, where there are many. The right one
// opens nearly all that name it.
func TestAKeyThatOpensByChanceIsNotRestored(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	sealedFor := func(letter string) (encryption.Key, v1alpha1.EscrowedKey) {
		// The name has the last eight bytes, so that both have one.
		key, err := encryption.NewKey(encryption.AESCBC, 0, time.Unix(1_800_000_000, 0), strings.NewReader(strings.Repeat(letter, 32)+"the name"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := escrow.Seal(key, []string{identity.Recipient().String()})
		if err != nil {
			t.Fatal(err)
		}
		name = key.Name
		return key, v1alpha1.EscrowedKey{Key: key.String(), Data: data}
	}
	genuine, inEscrow := sealedFor("a")
	planted, theirs := sealedFor("x")
	stored := func(letter, path string) object {
		block, err := aes.NewCipher([]byte(strings.Repeat(letter, 32)))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := aestransformer.NewCBCTransformer(block).TransformToStorage(t.Context(), []byte("k8s\x00 a Secret"), value.DefaultContext(path))
		if err != nil {
			t.Fatal(err)
		}
		return object{[]byte(path), append([]byte("k8s:enc:aescbc:v1:"+name+":"), sealed...)}
	}
	// The last stands for the one that the planted key opens by chance.
	objects := dump(t, stored("a", "/registry/secrets/n/1"), stored("a", "/registry/secrets/n/2"), stored("a", "/registry/secrets/n/3"), stored("x", "/registry/secrets/n/4"))
	o, _ := escrowed(t, identity)
	for what, keys := range map[string][]v1alpha1.EscrowedKey{"first": {theirs, inEscrow}, "last": {inEscrow, theirs}} {
		o.Status.Escrow = keys
		config, out, err := restoring(t, o, identity.String(), "--objects", objects)
		if err != nil || !config.Write().Equal(genuine) || !strings.Contains(out, "it opens 1 of the 4 of --objects that name it") {
			t.Errorf("where the planted one is %s: %v, %v, %s", what, config, err, out)
		}
	}
	o.Status.Escrow = []v1alpha1.EscrowedKey{theirs}
	if config, _, err := restoring(t, o, identity.String(), "--objects", objects); err == nil {
		t.Errorf("the planted one is restored: %v", config)
	}
	if config, _, err := restoring(t, o, identity.String(), "--objects", objects, "--trust", planted.String()); err != nil || config.Reads(encryption.Ref{Provider: encryption.AESCBC, Name: "another"}) {
		t.Errorf("a key that somebody knows: %v, %v", config, err)
	}
}
