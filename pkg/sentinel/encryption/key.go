package encryption

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Provider is a way to encrypt, by the name that the API server has for it.
type Provider string

// The providers that this package sets up. Identity stores as is: encryption
// that is off is a provider like another, so that both ways are the same steps.
const (
	Secretbox Provider = "secretbox"
	AESGCM    Provider = "aesgcm"
	AESCBC    Provider = "aescbc"
	KMS       Provider = "kms"
	Identity  Provider = "identity"
)

// Providers are all of them.
var Providers = []Provider{Secretbox, AESGCM, AESCBC, KMS, Identity}

// keySize is what secretbox takes, and the largest of AES.
const keySize = 32

// Ref says which key an object lies under; that of identity has no name, that of kms
// the plugin's.
type Ref struct {
	Provider Provider
	Name     string
	// ID is of kms alone: IDHash of the key that the plugin writes with. No file names it,
	// and a plugin reads what lies under each of its keys.
	ID string
}

// IDHash stands for a plugin's key: it is the key_id_hash of the API server's metrics.
func IDHash(keyID string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(keyID))) }

// shortID is how much of an IDHash is shown: 64 bits tell a plugin's few keys apart.
const shortID = len("sha256:") + 16

// String is the reference as people read it.
func (r Ref) String() string {
	switch {
	case r.Name == "":
		return string(r.Provider)
	case r.ID == "":
		return string(r.Provider) + "/" + r.Name
	}
	return string(r.Provider) + "/" + r.Name + "@" + r.ID[:min(len(r.ID), shortID)]
}

// inFile is the reference as a file has it.
func (r Ref) inFile() Ref {
	r.ID = ""
	return r
}

// Kept says whether there is anything of the key that could be kept: the keys of a
// plugin never leave the key service.
func (r Ref) Kept() bool { return r.Provider != Identity && r.Provider != KMS }

// Key is a key with its material, which is never printed: it is within a
// function, because Format is not called for fields of other types.
type Key struct {
	Ref
	material func() []byte
	// plugin is set for kms, in place of material.
	plugin Plugin
}

func newKey(ref Ref, material []byte) Key {
	return Key{Ref: ref, material: func() []byte { return material }}
}

func (k Key) bytes() []byte {
	if k.material == nil {
		return nil
	}
	return k.material()
}

// identityKey is the key of identity: none.
var identityKey = Key{Ref: Ref{Provider: Identity}}

// Equal says whether both are the same key, material included.
func (k Key) Equal(o Key) bool {
	return k.Ref == o.Ref && k.plugin == o.plugin && bytes.Equal(k.bytes(), o.bytes())
}

// Format keeps the material out of logs, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// nameTime is how a name tells when the key was made: it sorts by time.
const nameTime = "20060102t150405z"

// NewKey makes a key. Its name holds the rotation that it was made for, the
// time and 64 random bits: two keys never share one, wherever they were made,
// so that an object's header always means one key.
func NewKey(provider Provider, rotation int64, now time.Time, random io.Reader) (Key, error) {
	switch provider {
	case Identity:
		return identityKey, nil
	case Secretbox, AESGCM, AESCBC:
	case KMS:
		return Key{}, errors.New("a plugin's keys are not made here")
	default:
		return Key{}, fmt.Errorf("provider %q is none of %v", provider, Providers)
	}
	raw := make([]byte, keySize+8)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	name := fmt.Sprintf("r%d-%s-%s", rotation, now.UTC().Format(nameTime), hex.EncodeToString(raw[keySize:]))
	return newKey(Ref{Provider: provider, Name: name}, raw[:keySize]), nil
}

// Rotation is the one that the key was made for; zero if the name is not ours.
func (r Ref) Rotation() int64 {
	rotation, _ := r.parse()
	return rotation
}

// undated says whether the key is one that somebody else made, so that nobody knows when.
func (r Ref) undated() bool { return r.Kept() && r.Created().IsZero() }

// Created is when the key was made; zero if the name is not ours.
func (r Ref) Created() time.Time {
	_, created := r.parse()
	return created
}

func (r Ref) parse() (int64, time.Time) {
	parts := strings.Split(r.Name, "-")
	if !r.Kept() || len(parts) != 3 || !strings.HasPrefix(parts[0], "r") {
		return 0, time.Time{}
	}
	rotation, err := strconv.ParseInt(parts[0][1:], 10, 64)
	if err != nil {
		return 0, time.Time{}
	}
	created, err := time.Parse(nameTime, parts[1])
	if err != nil {
		return 0, time.Time{}
	}
	return rotation, created
}

// newestFirst orders keys: newest first, identity last.
func newestFirst(a, b Key) int {
	return cmp.Or(
		compareBool(a.Provider == Identity, b.Provider == Identity),
		b.Created().Compare(a.Created()),
		cmp.Compare(a.Provider, b.Provider),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func sorted(keys []Key) []Key {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, newestFirst)
	return keys
}
