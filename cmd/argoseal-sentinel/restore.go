package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

// maxResource bounds a resource: etcd stores no more.
const maxResource = 4 << 20

func restoreCommand() *cobra.Command {
	var from, identity, file, write string
	c := &cobra.Command{
		Use:   "restore",
		Short: "Make an encryption file of escrowed keys",
		Long: `Make an encryption file of escrowed keys.

It decrypts the keys in a SecretEncryption's status, and makes a file that reads with
all of them, and what is not encrypted, and writes with the one that was written with
last. The resource may be what kubectl prints, or what etcd has: without its key no
API server becomes ready.`,
		Example: `  etcdctl get --print-value-only /registry/argoseal.dev/secretencryptions/cluster >escrow.yaml
  argoseal-sentinel restore --from escrow.yaml --identity key.txt \
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
			config, err := restored(resource, identities, write, c.ErrOrStderr())
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
	f.StringVar(&write, "write", "", "key to write with, PROVIDER/NAME; empty: the one that was written with last")
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

// restored is the configuration of all keys that can be decrypted. Those that cannot are
// named: they may be for others.
func restored(o *v1alpha1.SecretEncryption, identities []age.Identity, write string, notes io.Writer) (encryption.Config, error) {
	if k := o.Status.Key; write == "" && k != nil {
		write = encryption.Ref{Provider: encryption.Provider(k.Provider), Name: k.Name}.String()
	}
	keys := encryption.Off().Keys()
	var first encryption.Key
	for _, e := range o.Status.Escrow {
		key, err := escrow.Open(e.Data, identities...)
		if err == nil && key.String() != e.Key {
			err = fmt.Errorf("it is %s", key)
		}
		if err != nil {
			fmt.Fprintf(notes, "%s is left out: %s\n", e.Key, strings.TrimSpace(err.Error()))
			continue
		}
		keys = append(keys, key)
		if e.Key == write {
			first = key
		}
	}
	switch {
	case len(keys) == 1:
		return encryption.Config{}, errors.New("no key could be decrypted")
	case write == string(encryption.Identity):
		first = keys[0]
	case first.Name == "":
		return encryption.Config{}, fmt.Errorf("%q, to write with, is not among the keys: choose one with --write", write)
	}
	return encryption.NewConfig(first, keys...)
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
