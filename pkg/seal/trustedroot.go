package seal

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/pkg/reason"
)

// NewLogKey makes a key for a log that we run ourselves: the private key (PEM,
// PKCS #8: what rekor-server reads with --signer-filepath) and the public key
// (PEM, SPKI). It is Ed25519, what the checkpoints of such logs are made for.
func NewLogKey() (privatePEM, publicPEM []byte, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make log key: %w", err)
	}
	if privatePEM, err = cryptoutils.MarshalPrivateKeyToPEM(private); err != nil {
		return nil, nil, fmt.Errorf("marshal log key: %w", err)
	}
	if publicPEM, err = cryptoutils.MarshalPublicKeyToPEM(public); err != nil {
		return nil, nil, fmt.Errorf("marshal log key: %w", err)
	}
	return privatePEM, publicPEM, nil
}

// TrustedRootJSON makes the trusted_root.json of one Rekor v2 log, with nothing
// else in it. Its entries count from since on. The host in logBaseURL, without
// the port, has to equal the server's --hostname: it is the origin of the log's
// checkpoints, and part of the log's id.
func TrustedRootJSON(logBaseURL string, logPublicKeyPEM []byte, since time.Time) ([]byte, error) {
	host, err := logHost(logBaseURL)
	if err != nil {
		return nil, err
	}
	if since.IsZero() {
		return nil, errors.New("the log's key needs a time from which it is valid")
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(logPublicKeyPEM)
	if err != nil {
		return nil, fmt.Errorf("log's public key: %w", err)
	}
	_, id, err := note.KeyHash(host, key)
	if err != nil {
		return nil, fmt.Errorf("log's id: %w", err)
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, map[string]*root.TransparencyLog{
		hex.EncodeToString(id): {
			BaseURL:             logBaseURL,
			ID:                  id,
			HashFunc:            crypto.SHA256,
			PublicKey:           key,
			ValidityPeriodStart: since.UTC().Truncate(time.Second),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make trusted root: %w", err)
	}
	raw, err := trusted.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("marshal trusted root: %w", err)
	}
	canonical, err := jsoncanonicalizer.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("canonicalize trusted root: %w", err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, canonical, "", "  "); err != nil {
		return nil, fmt.Errorf("indent trusted root: %w", err)
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), nil
}

// CheckLog says whether answers of the log at this URL can verify under a trusted
// root. The root has to name that URL, with the id that the log gives itself. The
// id is made of the log's key and of the origin of its checkpoints, which is the
// URL's host. A log whose answers never can verify must not be asked: every try
// adds an entry to it.
func CheckLog(trustedRootJSON []byte, baseURL string) error {
	host, err := logHost(baseURL)
	if err != nil {
		return reason.Wrap(reason.LogMismatch, err, "%v", err)
	}
	trusted, err := root.NewTrustedRootFromJSON(trustedRootJSON)
	if err != nil {
		return reason.Wrap(reason.LogMismatch, err, "the trusted root cannot be read: %v", err)
	}
	mismatch := errors.New("it knows no log")
	for id, log := range trusted.RekorLogs() {
		if strings.TrimRight(log.BaseURL, "/") != strings.TrimRight(baseURL, "/") {
			mismatch = fmt.Errorf("it knows the log %.200s", log.BaseURL)
			continue
		}
		_, want, err := note.KeyHash(host, log.PublicKey)
		if err == nil && hex.EncodeToString(want) == id {
			return nil
		}
		mismatch = fmt.Errorf("it gives it the id %s, and one of that host with that key has the id %x", id, want)
	}
	return reason.Wrap(reason.LogMismatch, mismatch, "the notary is to write to the log %.200s, and the trusted root does not know that one: %v", baseURL, mismatch)
}
