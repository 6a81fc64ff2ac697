// Package tagtest makes tags of the release before, which this one only reads.
package tagtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/tag"
)

// Predate makes a tag one of version 1, under the same key. That version has no
// room for the namespace's UID.
func Predate(tb testing.TB, value string, keys map[string][]byte) string {
	tb.Helper()
	opened, err := tag.ParseKeys(keys)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := opened.Open(value)
	if err != nil {
		tb.Fatal(err)
	}
	parts := strings.Split(value, ".")
	content, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		tb.Fatal(err)
	}
	older := strings.Replace(string(content), `"namespaceUID":"`+t.NamespaceUID+`",`, "", 1)
	signed := strings.Join([]string{"v1", parts[1], base64.RawURLEncoding.EncodeToString([]byte(older))}, ".")
	mac := hmac.New(sha256.New, keys["key-"+parts[1]])
	mac.Write([]byte("argoseal.dev/tag " + signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
