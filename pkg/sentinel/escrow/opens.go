package escrow

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"

	apiserver "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/secretbox"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// ClaimsKey says whether an object of etcd claims to lie under a key.
func ClaimsKey(key encryption.Key, stored []byte) bool { return bytes.HasPrefix(stored, header(key)) }

func header(key encryption.Key) []byte {
	return fmt.Appendf(nil, "k8s:enc:%s:v1:%s:", key.Provider, key.Name)
}

// Proven says whether a key that opens some of the objects that claim to lie under it is
// the one that an API server had. Another key of aescbc opens one object in some ten
// thousand by chance, and whoever plants it knows the right one's name.
func Proven(key encryption.Key, opens, named int) bool {
	if key.Provider == encryption.AESCBC {
		return 2*opens > named
	}
	return opens > 0
}

// Opens says whether an object of etcd, by its path there, lies under a key: that proves
// that an API server had the key. Whoever writes to etcd could put one there, but could
// as well write what is not encrypted.
func Opens(key encryption.Key, path string, stored []byte) bool {
	sealed, ok := bytes.CutPrefix(stored, header(key))
	if !ok {
		return false
	}
	// Of a value without a block the API server's decrypter of aescbc reads the last byte.
	if key.Provider == encryption.AESCBC && len(sealed) < 2*aes.BlockSize {
		return false
	}
	transformer, err := transformer(key)
	if err != nil {
		return false
	}
	plain, _, err := transformer.TransformFromStorage(context.Background(), sealed, value.DefaultContext(path))
	// aescbc does not tell another key from the right one, but for its padding. What the API
	// server stores begins so, as protobuf or as JSON.
	return err == nil && (bytes.HasPrefix(plain, []byte("k8s\x00")) || bytes.HasPrefix(plain, []byte("{")))
}

// transformer is the API server's own for a key, by way of the file that it reads.
func transformer(key encryption.Key) (value.Transformer, error) {
	config, err := encryption.NewConfig(key)
	if err != nil {
		return nil, err
	}
	file, err := config.Render([]string{"secrets"})
	if err != nil {
		return nil, err
	}
	var parsed apiserver.EncryptionConfiguration
	if err := yaml.Unmarshal(file, &parsed); err != nil {
		return nil, err
	}
	p := parsed.Resources[0].Providers[0]
	switch {
	case p.Secretbox != nil:
		raw, err := material(p.Secretbox.Keys)
		if err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("%s is no key of secretbox", key)
		}
		return secretbox.NewSecretboxTransformer([32]byte(raw)), nil
	case p.AESGCM != nil:
		block, err := block(p.AESGCM.Keys)
		if err != nil {
			return nil, err
		}
		return aestransformer.NewGCMTransformer(block)
	case p.AESCBC != nil:
		block, err := block(p.AESCBC.Keys)
		if err != nil {
			return nil, err
		}
		return aestransformer.NewCBCTransformer(block), nil
	}
	return nil, fmt.Errorf("%s encrypts nothing", key)
}

func material(keys []apiserver.Key) ([]byte, error) {
	return base64.StdEncoding.DecodeString(keys[0].Secret)
}

func block(keys []apiserver.Key) (cipher.Block, error) {
	raw, err := material(keys)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(raw)
}
