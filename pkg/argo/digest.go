package argo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Digest is the digest of the workflow's definition: its spec, entrypoint,
// parameters and overrides, all that a statement says about what the user
// asked for. The mutating webhook puts it into the tag and the notary compares
// it: who may change Workflows must not change what a finished step is said to
// have been asked. It is empty, and equals none, where no definition was read.
func (w *Workflow) Digest() artifact.Digest {
	if w == nil || w.definition.SpecDigest == "" {
		return ""
	}
	d := w.definition
	d.Template = ""
	raw, err := json.Marshal(d)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return artifact.Digest(hex.EncodeToString(sum[:]))
}
