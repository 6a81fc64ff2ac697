package encryption

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserver "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"
)

// Config is what one API server encrypts with: it writes with the first key
// and reads with all.
type Config struct {
	keys []Key
}

// NewConfig is the configuration that writes with one key and reads with
// others, too. The order of those is ours, so that equal sets are equal files.
func NewConfig(write Key, read ...Key) (Config, error) {
	c := Config{keys: []Key{write}}
	for _, k := range sorted(read) {
		if has, err := c.has(k); err != nil {
			return Config{}, err
		} else if !has {
			c.keys = append(c.keys, k)
		}
	}
	return c, nil
}

// Off stores everything as it is.
func Off() Config { return Config{keys: []Key{identityKey}} }

// ErrSameName says that two keys of different material have one name. Nothing
// can tell which of them an object lies under.
var ErrSameName = errors.New("two different keys have one name")

// Distinct has each key once.
func Distinct(keys []Key) ([]Key, error) {
	var all Config
	for _, k := range keys {
		if has, err := all.has(k); err != nil {
			return nil, err
		} else if !has {
			all.keys = append(all.keys, k)
		}
	}
	return all.keys, nil
}

// has says whether a key is among those of the configuration.
func (c Config) has(k Key) (bool, error) {
	for _, own := range c.keys {
		if own.Ref == k.Ref {
			if !own.Equal(k) {
				return false, fmt.Errorf("%s: %w", k.Ref, ErrSameName)
			}
			return true, nil
		}
	}
	return false, nil
}

// Reads says whether objects under a key can be read: for a plugin, by its name.
func (c Config) Reads(r Ref) bool {
	return slices.ContainsFunc(c.keys, func(k Key) bool { return k.Ref == r.inFile() })
}

// Write is the key that is written with.
func (c Config) Write() Key { return c.keys[0] }

// WriteRef names the key that is written with; no configuration has none.
func (c Config) WriteRef() Ref {
	if len(c.keys) == 0 {
		return Ref{}
	}
	return c.keys[0].Ref
}

// Keys are all keys; the first is written with.
func (c Config) Keys() []Key { return slices.Clone(c.keys) }

// Refs are the references of all keys.
func (c Config) Refs() []Ref {
	refs := make([]Ref, 0, len(c.keys))
	for _, k := range c.keys {
		refs = append(refs, k.Ref)
	}
	return refs
}

// Format shows the keys' names alone.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v", c.Refs()) }

// Equal says whether both write with the same key and read with the same.
func (c Config) Equal(o Config) bool {
	return c.keys[0].Equal(o.keys[0]) && c.sameSet(o)
}

func (c Config) sameSet(o Config) bool {
	return slices.EqualFunc(sorted(c.keys), sorted(o.keys), Key.Equal)
}

// Render is the file for the API server. It is the same for equal
// configurations.
func (c Config) Render(resources []string) ([]byte, error) {
	file := apiserver.EncryptionConfiguration{
		TypeMeta:  metav1.TypeMeta{APIVersion: apiserver.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserver.ResourceConfiguration{{Resources: resources}},
	}
	for _, k := range c.keys {
		keys := []apiserver.Key{{Name: k.Name, Secret: base64.StdEncoding.EncodeToString(k.bytes())}}
		var p apiserver.ProviderConfiguration
		switch k.Provider {
		case Secretbox:
			p.Secretbox = &apiserver.SecretboxConfiguration{Keys: keys}
		case AESGCM:
			p.AESGCM = &apiserver.AESConfiguration{Keys: keys}
		case AESCBC:
			p.AESCBC = &apiserver.AESConfiguration{Keys: keys}
		case KMS:
			p.KMS = k.plugin.render()
		case Identity:
			p.Identity = &apiserver.IdentityConfiguration{}
		default:
			return nil, fmt.Errorf("provider %q cannot be rendered", k.Provider)
		}
		file.Resources[0].Providers = append(file.Resources[0].Providers, p)
	}
	return yaml.Marshal(file)
}

// ErrForeign says that a file is sound but not one that this package may
// change: it encrypts other resources, or in other ways.
var ErrForeign = errors.New("the file is not ours")

// Parse reads a file. The resources must be those that are asked for, in any
// order, or any if none are; a file that encrypts nothing at all may name any.
// Messages quote nothing of the file, which holds keys.
func Parse(file []byte, resources []string) (Config, error) {
	var parsed apiserver.EncryptionConfiguration
	if err := yaml.UnmarshalStrict(file, &parsed); err != nil {
		return Config{}, errors.New("the file is damaged: it is no EncryptionConfiguration")
	}
	if parsed.Kind != "EncryptionConfiguration" || parsed.APIVersion != apiserver.SchemeGroupVersion.String() || len(parsed.Resources) == 0 {
		return Config{}, errors.New("the file is damaged: it is no EncryptionConfiguration")
	}
	var all []Config
	for _, r := range parsed.Resources {
		c, err := parseProviders(r.Providers)
		if err != nil {
			return Config{}, err
		}
		all = append(all, c)
	}
	if !slices.ContainsFunc(all, func(c Config) bool { return !c.Equal(Off()) }) {
		return Off(), nil
	}
	if len(all) != 1 || resources != nil && !slices.Equal(slices.Sorted(slices.Values(parsed.Resources[0].Resources)), slices.Sorted(slices.Values(resources))) {
		return Config{}, fmt.Errorf("%w: it names other resources than %v", ErrForeign, resources)
	}
	return all[0], nil
}

func parseProviders(providers []apiserver.ProviderConfiguration) (Config, error) {
	var c Config
	for _, p := range providers {
		var keys []Key
		var err error
		switch {
		case p.KMS != nil:
			keys, err = parsePlugin(*p.KMS)
		case p.Identity != nil:
			keys = []Key{identityKey}
		case p.Secretbox != nil:
			keys, err = parseKeys(Secretbox, p.Secretbox.Keys)
		case p.AESGCM != nil:
			keys, err = parseKeys(AESGCM, p.AESGCM.Keys)
		case p.AESCBC != nil:
			keys, err = parseKeys(AESCBC, p.AESCBC.Keys)
		default:
			err = errors.New("the file is damaged: a provider is empty")
		}
		if err != nil {
			return Config{}, err
		}
		for _, k := range keys {
			if has, err := c.has(k); err != nil {
				return Config{}, err
			} else if !has {
				c.keys = append(c.keys, k)
			}
		}
	}
	if len(c.keys) == 0 {
		return Config{}, errors.New("the file is damaged: it has no provider")
	}
	return c, nil
}

func parseKeys(provider Provider, keys []apiserver.Key) ([]Key, error) {
	var parsed []Key
	for _, k := range keys {
		raw, err := base64.StdEncoding.DecodeString(k.Secret)
		if err != nil || k.Name == "" || len(raw) == 0 {
			return nil, errors.New("the file is damaged: a key has no name or no material")
		}
		// In etcd a name ends with a colon: what lies under a:b would count as a's.
		if strings.Contains(k.Name, ":") {
			return nil, fmt.Errorf("%w: the name of a key has a colon, so nothing in etcd tells for certain what lies under it. Rewrite all objects under a key without one, by hand, and take it out", ErrForeign)
		}
		parsed = append(parsed, newKey(Ref{Provider: provider, Name: k.Name}, raw))
	}
	if len(parsed) == 0 {
		return nil, errors.New("the file is damaged: a provider has no key")
	}
	return parsed, nil
}

// Hash is what an API server reports for a file that it has loaded.
func Hash(file []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(file)) }
