package tag

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Tag is what our mutating webhook saw.
type Tag struct {
	// Version is that of the tag; Issue fills it. A version that has no room for a
	// fact says nothing about it.
	Version int
	// KeyID names the key of the MAC; Issue fills it.
	KeyID string
	// IssuedAt is when the pod was admitted, in whole seconds, UTC.
	IssuedAt  time.Time
	Namespace string
	// NamespaceUID tells the namespace from others that had its name; empty in
	// version 1.
	NamespaceUID string
	Pod          string
	WorkflowUID  string
	// Definition is the fingerprint of the Workflow's definition at admission,
	// as package argo spells it.
	Definition string
	// Creator is the user name of the admission request.
	Creator string
	Mode    v1alpha1.Mode
	// Verdict is why the pod got no pins although it has store inputs, or empty.
	Verdict reason.Code
	// Executor is what the operator said about the executor that the pod runs.
	// Signer is our image, a reference by digest. The tag has them, so that the pod
	// can still be judged when an upgrade has changed them.
	Executor Executor
	Signer   string
	// Logs: the sidecar measures the pod's archived logs too. It is said here, so
	// that it holds for this pod whatever the operator says later.
	Logs bool
	// Pins are the digests admission approved, one a pinned input.
	Pins []pin.Pin
}

const (
	// Version is the version of the tags that Issue makes. Open reads it and the
	// one before it.
	Version = 2
	// maxValue bounds a tag; all annotations of a pod together have 256 KiB.
	maxValue = 80 << 10
	// maxPins bounds a tag's pins as JSON, which base64url makes a third longer:
	// beside them there is the definition, some kilobytes where many parameters are
	// open, up to eight of the executor's variables, and some two thousand bytes more.
	maxPins = 36 << 10
	// maxEnv bounds the executor's variables as JSON.
	maxEnv = 8 << 10
)

// MaxTagAge is how far a tag's issue time may be from its pod's creation, in either direction:
// the time that an admission may take, and what two replicas' clocks may differ. A tag
// cannot wait for a later pod.
const MaxTagAge = 30 * time.Second

// encoding refuses padding and stray trailing bits.
var encoding = base64.RawURLEncoding.Strict()

// versionPattern is how a tag spells its version.
var versionPattern = regexp.MustCompile(`^v[1-9][0-9]{0,3}$`)

// Issue spells a tag under the current key: version, key id, content and MAC, with
// dots between. Content and MAC are in base64url. Every version keeps that much of
// its form. So each release can tell a tag of a later one from a forged one.
func (k Keys) Issue(t Tag) (string, error) {
	key, found := k.keys[k.current]
	if !found {
		return "", errors.New("there is no current tag key")
	}
	content, err := encode(t)
	if err != nil {
		return "", fmt.Errorf("tag: %w", err)
	}
	signed := strings.Join([]string{"v" + strconv.Itoa(Version), k.current, encoding.EncodeToString(content)}, ".")
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
func Fit(pins []pin.Pin) error {
	text, err := json.Marshal(pins)
	if err != nil {
		return err
	}
	if len(text) > maxPins {
		return fmt.Errorf("its pins have %d bytes, and there is room for %d", len(text), maxPins)
	}
	return nil
}

// Open checks a tag's MAC and reads it. What fails is a TagInvalid refusal, or
// TooNew where a later release of ours issued it.
func (k Keys) Open(value string) (Tag, error) {
	if value == "" {
		return Tag{}, reason.New(reason.TagInvalid, "there is no tag")
	}
	if len(value) > maxValue {
		return Tag{}, reason.New(reason.TagInvalid, "the tag has %d bytes, want at most %d", len(value), maxValue)
	}
	if known, ok := k.opened.Get(value); ok {
		return known.clone(), nil
	}
	t, err := k.open(value)
	if err == nil && len(value) <= longestRemembered {
		k.opened.Add(value, t.clone(), sizeOfTag*len(value))
	}
	return t, err
}

// clone is a tag of which the caller may change what it likes.
func (t Tag) clone() Tag {
	t.Pins, t.Executor.Env = slices.Clone(t.Pins), slices.Clone(t.Executor.Env)
	return t
}

// open is Open of what is not too long.
func (k Keys) open(value string) (Tag, error) {
	parts := strings.Split(value, ".")
	if len(parts) != 4 || !versionPattern.MatchString(parts[0]) {
		return Tag{}, reason.New(reason.TagInvalid, "the tag has not the form of one")
	}
	key, found := k.keys[parts[1]]
	if !found {
		return Tag{}, reason.New(reason.TagInvalid, "the tag is under an unknown key %.40q", parts[1])
	}
	// The spelled MACs are compared: decoding would overlook line ends.
	if !hmac.Equal([]byte(parts[3]), []byte(mac(key, strings.Join(parts[:3], ".")))) {
		return Tag{}, reason.New(reason.TagInvalid, "the tag's MAC is wrong")
	}
	switch version, err := strconv.Atoi(parts[0][1:]); {
	case err != nil || version < Version-1:
		return Tag{}, reason.New(reason.TagInvalid, "the tag is of version %s, and this release opens version %d and the one before", parts[0], Version)
	case version > Version:
		return Tag{}, reason.New(reason.TooNew, "the tag is of version %d, and this release opens version %d and the one before", version, Version)
	default:
		return read(parts, version)
	}
}

// read reads a tag whose MAC holds.
func read(parts []string, version int) (Tag, error) {
	content, err := encoding.DecodeString(parts[2])
	if err != nil || encoding.EncodeToString(content) != parts[2] {
		return Tag{}, reason.Wrap(reason.TagInvalid, err, "the tag's content is not base64url")
	}
	t, err := decode(content, version)
	if err != nil {
		return Tag{}, reason.Wrap(reason.TagInvalid, err, "the tag's content: %v", err)
	}
	t.Version, t.KeyID = version, parts[1]
	return t, nil
}

// mac spells the MAC over the first three parts of a tag.
func mac(key []byte, signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("argoseal.dev/tag " + signed))
	return encoding.EncodeToString(h.Sum(nil))
}
