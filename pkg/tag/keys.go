package tag

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/memory"
)

// Keys are the MAC keys: the current one issues, any of them opens. The zero
// value does neither.
type Keys struct {
	current string
	keys    map[string][]byte
	// opened are tags that these keys have opened, each by its whole text. The same
	// tag is opened again for each step that takes something from its pod.
	opened *memory.Memory[string, Tag]
}

// rememberedTags bounds the tags that are remembered, in bytes, and longestRemembered the
// text of one. A tag as it was read takes some times its text.
const (
	rememberedTags    = 4 << 20
	longestRemembered = 8 << 10
	sizeOfTag         = 4
)

const (
	// secretCurrent names the current key's id in the Secret; secretKey and an
	// id name that key.
	secretCurrent = "current"
	secretKey     = "key-"

	keySize = 32
	idSize  = 8
	maxKeys = 64
)

// ParseKeys reads the data of the Secret v1alpha1.SecretTagKey.
func ParseKeys(secretData map[string][]byte) (Keys, error) {
	k := Keys{current: string(secretData[secretCurrent]), keys: map[string][]byte{}, opened: memory.New[string, Tag](rememberedTags)}
	if len(secretData) > maxKeys+1 {
		return Keys{}, fmt.Errorf("%d tag keys, want at most %d", len(secretData)-1, maxKeys)
	}
	for name, value := range secretData {
		if name == secretCurrent {
			continue
		}
		id, found := strings.CutPrefix(name, secretKey)
		if !found || !isID(id) {
			return Keys{}, fmt.Errorf("%.80q is not the name of a tag key", name)
		}
		if len(value) != keySize {
			return Keys{}, fmt.Errorf("tag key %s has %d bytes, want %d", id, len(value), keySize)
		}
		k.keys[id] = append([]byte(nil), value...)
	}
	if _, found := k.keys[k.current]; !found {
		return Keys{}, errors.New("the current tag key is not there")
	}
	return k, nil
}

// IDs are those of the keys, the current one's first.
func (k Keys) IDs() []string {
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(k.keys)), func(id string) bool { return id == k.current })
	if k.current != "" {
		ids = slices.Insert(ids, 0, k.current)
	}
	return ids
}

// NewKey makes a key and its id.
func NewKey() (id string, key []byte, err error) {
	random := make([]byte, keySize+idSize)
	if _, err := rand.Read(random); err != nil {
		return "", nil, fmt.Errorf("making a tag key: %w", err)
	}
	return hex.EncodeToString(random[keySize:]), random[:keySize], nil
}

// WithKey returns a copy of the Secret's data (nil for a new Secret) to which
// the key was added as the current one. Old keys stay until they are deleted.
func WithKey(secretData map[string][]byte, id string, key []byte) map[string][]byte {
	data := maps.Clone(secretData)
	if data == nil {
		data = map[string][]byte{}
	}
	data[secretKey+id] = append([]byte(nil), key...)
	data[secretCurrent] = []byte(id)
	return data
}

// isID says whether s is an id as NewKey makes them.
func isID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == idSize && hex.EncodeToString(raw) == s
}
