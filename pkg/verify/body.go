package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekortiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/protobuf/encoding/protojson"
)

// Bounds of what is verified of others' entries before anything says that a log has them:
// the work grows with the square of an RSA key's length.
const (
	maxStoredSignature = 2 << 10
	maxStoredVerifier  = 16 << 10
)

// What a Rekor v1 stores of entries, with the fields in the order of their names, as it
// writes them. Verifiers are PEM.
type (
	storedKind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	storedDSSE struct {
		storedKind
		Spec struct {
			EnvelopeHash storedHash `json:"envelopeHash"`
			PayloadHash  storedHash `json:"payloadHash"`
			Signatures   []struct {
				Signature string `json:"signature"`
				Verifier  []byte `json:"verifier"`
			} `json:"signatures"`
		} `json:"spec"`
	}
	storedHashedRekord struct {
		storedKind
		Spec struct {
			Data struct {
				Hash storedHash `json:"hash"`
			} `json:"data"`
			Signature struct {
				Content   []byte `json:"content"`
				PublicKey struct {
					Content []byte `json:"content"`
				} `json:"publicKey"`
			} `json:"signature"`
		} `json:"spec"`
	}
	storedIntoto struct {
		storedKind
		Spec struct {
			Content struct {
				Envelope struct {
					Payload     string `json:"payload,omitempty"` // most logs do not keep it
					PayloadType string `json:"payloadType"`
					Signatures  []struct {
						KeyID     string `json:"keyid,omitempty"`
						PublicKey []byte `json:"publicKey"`
						Sig       []byte `json:"sig"`
					} `json:"signatures"`
				} `json:"envelope"`
				Hash        storedHash `json:"hash"`
				PayloadHash storedHash `json:"payloadHash"`
			} `json:"content"`
		} `json:"spec"`
	}
	storedHash struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	}
)

func (s storedKind) String() string { return s.Kind + " " + s.APIVersion }

// checkStored makes sure that an entry's body is what a log stores of the kind that the
// entry is said to be of, with one signature. sigstore-go and Rekor's library ask neither:
// the body may be of any kind, and a proposal to the log, too. Of that they verify each
// signature under each key, before anything says that a log has it.
func checkStored(e *protorekor.TransparencyLogEntry) error {
	body := e.GetCanonicalizedBody()
	switch kind := (storedKind{Kind: e.GetKindVersion().GetKind(), APIVersion: e.GetKindVersion().GetVersion()}).String(); kind {
	case "dsse 0.0.1":
		return CheckDSSEBody(body)
	case "hashedrekord 0.0.1":
		var s storedHashedRekord
		if err := isStored(body, kind, &s); err != nil {
			return err
		}
		return fits(s.Spec.Signature.Content, s.Spec.Signature.PublicKey.Content)
	case "hashedrekord 0.0.2":
		// What cannot be read so is read as an entry of Rekor v1.
		var s rekortiles.Entry
		if boundBody(body) != nil || protojson.Unmarshal(body, &s) != nil || s.GetKind()+" "+s.GetApiVersion() != kind || s.GetSpec().GetHashedRekordV002() == nil {
			return errors.New("body of the log entry is no " + kind)
		}
		return nil
	case "intoto 0.0.2":
		var s storedIntoto
		if err := isStored(body, kind, &s); err != nil {
			return err
		}
		signatures := s.Spec.Content.Envelope.Signatures
		if len(signatures) != 1 {
			return fmt.Errorf("body of the log entry has %d signatures, want one", len(signatures))
		}
		return fits(signatures[0].Sig, signatures[0].PublicKey)
	default:
		return fmt.Errorf("log entry is a %.200q, which is not read", kind)
	}
}

// CheckDSSEBody makes sure that the body of an entry is what a Rekor v1 stores of an
// envelope with one signature, and so takes no work to read.
func CheckDSSEBody(body []byte) error {
	var s storedDSSE
	if err := isStored(body, "dsse 0.0.1", &s); err != nil {
		return err
	}
	if n := len(s.Spec.Signatures); n != 1 {
		return fmt.Errorf("body of the log entry has %d signatures, want one", n)
	}
	return nil
}

// isStored makes sure that a body is to the byte what a log writes of such an entry: all
// who read it see the same in it, and nothing else is there.
func isStored(body []byte, kind string, entry fmt.Stringer) error {
	if err := boundBody(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, entry); err != nil {
		return fmt.Errorf("body of the log entry: %w", err)
	}
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(entry); err != nil {
		return err
	}
	if entry.String() != kind || !bytes.Equal(bytes.TrimSuffix(written.Bytes(), []byte("\n")), body) {
		return fmt.Errorf("body of the log entry is no %s as a log stores it", kind)
	}
	return nil
}

func boundBody(body []byte) error {
	if len(body) > maxBody {
		return fmt.Errorf("body of the log entry has %d bytes, at most %d are allowed", len(body), maxBody)
	}
	return nil
}

// fits makes sure that a signature is soon verified: under one key or certificate, not a
// chain of them, and no longer than any that people make.
func fits(signature, verifier []byte) error {
	if len(signature) > maxStoredSignature || len(verifier) > maxStoredVerifier || bytes.Count(verifier, []byte("-----BEGIN")) > 1 {
		return errors.New("body of the log entry has a signature or a verifier that is larger than any of a log")
	}
	return nil
}
