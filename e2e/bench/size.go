package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// withoutServices stands in for the file of the notary's that links the clients of key
// services, and says what its URIs are.
const withoutServices = `package main

func (options) checkSigningKey() error { return nil }
`

// size builds the notary as its image has it, and without the clients of the clouds' key
// services and of Vault. The image is the program and nothing else.
func size(ctx context.Context, b *bench) ([]result, error) {
	dir, err := os.MkdirTemp("", "argoseal-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	stub, overlay := filepath.Join(dir, "kms.go"), filepath.Join(dir, "overlay.json")
	linked, err := filepath.Abs(filepath.Join("cmd", "argoseal-notary", "kms.go"))
	if err != nil {
		return nil, err
	}
	instead, err := json.Marshal(map[string]map[string]string{"Replace": {linked: stub}})
	if err != nil {
		return nil, err
	}
	for path, content := range map[string][]byte{stub: []byte(withoutServices), overlay: instead} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	var mib []float64
	for _, of := range []struct {
		what string
		args []string
	}{{"with the clients of key services", nil}, {"without them", []string{"-overlay", overlay}}} {
		b.sayf("building argoseal-notary %s", of.what)
		file := filepath.Join(dir, "argoseal-notary")
		// As e2e/images builds it.
		args := append([]string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w -buildid=", "-o", file}, of.args...)
		build := exec.CommandContext(ctx, "go", append(args, "./cmd/argoseal-notary")...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build argoseal-notary %s: %w\n%s", of.what, err, strings.TrimSpace(string(said)))
		}
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		mib = append(mib, float64(info.Size())/(1<<20))
	}
	return []result{newResult("argoseal-notary, beside itself without key services", "MiB", mib[:1], mib[1:])}, nil
}
