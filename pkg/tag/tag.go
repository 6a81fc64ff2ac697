package tag

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Tag is what our mutating webhook saw.
type Tag struct {
	// KeyID names the key of the MAC; Issue fills it.
	KeyID string
	// IssuedAt is when the pod was admitted, in whole seconds, UTC.
	IssuedAt    time.Time
	Namespace   string
	Pod         string
	WorkflowUID string
	// Definition is the fingerprint of the Workflow's definition at admission,
	// as package argo spells it.
	Definition string
	// Creator is the user name of the admission request.
	Creator string
	Mode    v1alpha1.Mode
	// Verdict is why the pod got no pins although it has store inputs, or empty.
	Verdict reason.Code
	// Executor is what the operator said about the one that the pod runs, and
	// Signer the image of ours, a reference by digest. They are said here, so that
	// a pod can still be judged when an upgrade has changed them.
	Executor argo.Executor
	Signer   string
	// Logs: the sidecar measures the pod's archived logs too. It is said here, so
	// that it holds for this pod whatever the operator says later.
	Logs bool
	// Pins are the digests admission approved, one a pinned input.
	Pins []artifact.Pin
}

const (
	// version begins every tag, and the bytes its MAC is over: a MAC under the
	// same key for another purpose is none for a tag.
	version = "v1"
	// maxValue bounds a tag; all annotations of a pod together have 256 KiB.
	maxValue = 80 << 10
	// maxPins bounds a tag's pins as JSON, which base64url makes a third longer:
	// beside them there is the definition, some kilobytes where many parameters are
	// open, up to eight of the executor's variables, and some two thousand bytes more.
	maxPins = 36 << 10
	// maxEnv bounds the executor's variables as JSON.
	maxEnv = 8 << 10
)

// encoding refuses padding and stray trailing bits.
var encoding = base64.RawURLEncoding.Strict()

// Issue spells a tag under the current key: version, key id, content and MAC,
// each but the first two in base64url, with dots between.
func (k Keys) Issue(t Tag) (string, error) {
	key, found := k.keys[k.current]
	if !found {
		return "", errors.New("there is no current tag key")
	}
	t.KeyID = k.current
	content, err := encode(t)
	if err != nil {
		return "", fmt.Errorf("tag: %w", err)
	}
	signed := strings.Join([]string{version, k.current, encoding.EncodeToString(content)}, ".")
	value := signed + "." + mac(key, signed)
	if len(value) > maxValue {
		return "", fmt.Errorf("tag has %d bytes, want at most %d", len(value), maxValue)
	}
	return value, nil
}

// FitEnv says whether a tag has room for the executor's variables, whatever else
// it holds.
func FitEnv(env []string) error {
	text, err := json.Marshal(env)
	if err != nil {
		return err
	}
	if len(text) > maxEnv {
		return fmt.Errorf("the executor's variables have %d bytes, and there is room for %d", len(text), maxEnv)
	}
	return nil
}

// Fit says whether a tag has room for the pins.
func Fit(pins []artifact.Pin) error {
	text, err := json.Marshal(pins)
	if err != nil {
		return err
	}
	if len(text) > maxPins {
		return fmt.Errorf("its pins have %d bytes, and there is room for %d", len(text), maxPins)
	}
	return nil
}

// Open checks a tag's MAC and reads it. What fails is a TagInvalid refusal.
func (k Keys) Open(value string) (Tag, error) {
	if value == "" {
		return Tag{}, reason.New(reason.TagInvalid, "there is no tag")
	}
	if len(value) > maxValue {
		return Tag{}, reason.New(reason.TagInvalid, "the tag has %d bytes, want at most %d", len(value), maxValue)
	}
	parts := strings.Split(value, ".")
	if len(parts) != 4 || parts[0] != version {
		return Tag{}, reason.New(reason.TagInvalid, "the tag is not of version %s", version)
	}
	key, found := k.keys[parts[1]]
	if !found {
		return Tag{}, reason.New(reason.TagInvalid, "the tag is under an unknown key %.40q", parts[1])
	}
	// The spelled MACs are compared: decoding would overlook line ends.
	if !hmac.Equal([]byte(parts[3]), []byte(mac(key, strings.Join(parts[:3], ".")))) {
		return Tag{}, reason.New(reason.TagInvalid, "the tag's MAC is wrong")
	}
	content, err := encoding.DecodeString(parts[2])
	if err != nil || encoding.EncodeToString(content) != parts[2] {
		return Tag{}, reason.Wrap(reason.TagInvalid, err, "the tag's content is not base64url")
	}
	t, err := decode(content)
	if err != nil {
		return Tag{}, reason.Wrap(reason.TagInvalid, err, "the tag's content: %v", err)
	}
	t.KeyID = parts[1]
	return t, nil
}

// mac spells the MAC over the first three parts of a tag.
func mac(key []byte, signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("argoseal.dev/tag " + signed))
	return encoding.EncodeToString(h.Sum(nil))
}
