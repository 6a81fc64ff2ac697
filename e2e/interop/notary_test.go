//go:build e2e

package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// logTimeout is what a log has for an answer. The notary gives it ten seconds, and tests
// run on machines that are busy.
const logTimeout = 30 * time.Second

// keyKinds are the kinds of keys that sign seals.
var keyKinds = map[string]func() (crypto.Signer, error){
	"P-256":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"P-384":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
	"RSA-2048": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	"RSA-4096": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 4096) },
	"Ed25519": func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	},
}

func newSigner(t *testing.T, kind string) *seal.Signer {
	t.Helper()
	key, err := keyKinds[kind]()
	must(t, err)
	private, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	must(t, err)
	signer, err := seal.LoadSigner(private)
	must(t, err)
	return signer
}

// at is a log: where it is asked, and which one of the trusted root's has to answer.
type at struct {
	version  int
	url, log string
}

// sealer makes one as the notary does, with the root that its users have.
func sealer(t *testing.T, a author, trustedRoot []byte, logs ...at) (*seal.Sealer, *verify.Root) {
	t.Helper()
	root := rootOf(t, a, trustedRoot, len(logs))
	var recorders []*seal.Recorder
	stamps := (*seal.Timestamps)(nil)
	for _, l := range logs {
		newLog := seal.NewRekorV1
		if l.version == 2 {
			newLog, stamps = seal.NewRekorV2, a.stamps
		}
		client, err := newLog(l.url, logTimeout)
		must(t, err)
		if l.log == "" {
			l.log = l.url
		}
		recorder := seal.NewRecorder(client, clock.RealClock{}).Only(l.log)
		if l.version == 1 {
			recorder = recorder.Promises()
		}
		recorders = append(recorders, recorder)
	}
	return seal.New(a.signs, recorders[0], root, recorders[1:]...).Timestamped(stamps), root
}

// sealed is the bundle of a new statement.
func sealed(t *testing.T, a author, trustedRoot []byte, logs ...at) []byte {
	t.Helper()
	s, _ := sealer(t, a, trustedRoot, logs...)
	signed, err := s.Prepare(t.Context(), statement(t))
	must(t, err)
	bundle, err := s.Log(t.Context(), signed)
	must(t, err)
	return bundle
}

// rootOf trusts the author, for seals in as many logs.
func rootOf(t *testing.T, a author, trustedRoot []byte, logs int) *verify.Root {
	t.Helper()
	domain, err := verify.ParseDomain("installed", verify.Sources{TrustedRoot: trustedRoot, Keys: a.key, Rules: a.rules(t, logs)})
	must(t, err)
	root, err := verify.New(domain)
	must(t, err)
	return root
}

// content is what the artifact of every seal here has. cosign is given it.
const content = "Hello, Argoseal\n"

// statement is a new one about that artifact.
func statement(t *testing.T) []byte {
	t.Helper()
	unique := make([]byte, 8)
	_, _ = rand.Read(unique) // it never fails
	facts := sealtest.Facts("s3://minio:9000/artifacts/"+hex.EncodeToString(unique)+".tgz", artifact.Digest(sha256Of(content)))
	facts.Subjects[0].Size = int64(len(content))
	payload, err := provenance.Build(facts)
	must(t, err)
	return payload
}
