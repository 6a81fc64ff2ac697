// Package escrow encrypts keys to people, who can bring them back when all files are
// lost, or for an old snapshot of etcd.
//
// What it makes may be shown to anybody: it is encrypted to age recipients, whose
// identities the cluster does not have. It trusts that the recipients are the user's.
package escrow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// maxPlain bounds a decrypted file: it has one key.
const maxPlain = 64 << 10

// Seal encrypts a key, as a file of an API server that has it alone.
func Seal(key encryption.Key, recipients []string) (string, error) {
	if len(recipients) == 0 {
		return "", errors.New("there is nobody to encrypt to")
	}
	// Identities look much like recipients. Only the latter may stand in a resource.
	to, err := age.ParseRecipients(strings.NewReader(strings.Join(recipients, "\n")))
	if err != nil || len(to) != len(recipients) {
		return "", fmt.Errorf("the recipients are not %d public keys of age (age1…)", len(recipients)) // age's error may quote an identity
	}
	config, err := encryption.NewConfig(key)
	if err != nil {
		return "", err
	}
	plain, err := config.Render([]string{"secrets"})
	if err != nil {
		return "", err
	}
	var sealed bytes.Buffer
	text := armor.NewWriter(&sealed)
	w, err := age.Encrypt(text, to...)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		return "", err
	}
	return sealed.String(), nil
}

// Open decrypts what Seal made.
func Open(sealed string, identities ...age.Identity) (encryption.Key, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed)), identities...)
	if err != nil {
		return encryption.Key{}, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain))
	if err != nil {
		return encryption.Key{}, err
	}
	config, err := encryption.Parse(plain, nil)
	if err != nil {
		return encryption.Key{}, err
	}
	// A plugin is not one that Seal has made, and would have the API server ask whoever
	// planted it.
	if keys := config.Keys(); len(keys) == 1 && keys[0].Kept() {
		return keys[0], nil
	}
	return encryption.Key{}, errors.New("it is not one key, with its material")
}
