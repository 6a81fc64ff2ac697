package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

// maxResource bounds a resource: etcd stores no more. maxObjects bounds what keys are
// proven by.
const (
	maxResource = 4 << 20
	maxObjects  = 256 << 20
)

func restoreCommand() *cobra.Command {
	var from, identity, file, write, objects string
	var trust []string
	c := &cobra.Command{
		Use:   "restore",
		Short: "Make an encryption file of escrowed keys",
		Long: `Make an encryption file of escrowed keys.

It decrypts the keys in a SecretEncryption's status, and makes a file that reads with
those that open objects of etcd, and what is not encrypted, and writes with the one that
most objects lie under. The resource may be what kubectl prints, or what etcd has:
without its key no API server becomes ready.

Whoever knows the public recipient can put a key there that is theirs, so a key that
opens nothing is left out, unless it is named with --trust.`,
		Example: `  etcdctl get --print-value-only /registry/argoseal.dev/secretencryptions/cluster >escrow.yaml
  etcdctl get --prefix /registry/secrets/ -w json >objects.json
  argoseal-sentinel restore --from escrow.yaml --identity key.txt --objects objects.json \
    --file /etc/kubernetes/encryption/config.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resource, err := readResource(from)
			if err != nil {
				return err
			}
			identities, err := readIdentities(identity)
			if err != nil {
				return err
			}
			stored, err := readObjects(objects)
			if err != nil {
				return err
			}
			config, err := restored(resource, identities, choice{objects: stored, trust: trust, write: write}, c.ErrOrStderr())
			if err != nil {
				return err
			}
			content, err := config.Render(resource.Spec.Resources)
			if err != nil {
				return err
			}
			if err := writeNew(file, content); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s writes with %s and reads with %v\n", file, config.WriteRef(), config.Refs())
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "file with the SecretEncryption, as YAML or JSON")
	f.StringVar(&identity, "identity", "", "file with the identity of age that the keys are for")
	f.StringVar(&file, "file", "", "encryption file to make; it must not be there")
	f.StringVar(&objects, "objects", "", "file with objects of etcd, as etcdctl prints them with -w json, which the keys have to open")
	f.StringArrayVar(&trust, "trust", nil, "PROVIDER/NAME of a key to read with, although it opens none of the objects; repeatable")
	f.StringVar(&write, "write", "", "key to write with, PROVIDER/NAME; empty: the one that most objects lie under")
	require(c, "from", "identity", "file")
	return c
}

func readResource(path string) (*v1alpha1.SecretEncryption, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxResource))
	if err != nil {
		return nil, err
	}
	var o v1alpha1.SecretEncryption
	if err := yaml.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	if o.Kind != "SecretEncryption" || len(o.Status.Escrow) == 0 {
		return nil, errors.New("--from: it is no SecretEncryption with escrowed keys")
	}
	if len(o.Spec.Resources) == 0 {
		o.Spec.Resources = []string{"secrets"}
	}
	return &o, nil
}

func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	identities, err := age.ParseIdentities(f)
	if err != nil {
		return nil, errors.New("--identity: it is no file with identities of age") // the error may quote one
	}
	return identities, nil
}

// object is one of etcd's.
type object struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// readObjects reads what etcdctl printed; none if there is no file.
func readObjects(path string) ([]object, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxObjects+1))
	if err != nil {
		return nil, err
	}
	var list struct {
		Kvs []object `json:"kvs"`
	}
	switch err := json.Unmarshal(raw, &list); {
	case len(raw) > maxObjects:
		return nil, fmt.Errorf("--objects is larger than %d bytes: some objects of each key are enough", maxObjects)
	case err != nil || len(list.Kvs) == 0:
		return nil, errors.New("--objects: it is not what etcdctl get --prefix … -w json prints") // the error may quote an object
	}
	return list.Kvs, nil
}

// choice is what the keys are chosen by.
type choice struct {
	objects []object
	trust   []string
	write   string
}

// restored is the configuration of the keys that open objects, or that are trusted. The
// others are named: they may be for others, or anybody's.
func restored(o *v1alpha1.SecretEncryption, identities []age.Identity, by choice, notes io.Writer) (encryption.Config, error) {
	keys := encryption.Off().Keys()
	var write encryption.Key
	if by.write == string(encryption.Identity) {
		write = keys[0]
	}
	most := 0
	for _, e := range o.Status.Escrow {
		key, err := escrow.Open(e.Data, identities...)
		if err == nil && key.String() != e.Key {
			err = fmt.Errorf("it is %s", key)
		}
		opens, named := 0, 0
		if err == nil {
			for _, stored := range by.objects {
				if escrow.ClaimsKey(key, stored.Value) {
					named++
				}
				if escrow.Opens(key, string(stored.Key), stored.Value) {
					opens++
				}
			}
			if !escrow.Proven(key, opens, named) && !slices.Contains(by.trust, e.Key) {
				err = fmt.Errorf("it opens %d of the %d of --objects that name it, so it may be anybody's; if you know it, name it with --trust", opens, named)
			}
		}
		if err != nil {
			fmt.Fprintf(notes, "%s is left out: %s\n", e.Key, strings.TrimSpace(err.Error()))
			continue
		}
		keys = append(keys, key)
		if e.Key == by.write || by.write == "" && opens > most {
			write, most = key, opens
		}
	}
	switch {
	case len(keys) == 1:
		return encryption.Config{}, errors.New("no key is restored: give --objects that they open, or name those that you know with --trust")
	case write.Provider == "":
		return encryption.Config{}, fmt.Errorf("which key to write with is not known (%q): choose one of %v with --write", by.write, keys)
	}
	return encryption.NewConfig(write, keys...)
}

// writeNew writes a file that only its owner may read, and replaces none.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
