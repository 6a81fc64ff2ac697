package encryption_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

var secrets = []string{"secrets"}

func TestRenderAndParse(t *testing.T) {
	var all []encryption.Key
	for i, p := range encryption.Providers {
		if p == encryption.KMS {
			all = append(all, plugin("argoseal", "/run/kms.sock"), plugin("other", "/run/other.sock"))
			continue
		}
		k, err := encryption.NewKey(p, int64(i), began.Add(time.Duration(i)*time.Hour), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	for _, write := range all {
		c, err := encryption.NewConfig(write, all...)
		if err != nil {
			t.Fatal(err)
		}
		file, err := c.Render(secrets)
		if err != nil {
			t.Fatal(err)
		}
		back, err := encryption.Parse(file, secrets)
		if err != nil || !back.Equal(c) || back.Write().Ref != write.Ref || len(back.Keys()) != len(all) {
			t.Errorf("%v came back as %v, %v", c.Refs(), back.Refs(), err)
		}
		again, err := back.Render(secrets)
		if err != nil || string(again) != string(file) {
			t.Errorf("the same configuration is another file: %v", err)
		}
	}
}

func TestParse(t *testing.T) {
	const (
		head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
		key  = "{keys: [{name: k, secret: c2VjcmV0IGlzIHNlY3VyZQ==}]}"
	)
	for what, c := range map[string]struct {
		file    string
		refs    string
		foreign bool
		says    string
	}{
		"off": {file: head + "resources: [{resources: [secrets], providers: [{identity: {}}]}]", refs: "[identity]"},
		"off, of other resources, is off": {
			file: head + "resources: [{resources: [configmaps], providers: [{identity: {}}]}, {resources: ['*.*'], providers: [{identity: {}}]}]", refs: "[identity]",
		},
		"a key of somebody's": {file: head + "resources: [{resources: [secrets], providers: [{aescbc: " + key + "}, {identity: {}}]}]", refs: "[aescbc/k identity]"},
		"other resources":     {file: head + "resources: [{resources: [configmaps], providers: [{aescbc: " + key + "}]}]", foreign: true, says: "resources"},
		"two of them":         {file: head + "resources: [{resources: [secrets], providers: [{aescbc: " + key + "}]}, {resources: [configmaps], providers: [{identity: {}}]}]", foreign: true},
		"KMS":                 {file: head + "resources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: k, endpoint: 'unix:///k'}}, {identity: {}}]}]", refs: "[kms/k identity]"},
		"KMS of one name twice": {
			file: head + "resources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: k, endpoint: 'unix:///k'}}, {kms: {apiVersion: v2, name: k, endpoint: 'unix:///l'}}]}]", says: "one name",
		},
		"KMS v1":               {file: head + "resources: [{resources: [secrets], providers: [{kms: {name: k, endpoint: 'unix:///k'}}]}]", foreign: true, says: "KMS"},
		"KMS with a cache":     {file: head + "resources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: k, endpoint: 'unix:///k', cachesize: 3}}]}]", foreign: true, says: "KMS"},
		"KMS without a socket": {file: head + "resources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: k}}]}]", foreign: true, says: "KMS"},
		"empty":                {says: "damaged"},
		"cut off":              {file: head + "resources: [{resources: [secrets], providers: [{aescbc: {keys: [{name: k, secret: c2Vj", says: "damaged"},
		"cut off later":        {file: head + "resources:\n- resources:\n  - secrets\n", says: "damaged"},
		"a key without material": {
			file: head + "resources: [{resources: [secrets], providers: [{secretbox: {keys: [{name: k}]}}]}]", says: "damaged",
		},
		"a colon in a key's name": {
			file: head + "resources: [{resources: [secrets], providers: [{aescbc: {keys: [{name: a, secret: c2VjcmV0IGlzIHNlY3VyZQ==}, {name: 'a:b', secret: c2VjcmV0IGlzIHNlY3VyZT8=}]}}, {identity: {}}]}]", foreign: true, says: "colon",
		},
		"other signs in a key's name": {
			file: head + "resources: [{resources: [secrets], providers: [{aescbc: {keys: [{name: 'a/b.c_d-e;f', secret: c2VjcmV0IGlzIHNlY3VyZQ==}]}}]}]", refs: "[aescbc/a/b.c_d-e;f]",
		},
		"a field that is none": {file: head + "resources: [{resources: [secrets], providers: [{identity: {}}], recources: []}]", says: "damaged"},
		"something else":       {file: "apiVersion: v1\nkind: Secret\n", says: "damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := encryption.Parse([]byte(c.file), secrets)
			if c.refs != "" {
				if err != nil || fmt.Sprint(got.Refs()) != c.refs {
					t.Errorf("%v, %v", got.Refs(), err)
				}
				return
			}
			if err == nil || errors.Is(err, encryption.ErrForeign) != c.foreign || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v", got.Refs(), err)
			}
			if err != nil && strings.Contains(err.Error(), "c2Vj") {
				t.Errorf("it quotes a key: %v", err)
			}
		})
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	k, err := encryption.NewKey(encryption.Secretbox, 7, began, strings.NewReader(strings.Repeat("hushhush", 4)+"itsname."))
	if err != nil {
		t.Fatal(err)
	}
	c, err := encryption.NewConfig(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, &k, c, []encryption.Key{k}, struct{ k encryption.Key }{k}, struct{ c *encryption.Config }{&c}, encryption.Step{Files: map[string]encryption.Config{"s": c}}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "hush") || strings.Contains(out, "68757368") || strings.Contains(out, "104 117 115") {
				t.Errorf("%s prints %T as %s", verb, v, out)
			}
		}
	}
}

func TestNewKey(t *testing.T) {
	names := map[string]bool{}
	for range 100 {
		k, err := encryption.NewKey(encryption.AESGCM, 3, began, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if names[k.Name] || k.Rotation() != 3 || !k.Created().Equal(began) || strings.Contains(k.Name, ":") {
			t.Errorf("name %s", k.Name)
		}
		names[k.Name] = true
	}
	if _, err := encryption.NewKey("rot13", 0, began, rand.Reader); err == nil {
		t.Error("it made a key of no provider")
	}
	if _, err := encryption.NewKey(encryption.AESCBC, 0, began, strings.NewReader("short")); err == nil {
		t.Error("it made a key of too little randomness")
	}
}
