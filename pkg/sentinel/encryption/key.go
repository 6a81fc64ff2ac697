package encryption

import (
	"bytes"
	"cmp"
	"encoding/hex"
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
	Identity  Provider = "identity"
)

// Providers are all of them.
var Providers = []Provider{Secretbox, AESGCM, AESCBC, Identity}

// keySize is what secretbox takes, and the largest of AES.
const keySize = 32

// Ref says which key an object lies under; that of identity has no name.
type Ref struct {
	Provider Provider
	Name     string
}

// String is the reference as people read it.
func (r Ref) String() string {
	if r.Name == "" {
		return string(r.Provider)
	}
	return string(r.Provider) + "/" + r.Name
}

// Key is a key with its material, which is never printed: it is within a
// function, because Format is not called for fields of other types.
type Key struct {
	Ref
	material func() []byte
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
func (k Key) Equal(o Key) bool { return k.Ref == o.Ref && bytes.Equal(k.bytes(), o.bytes()) }

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

// Created is when the key was made; zero if the name is not ours.
func (r Ref) Created() time.Time {
	_, created := r.parse()
	return created
}

func (r Ref) parse() (int64, time.Time) {
	parts := strings.Split(r.Name, "-")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "r") {
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
