package lab

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/argoseal/argoseal/pkg/verify"
)

// KeyOf is the key with a hint out of those of a file, PEM: cosign reads the first one alone.
func KeyOf(keys []byte, hint string) ([]byte, error) {
	for rest := keys; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("no key of the file has the hint %q", hint)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if got, err := verify.KeyHint(public); err == nil && got == hint {
			return pem.EncodeToMemory(block), nil
		}
	}
}
