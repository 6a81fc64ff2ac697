package seal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// recordV1 seals by the client of Rekor v1, in a log behind a handler.
func recordV1(t *testing.T, log *sealtest.LogV1, handler http.Handler, times int) error {
	t.Helper()
	key, err := seal.NewKey()
	must(t, err)
	return recordV1With(t, key, log, handler, times)
}

// recordV1With does so under a key of a Secret.
func recordV1With(t *testing.T, key []byte, log *sealtest.LogV1, handler http.Handler, times int) error {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	client, err := seal.NewRekorV1(server.URL, 5*time.Second)
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	root, err := verify.NewRoot(log.TrustedRoot, signer.PublicKeyPEM())
	must(t, err)
	s := seal.New(signer, seal.NewRecorder(client, clock.RealClock{}), root)
	envelope, err := s.Sign(t.Context(), sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64))))
	must(t, err)
	for range times {
		bundle, err := s.Record(t.Context(), envelope)
		if err != nil {
			return err
		}
		if result, err := root.Inspect(bundle); err != nil || !result.Proven.Equal(log.Time) {
			t.Errorf("got %+v, %v", result, err)
		}
	}
	return nil
}

// A duplicate is given again, by its name in this log and not by what host is said.
func TestSealsInARekorV1(t *testing.T) {
	log := sealtest.NewLogV1(t)
	if err := recordV1(t, log, log.Handler(nil), 3); err != nil {
		t.Error(err)
	}
}

// A Rekor v1 has seals under keys of each kind that a Secret can hold, but for P-384, which
// signs SHA-384.
func TestKeysOfEachKindSealInARekorV1(t *testing.T) {
	all := keys(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	all["Ed25519"], err = cryptoutils.MarshalPrivateKeyToPEM(ed)
	must(t, err)
	for name, key := range all {
		t.Run(name, func(t *testing.T) {
			log := sealtest.NewLogV1(t)
			signer, err := seal.LoadSigner(key)
			must(t, err)
			fits := signer.FitsRekorV1()
			if (fits == nil) == (name == "P-384") || fits != nil && reason.Of(fits) != reason.UsageInvalid {
				t.Errorf("it fits: %v", fits)
			}
			if err := recordV1With(t, key, log, log.Handler(nil), 2); (err == nil) != (fits == nil) {
				t.Errorf("fits: %v, is logged: %v", fits, err)
			}
		})
	}
}

// Whatever a Rekor v1 answers, only what verifies is a seal.
func TestARekorV1ThatMisbehavesSealsNothing(t *testing.T) {
	always := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/api/v1/log/entries/../../../x")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	// Rekor's code verifies what is proposed: each signature under each key.
	proposed := `{"x": {"body": "` + base64.StdEncoding.EncodeToString(sealtest.Proposal(t, 20, 600)) + `", "integratedTime": 1, "logID": "00", "logIndex": 0,
		"verification": {"inclusionProof": {"checkpoint": "", "hashes": [], "logIndex": 0, "rootHash": "00", "treeSize": 1}}}}`
	for name, handler := range map[string]http.Handler{
		"it refuses":               always(400, "no"),
		"it fails":                 always(500, "no"),
		"it is overloaded":         always(503, "no"),
		"it sends elsewhere":       always(307, ""),
		"it has it, by a bad name": always(409, ""),
		"it says nothing":          always(201, ""),
		"it says null":             always(201, "null"),
		"an empty entry":           always(201, `{"x": {}}`),
		"an entry without a proof": always(201, `{"x": {"body": "e30=", "integratedTime": 1, "logID": "00", "logIndex": 0, "verification": {}}}`),
		"a body that is none":      always(201, `{"x": {"body": 7, "integratedTime": 1, "logID": "00", "logIndex": 0, "verification": {"inclusionProof": {"checkpoint": "", "hashes": [], "logIndex": 0, "rootHash": "", "treeSize": 1}}}}`),
		"two entries":              always(201, `{"x": {}, "y": {}}`),
		"a proposal":               always(201, proposed),
		"more than is read":        always(201, strings.Repeat(" ", 2<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			err := recordV1(t, sealtest.NewLogV1(t), handler, 1)
			if err == nil {
				t.Fatal("it sealed")
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s to read the answer", took)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error quotes %d bytes", len(err.Error()))
			}
			if refused := name == "it refuses"; errors.Is(err, seal.ErrNotLogged) != refused {
				t.Errorf("that nothing was logged is certain: %t; %v", refused, err)
			}
		})
	}
	for name, spoil := range map[string]sealtest.Spoil{
		"another promise": func(e *protorekor.TransparencyLogEntry) { e.GetInclusionPromise().SignedEntryTimestamp[9] ^= 1 },
		"another time":    func(e *protorekor.TransparencyLogEntry) { e.IntegratedTime++ },
		"another checkpoint": func(e *protorekor.TransparencyLogEntry) {
			c := e.GetInclusionProof().GetCheckpoint()
			c.Envelope = strings.Replace(c.GetEnvelope(), "\n1\n", "\n2\n", 1)
		},
		"another tree": func(e *protorekor.TransparencyLogEntry) { e.GetInclusionProof().TreeSize++ },
	} {
		t.Run(name, func(t *testing.T) {
			log := sealtest.NewLogV1(t)
			if err := recordV1(t, log, log.Handler(spoil), 1); reason.Of(err) != reason.LogEntryInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("another log", func(t *testing.T) {
		if err := recordV1(t, sealtest.NewLogV1(t), sealtest.NewLogV1(t).Handler(nil), 1); reason.Of(err) != reason.LogEntryInvalid {
			t.Errorf("got %v", err)
		}
	})
}

func TestARekorV1HasAURL(t *testing.T) {
	for _, url := range []string{"", "rekor", "ftp://rekor", "https://rekor?x=y", "https://user@rekor"} {
		if _, err := seal.NewRekorV1(url, time.Second); err == nil {
			t.Errorf("%q is a log", url)
		}
	}
	if _, err := seal.NewRekorV1("https://rekor.example.com", 0); err == nil {
		t.Error("no time is enough")
	}
}
